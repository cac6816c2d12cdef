"""What we believe: strategies, their status, their weights."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


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
