from django.contrib import admin
from django.urls import include, path

admin.autodiscover()

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include("tradeplatform.api_urls")),
    path("", include("accounts.urls")),
    path("", include("monitoring.urls")),
]
