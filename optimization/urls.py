"""Pages of this room, and its part of the API; the top floor includes both."""

from django.urls import path

from optimization import apis, views

api_patterns = [
    path("optimization/status", apis.OptimizationStatusApi.as_view()),
    path("optimization/report", apis.OptimizationReportApi.as_view()),
    path("optimization/enable", apis.OptimizationEnableApi.as_view()),
    path("optimization/disable", apis.OptimizationDisableApi.as_view()),
    path("optimization/settings", apis.OptimizationSettingsApi.as_view()),
]
page_patterns = [
    path("optimization/", views.layer_page, name="optimization"),
    path("optimization/settings/", views.settings_save, name="optimization-settings"),
    path("optimization/status/", views.strategy_move, name="optimization-status"),
    path("data/optimization/", views.layer_data, name="optimization-data"),
    path("data/optimization/preview/", views.preview_data, name="optimization-preview"),
]
