"""Pages of the top floor: what several rooms must agree on before money depends on it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST
from kombu.exceptions import OperationalError

from accounts.models import Scope
from accounts.pages import needs
from tradeplatform.preflight import preflight_last
from tradeplatform.tasks import preflight

# A check that nobody took up by then is not made: its answer would be about another moment.
EXPIRES_S = 60


@require_GET
@needs(Scope.READ)
def preflight_page(request: HttpRequest) -> HttpResponse:
    """Show the last preflight."""
    return render(
        request, "tradeplatform/preflight.html", {"page": "preflight", "last": preflight_last()}
    )


@require_POST
@needs(Scope.OPERATE)
def preflight_start(request: HttpRequest) -> HttpResponse:
    """Ask a trading worker for a preflight; its answer shows when the page is loaded again."""
    try:
        preflight.apply_async(
            kwargs={"actor": request.user.get_username()}, expires=EXPIRES_S, retry=False
        )
    except OperationalError:
        messages.error(
            request, "The broker did not answer; run manage.py preflight on the machine instead."
        )
    else:
        messages.info(request, "The checks are running; load this page again in a few seconds.")
    return redirect("preflight")
