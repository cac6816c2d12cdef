"""The bot over a local Telegram: who may ask, what is answered, and a halt in two steps."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from accounts.models import AuditEvent
from notifications.errors import ChannelUnusable, TelegramUnavailable
from notifications.models import Cursor
from notifications.selectors import channel_rows
from notifications.services import FoundChannel, channels_sync
from notifications.telegram import TelegramApi
from notifications.telegram_bot import REFUSED, TelegramBot, run_bot
from tests.monitoring.factories import (
    make_decision,
    make_equity,
    make_lot,
    make_run,
    make_trade,
)
from tests.notifications.fake_services import FakeService, fake_service
from trades.models import ControlEvent, ControlState

pytestmark = pytest.mark.django_db
TOKEN = "123456789:AAabcdefg_hijk-lmnop"
ADA, VERA, STRANGER = 42, 43, 666


class Chat:
    """A bot whose people are ada (operator) and vera (viewer); ``clock`` is its monotonic."""

    def __init__(self, service: FakeService) -> None:
        self.service, self.clock = service, 0.0
        self.now = timezone.now().replace(microsecond=0)
        self.bot = self.restarted()

    def restarted(self) -> TelegramBot:
        people = {str(ADA): "ada", str(VERA): "vera"}
        api = TelegramApi(TOKEN, base=self.service.url)
        self.bot = TelegramBot(api, people, monotonic=lambda: self.clock)
        return self.bot

    def says(self, text: str, *, chat: int = ADA, sender: int | None = None, age_s: int = 1) -> str:
        before = len(self.service.said())
        at_s = (self.now - timedelta(seconds=age_s)).timestamp()
        self.service.write(text, chat=chat, sender=sender, at_s=at_s)
        self.bot.look(self.now, wait_s=0)
        return "\n".join(self.service.said()[before:])


def make_person(name: str, role: str) -> None:
    """Without a password, which costs half a second and nobody here types."""
    user = User.objects.create(username=name, password="!")
    user.groups.add(Group.objects.get_or_create(name=role)[0])


@pytest.fixture
def chat() -> Iterator[Chat]:
    make_person("ada", "operator")
    make_person("vera", "viewer")
    with fake_service() as service:
        yield Chat(service)


def code_in(answer: str) -> str:
    found = re.search(r"/confirm (\d{6})$", answer)
    assert found is not None, answer
    return found[1]


def state() -> str:
    row = ControlState.objects.filter(scope="global").first()
    return row.state if row else "ACTIVE"


def test_a_halt_takes_two_steps_and_is_audited_as_that_person(chat):
    """SEC-33, CTL-13"""
    asked = chat.says("/halt rates look odd")
    assert "This halts ALL trading: rates look odd" in asked
    assert state() == "ACTIVE", "the first step does nothing"
    assert chat.says(f"/confirm {code_in(asked)}").startswith("Trading is HALTED")
    event = ControlEvent.objects.get()
    assert (event.to_state, event.actor, event.reason) == (
        "HALTED",
        "ada (telegram)",
        "rates look odd",
    )
    assert AuditEvent.objects.filter(actor="ada (telegram)", reason="rates look odd").exists()


def test_a_code_is_used_once_ends_after_two_minutes_and_after_three_wrong_ones(chat):
    code = code_in(chat.says("/halt once"))
    chat.clock = 121.0
    assert "the code is too old" in chat.says(f"/confirm {code}")
    code = code_in(chat.says("/halt twice"))
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    assert chat.says(f"/confirm {wrong}") == "Nothing was halted: the code was wrong."
    chat.says(f"/confirm {wrong}")
    assert "Start again" in chat.says("/confirm")
    assert "No halt is waiting" in chat.says(f"/confirm {code}")
    assert state() == "ACTIVE"
    code = code_in(chat.says("/halt again"))
    chat.restarted()
    assert "No halt is waiting" in chat.says(f"/confirm {code}")


def test_one_persons_code_is_not_anothers(chat):
    make_person("olga", "operator")
    chat.bot._people[44] = "olga"
    code = code_in(chat.says("/halt mine"))
    assert "No halt is waiting" in chat.says(f"/confirm {code}", chat=44)
    assert state() == "ACTIVE"


def test_nothing_loosens_here_and_a_viewer_only_reads(chat):
    """SEC-9, SEC-19: no resume, and roles count as anywhere else."""
    answer = chat.says("/resume please")
    assert "Resuming needs the page" in answer and "/resume" not in answer
    assert chat.says("/halt x", chat=VERA) == "Halting needs the role operator."
    assert chat.says("/confirm 123456", chat=VERA) == "Halting needs the role operator."
    assert "Trading: ACTIVE" in chat.says("/status", chat=VERA)


@pytest.mark.parametrize("text", ["/status", "/halt now", "hello"])
def test_a_stranger_gets_no_answer_and_one_row_in_the_audit_log(chat, text):
    """SEC-8, SEC-33: however often they speak."""
    for _ in range(3):
        assert chat.says(text, chat=STRANGER) == ""
    event = AuditEvent.objects.get(action=REFUSED)
    assert (event.object_id, event.actor) == ("666", "telegram:666")
    assert not ControlEvent.objects.exists()


def test_a_listed_person_in_a_group_or_who_left_is_a_stranger(chat):
    """SEC-8: in a group anybody could speak; and a role that ended is asked anew each time."""
    assert chat.says("/status", chat=ADA, sender=STRANGER) == ""
    User.objects.filter(username="ada").update(is_active=False)
    assert chat.says("/status") == ""
    assert AuditEvent.objects.filter(action=REFUSED).count() == 1


def test_a_command_that_waited_for_us_is_not_carried_out(chat):
    """A halt of two hours ago was meant for two hours ago; its sender is told."""
    answer = chat.says("/halt old", age_s=7_200)
    assert answer == "That was sent 7200 s ago and was not carried out. Send it again."


def test_what_was_answered_is_not_answered_again_by_the_next_start(chat):
    chat.says("/status")
    chat.restarted()
    before = len(chat.service.said())
    assert chat.bot.look(chat.now, wait_s=0) == 0
    assert len(chat.service.said()) == before
    assert Cursor.objects.get(source="telegram").last_id == 1


def test_status_positions_trades_and_daily_tell_the_figures_of_the_page(chat):
    run = make_run()
    assert chat.says("/positions") == "Nothing is held."
    assert chat.says("/trades") == "No trade was closed yet."
    make_equity(run, [10_000.0, 9_900.0])
    make_lot(run)
    make_trade(run, pnl_quote=Decimal("3.715"))
    status = chat.says("/status@our_bot")
    assert status.splitlines()[0] == "SIMULATED practice-test BTC/USDT, ETH/USDT"
    assert "Entries wait: not reconciled with the venue since the start" in status
    assert "Day: -1.00 % (stops at -3.00 %)" in status
    assert "Drawdown: 1.00 % (stops at 20.00 %)" in status
    assert chat.says("/positions").startswith("BTC/USDT BUY 0.01 at 64000 by ema-trend: no price")
    assert "BTC/USDT ema-trend: 3.72 USDT (TARGET)" in chat.says("/trades")
    daily = chat.says("/daily").splitlines()
    assert daily[1:] == [
        "Day: -100.00 USDT, equity 9,900.00",
        "Closed: 1 trades, 3.72 USDT",
        "Open positions: 1",
    ]


def test_of_several_accounts_each_is_told(chat):
    """D-59"""
    make_lot(make_run())
    make_run(account="second", symbols=["ETH/USDT"])
    assert chat.says("/positions").splitlines() == [
        "main:",
        "BTC/USDT BUY 0.01 at 64000 by ema-trend: no price yet, stop 63360",
        "second:",
        "Nothing is held.",
    ]
    assert chat.says("/status").count("SIMULATED practice-test") == 2


def test_why_answers_by_the_newest_decision_on_a_symbol(chat):
    run = make_run()
    assert chat.says("/why btc") == "Nothing was decided on BTC/USDT yet."
    make_decision(run, reason="confluence was 1, allowed: at least 2", blocking_phase=7)
    for given in ("btc", "BTCUSDT", "btc/usdt", "BTC-USDT"):
        answer = chat.says(f"/why {given}")
        assert answer.startswith("BTC/USDT 03-02 09:00 ema-trend: HOLD"), given
        assert "confluence was 1, allowed: at least 2" in answer
    assert chat.says("/why doge") == "Symbol was doge, allowed: BTC/USDT, ETH/USDT"


def test_without_a_run_it_says_so(chat):
    for command in ("/status", "/positions", "/trades", "/daily", "/why btc"):
        assert "No run is open." in chat.says(command)


def test_updates_that_are_no_text_are_passed_over(chat):
    chat.service.updates += [
        {"update_id": 1, "my_chat_member": {}},
        {"update_id": 2, "message": {"chat": {"id": ADA}, "photo": []}},
    ]
    assert chat.bot.look(chat.now, wait_s=0) == 2
    assert Cursor.objects.get(source="telegram").last_id == 2
    assert chat.service.said() == []


def test_no_error_of_the_api_holds_the_token():
    """SEC-32: it is part of every address, and addresses stand in other people's errors."""
    with fake_service(status=502) as service:
        service.answer = lambda path, body: ["not", "telegram"]  # type: ignore[method-assign]
        api = TelegramApi(TOKEN, base=service.url)
        with pytest.raises(TelegramUnavailable, match="getUpdates: 502") as answered:
            api.updates(0, wait_s=0)
    with pytest.raises(TelegramUnavailable, match="getUpdates: ConnectionError") as gone:
        api.updates(0, wait_s=0)
    for error in (answered.value, gone.value):
        assert "AAabc" not in str(error) and error.__cause__ is None


