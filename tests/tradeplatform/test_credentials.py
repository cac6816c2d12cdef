"""Whose key signs: an account's own, and never another's."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from accounts.errors import ExchangeKeyRefused
from accounts.exchange_keys import Credentials, exchange_key_set
from tests.trades.rows import make_run
from tradeplatform.configuration import Configuration, Exchange, Trading
from tradeplatform.credentials import exchange_credentials
from tradeplatform.several_accounts import account_claimed, key_keep, refuse_shared_keys
from trades.errors import RunRefused
from trades.models import TradingRun

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def master(monkeypatch: pytest.MonkeyPatch) -> str:
    key = Fernet.generate_key().decode()
    for name in ("KEY", "SECRET", "PASSPHRASE"):
        monkeypatch.delenv(f"TRADEPLATFORM_EXCHANGE_{name}", raising=False)
    monkeypatch.setenv("TRADEPLATFORM_MASTER_KEY", key)
    return key


def given(monkeypatch: pytest.MonkeyPatch, key: str, ending: str = "") -> None:
    monkeypatch.setenv(f"TRADEPLATFORM_EXCHANGE_KEY{ending}", key)
    monkeypatch.setenv(f"TRADEPLATFORM_EXCHANGE_SECRET{ending}", f"secret of {key}")


def account(name: str, *, mode: str = "live", venue: str = "binance") -> Configuration:
    return Configuration(
        exchange=Exchange(id=venue, account=name),
        trading=Trading(mode=mode),  # type: ignore[arg-type]
        accounts={} if name == "main" else {name: {}},  # type: ignore[dict-item]
    )


def test_the_unnamed_key_is_never_that_of_an_account_beside_main(
    monkeypatch: pytest.MonkeyPatch, master: str
) -> None:
    """D-59: an account without a key of its own has none, whatever else is set."""
    given(monkeypatch, "key-of-main")
    given(monkeypatch, "key-of-third", "__THIRD")
    assert exchange_credentials("binance", "main").key == "key-of-main"
    assert exchange_credentials("binance", "second", is_apart=True) == Credentials("", "")
    sealed = Credentials("sealed-for-second", "its secret")
    exchange_key_set(
        exchange="binance", account="second", credentials=sealed, masters=[master], actor="a"
    )
    assert exchange_credentials("binance", "second", is_apart=True) == sealed
    assert exchange_credentials("kraken", "second", is_apart=True) == Credentials("", "")


def test_a_key_that_names_its_account_wins_and_brings_its_own_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D-59: key and secret always come as a pair from one place."""
    given(monkeypatch, "key-of-main")
    given(monkeypatch, "key-of-my-own", "__MY_OWN")
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_PASSPHRASE", "of main")
    found = exchange_credentials("okx", "my-own", is_apart=True)
    assert found == Credentials("key-of-my-own", "secret of key-of-my-own", "")
    given(monkeypatch, "named-key-of-main", "__MAIN")
    assert exchange_credentials("okx", "main").secret == "secret of named-key-of-main"


def test_an_only_account_of_any_name_has_the_unnamed_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """D-59: a file without accounts goes on as it did."""
    given(monkeypatch, "the-only-key")
    assert exchange_credentials("binance", "alpha").key == "the-only-key"


def test_two_accounts_with_one_key_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D-59: they would take each other's orders for orders made by hand."""
    given(monkeypatch, "one-key-for-both")
    given(monkeypatch, "one-key-for-both", "__SECOND")
    both = [account("main"), account("second")]
    with pytest.raises(RunRefused, match="accounts main and second had the same key of binance"):
        refuse_shared_keys(both)
    # one key on two venues is two keys, and a paper account sends nothing
    refuse_shared_keys([account("main"), account("second", venue="kraken")])
    refuse_shared_keys([account("main"), account("second", mode="paper")])
    given(monkeypatch, "another-key", "__SECOND")
    refuse_shared_keys(both)


def test_a_key_is_known_again_where_no_process_sees_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D-59, SEC-12: each account starts with its own key alone; the key is kept nowhere."""
    both = [account("main"), account("second")]
    run = make_run(venue="binance", mode="live")
    given(monkeypatch, "one-key-for-both")
    refuse_shared_keys(both)
    key_keep(run, both[0])
    run.refresh_from_db()
    assert len(run.key_digest) == 64 and "one-key" not in run.key_digest
    for name in ("KEY", "SECRET"):
        monkeypatch.delenv(f"TRADEPLATFORM_EXCHANGE_{name}")
    key_keep(run, both[0])
    assert run.key_digest, "a process without the key forgets nothing"
    given(monkeypatch, "one-key-for-both", "__SECOND")
    with pytest.raises(RunRefused, match="accounts main and second had the same key of binance"):
        refuse_shared_keys(both)
    # the key that is seen counts, not the one of before; nor does that of a run that has ended
    given(monkeypatch, "new-key-of-main")
    refuse_shared_keys(both)
    monkeypatch.delenv("TRADEPLATFORM_EXCHANGE_KEY")
    TradingRun.objects.update(ended_at=run.started_at)
    refuse_shared_keys(both)


def test_two_keys_of_one_account_of_the_venue_are_refused() -> None:
    """D-59: both books would count one balance; the venue's name of it is kept nowhere."""
    first = account_claimed(account("main"), "354937868")
    assert len(first) == 64 and "354937868" not in first
    run = make_run(venue="binance", mode="live", account="main", account_digest=first)
    assert account_claimed(account("main"), "354937868") == first, "its own start goes on"
    with pytest.raises(RunRefused, match="main and second had keys of one and the same account of"):
        account_claimed(account("second"), "354937868")
    assert account_claimed(account("second"), "1") not in ("", first)
    assert account_claimed(account("second", venue="kraken"), "354937868") != first
    assert account_claimed(account("second", mode="paper"), "354937868") == ""
    assert account_claimed(account("second"), "") == "", "a venue that names none refuses nobody"
    TradingRun.objects.filter(pk=run.pk).update(ended_at=run.started_at)
    assert account_claimed(account("second"), "354937868") == first


def test_a_sealed_key_cannot_be_kept_for_two_accounts_of_one_exchange(master: str) -> None:
    """D-59: said when it is set, before anything trades on it."""

    def seal(exchange: str, name: str, key: str) -> None:
        credentials = Credentials(key, "secret")
        exchange_key_set(
            exchange=exchange, account=name, credentials=credentials, masters=[master], actor="a"
        )

    seal("binance", "main", "key-one-1234")
    with pytest.raises(ExchangeKeyRefused, match="is kept for account main of binance already"):
        seal("binance", "second", "key-one-1234")
    seal("binance", "second", "key-two-1234")
    seal("kraken", "second", "key-one-1234")
    seal("binance", "main", "key-one-1234")
