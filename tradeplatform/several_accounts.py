"""Several accounts of one installation: which there are, and that none stands on another's feet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import transaction
from django.utils.crypto import salted_hmac

from monitoring.services import heartbeat_forget
from tradeplatform.configuration import Configuration, practice_of
from tradeplatform.configuration_accounts import MAIN
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.venue import credentials_of, venue_code
from tradeplatform.watch import loop_component
from trades.errors import RunRefused
from trades.models import Lot, Mode, Order, TradingRun
from trades.oms import IN_FLIGHT
from trades.queues import is_apart, queue_of
from trades.services import run_end


def account_named(accounts: Sequence[Configuration], name: str) -> Configuration:
    """Return what one account goes by; ``main`` is the only one where there is one.

    Raises:
        ConfigurationError: the file has no such account.
    """
    if name == MAIN:
        # an only account may have another name
        return accounts[0]
    known = {config.exchange.account: config for config in accounts}
    if name not in known:
        raise ConfigurationError(f"account was {name!r}, allowed: {', '.join(known)}")
    return known[name]


def refuse_shared_keys(accounts: Iterable[Configuration]) -> None:
    """Refuse two accounts that sign with one key: each would see the other's orders as made by
    hand, and their books would never agree with the venue.

    Paper accounts are left out, they send nothing. A key that this process does not see is known
    by the digest that ``key_keep`` left with its account's open run.

    Raises:
        RunRefused: two accounts have the same key on one venue.
        ExchangeKeyRefused: a sealed key that cannot be opened here.
    """
    accounts = tuple(accounts)
    digests = {config.exchange.account: _key_digest(config) for config in accounts}
    unseen = [name for name, digest in digests.items() if not digest]
    stored = TradingRun.objects.filter(ended_at__isnull=True, account__in=unseen)
    kept = stored.exclude(key_digest="").exclude(mode=Mode.REPLAY)
    seen = dict(kept.values_list("key_digest", "account"))
    for config in accounts:
        venue, name = venue_code(config), config.exchange.account
        other = seen.setdefault(digests[name], name) if digests[name] else name
        if other != name:
            raise RunRefused(
                f"accounts {other} and {name} had the same key of {venue},"
                " allowed: an account of the venue, with a key of its own, for each"
            )


def key_keep(run: TradingRun, config: Configuration) -> None:
    """Leave the digest of the account's key with its run, never the key; a process that does not
    see the key changes nothing."""
    digest = _key_digest(config)
    if digest and digest != run.key_digest:
        run.key_digest = digest
        run.save(update_fields=["key_digest"])


def _key_digest(config: Configuration) -> str:
    """Return what tells keys of one venue apart and tells nobody a key; empty without one."""
    key = credentials_of(config).key
    if not key or config.trading.mode == Mode.PAPER.value:
        return ""
    return _digest("tradeplatform.exchange-key", config, key)


def account_claimed(config: Configuration, account_id: str) -> str:
    """Return the digest of the venue's name of the account behind a live account's key, empty where
    the venue tells none or nothing real is traded.

    Raises:
        RunRefused: another account's open run trades on that very account, by whatever key: both
            books would count one balance.
    """
    if not account_id or config.trading.mode != Mode.LIVE.value:
        return ""
    digest = _digest("tradeplatform.venue-account", config, account_id)
    others = TradingRun.objects.filter(ended_at__isnull=True, account_digest=digest)
    other = others.exclude(account=config.exchange.account).exclude(mode=Mode.REPLAY).first()
    if other is not None:
        raise RunRefused(
            f"accounts {other.account} and {config.exchange.account} had keys of one and the same"
            f" account of {venue_code(config)}, allowed: a sub-account of the venue for each"
        )
    return digest


def _digest(salt: str, config: Configuration, secret: str) -> str:
    named = f"{venue_code(config)} {secret}"
    return salted_hmac(salt, named, algorithm="sha256").hexdigest()


def end_removed_accounts(accounts: Iterable[Configuration], *, actor: str) -> list[TradingRun]:
    """End the runs of accounts that the file does not have any more.

    Of ``main`` and of an only account that is where the file trades on the run's venue under
    another name: it was renamed. Where it trades elsewhere now, the run stays as it is.

    A practice account that is in the file is left to the start of its run, which ends that of
    another market.

    Raises:
        RunRefused: such a run holds something or has an order on the way, which nobody would look
            after; not of practice, whose exchange may not even run any more.
    """
    accounts = tuple(accounts)
    kept = {(venue_code(config), config.exchange.account) for config in accounts}
    venues = {venue for venue, _ in kept}
    practice = {config.exchange.account for config in practice_of(accounts)}
    removed = [
        run
        for run in TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)
        if (is_apart(run.config) or run.venue in venues)
        and (run.venue, run.account) not in kept
        and not (run.mode == Mode.PRACTICE and run.account in practice)
    ]
    for run in removed:
        if run.mode != Mode.PRACTICE:
            _refuse_to_leave(run)
    with transaction.atomic():
        for run in removed:
            run_end(run=run, actor=actor, reason="its account is not in the configuration any more")
            if is_apart(run.config):
                heartbeat_forget((loop_component(run), queue_of(run.account, run.config)))
    return removed


def _refuse_to_leave(run: TradingRun) -> None:
    held = Lot.objects.filter(run=run, is_open=True).count()
    moving = Order.objects.filter(run=run, status__in=IN_FLIGHT).count()
    if held or moving:
        raise RunRefused(
            f"account {run.account} of {run.venue} is not in the configuration any more and has"
            f" {held} open lots and {moving} orders on the way; put it back and flatten it first"
        )
