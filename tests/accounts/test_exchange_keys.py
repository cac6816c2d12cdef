"""Exchange keys in the database: sealed, rotated, never given back."""

import io
import logging
import traceback

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.errors import ExchangeKeyRefused
from accounts.exchange_keys import (
    Credentials,
    exchange_key_get,
    exchange_key_set,
    exchange_keys_rotate,
)
from accounts.models import AuditEvent, ExchangeKey
from tests.accounts.callers import by_session
from tradeplatform.credentials import exchange_credentials
from tradeplatform.processes import EXCHANGE_SECRETS

pytestmark = pytest.mark.django_db
KEY, SECRET, WORD = "canary-key-7Qx9", "canary-secret-2Wm4", "canary-word-8Zt1"
CANARIES = (KEY, SECRET, WORD)
NAMES = {"exchange": "okx", "account": "main"}


@pytest.fixture
def master():
    return Fernet.generate_key().decode()


@pytest.fixture(autouse=True)
def no_keys_around(monkeypatch):
    for name in EXCHANGE_SECRETS:
        monkeypatch.delenv(name, raising=False)


def keep(master):
    return exchange_key_set(
        **NAMES, credentials=Credentials(KEY, SECRET, WORD), masters=[master], actor="ada"
    )


def whole_database():
    text = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            text.append(repr(cursor.fetchall()))
    return "\n".join(text)


def test_a_dump_of_the_database_holds_no_key(master):
    """SEC-28, SEC-29: canary scan over every table, the audit log included."""
    keep(master)
    dump = whole_database()
    assert "okx" in dump
    assert not [canary for canary in CANARIES if canary in dump]
    assert ExchangeKey.objects.get().last4 == KEY[-4:]


def test_the_trading_process_opens_it_with_the_master_key_and_no_other_can(master, monkeypatch):
    """SEC-28, SEC-31"""
    keep(master)
    assert exchange_credentials("okx", "main") == Credentials("", ""), "no master key, no key"
    monkeypatch.setenv("TRADEPLATFORM_MASTER_KEY", master)
    assert exchange_credentials("okx", "main") == Credentials(KEY, SECRET, WORD)
    assert exchange_credentials("okx", "other") == Credentials("", "")
    monkeypatch.setenv("TRADEPLATFORM_MASTER_KEY", Fernet.generate_key().decode())
    with pytest.raises(ExchangeKeyRefused, match="sealed with another"):
        exchange_credentials("okx", "main")
    assert {"TRADEPLATFORM_MASTER_KEY", "TRADEPLATFORM_MASTER_KEY_FILE"} <= set(EXCHANGE_SECRETS)


def test_the_master_key_may_stand_in_a_file(master, monkeypatch, tmp_path):
    """SEC-28"""
    keep(master)
    (tmp_path / "master").write_text(master + "\n")
    monkeypatch.setenv("TRADEPLATFORM_MASTER_KEY_FILE", str(tmp_path / "master"))
    assert exchange_credentials("okx", "main").secret == SECRET


def test_after_a_rotation_the_new_master_key_alone_opens_everything(master):
    """SEC-28: rotate: still works, and the former key opens nothing any more."""
    keep(master)
    new = Fernet.generate_key().decode()
    assert exchange_keys_rotate(masters=[new, master], actor="ada") == 1
    assert exchange_key_get(**NAMES, masters=[new]) == Credentials(KEY, SECRET, WORD)
    with pytest.raises(ExchangeKeyRefused):
        exchange_key_get(**NAMES, masters=[master])
    assert AuditEvent.objects.filter(action="exchange_key.rotate").count() == 1


def test_a_rotation_that_cannot_open_a_row_changes_none(master):
    """SEC-28"""
    keep(master)
    before = ExchangeKey.objects.get().sealed
    with pytest.raises(ExchangeKeyRefused):
        exchange_keys_rotate(masters=[Fernet.generate_key().decode()], actor="ada")
    assert ExchangeKey.objects.get().sealed == before


@pytest.mark.parametrize("masters", [[], ["not a key"], ["short"]])
def test_neither_refusals_nor_traces_quote_a_key(masters):
    """SEC-29: exceptions are logged."""
    with pytest.raises(ExchangeKeyRefused) as refused:
        exchange_key_set(
            **NAMES, credentials=Credentials(KEY, SECRET), masters=masters, actor="ada"
        )
    told = "".join(traceback.format_exception(refused.value)) + repr(Credentials(*CANARIES))
    assert not [canary for canary in (*CANARIES, *masters) if canary in told]


def test_the_command_keeps_lists_and_forgets_a_key_without_showing_it(
    master, monkeypatch, capsys, caplog
):
    """SEC-28, SEC-29: it is read from standard input, never from arguments."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TRADEPLATFORM_MASTER_KEY", master)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n{SECRET}\n{WORD}\n"))
    call_command("exchangekeys", "set", exchange="okx")
    assert exchange_credentials("okx", "main") == Credentials(KEY, SECRET, WORD)
    call_command("exchangekeys", "list")
    call_command("exchangekeys", "rotate")
    call_command("exchangekeys", "remove", exchange="okx")
    with pytest.raises(CommandError, match="no key is kept"):
        call_command("exchangekeys", "remove", exchange="okx")
    told = capsys.readouterr()
    assert KEY[-4:] in told.out
    assert not [c for c in CANARIES if c in told.out + told.err + caplog.text]
    assert AuditEvent.objects.filter(action__startswith="exchange_key.").count() == 3


def test_no_page_of_the_platform_shows_a_key(master):
    """SEC-29: admin included."""
    keep(master)
    admin: Client = by_session("admin")
    for address in (reverse("access"), reverse("audit"), "/admin/", "/api/v1/audit/"):
        text = admin.get(address).content.decode()
        assert not [canary for canary in CANARIES if canary in text]
        assert ExchangeKey.objects.get().sealed not in text
