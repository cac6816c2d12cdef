"""The bot: people who are listed may ask how trading stands, and halt it.

Each command is carried out with the role of the person the chat belongs to, asked anew each time.
Nothing here loosens: who resumes shows on the page who they are (SEC-19).
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import close_old_connections, transaction
from django.utils import timezone

from accounts.models import AuditEvent, Scope
from accounts.roles import reaches, user_scope
from accounts.services import audit_record
from engine.failsafe import Failure, attempt
from engine.ports import TradingState
from monitoring.services import control_change
from notifications import telegram_answers as answers
from notifications.core.commands import (
    CONFIRM_WITHIN_S,
    HELP,
    STALE_AFTER_S,
    Command,
    PendingHalt,
    command_of,
)
from notifications.core.delivery import wait_after
from notifications.errors import TelegramUnavailable
from notifications.selectors import cursor_of
from notifications.services import channel_failed, channel_worked, cursor_set
from notifications.telegram import POLL_S, Incoming, TelegramApi
from trades.errors import ControlRefused
from trades.kill_switch import changed_or_left
from trades.services import GLOBAL_SCOPE

logger = logging.getLogger(__name__)
CURSOR = "telegram"
CHANNEL = "telegram-bot"
REFUSED = "telegram.refused"
# One row of the audit log a stranger and hour: the log is no place for strangers to write to.
_REFUSALS_EVERY = timedelta(hours=1)
_BREATH_S = 0.5
_READS: Mapping[str, Callable[[], str]] = {
    "status": answers.status_words,
    "positions": answers.position_words,
    "trades": answers.trade_words,
    "daily": answers.daily_words,
}


class TelegramBot:
    """Takes what came, answers it, and remembers how far it got."""

    def __init__(
        self, api: TelegramApi, people: Mapping[str, str], *, monotonic: Callable[[], float]
    ) -> None:
        """``people`` gives the name of the person a private chat belongs to."""
        self._api = api
        self._people = {int(chat): name for chat, name in people.items()}
        self._monotonic = monotonic
        self._pending: dict[int, PendingHalt] = {}

    def look(self, now: datetime, *, wait_s: int) -> int:
        """Wait for messages and answer them; return how many came.

        The place is remembered after the answer: a bot that dies between says it again.

        Raises:
            TelegramUnavailable: Telegram did not answer; nothing was lost.
        """
        cursor = cursor_of(CURSOR)
        updates = self._api.updates(cursor.last_id if cursor else 0, wait_s=wait_s)
        for update in updates:
            number = update if isinstance(update, int) else update.update_id
            if isinstance(update, Incoming):
                self._take(update, now)
            cursor_set(source=CURSOR, last_id=number, now=now)
        return len(updates)

    def _take(self, message: Incoming, now: datetime) -> None:
        name = self._people.get(message.chat_id) if message.is_private else None
        person = get_user_model().objects.filter(username=name, is_active=True).first()
        if name is None or person is None:
            # no answer: a stranger need not learn that anybody is here
            refusal_record(message, name or "", now)
            return
        text = self.answer(message, person, now)
        try:
            self._api.send(message.chat_id, text)
        except TelegramUnavailable as error:
            # what was asked was done; that the answer was lost must not make us do it again
            logger.warning("answer to %s not sent: %s", person.get_username(), error)

    def answer(self, message: Incoming, person: User, now: datetime) -> str:
        """Carry out one message of a known person and return what to say."""
        age_s = now.timestamp() - message.at_s
        if age_s > STALE_AFTER_S:
            return f"That was sent {age_s:.0f} s ago and was not carried out. Send it again."
        command = command_of(message.text)
        scope = user_scope(person)
        if not reaches(scope, Scope.READ):
            return "You have no role here."
        if command.word in _READS:
            return _READS[command.word]()
        if command.word == "why":
            return answers.why_words(command.rest)
        if command.word in ("halt", "confirm"):
            if not reaches(scope, Scope.OPERATE):
                return "Halting needs the role operator."
            if command.word == "halt":
                return self._halt(command, message.chat_id)
            return self._confirm(command, message.chat_id, person)
        return HELP

    def _halt(self, command: Command, chat_id: int) -> str:
        if not command.rest:
            return "Say why: /halt REASON"
        code = f"{secrets.randbelow(10**6):06d}"
        expires_s = self._monotonic() + CONFIRM_WITHIN_S
        self._pending[chat_id] = PendingHalt(chat_id, command.rest, code, expires_s)
        return (
            f"This halts ALL trading: {command.rest}\n"
            f"To do it, send within {CONFIRM_WITHIN_S:.0f} s: /confirm {code}"
        )

    def _confirm(self, command: Command, chat_id: int, person: User) -> str:
        pending = self._pending.get(chat_id)
        if pending is None:
            return "No halt is waiting. Start with /halt REASON"
        now_s = self._monotonic()
        why = pending.judge(command.rest, now_s)
        if why:
            if pending.is_over(now_s):
                del self._pending[chat_id]
                return f"Nothing was halted: {why}. Start again with /halt REASON"
            return f"Nothing was halted: {why}."
        del self._pending[chat_id]
        return halt(pending.reason, person)


def halt(reason: str, person: User) -> str:
    """Halt everything as that person and return what became of it."""
    scope, state = GLOBAL_SCOPE, TradingState.HALTED.value
    actor = f"{person.get_username()} (telegram)"[:120]
    try:
        changed = changed_or_left(
            lambda: control_change(scope=scope, state=state, actor=actor, reason=reason),
            scope=scope,
            state=state,
            actor=actor,
            reason=reason,
        )
    except (ControlRefused, OSError) as error:
        return f"NOT halted: {error}. Use the page or manage.py halt."
    if changed is None:
        return "HALTED by a file: the database did not answer, and no order leaves meanwhile."
    if not changed:
        return "Trading was HALTED already."
    return (
        "Trading is HALTED: only cancels leave, stops resting at the broker stay. Resume it on the"
        " page."
    )


def refusal_record(message: Incoming, name: str, now: datetime) -> bool:
    """Write down that a stranger spoke to the bot; False where that was done lately."""
    lately = AuditEvent.objects.filter(
        action=REFUSED, object_id=str(message.chat_id), at__gt=now - _REFUSALS_EVERY
    )
    if lately.exists():
        return False
    with transaction.atomic():
        audit_record(
            actor=f"telegram:{message.sender_id}"[:120],
            action=REFUSED,
            object_type="chat",
            object_id=str(message.chat_id),
            reason=f"the listed person {name!r} is not active here"
            if name
            else "not a listed chat",
            at=now,
        )
    return True


def run_bot(bot: TelegramBot, stopping: threading.Event) -> None:
    """Ask and answer until told to stop; what fails costs a pause that grows, nothing else."""
    fails = 0
    while not stopping.is_set():
        outcome = attempt(lambda: bot.look(timezone.now(), wait_s=POLL_S), CHANNEL)
        fails = fails + 1 if isinstance(outcome, Failure) else 0
        noted = attempt(lambda: _note(outcome), CHANNEL)  # noqa: B023 (called before the next)
        if isinstance(noted, Failure):
            logger.warning("how the bot fares was not noted: %s", type(noted.error).__name__)
        close_old_connections()
        # at least a breath: a server that answers at once must not make us spin
        stopping.wait(max(wait_after(fails).total_seconds(), _BREATH_S))


def _note(outcome: int | Failure) -> None:
    if not isinstance(outcome, Failure):
        channel_worked(CHANNEL, now=timezone.now())
        return
    # an error nobody foresaw may hold the token in its text; its kind does not
    is_ours = isinstance(outcome.error, TelegramUnavailable)
    said = str(outcome.error) if is_ours else type(outcome.error).__name__
    logger.warning("the bot could not look: %s", said)
    channel_failed(CHANNEL, said, now=timezone.now())
