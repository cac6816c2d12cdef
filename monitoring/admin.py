"""Alerts, incidents and heartbeats on the admin pages."""

from django.contrib import admin

from accounts.admin_tools import ReadOnlyAdmin
from monitoring.models import Alert, Heartbeat, Incident, JobRun


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("last_at", "severity", "code", "text", "count", "resolved_at")
    list_filter = ("severity", "code")
    search_fields = ("text", "code", "run_code")


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    list_display = ("last_at", "where", "error_type", "message", "count")
    list_filter = ("error_type",)
    search_fields = ("where", "message")


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("component", "at", "expected_every_s", "code_version")
    search_fields = ("component",)


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    list_display = ("task", "succeeded_at", "failed_at", "error", "code_version")
    search_fields = ("task", "error")
