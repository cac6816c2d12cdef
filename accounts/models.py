"""Who may do what, and what was done."""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.db import models

from accounts.errors import AuditRefused


class Scope(models.TextChoices):
    """Token scopes; the roles viewer, operator and admin map onto the same three."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


class ApiToken(models.Model):
    """A bearer token. Only its SHA-256 is kept; the prefix tells tokens apart on screen."""

    name = models.CharField(max_length=80)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE
    )
    scope = models.CharField(max_length=10, choices=Scope.choices)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…, {self.scope})"


class LoginLink(models.Model):
    """A one-time link that creates or logs in the first administrator (D-39)."""

    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)


class TotpDevice(models.Model):
    """A person's authenticator app. The secret is encrypted; each code works once (SEC-23)."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    sealed_secret = models.TextField()
    last_step = models.BigIntegerField(default=0)
    confirmed_at = models.DateTimeField(null=True, blank=True)


class RecoveryCode(models.Model):
    """A way in without the app, once. Only the SHA-256 of its 80 random bits is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    digest = models.CharField(max_length=64, unique=True)
    used_at = models.DateTimeField(null=True, blank=True)


class LoginSession(models.Model):
    """A login in one browser: when it began and was last used, and whether it was ended (SEC-18).

    Only the SHA-256 of the session's key is kept, so this table opens no door.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ip_address = models.CharField(max_length=45, blank=True)
    browser = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-last_seen_at"]


class Tries(models.Model):
    """Tries of one kind and key within a window, counted before they are looked at (SEC-21)."""

    key = models.CharField(max_length=120, unique=True)
    count = models.PositiveIntegerField()
    since = models.DateTimeField()


class ExchangeKey(models.Model):
    """The key of one account at one exchange, encrypted with a key that is not in here (SEC-28)."""

    exchange = models.CharField(max_length=40)
    account = models.CharField(max_length=40)
    sealed = models.TextField()
    last4 = models.CharField(max_length=4)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=120)

    class Meta:
        ordering = ["exchange", "account"]
        constraints = [
            models.UniqueConstraint(fields=["exchange", "account"], name="one_key_an_account")
        ]

    def __str__(self) -> str:
        return f"{self.exchange} {self.account} …{self.last4}"


class IdempotencyKey(models.Model):
    """The answer given to an unsafe request, so that a retry gets the same one (SEC-44)."""

    actor = models.CharField(max_length=120)
    key = models.CharField(max_length=120)
    request_digest = models.CharField(max_length=64)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = models.JSONField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["actor", "key"], name="idempotency_actor_key")
        ]


class AuditEvents(models.QuerySet["AuditEvent"]):
    """Reads only: what would change or remove a row in bulk raises."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AuditRefused("an audit event was to be updated; the log is append-only")

    def delete(self) -> NoReturn:
        raise AuditRefused("an audit event was to be deleted; the log is append-only")

    def bulk_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AuditRefused("audit events were to be added unchained; use audit_record")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AuditRefused("audit events were to be updated; the log is append-only")


class AuditEvent(models.Model):
    """One act, append-only and hash-chained: a changed byte breaks the chain (SEC-33, SEC-34)."""

    seq = models.PositiveBigIntegerField(unique=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=120)
    action = models.CharField(max_length=80)
    object_type = models.CharField(max_length=60, blank=True)
    object_id = models.CharField(max_length=120, blank=True)
    reason = models.TextField(blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    ip_address = models.CharField(max_length=45, blank=True)
    previous_hash = models.CharField(max_length=64)
    row_hash = models.CharField(max_length=64, unique=True)

    objects = AuditEvents.as_manager()

    class Meta:
        ordering = ["-seq"]
        indexes = [
            models.Index(fields=["object_type", "object_id"], name="audit_by_object"),
            models.Index(fields=["-at"], name="audit_newest_first"),
        ]

    def __str__(self) -> str:
        return f"#{self.seq} {self.action} by {self.actor}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AuditRefused(f"audit event {self.seq} was to be changed; the log is append-only")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AuditRefused(f"audit event {self.seq} was to be deleted; the log is append-only")


class SettingsSource(models.TextChoices):
    """Where a version of a section of settings came from."""

    FILE = "file"
    PAGE = "page"
    ADMIN = "admin"
    API = "api"


class SettingsVersion(models.Model):
    """One version of one section of the settings, append-only; the newest one holds (D-31).

    ``values`` is the whole section. It is effective at each run's next event, because a session
    asks for the newest version before it walks one.
    """

    section = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    values = models.JSONField()
    actor = models.CharField(max_length=120)
    reason = models.TextField()
    source = models.CharField(max_length=10, choices=SettingsSource.choices)
    digest = models.CharField(max_length=64)
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["section", "-version"]
        constraints = [
            # two people who change the same version: one of them is told
            models.UniqueConstraint(fields=["section", "version"], name="settings_version_once")
        ]

    def __str__(self) -> str:
        return f"{self.section} version {self.version}"


class Theme(models.TextChoices):
    SYSTEM = "system", "as the system has it"
    DARK = "dark", "dark"
    LIGHT = "light", "light"


class Palette(models.TextChoices):
    STANDARD = "standard", "green and red"
    OKABE_ITO = "okabe-ito", "blue and orange, told apart by every eye (Okabe-Ito)"


class Preference(models.Model):
    """How one person's pages look and which clock they show; nothing here reaches trading."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="preference"
    )
    time_zone = models.CharField(max_length=64, default="UTC")
    theme = models.CharField(max_length=10, choices=Theme.choices, default=Theme.SYSTEM)
    palette = models.CharField(max_length=20, choices=Palette.choices, default=Palette.STANDARD)
    page_size = models.PositiveSmallIntegerField(default=50)
    # the way from simulated to live, on the overview of a person's first day
    shows_steps = models.BooleanField(default=True)
    changed_at = models.DateTimeField(null=True)
