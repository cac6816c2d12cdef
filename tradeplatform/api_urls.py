"""Everything under ``/api/v1/``."""

from django.http import Http404
from django.urls import path, re_path
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.request import Request

from accounts import apis as accounts
from accounts.operations import Operation
from market import apis as market
from monitoring import apis as monitoring
from monitoring import status_apis
from monitoring.layer import layer
from notifications import apis as notifications
from research import apis as research
from research import parity_apis as parity
from research import sweep_apis as sweeps
from resources import apis as resources
from strategies import apis as strategies
from strategies import predictor_apis as predictors
from tradeplatform.api_document import SchemaApi
from tradeplatform.doctor_apis import DoctorApi
from trades.apis import (
    ceilings,
    control,
    decisions,
    evolution,
    exports,
    gains,
    ledger,
    locks,
    performance,
    requests,
)


@extend_schema(exclude=True)
class UnknownPathApi(Operation):
    """A path that is not there is a problem document too, and only for those who may look."""

    def get(self, request: Request) -> None:
        raise Http404

    post = put = patch = delete = get


app_name = "api"
urlpatterns = [
    path("health", monitoring.HealthApi.as_view(), name="health"),
    path("strategies/", strategies.StrategyListApi.as_view(), name="strategies"),
    path("strategies/<slug:code>/", strategies.StrategyDetailApi.as_view(), name="strategy"),
    path("strategies/<slug:code>/suspend", strategies.StrategySuspendApi.as_view()),
    path("strategies/<slug:code>/unsuspend", strategies.StrategyUnsuspendApi.as_view()),
    path("strategies/<slug:code>/activate", strategies.StrategyActivateApi.as_view()),
    path("strategies/<slug:code>/retire", strategies.StrategyRetireApi.as_view()),
    path("strategies/<slug:code>/reinstate", strategies.StrategyReinstateApi.as_view()),
    path("predictors/", predictors.PredictorListApi.as_view(), name="predictors"),
    path("predictors/models/", predictors.PredictorModelListApi.as_view(), name="models"),
    path("predictors/history/", predictors.EvolutionListApi.as_view(), name="evolution"),
    path("predictors/jobs/", predictors.TrainingJobListApi.as_view(), name="training-jobs"),
    path("predictors/jobs/<int:job_id>/abort", evolution.TrainingAbortApi.as_view()),
    path("predictors/<slug:code>/", predictors.PredictorDetailApi.as_view(), name="predictor"),
    path("predictors/<slug:code>/evolve", evolution.PredictorEvolveApi.as_view(), name="evolve"),
    *layer().api_patterns(),
    path("weights/", strategies.WeightListApi.as_view(), name="weights"),
    path("health-changes/", strategies.HealthChangeListApi.as_view(), name="health-changes"),
    path("decisions/", decisions.DecisionListApi.as_view(), name="decisions"),
    path("decisions/funnel", decisions.DecisionFunnelApi.as_view(), name="funnel"),
    path(
        "decisions/performance",
        decisions.DecisionPerformanceApi.as_view(),
        name="decision-performance",
    ),
    path("decisions/<uuid:code>/replay", decisions.DecisionReplayApi.as_view(), name="replay"),
    path("decisions/<uuid:code>/", decisions.DecisionDetailApi.as_view(), name="decision"),
    path("decisions/<uuid:code>/why-not", decisions.DecisionWhyNotApi.as_view(), name="why-not"),
    path("performance/", performance.AccountPerformanceApi.as_view(), name="performance"),
    path("orders/export", exports.OrderExportApi.as_view(), name="order-export"),
    path("trades/export", exports.TradeExportApi.as_view(), name="trade-export"),
    path("orders/", ledger.OrderListApi.as_view(), name="orders"),
    path("fills/", ledger.FillListApi.as_view(), name="fills"),
    path("trades/", ledger.TradeListApi.as_view(), name="trades"),
    path("trades/statistics", ledger.TradeStatisticsApi.as_view(), name="trade-statistics"),
    path("positions/", ledger.PositionListApi.as_view(), name="positions"),
    path("positions/<str:position_id>/close", requests.PositionCloseApi.as_view(), name="close"),
    path("positions/<str:position_id>/exits", requests.PositionExitsApi.as_view(), name="exits"),
    path("requests/", requests.RequestListApi.as_view(), name="requests"),
    path("requests/<int:request_id>/", requests.RequestDetailApi.as_view(), name="request"),
    path("adjustments/", requests.AdjustmentApi.as_view(), name="adjustments"),
    path("transfers/", requests.TransferListApi.as_view(), name="transfers"),
    path("external-fills/", requests.ExternalFillListApi.as_view(), name="external-fills"),
    path("external-fills/<int:fill_id>/book", requests.ExternalFillBookApi.as_view(), name="book"),
    path("gains/", gains.GainListApi.as_view(), name="gains"),
    path("locks/", locks.LockListApi.as_view(), name="locks"),
    path("locks/<int:lock_id>/lift", locks.LockLiftApi.as_view(), name="lock-lift"),
    path("equity/", ledger.EquityListApi.as_view(), name="equity"),
    path("replays/", research.ReplayListApi.as_view(), name="replays"),
    path("replays/<uuid:code>/", research.ReplayDetailApi.as_view(), name="replay-job"),
    path("replays/<uuid:code>/report", research.ReplayReportApi.as_view(), name="replay-report"),
    path("replays/<uuid:code>/abort", research.ReplayAbortApi.as_view(), name="replay-abort"),
    path("replays/<uuid:code>/notes", research.ReplayNotesApi.as_view(), name="replay-notes"),
    path("parity/", parity.ParityListApi.as_view(), name="parity"),
    path("sweeps/", sweeps.SweepListApi.as_view(), name="sweeps"),
    path("sweeps/<uuid:code>/", sweeps.SweepDetailApi.as_view(), name="sweep"),
    path("sweeps/<uuid:code>/pause", sweeps.SweepPauseApi.as_view(), name="sweep-pause"),
    path("sweeps/<uuid:code>/resume", sweeps.SweepResumeApi.as_view(), name="sweep-resume"),
    path("sweeps/<uuid:code>/abort", sweeps.SweepAbortApi.as_view(), name="sweep-abort"),
    path("runs/", ledger.RunListApi.as_view(), name="runs"),
    path("risk/", control.RiskApi.as_view(), name="risk"),
    path("risk/ceilings", ceilings.CeilingApi.as_view(), name="risk-ceilings"),
    path("control/halt", control.ControlHaltApi.as_view(), name="halt"),
    path("control/reduce", control.ControlReduceApi.as_view(), name="reduce"),
    path("control/resume", control.ControlResumeApi.as_view(), name="resume"),
    path("control/flatten", requests.ControlFlattenApi.as_view(), name="flatten"),
    path("instruments/", market.InstrumentListApi.as_view(), name="instruments"),
    path("candles/", market.CandleListApi.as_view(), name="candles"),
    path("monitoring/overview", monitoring.OverviewApi.as_view(), name="overview"),
    path("monitoring/incidents", monitoring.IncidentListApi.as_view(), name="incidents"),
    path("monitoring/alerts", monitoring.AlertListApi.as_view(), name="alerts"),
    path("monitoring/components", monitoring.ComponentListApi.as_view(), name="components"),
    path("monitoring/samples", resources.SampleListApi.as_view(), name="samples"),
    path("monitoring/usage", resources.UsageApi.as_view(), name="usage"),
    path("monitoring/status", status_apis.SystemStatusApi.as_view(), name="system-status"),
    path("optimizer/actions", resources.ActionListApi.as_view(), name="optimizer-actions"),
    path(
        "optimizer/incidents",
        resources.ResourceIncidentListApi.as_view(),
        name="optimizer-incidents",
    ),
    path("optimizer/report", resources.ReportApi.as_view(), name="optimizer-report"),
    path("optimizer/rules", resources.RuleListApi.as_view(), name="optimizer-rules"),
    path("optimizer/settings", resources.OptimizerSettingsApi.as_view(), name="optimizer-settings"),
    path("notifications/", notifications.MessageListApi.as_view(), name="notifications"),
    path(
        "notifications/channels/",
        notifications.ChannelListApi.as_view(),
        name="notification-channels",
    ),
    path(
        "notifications/channels/<slug:name>/test",
        notifications.ChannelTestApi.as_view(),
        name="notification-test",
    ),
    path("doctor/", DoctorApi.as_view(), name="doctor"),
    path("audit/", accounts.AuditListApi.as_view(), name="audit"),
    path("audit/verify", accounts.AuditVerifyApi.as_view(), name="audit-verify"),
    path("tokens/", accounts.TokenListCreateApi.as_view(), name="tokens"),
    path("tokens/<int:token_id>/revoke", accounts.TokenRevokeApi.as_view(), name="revoke"),
    path("session/confirm", accounts.SessionConfirmApi.as_view(), name="session-confirm"),
    path("schema/", SchemaApi.as_view(api_version="v1"), name="schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="api:schema"), name="docs"),
    # not ".*": a path may hold a line break
    re_path(r"^[\s\S]*$", UnknownPathApi.as_view()),
]
