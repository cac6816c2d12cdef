from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from accounts.views import admin_login
from monitoring.layer import layer
from monitoring.metrics import MetricsApi
from tradeplatform import settings_views, views
from tradeplatform.compat.urls import compat_patterns

admin.autodiscover()

urlpatterns = [
    path("admin/login/", admin_login),
    path("admin/", admin.site.urls),
    path("metrics", MetricsApi.as_view(), name="metrics"),
    path("api/v1/", include("tradeplatform.api_urls")),
    *compat_patterns(is_on=settings.FREQTRADE_API),
    # browsers ask for it on pages whose theme names none
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}img/favicon.svg")),
    path("preflight/", views.preflight_page, name="preflight"),
    path("preflight/run/", views.preflight_start, name="preflight-run"),
    path("settings/", settings_views.settings_page, name="settings"),
    path("settings/<slug:name>/", settings_views.section_page, name="settings-section"),
    path("settings/<slug:name>/review/", settings_views.section_review, name="settings-review"),
    path("settings/<slug:name>/save/", settings_views.section_save, name="settings-save"),
    path("", include("accounts.urls")),
    path("", include("monitoring.urls")),
    path("notifications/", include("notifications.urls")),
    path("", include("research.urls")),
    *layer().page_patterns(),
]
