"""Pages of this room, and the data they read."""

from django.urls import path

from monitoring import (
    ceiling_views,
    decision_views,
    learning_views,
    request_views,
    system_views,
    views,
)

urlpatterns = [
    path("", views.overview, name="overview"),
    path("decisions/", decision_views.decision_page, name="decisions"),
    path("decisions/performance/", decision_views.performance_page, name="performance"),
    path("decisions/sources/", learning_views.source_page, name="sources"),
    path("decisions/evolution/", learning_views.evolution_page, name="evolution"),
    path("decisions/evolution/train/", learning_views.evolve, name="evolution-train"),
    path("decisions/evolution/abort/", learning_views.training_stop, name="training-abort"),
    path("decisions/models/<int:model_id>/", learning_views.model_page, name="model-page"),
    path("decisions/<uuid:code>/", decision_views.decision_trace, name="decision"),
    path("trades/", views.trade_page, name="trades"),
    path("orders/", views.order_page, name="orders"),
    path("requests/", request_views.request_page, name="requests"),
    path("requests/position/", request_views.position_act, name="position-act"),
    path("requests/adjust/", request_views.adjust, name="adjust"),
    path("requests/book/", request_views.book, name="book-external"),
    path("requests/lock/", request_views.lock, name="lock-set"),
    path("requests/lift/", request_views.lift, name="lock-lift"),
    path("requests/gains/", request_views.gains, name="gains"),
    path("flatten/", request_views.flatten_page, name="flatten"),
    path("limits/", ceiling_views.ceiling_page, name="ceilings"),
    path("limits/change/", ceiling_views.ceiling_change, name="ceiling-change"),
    path("system/", system_views.system_page, name="system"),
    path("system/optimizer/", system_views.optimizer_switch, name="optimizer-switch"),
    path("data/system/", system_views.system_data, name="system-data"),
    path("control/", views.control, name="control"),
    path("account-shown/", views.account_choose, name="account-choose"),
    path("alerts/<int:alert_id>/acknowledge/", views.acknowledge, name="alert-acknowledge"),
    path("data/overview/", views.overview_data, name="overview-data"),
    path("data/strip/", views.strip_data, name="strip-data"),
    path("data/price/", views.price_data, name="price-data"),
    path("data/counterfactual/", learning_views.counterfactual_data, name="counterfactual-data"),
    path("data/decisions/", views.decision_by_key, name="decision-by-key"),
    path("data/decisions/<uuid:code>/replay/", decision_views.replay_data, name="replay-data"),
    path("data/decisions/<uuid:code>/", views.decision_data, name="decision-data"),
]
