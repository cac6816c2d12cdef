"""The layer on the admin pages: what it did, read-only, and its switch, with a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action

from accounts.admin_tools import ReadOnlyAdmin, ReasonForm, SamePersonForm, pretty_json
from accounts.errors import Refused
from accounts.models import SettingsSource
from optimization.models import FinalReport, StoredLayerState, UpdatePeriod
from optimization.switches import optimization_settings_change


@admin.register(UpdatePeriod)
class UpdatePeriodAdmin(ReadOnlyAdmin):
    """Every update that was made, and the switch above the list."""

    list_display = ("period_at", "book", "status", "interval_s", "claimed_at", "finished_at")
    list_filter = ("status",)
    search_fields = ("book", "error")
    fields = (
        ("book", "period_at", "interval_s"),
        ("status", "claimed_at", "finished_at"),
        "error",
        "summary_json",
    )
    readonly_fields = ("summary_json",)
    actions_list = ("switch_on", "switch_off")

    @admin.display(description="summary")
    def summary_json(self, period: UpdatePeriod) -> Any:
        return pretty_json(period.summary)

    @action(description="Switch the layer on", url_path="switch-on")
    def switch_on(self, request: HttpRequest) -> HttpResponse:
        return self._ask(request, True)

    @action(description="Switch the layer off", url_path="switch-off")
    def switch_off(self, request: HttpRequest) -> HttpResponse:
        return self._ask(request, False)

    def _ask(self, request: HttpRequest, is_on: bool) -> HttpResponse:
        """Show the page that asks for a reason, and before switching on for the password too;
        with them given, switch and go back to the list."""
        posted = request.POST if request.method == "POST" else None
        form = SamePersonForm(posted, request=request) if is_on else ReasonForm(posted)
        if request.method == "POST" and form.is_valid():
            self._switch(request, is_on, form.cleaned_data["reason"])
            return HttpResponseRedirect(reverse("admin:optimization_updateperiod_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Switch the optimization layer {'on' if is_on else 'off'}: why?",
            "opts": self.model._meta,
            "form": form,
        }
        return TemplateResponse(request, "optimization/admin_switch.html", context)

    def _switch(self, request: HttpRequest, is_on: bool, reason: str) -> None:
        try:
            now = optimization_settings_change(
                changes={"enabled": is_on},
                actor=request.user.get_username(),
                reason=reason,
                source=SettingsSource.ADMIN,
            )
        except Refused as refused:
            self.message_user(request, str(refused), messages.ERROR)
        else:
            text = f"The layer is {'on' if now.is_enabled else 'off'}, version {now.version}."
            self.message_user(request, text, messages.SUCCESS)


@admin.register(StoredLayerState)
class StoredLayerStateAdmin(ReadOnlyAdmin):
    list_display = ("book", "version", "as_of_trade", "as_of_side_trade", "venue_at", "updated_at")
    search_fields = ("book",)
    fields = (
        ("book", "version"),
        ("as_of_trade", "as_of_side_trade"),
        ("venue_at", "updated_at"),
        "payload_json",
    )
    readonly_fields = ("payload_json",)

    @admin.display(description="payload")
    def payload_json(self, state: StoredLayerState) -> Any:
        return pretty_json(state.payload)


@admin.register(FinalReport)
class FinalReportAdmin(ReadOnlyAdmin):
    list_display = ("at", "worker")
    search_fields = ("worker",)
    fields = (("at", "worker"), "payload_json")
    readonly_fields = ("payload_json",)

    @admin.display(description="payload")
    def payload_json(self, report: FinalReport) -> Any:
        return pretty_json(report.payload)
