"""What it is doing, and is it well: alerts, incidents, heartbeats."""

from __future__ import annotations

from django.db import models


class Severity(models.TextChoices):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Alert(models.Model):
    """Something a person should know; repeats raise ``count`` until it is resolved."""

    code = models.CharField(max_length=60)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    text = models.TextField()
    dedupe_key = models.CharField(max_length=160)
    run_code = models.CharField(max_length=40, blank=True)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.PositiveIntegerField(default=1)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=120, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-last_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["dedupe_key"],
                condition=models.Q(resolved_at__isnull=True),
                name="alert_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"[{self.severity}] {self.text}"


class AlertSilence(models.Model):
    """Somebody knows of alerts of one code: until it ends they are not told and not on the
    overview. A critical alert is never silenced. Ended early or by its time, the row stays."""

    code = models.CharField(max_length=60)
    # empty: every alert of the code
    dedupe_key = models.CharField(max_length=160, blank=True)
    reason = models.CharField(max_length=500)
    created_by = models.CharField(max_length=120)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            # which hold now: asked with each look at open alerts
            models.Index(fields=["expires_at"], name="silence_by_end")
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("created_at")),
                name="silence_ends_after_it_began",
            )
        ]

    def __str__(self) -> str:
        return f"{self.code} until {self.expires_at:%Y-%m-%d %H:%M} UTC"


class Incident(models.Model):
    """A failure that was survived: where, what, how often."""

    where = models.CharField(max_length=120)
    error_type = models.CharField(max_length=120)
    message = models.TextField()
    signature = models.CharField(max_length=64, unique=True)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-last_at"]

    def __str__(self) -> str:
        return f"{self.where}: {self.error_type} x{self.count}"


class Heartbeat(models.Model):
    """Written at the END of useful work by each component, read by another process (F-025)."""

    component = models.CharField(max_length=80, unique=True)
    at = models.DateTimeField()
    expected_every_s = models.FloatField()
    code_version = models.CharField(max_length=60, blank=True)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["component"]

    def __str__(self) -> str:
        return self.component


class JobRun(models.Model):
    """How a job of the schedule last ended: written by the worker that ran it, judged by others.

    ``known_at`` is when it was first seen on the schedule: until it ends, its age counts from it.
    """

    task = models.CharField(max_length=120, unique=True)
    known_at = models.DateTimeField()
    succeeded_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    code_version = models.CharField(max_length=60, blank=True)

    class Meta:
        ordering = ["task"]

    def __str__(self) -> str:
        return self.task
