"""What the layer remembers between updates, and which updates were made."""

from __future__ import annotations

from django.db import models


class StoredLayerState(models.Model):
    """The layer's memory of one book, as JSON; ``version`` grows by one with each write.

    ``as_of_trade`` and ``as_of_side_trade`` are the keys of the last closed trades the state has
    seen, of the own book and of the shadow book: the same data gives the same state (OPT-34).
    ``venue_at`` is the venue time of the update that wrote it.
    """

    book = models.CharField(max_length=120, unique=True)
    version = models.PositiveIntegerField(default=0)
    payload = models.JSONField(default=dict)
    as_of_trade = models.PositiveBigIntegerField(default=0)
    as_of_side_trade = models.PositiveBigIntegerField(default=0)
    venue_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.book} version {self.version}"


class UpdateStatus(models.TextChoices):
    CLAIMED = "CLAIMED"
    DONE = "DONE"
    FAILED = "FAILED"


class UpdatePeriod(models.Model):
    """One update of one book: whoever writes this row makes the update, once a period (OPT-37)."""

    book = models.CharField(max_length=120)
    period_at = models.DateTimeField()
    interval_s = models.FloatField()
    status = models.CharField(max_length=8, choices=UpdateStatus.choices)
    claimed_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    summary = models.JSONField(default=dict)

    class Meta:
        ordering = ["-period_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["book", "period_at"], name="layer_update_once")
        ]

    def __str__(self) -> str:
        return f"{self.book} {self.period_at:%Y-%m-%d %H:%M} {self.status}"


class FinalReport(models.Model):
    """Health lists and final allocation when a worker stopped, append-only (OPT-69)."""

    at = models.DateTimeField()
    worker = models.CharField(max_length=120)
    payload = models.JSONField()

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.worker} {self.at:%Y-%m-%d %H:%M}"
