"""What was told to whom: channels, the outbox, and how far each table was read."""

from __future__ import annotations

from django.db import models

from notifications.core.events import Kind, Severity


class ChannelKind(models.TextChoices):
    CHAT = "chat"
    WEBHOOK = "webhook"
    PING = "ping"
    TELEGRAM = "telegram"


class Channel(models.Model):
    """A place to tell, as the notifier last found it. No address stands here, only what may be
    shown of it: the processes that serve pages never see one."""

    name = models.CharField(max_length=40, unique=True)
    kind = models.CharField(max_length=10, choices=ChannelKind.choices)
    address_shown = models.CharField(max_length=300)
    # empty where it can be used
    problem = models.TextField(blank=True)
    is_active = models.BooleanField(default=True)
    fails_in_a_row = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(null=True, blank=True)
    last_sent_at = models.DateTimeField(null=True, blank=True)
    last_failed_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class MessageState(models.TextChoices):
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


class Message(models.Model):
    """One event on one channel, from being read to its end."""

    event_key = models.CharField(max_length=160)
    channel = models.CharField(max_length=40)
    kind = models.CharField(max_length=20, choices=[(k.value, k.value) for k in Kind])
    severity = models.CharField(max_length=10, choices=[(s.value, s.value) for s in Severity])
    subject = models.CharField(max_length=200)
    text = models.TextField()
    dedupe_key = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=MessageState.choices)
    # why it was suppressed, held or failed
    why = models.TextField(blank=True)
    is_silent = models.BooleanField(default=False)
    is_grouped = models.BooleanField(default=False)
    tries = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    # the first of those that left together with it; null where it left alone
    sent_with = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            # the same event read twice is one message a channel
            models.UniqueConstraint(fields=["event_key", "channel"], name="message_once")
        ]
        indexes = [
            models.Index(fields=["channel", "state", "due_at"], name="message_due"),
            models.Index(fields=["channel", "dedupe_key", "-created_at"], name="message_same"),
        ]

    def __str__(self) -> str:
        return f"{self.channel}: {self.subject}"


class Cursor(models.Model):
    """How far a table was read. Rows up to ``floor_id`` were there before anybody listened."""

    source = models.CharField(max_length=40, unique=True)
    last_id = models.BigIntegerField()
    floor_id = models.BigIntegerField()
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.source} {self.last_id}"


class FollowedAlert(models.Model):
    """An alert that was told as open: its end, or a worse severity, is told too."""

    alert_id = models.BigIntegerField(unique=True)
    severity = models.CharField(max_length=10)
