"""The client's examples, as they are shipped, against a running server."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from accounts.models import AuditEvent
from accounts.services import token_create
from tests.trades.rows import make_everything, make_trade
from tradeplatform_client import Client, Forbidden, Invalid, NotAuthenticated, NotFound
from trades.models import ControlState, OperatorRequest

pytestmark = pytest.mark.django_db(transaction=True)
EXAMPLES = Path(__file__).parents[2] / "client" / "examples"


def run(name, *argv):
    return runpy.run_path(str(EXAMPLES / name), run_name="example")["main"](list(argv))


def test_the_examples_do_what_they_say(live_server, monkeypatch, capsys):
    """Reading a list, asking why, halting; and each refusal is the exception it should be."""
    run_row = make_everything()
    for number in range(3):
        make_trade(run_row, "1.25", minute=number)
    monkeypatch.setenv("TRADEPLATFORM_URL", live_server.url)
    tokens = {s: token_create(name=s, scope=s, actor="test")[1] for s in ("read", "operate")}

    monkeypatch.setenv("TRADEPLATFORM_TOKEN", tokens["read"])
    assert run("closed_trades.py", "--symbol", "BTC/USDT") == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1 + 4
    assert said.err == "total 8.75\n"
    assert run("why_no_trade.py", "--last", "1") == 0
    assert "BTC/USDT" in capsys.readouterr().out
    assert run("halt.py", "because") == 1
    assert "403 permission_denied" in capsys.readouterr().err
    assert not ControlState.objects.exists()

    monkeypatch.setenv("TRADEPLATFORM_TOKEN", tokens["operate"])
    assert run("halt.py", "because") == 0
    assert capsys.readouterr().out.splitlines()[0] == "HALTED"
    assert ControlState.objects.get().state == "HALTED"

    with Client(live_server.url, tokens["operate"]) as client:
        paged = [row["trade_id"] for row in client.each("trades/", page_size=1)]
        assert paged == [row["trade_id"] for row in client.trades()]
        assert len(paged) == 4
        once = [client.post("control/halt", {"reason": "x"}, key="k1") for _ in range(2)]
        assert once[0] == once[1]
        assert AuditEvent.objects.filter(action="control.set").count() == 2
        preview = client.flatten_preview("global")
        assert [row["quantity_base"] for row in preview["positions"]] == ["0.5"]
        (asked,) = client.flatten(preview, "because")["requests"]
        assert OperatorRequest.objects.get().pk == asked["id"]
        for path, kind in (("orders/?x=1", Invalid), ("no-such", NotFound), ("audit/", Forbidden)):
            with pytest.raises(kind):
                client.get(path)
    with pytest.raises(NotAuthenticated), Client(live_server.url, "tp_unknown") as stranger:
        stranger.risk()