@pytest.mark.parametrize("base", ["http://api.example.org", "https://127.0.0.1", "http://10.0.0.1"])
def test_another_address_than_telegrams_is_this_machines_or_none(base):
    """SEC-41"""
    with pytest.raises(ChannelUnusable, match="the address of Telegram was at"):
        TelegramApi(TOKEN, base=base)


@pytest.mark.parametrize("token", ["", "abc", "123", "x:abc", "1:a/b"])
def test_a_token_that_is_none_is_refused_without_being_shown(token):
    with pytest.raises(ChannelUnusable, match="NUMBER:LETTERS"):
        TelegramApi(token)


class OneLook:
    """A bot that ends the loop after one look."""

    def __init__(self, outcome: int | Exception) -> None:
        self.outcome, self.stopping = outcome, threading.Event()

    def look(self, now, *, wait_s):
        self.stopping.set()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "state", "said"),
    [
        (0, "up", ""),
        (TelegramUnavailable("getUpdates: 401"), "failing", "getUpdates: 401"),
        (RuntimeError(f"at {TOKEN}"), "failing", "RuntimeError"),
    ],
)
def test_the_page_shows_whether_the_bot_hears(outcome, state, said, monkeypatch, caplog):
    """F-098, SEC-32: an error nobody foresaw ends neither the loop nor the secret."""
    monkeypatch.setattr("notifications.telegram_bot.close_old_connections", lambda: None)
    channels_sync([FoundChannel("telegram-bot", "telegram", "listens to ada")], now=timezone.now())
    bot = OneLook(outcome)
    run_bot(bot, bot.stopping)
    (row,) = channel_rows(timezone.now())
    assert (row["state"], row["last_error"]) == (state, said)
    assert TOKEN not in caplog.text
