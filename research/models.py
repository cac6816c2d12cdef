"""Replays as jobs: what was asked, how far it is, what came out."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

QUEUED, RUNNING = "QUEUED", "RUNNING"


class Work(models.Model):
    """What a process of its own works on for minutes or hours, and touches only this row.

    ``slot`` is unique and set while a process works on it, so that one runs at a time whoever
    knocks. ``attempts`` is the fence: a process that lost the row to a later one writes nothing.
    ``started_at`` is the begin of the first attempt.
    """

    code = models.UUIDField(unique=True)
    request = models.JSONField()
    actor = models.CharField(max_length=120)
    error = models.TextField(blank=True)
    result = models.JSONField(null=True)
    code_version = models.CharField(max_length=80, blank=True)
    slot = models.PositiveSmallIntegerField(null=True, unique=True)
    attempts = models.PositiveIntegerField(default=0)
    claimed_until_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True


class ReplayStatus(models.TextChoices):
    QUEUED = QUEUED
    RUNNING = RUNNING
    ABORTING = "ABORTING"
    ABORTED = "ABORTED"
    DONE = "DONE"
    FAILED = "FAILED"


class ReplayJob(Work):
    """One replay that was asked for.

    ``result`` is the document of the ``replay`` command, ``report`` that of its page.
    """

    notes = models.TextField(blank=True)
    status = models.CharField(
        max_length=8, choices=ReplayStatus.choices, default=ReplayStatus.QUEUED
    )
    progress_fraction = models.FloatField(default=0.0)
    bars_done = models.PositiveBigIntegerField(default=0)
    bars_total = models.PositiveBigIntegerField(default=0)
    bars_per_s = models.FloatField(default=0.0)
    report = models.JSONField(null=True)
    config_digest = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="replay_status_known", condition=Q(status__in=ReplayStatus.values)
            ),
            models.CheckConstraint(
                name="replay_progress_a_fraction",
                condition=Q(progress_fraction__gte=0.0) & Q(progress_fraction__lte=1.0),
            ),
            models.CheckConstraint(
                name="replay_slot_while_worked_on",
                condition=Q(slot__isnull=True, claimed_until_at__isnull=True)
                | Q(
                    slot__isnull=False,
                    claimed_until_at__isnull=False,
                    status__in=("RUNNING", "ABORTING"),
                ),
            ),
        ]
        indexes = [
            # "the oldest job that waits"
            models.Index(fields=["status", "created_at"], name="replay_waiting"),
            # the list, newest first
            models.Index(fields=["-created_at", "-id"], name="replay_latest"),
        ]

    def __str__(self) -> str:
        return f"replay {self.code} {self.status}"


class SweepStatus(models.TextChoices):
    QUEUED = QUEUED
    RUNNING = RUNNING
    PAUSED = "PAUSED"
    ABORTED = "ABORTED"
    DONE = "DONE"
    FAILED = "FAILED"


class Sweep(Work):
    """A search for parameters of one rule, walk-forward. What was tried are its units.

    One that is paused, cut short or aborted keeps its units, and whoever goes on begins after
    the last of them. ``basis`` is what every unit rests on (windows, digests of the candle files
    and of the configuration, code version), written by whoever looked first: who has another one
    works on none of its units. With ``is_spread`` its units go to the research workers.
    """

    status = models.CharField(max_length=8, choices=SweepStatus.choices, default=SweepStatus.QUEUED)
    units_done = models.PositiveIntegerField(default=0)
    units_total = models.PositiveIntegerField(default=0)
    basis = models.JSONField(null=True)
    is_spread = models.BooleanField(default=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="sweep_status_known", condition=Q(status__in=SweepStatus.values)
            ),
            models.CheckConstraint(
                name="sweep_slot_while_worked_on",
                condition=Q(slot__isnull=True, claimed_until_at__isnull=True)
                | Q(slot__isnull=False, claimed_until_at__isnull=False, status="RUNNING"),
            ),
        ]
        indexes = [
            # "the oldest sweep that waits"
            models.Index(fields=["status", "created_at"], name="sweep_waiting"),
        ]

    def __str__(self) -> str:
        return f"sweep {self.code} {self.status}"


class SweepUnit(models.Model):
    """One replay of a sweep, written when it may run, and once more when it is done.

    ``kind`` is in-sample, chosen or defaults; ``outcome`` holds its returns by period, its trades
    and why it was refused. ``attempts`` is the fence of whoever works on it, named by ``worker``;
    ``claimed_until_at`` is pushed on while it does. ``sent_at`` is when research workers were told.
    """

    sweep = models.ForeignKey(Sweep, on_delete=models.CASCADE, related_name="units")
    window = models.PositiveIntegerField()
    kind = models.CharField(max_length=10)
    number = models.PositiveIntegerField()
    parameters = models.JSONField()
    outcome = models.JSONField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    claimed_until_at = models.DateTimeField(null=True)
    worker = models.CharField(max_length=120, blank=True)
    sent_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["window", "finished_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["sweep", "window", "kind", "number"], name="sweep_unit_once"
            ),
            models.CheckConstraint(
                name="sweep_unit_done_and_let_go",
                condition=Q(finished_at__isnull=True, outcome__isnull=True)
                | Q(
                    finished_at__isnull=False, outcome__isnull=False, claimed_until_at__isnull=True
                ),
            ),
        ]
        indexes = [
            # "a unit of this sweep that nobody has done", asked before every unit
            models.Index(
                fields=["sweep", "window"],
                condition=Q(finished_at__isnull=True),
                name="sweep_unit_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sweep_id} window {self.window} {self.kind} {self.number}"


class ParityDay(models.Model):
    """One day of a run decided again: what came out differently, and why.

    ``day`` is UTC by the venue's clock. ``counts`` is the number of differences by label,
    ``differences`` the first of them. A row without ``finished_at`` is being worked on.
    """

    run = models.ForeignKey(
        "trades.TradingRun", on_delete=models.CASCADE, related_name="parity_days"
    )
    day = models.DateField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=1)
    bars = models.PositiveIntegerField(default=0)
    decisions = models.PositiveIntegerField(default=0)
    redone = models.PositiveIntegerField(default=0)
    same = models.PositiveIntegerField(default=0)
    orders = models.PositiveIntegerField(default=0)
    slippage_bps = models.FloatField(null=True)
    counts = models.JSONField(default=dict)
    unexplained = models.PositiveIntegerField(default=0)
    differences = models.JSONField(default=list)
    code_version = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ["-day", "-id"]
        constraints = [models.UniqueConstraint(fields=["run", "day"], name="parity_day_once")]
        indexes = [
            # the list, newest first
            models.Index(fields=["-started_at", "-id"], name="parity_latest")
        ]

    def __str__(self) -> str:
        return f"parity {self.run_id} {self.day}"
