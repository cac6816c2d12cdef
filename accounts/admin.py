"""Users, tokens and the audit log on the admin pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin_tools import ReadOnlyAdmin, pretty_json
from accounts.models import ApiToken, AuditEvent, SettingsVersion
from accounts.services import token_revoke

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    """People are added and changed on the page Access, which asks who is asking, and why."""

    list_display = ("username", "is_active", "is_superuser", "last_login")
    search_fields = ("username",)
    fields = ("username", "is_active", "is_staff", "is_superuser", "groups")
    readonly_fields = fields


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """Tokens are made by ``createtoken`` or the API, which show them once; here they end."""

    list_display = ("name", "scope", "prefix", "user", "created_at", "last_used_at", "revoked_at")
    list_filter = ("scope",)
    search_fields = ("name", "prefix")
    list_select_related = ("user",)
    exclude = ("digest",)
    actions = ("revoke",)

    @admin.action(description="Revoke the selected tokens")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        actor = request.user.get_username()
        ended = sum(token_revoke(token=t, actor=actor, reason="admin page") for t in queryset)
        self.message_user(request, f"{ended} token(s) revoked.")


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("seq", "at", "actor", "action", "object_type", "object_id", "reason")
    list_filter = ("action", "object_type")
    search_fields = ("actor", "object_id", "reason", "request_id")
    ordering = ("-seq",)
    fields = (
        ("seq", "at"),
        ("actor", "action"),
        ("object_type", "object_id"),
        "reason",
        "before_json",
        "after_json",
        ("request_id", "ip_address"),
        "previous_hash",
        "row_hash",
    )
    readonly_fields = ("before_json", "after_json")

    @admin.display(description="before")
    def before_json(self, event: AuditEvent) -> Any:
        return pretty_json(event.before)

    @admin.display(description="after")
    def after_json(self, event: AuditEvent) -> Any:
        return pretty_json(event.after)


@admin.register(SettingsVersion)
class SettingsVersionAdmin(ReadOnlyAdmin):
    """What was set, by whom and why; the newest version of a section holds."""

    list_display = ("section", "version", "source", "actor", "reason", "changed_at")
    list_filter = ("section", "source")
    search_fields = ("actor", "reason")
    ordering = ("-changed_at",)
    fields = (("section", "version", "source"), ("actor", "changed_at"), "reason", "values_json")
    readonly_fields = ("values_json",)

    @admin.display(description="values")
    def values_json(self, version: SettingsVersion) -> Any:
        return pretty_json(version.values)
