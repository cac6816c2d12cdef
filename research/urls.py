"""Pages of this room, and the data they read."""

from django.urls import path

from research import parity_views, sweep_views, views

urlpatterns = [
    path("replays/", views.replay_page, name="replay-list"),
    path("replays/start/", views.start, name="replay-start"),
    path("replays/compare/", views.compare, name="replay-compare"),
    path("replays/sweeps/", sweep_views.sweep_page, name="sweep-list"),
    path("replays/sweeps/start/", sweep_views.sweep_ask, name="sweep-start"),
    path("replays/sweeps/<uuid:code>/", sweep_views.sweep_act, name="sweep-act"),
    path("replays/parity/", parity_views.parity_page, name="parity-list"),
    path("replays/<uuid:code>/", views.replay_detail, name="replay-page"),
    path("replays/<uuid:code>/report/", views.report_file, name="replay-report"),
    path("replays/<uuid:code>/abort/", views.abort, name="replay-abort"),
    path("replays/<uuid:code>/notes/", views.note, name="replay-notes"),
    path("data/replays/", views.progress_data, name="replay-data"),
]
