"""What we believe: strategies, their status, their weights."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.fields import ExactDecimalField


class Status(models.TextChoices):
    """Health states; RETIRED is terminal for the machine (D-06)."""

    ACTIVE = "ACTIVE"
    DEGRADED = "DEGRADED"
    SUSPENDED = "SUSPENDED"
    RETIRED = "RETIRED"


class Strategy(models.Model):
    """One proposer: a rule strategy or the ensemble. Its status gates entries with or without
    the optimization layer (D-03)."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)
    description = models.TextField(blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    status_changed_at = models.DateTimeField()
    status_reason = models.TextField(blank=True)
    override_until_at = models.DateTimeField(null=True, blank=True)
    base_weight = models.FloatField(default=1.0)
    weight = models.FloatField(default=1.0)
    parameters = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["code"]
        verbose_name_plural = "strategies"
        constraints = [
            models.CheckConstraint(
                name="strategy_weight_bounds", condition=Q(weight__gte=0.1) & Q(weight__lte=2.0)
            ),
            models.CheckConstraint(
                name="strategy_base_weight_bounds",
                condition=Q(base_weight__gte=0.1) & Q(base_weight__lte=2.0),
            ),
            models.CheckConstraint(
                name="strategy_status_known", condition=Q(status__in=Status.values)
            ),
        ]

    def __str__(self) -> str:
        return self.name


class HealthChange(models.Model):
    """One edge of a strategy's status, append-only, with its cause."""

    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, related_name="changes")
    at = models.DateTimeField()
    from_status = models.CharField(max_length=10, choices=Status.choices)
    to_status = models.CharField(max_length=10, choices=Status.choices)
    reason = models.TextField()
    actor = models.CharField(max_length=120)
    metrics = models.JSONField(default=dict)

    class Meta:
        ordering = ["-at", "-id"]
        # "latest changes of one strategy" on the health board
        indexes = [models.Index(fields=["strategy", "-at"], name="health_change_latest")]

    def __str__(self) -> str:
        return f"{self.strategy_id} {self.from_status} -> {self.to_status}"


class WeightUpdate(models.Model):
    """One change of one strategy's weight, append-only; one a period and regime (OPT-34)."""

    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, related_name="weight_updates")
    at = models.DateTimeField()
    period_key = models.CharField(max_length=60)
    regime = models.CharField(max_length=10, blank=True)
    old_weight = models.FloatField()
    new_weight = models.FloatField()
    reason = models.TextField()
    actor = models.CharField(max_length=120)
    evidence = models.JSONField(default=dict)

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["strategy", "regime", "period_key"], name="weight_once_a_period"
            ),
            models.CheckConstraint(
                name="weight_update_bounds",
                condition=Q(new_weight__gte=0.1) & Q(new_weight__lte=2.0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.strategy_id} {self.old_weight:.3f} -> {self.new_weight:.3f}"


VERSION_DIGITS = 12


class Stage(models.TextChoices):
    """Where a trained model stands; at most one CHAMPION, CHALLENGER and GUARD a code and scope."""

    CANDIDATE = "CANDIDATE"
    CHALLENGER = "CHALLENGER"
    CHAMPION = "CHAMPION"
    GUARD = "GUARD"
    DISCARDED = "DISCARDED"
    RETIRED = "RETIRED"


class PredictorModel(models.Model):
    """One trained model as JSON numbers with its lineage; ``digest`` is verified on every load.

    ``scope`` is the market it was trained for and may speak in: venue and bar length. ``payload``
    is JSON text, empty for the source as it is before any training. ``seated_after`` is the last
    settled bar before it took its present stage: trials count from there.
    """

    digest = models.CharField(max_length=64)
    code = models.SlugField(max_length=40)
    scope = models.CharField(max_length=80)
    stage = models.CharField(max_length=10, choices=Stage.choices, default=Stage.CANDIDATE)
    stage_changed_at = models.DateTimeField()
    lineage = models.JSONField()
    metrics = models.JSONField(default=dict)
    payload = models.TextField(blank=True)
    seated_after = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["digest", "scope"], name="predictor_model_once"),
            models.UniqueConstraint(
                fields=["code", "scope", "stage"],
                condition=Q(stage__in=["CHAMPION", "CHALLENGER", "GUARD"]),
                name="predictor_seat_once",
            ),
            models.CheckConstraint(
                name="predictor_stage_known", condition=Q(stage__in=Stage.values)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.version or 'untrained'} {self.stage}"

    @property
    def version(self) -> str:
        """What opinions of this model are marked with; empty before any training."""
        return self.digest[:VERSION_DIGITS] if self.payload else ""


