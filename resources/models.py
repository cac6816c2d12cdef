"""Samples, incidents with their five stages, actions with before and after, maintenance times."""

from __future__ import annotations

from django.db import models


class Resolution(models.IntegerChoices):
    """Seconds an interval of stored samples is long; RAW is one round as it was read."""

    RAW = 0, "raw"
    MINUTE = 60, "minute"
    HOUR = 3600, "hour"


class Sample(models.Model):
    """One round, or what a longer interval says of each key.

    ``values`` maps ``subject.metric`` to a number or null (raw), or to [n, mean, minimum, maximum,
    p95]. One row a round keeps writing cheap: the trading loop shares the database.
    """

    host = models.CharField(max_length=64, default="local")
    resolution_s = models.PositiveIntegerField(choices=Resolution.choices)
    at = models.DateTimeField()
    values = models.JSONField()

    class Meta:
        ordering = ["at"]
        constraints = [
            # also answers "the rounds of the last hour", which is all that is ever asked
            models.UniqueConstraint(
                fields=["host", "resolution_s", "at"], name="sample_once_an_interval"
            )
        ]

    def __str__(self) -> str:
        return f"{self.host} {self.get_resolution_s_display()} {self.at:%Y-%m-%d %H:%M:%S}"


class IncidentState(models.TextChoices):
    OPEN = "open"
    ESCALATED = "escalated"
    RESOLVED = "resolved"


class ResourceIncident(models.Model):
    """A rule that fired, until it no longer does: what was seen and what was done about it."""

    rule = models.CharField(max_length=60)
    kind = models.CharField(max_length=12)
    key = models.CharField(max_length=80)
    state = models.CharField(
        max_length=10, choices=IncidentState.choices, default=IncidentState.OPEN
    )
    cause = models.TextField()
    limit = models.FloatField()
    first_value = models.FloatField()
    worst_value = models.FloatField()
    last_value = models.FloatField()
    count = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField()
    last_at = models.DateTimeField()
    escalated_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-opened_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule"],
                condition=models.Q(resolved_at__isnull=True),
                name="resource_incident_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.state}: {self.cause}"


class Stage(models.TextChoices):
    MONITOR = "monitor"
    THRESHOLD = "threshold"
    TRIGGER = "trigger"
    ACT = "act"
    VALIDATE = "validate"
    REVERT = "revert"
    WAIT = "wait"
    ESCALATE = "escalate"


class IncidentStep(models.Model):
    """One stage of an incident, in the order they happened; never changed (ORC-57)."""

    incident = models.ForeignKey(ResourceIncident, on_delete=models.CASCADE, related_name="steps")
    stage = models.CharField(max_length=10, choices=Stage.choices)
    at = models.DateTimeField()
    text = models.TextField()
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.stage}: {self.text}"


class ActionState(models.TextChoices):
    OBSERVED = "observed", "planned only"
    SENT = "sent", "sent to a worker"
    MEASURING = "measuring"
    JUDGED = "judged"
    FAILED = "failed"


class Origin(models.TextChoices):
    TRIGGER = "trigger"
    SCHEDULE = "schedule"
    PERSON = "person"


class OptimizerAction(models.Model):
    """One attempt: why, what, measured before and after, what came of it (ORC-51).

    ``before`` and ``after`` map keys to the values of equal windows, so that every verdict can be
    worked out again.
    ``own_before`` and ``own_after`` are what the action itself measured at its target. ``saved``
    maps bytes, cpu_s and connections to what was measured, and has nothing where nothing was.
    """

    incident = models.ForeignKey(
        ResourceIncident, on_delete=models.PROTECT, null=True, blank=True, related_name="actions"
    )
    action = models.CharField(max_length=40)
    origin = models.CharField(max_length=10, choices=Origin.choices)
    actor = models.CharField(max_length=120)
    reason = models.TextField()
    state = models.CharField(max_length=10, choices=ActionState.choices)
    target_key = models.CharField(max_length=80, blank=True)
    parameters = models.JSONField(default=dict)
    started_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True, blank=True)
    judged_at = models.DateTimeField(null=True, blank=True)
    reverted_at = models.DateTimeField(null=True, blank=True)
    duration_ms = models.FloatField(null=True, blank=True)
    own_before = models.JSONField(default=dict)
    own_after = models.JSONField(default=dict)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    improvement = models.FloatField(null=True, blank=True)
    noise = models.FloatField(null=True, blank=True)
    verdict = models.CharField(max_length=16, blank=True)
    regressions = models.JSONField(default=list)
    side_effects = models.JSONField(default=list)
    saved = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    is_in_effect = models.BooleanField(default=False)

    class Meta:
        ordering = ["-started_at", "-id"]
        indexes = [
            # when did this action last begin?
            models.Index(fields=["action", "-started_at"], name="optimizer_action_recent"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.state} {self.verdict}".strip()


class Maintenance(models.Model):
    """What is done at set times: once across workers, and once for any number of missed times."""

    code = models.CharField(max_length=40, unique=True)
    every_s = models.FloatField()
    at_s = models.FloatField(default=0.0)
    next_at = models.DateTimeField()
    last_run_at = models.DateTimeField(null=True, blank=True)
    last_outcome = models.TextField(blank=True)
    missed = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["next_at"]
        verbose_name_plural = "maintenance"

    def __str__(self) -> str:
        return f"{self.code} next {self.next_at:%Y-%m-%d %H:%M:%S}"


class SlowQuery(models.Model):
    """A statement that took long, its values left out; counted by its text (ORC-43)."""

    signature = models.CharField(max_length=64, unique=True)
    statement = models.TextField()
    count = models.PositiveIntegerField(default=0)
    total_ms = models.FloatField(default=0.0)
    worst_ms = models.FloatField(default=0.0)
    last_at = models.DateTimeField()

    class Meta:
        ordering = ["-total_ms"]
        verbose_name_plural = "slow queries"

    def __str__(self) -> str:
        return f"{self.count} x {self.worst_ms:.0f} ms: {self.statement[:60]}"


class Tunable(models.Model):
    """A number the optimizer moves within declared bounds, as it stands now (ORC-44)."""

    name = models.CharField(max_length=40, unique=True)
    value = models.FloatField()
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=120)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} = {self.value:g}"
