"""Incidents, actions, maintenance and slow statements on the admin pages."""

from django.contrib import admin

from accounts.admin_tools import ReadOnlyAdmin
from resources.models import Maintenance, OptimizerAction, ResourceIncident, SlowQuery


@admin.register(ResourceIncident)
class ResourceIncidentAdmin(ReadOnlyAdmin):
    list_display = ("opened_at", "rule", "state", "cause", "count", "resolved_at")
    list_filter = ("state", "rule")
    search_fields = ("cause", "rule")


@admin.register(OptimizerAction)
class OptimizerActionAdmin(ReadOnlyAdmin):
    list_display = ("started_at", "action", "origin", "state", "verdict", "improvement", "actor")
    list_filter = ("action", "state", "verdict")
    search_fields = ("reason", "action")


@admin.register(Maintenance)
class MaintenanceAdmin(ReadOnlyAdmin):
    list_display = ("code", "next_at", "last_run_at", "last_outcome", "missed")


@admin.register(SlowQuery)
class SlowQueryAdmin(ReadOnlyAdmin):
    list_display = ("statement", "count", "worst_ms", "total_ms", "last_at")
