"""Pages of the top floor: what several rooms must agree on before money depends on it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST
from kombu.exceptions import OperationalError

from accounts.models import Scope
from accounts.pages import needs
from monitoring.first_steps import first_steps
from monitoring.selectors import account_choices
from monitoring.shown import run_of_page
from tradeplatform.configuration_accounts import MAIN
from tradeplatform.preflight import preflight_last
from tradeplatform.tasks import preflight
from trades.queues import TRADING, queue_of
from trades.selectors import run_open_list

# A check that nobody took up by then is not made: its answer would be about another moment.
EXPIRES_S = 60


@require_GET
@needs(Scope.READ)
def preflight_page(request: HttpRequest) -> HttpResponse:
    """Show the last preflight of each account."""
    accounts = [choice["account"] for choice in account_choices()] or [MAIN]
    reports = [(account, preflight_last(account)) for account in accounts]
    context = {"page": "preflight", "reports": reports, "is_several": len(accounts) > 1}
    context["steps"] = first_steps(run_of_page(request))
    return render(request, "tradeplatform/preflight.html", context)


@require_POST
@needs(Scope.OPERATE)
def preflight_start(request: HttpRequest) -> HttpResponse:
    """Ask the account's trading worker for a preflight; its answer shows when the page is loaded
    again."""
    account = request.POST.get("account", MAIN)
    run = next((run for run in run_open_list() if run.account == account), None)
    if run is None and account != MAIN:
        messages.error(request, f"There is no open run of an account {account[:40]!r}.")
        return redirect("preflight")
    try:
        preflight.apply_async(
            kwargs={"actor": request.user.get_username(), "account": account},
            queue=TRADING if run is None else queue_of(account, run.config),
            expires=EXPIRES_S,
            retry=False,
        )
    except OperationalError:
        messages.error(
            request, "The broker did not answer; run manage.py preflight on the machine instead."
        )
    else:
        messages.info(request, "The checks are running; load this page again in a few seconds.")
    return redirect("preflight")
