from django.urls import path

from notifications import views

urlpatterns = [
    path("", views.notification_page, name="notifications"),
    path("test/", views.channel_try, name="notification-try"),
]