class JobStatus(models.TextChoices):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    ABORTED = "ABORTED"


class TrainingJob(models.Model):
    """One answer to one trigger: train a candidate and hold it against the champion.

    Unique for a source, market and period, so that a storm of triggers is one job.
    """

    code = models.SlugField(max_length=40)
    scope = models.CharField(max_length=80)
    period_key = models.CharField(max_length=60)
    run_code = models.UUIDField()
    venue = models.CharField(max_length=60)
    symbols = models.JSONField()
    timeframe_ms = models.PositiveBigIntegerField()
    horizon_bars = models.PositiveIntegerField()
    # bars that closed after the trigger are left out: the same job trains on the same rows
    until_at = models.DateTimeField()
    kind = models.CharField(max_length=20)
    reason = models.TextField()
    value = models.FloatField(null=True)
    limit = models.FloatField(null=True)
    actor = models.CharField(max_length=120)
    # crc32: up to 2**32 - 1
    seed = models.PositiveBigIntegerField()
    parameters = models.JSONField(default=dict)
    status = models.CharField(max_length=8, choices=JobStatus.choices, default=JobStatus.QUEUED)
    progress_fraction = models.FloatField(default=0.0)
    attempts = models.PositiveIntegerField(default=0)
    claimed_until_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    result = models.JSONField(default=dict)
    model = models.ForeignKey(
        PredictorModel, on_delete=models.PROTECT, null=True, blank=True, related_name="jobs"
    )
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["code", "scope", "period_key"], name="training_once_a_period"
            ),
            models.CheckConstraint(
                name="training_status_known", condition=Q(status__in=JobStatus.values)
            ),
        ]
        # "the oldest job that waits"
        indexes = [models.Index(fields=["status", "created_at"], name="training_waiting")]

    def __str__(self) -> str:
        return f"{self.code} {self.kind} {self.status}"


class PredictorEvent(models.Model):
    """One step of one model, append-only, with the numbers that led to it (ORC-16)."""

    model = models.ForeignKey(PredictorModel, on_delete=models.PROTECT, related_name="events")
    code = models.SlugField(max_length=40)
    scope = models.CharField(max_length=80)
    from_stage = models.CharField(max_length=10, blank=True)
    to_stage = models.CharField(max_length=10)
    reason = models.TextField()
    evidence = models.JSONField(default=dict)
    actor = models.CharField(max_length=120)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at", "-id"]
        # "the history of one predictor"
        indexes = [models.Index(fields=["code", "-at"], name="predictor_event_latest")]

    def __str__(self) -> str:
        return f"{self.code} {self.from_stage or 'new'} -> {self.to_stage}"


class SettledBar(models.Model):
    """Every opinion on one bar with its outcome; the latest few thousand of a run are kept.

    ``opinions`` is {source: probability up}: of rules those that had one, of learned sources
    every answer, 0.5 included; a learned source that is not in it was not asked.
    """

    run_code = models.UUIDField()
    symbol = models.CharField(max_length=40)
    opinion_at = models.DateTimeField()
    settled_at = models.DateTimeField()
    regime = models.CharField(max_length=10)
    outcome_up = models.PositiveSmallIntegerField()
    opinions = models.JSONField()

    class Meta:
        ordering = ["settled_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["run_code", "symbol", "opinion_at"], name="settled_once"
            )
        ]
        # "the latest of a run", and "since a model was seated"
        indexes = [models.Index(fields=["run_code", "opinion_at"], name="settled_latest")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.opinion_at:%Y-%m-%dT%H:%M} {self.outcome_up}"


class CreditedTrade(models.Model):
    """A closed trade with what every source thought when it was opened (ORC-15)."""

    run_code = models.UUIDField()
    trade_id = models.CharField(max_length=120)
    strategy = models.CharField(max_length=40)
    symbol = models.CharField(max_length=40)
    regime = models.CharField(max_length=10, blank=True)
    side = models.CharField(max_length=4)
    pnl_quote = ExactDecimalField()
    r_multiple = models.FloatField(null=True)
    opinions = models.JSONField()
    closed_at = models.DateTimeField()

    class Meta:
        ordering = ["closed_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["run_code", "trade_id"], name="credited_once")
        ]

    def __str__(self) -> str:
        return f"{self.trade_id} {self.pnl_quote}"
