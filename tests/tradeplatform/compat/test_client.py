"""freqtrade's own client against a running server of ours, everything it can ask (D-37)."""

import json
from pathlib import Path

import pytest
from freqtrade_client import FtRestClient

from accounts.models import AuditEvent
from accounts.services import token_create
from tests.tradeplatform.compat.rows import make_traded_run
from trades.models import ControlState, EntryLock

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.tradeplatform.compat.urls"),
]
READS = {
    "version": (),
    "show_config": (),
    "ping": (),
    "status": (),
    "trades": (),
    "count": (),
    "balance": (),
    "profit": (),
    "daily": (),
    "weekly": (2,),
    "monthly": (),
    "performance": (),
    "entries": (),
    "exits": (),
    "mix_tags": (),
    "stats": (),
    "whitelist": (),
    "blacklist": (),
    "locks": (),
    "logs": (5,),
    "strategies": (),
    "strategy": ("ema-trend",),
    "plot_config": (),
    "available_pairs": (),
    "pair_candles": ("BTC/USDT", "1m"),
    "sysinfo": (),
    "health": (),
}
WRITES = {
    "start": (),
    "stop": (),
    "stopbuy": (),
    "reload_config": (),
    "forcebuy": ("BTC/USDT",),
    "forceenter": ("BTC/USDT", "long"),
    "forceexit": ("all",),
    "delete_trade": (1,),
    "cancel_open_order": (1,),
    "lock_add": ("BTC/USDT", "2030-01-01 00:00:00Z"),
    "delete_lock": (1,),
    "blacklist": ("BTC/USDT",),
}


def test_the_real_client_reads_everything_and_changes_nothing(live_server):
    """D-37: what it asks is answered in its own words, and every writing call by one line."""
    make_traded_run()
    _, secret = token_create(name="freqtrade", scope="read", actor="test")
    client = FtRestClient(f"{live_server.url}/freqtrade", "anybody", secret)

    answers = {name: getattr(client, name)(*given) for name, given in READS.items()}
    problems = {n: a for n, a in answers.items() if isinstance(a, dict) and "reason_code" in a}
    assert problems == {}
    assert answers["ping"] == {"status": "pong"}
    assert answers["count"] == {"current": 1, "max": None, "total_stake": 50.0}
    assert [one["profit_abs"] for one in answers["trades"]["trades"]] == [16.0, -4.0]
    (held,) = answers["status"]
    assert client.trade(held["trade_id"])["pair"] == "BTC/USDT"
    columns = client.pair_candles("BTC/USDT", "1m", limit=1, columns=["close"])
    assert columns["columns"] == ["date", "close", "__date_ts"]
    assert columns["data"][0][1] == 112.0

    for name, given in WRITES.items():
        answer = getattr(client, name)(*given)
        assert answer["status"] == 403, name
        assert answer["detail"].startswith("These addresses only read"), name
    assert not ControlState.objects.exists()
    assert not EntryLock.objects.exists()
    denied = AuditEvent.objects.filter(action="permission.denied", actor="token:freqtrade")
    assert denied.count() == len(WRITES)
    _as_in_the_document(answers)


def _as_in_the_document(answers):
    """Every field of the transcript in docs/freqtrade.md is answered, and no other."""
    text = (Path(__file__).parents[3] / "docs" / "freqtrade.md").read_text()
    for name in ("count", "trades", "profit"):
        block = text.split(f">>> client.{name}()\n")[1].split("```")[0]
        assert _shape(json.loads(block)) == _shape(answers[name]), name


def _shape(value):
    """Names and nothing else: the numbers of a transcript are of another day."""
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in value.items()}
    return [_shape(value[0])] if isinstance(value, list) and value else None
