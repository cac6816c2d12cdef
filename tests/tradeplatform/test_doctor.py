"""A bundle for somebody who helps: everything they need, and no secret of any kind."""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.totp import enrolment_uri, in_groups, new_secret
from monitoring.services import alert_raise, incident_record
from notifications.models import ChannelKind, Message
from notifications.services import FoundChannel, channel_failed, channels_sync
from tests.accounts.callers import by_token
from tests.monitoring.factories import make_run
from tests.notifications.scene import Scene
from tradeplatform import doctor
from tradeplatform.scrubbing import Scrubber, known_secrets

pytestmark = pytest.mark.django_db
SEED = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
UUID = "3f2b8c1a-9d4e-4f6a-8b7c-2d1e0f9a8b7c"
# what each is, and what of it must stand nowhere
SECRETS = {
    "exchange key": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    "exchange secret": "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    "passphrase": "correct-horse-battery",
    "api token": "tp_q3JkZ8xYw0v_TnB5cRsE1dFgHiJkLmN2",
    "secret key": "9d2Kq-x7Lw_Zb4Vn8Rt1Ys5Pm3Hc6Jf0Gd2Ka9Ue4Wi7Xo1Qp5Sv8Tz3Lb6Nc",
    "master key": "b2xkLW1hc3Rlci1rZXktb2YtMzItYnl0ZXMtZm9yLWE=",
    "database password": "hunter2-with-a-longer-tail",
    "redis password": "redis-pass-word-77",
    "telegram": "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "mail": "mailtos://ada:mail-pass-12@mail.example.org",
    "webhook": "https://hooks.example.org/T0AAAA111/B1BBBB222/x9Y8z7W6v5U4t3S2r1Q0",
    "seed": SEED,
    "seed in groups": in_groups(SEED),
    "seed in an address": enrolment_uri(SEED, "ada"),
    "session": "x7k2m9p4q8w1z5c3v6b0n2a4s8d1f7g3",
}
FRAGMENTS = ["JHMHI8qBe7bk2ZwO5U711o3dV_js", "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "mail-pass-12"]
FRAGMENTS += ["x9Y8z7W6v5U4t3S2r1Q0"]
ENVIRONMENT = {
    "TRADEPLATFORM_EXCHANGE_KEY": "exchange key",
    "TRADEPLATFORM_EXCHANGE_SECRET": "exchange secret",
    "TRADEPLATFORM_EXCHANGE_PASSPHRASE": "passphrase",
    "TRADEPLATFORM_MASTER_KEY": "master key",
    "NOTIFY_MAIL_URL": "mail",
    "NOTIFY_HOOK_URL": "webhook",
}


def plant(monkeypatch, settings, tmp_path: Path) -> None:
    """Put every secret into the environment, files, logs and rows, in several spellings."""
    for name, secret in ENVIRONMENT.items():
        monkeypatch.setenv(name, SECRETS[secret])
    password = SECRETS["database password"]
    monkeypatch.setenv("DATABASE_URL", f"postgres://tp:{password}@db.example.org/tp")
    monkeypatch.setenv("REDIS_URL", f"redis://:{SECRETS['redis password']}@cache/0")
    settings.VAR_DIR = tmp_path
    settings.SECRET_KEY = SECRETS["secret key"]
    (tmp_path / "secret_key").write_text(SECRETS["secret key"])
    (tmp_path / "log").mkdir()
    said = [f"{what} was {value}" for what, value in SECRETS.items()]
    said += [f'{{"apiKey": "{SECRETS["exchange key"]}", "signature": "abc123def456"}}']
    said += [f"POST https://api.telegram.org/bot{SECRETS['telegram']}/getUpdates"]
    said += [f"connect to postgres://tp:{password}@db.example.org/tp failed"]
    said += [
        f"Authorization: Bearer {SECRETS['api token']}",
        f"cookie sessionid={SECRETS['session']}",
    ]
    (tmp_path / "log" / "trading.log").write_text("\n".join(said))
    make_run(last_error=" ".join(said))
    now = timezone.now()
    alert_raise(code="AUTH", severity="critical", text=" ".join(said), dedupe_key="a", at=now)
    incident_record(where="trading", error=ValueError("\n".join(said)))
    channels_sync([FoundChannel("mail", ChannelKind.CHAT, "mailtos://…")], now=now)
    channel_failed("mail", " ".join(said), now=now)
    scene = Scene("hook")
    scene.heard["hook"].fails(" ".join(said))
    alert_raise(code="B", severity="critical", text=" ".join(said), dedupe_key="b")
    scene.look()
    assert Message.objects.filter(why__contains=SECRETS["exchange key"]).exists()


def leaks(text: str) -> list[str]:
    found = [what for what, secret in SECRETS.items() if secret in text]
    return found + [fragment for fragment in FRAGMENTS if fragment in text]


def test_a_secret_of_any_kind_planted_anywhere_is_nowhere_in_the_bundle(
    monkeypatch, settings, tmp_path
):
    """SEC-32"""
    plant(monkeypatch, settings, tmp_path)
    path = tmp_path / "bundle.zip"
    call_command("doctor", str(path), stdout=io.StringIO(), stderr=io.StringIO())
    with zipfile.ZipFile(path) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(texts) == {"doctor.json", "logs/trading.log"}
    assert {name: leaks(text) for name, text in texts.items()} == {name: [] for name in texts}
    # what was removed was there, and what is no secret still is
    assert texts["logs/trading.log"].count("[removed]") >= len(SECRETS)
    assert "exchange key was [removed]" in texts["logs/trading.log"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_the_scrubber_finds_by_its_look_what_another_process_knew():
    """SEC-32: the web process never held these."""
    blind = Scrubber([])
    for what in set(SECRETS) - {"passphrase", "database password", "redis password"}:
        assert not leaks(blind.text(f"said {SECRETS[what]} there")), what


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (f"ping https://hc-ping.com/{UUID} failed", "ping https://hc-ping.com/[removed] failed"),
        (f"no answer of hc-ping.com/{UUID}", "no answer of hc-ping.com/[removed]"),
        ("at https://hook/services/word/word: 500", "at https://hook/[removed] 500"),
        ("'https://hook.example.org?token=word'", "'https://hook.example.org/[removed]'"),
        (f'"API_KEY": "{UUID}"', '"API_KEY": "[removed]"'),
        (f"the key was {UUID}", "the key was [removed]"),
    ],
)
def test_an_address_loses_all_that_follows_its_host_and_a_key_its_uuid(said, left):
    """SEC-32: words and UUIDs look like names, and are all there is of some tokens."""
    assert Scrubber([]).text(said) == left


@pytest.mark.parametrize(
    "text",
    [
        "0005_second_step_and_sessions was applied in 12 ms",
        "run 3f2b8c1a-9d4e-4f6a-8b7c-2d1e0f9a8b7c BTC/USDT at 64000.5",
        "2026-11-20 12:00:00,123 WARNING notifications.notifier channel phone failed: error=500",
        "optimization_update_interval_seconds was 3600, allowed: 1 to 604800",
        "/opt/tradeplatform/var/log/trading.log",
        "postgres://db.example.org/tp",
        "GET https://api.example.org failed, http://127.0.0.1:8000/ answers",
        "HTTP 401 Unauthorized, content-type application/problem+json",
    ],
)
def test_what_is_no_secret_stays_readable(text):
    assert Scrubber([]).text(text) == text


def test_every_section_is_there_and_says_what_it_should(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    make_run()
    document = doctor.bundle(check=True)
    unread = {n: s for n, s in document.items() if isinstance(s, dict) and "could_not_be_read" in s}
    assert unread == {}
    assert document["versions"]["packages"]["Django"].startswith("5.")
    assert document["database"]["migrations_not_applied"] == []
    assert document["database"]["rows"]["trades.TradingRun"] == 1
    assert document["invariants"]["now"]["breaches"] == []
    assert document["configuration"]["trading"]["mode"] == "practice"
    assert {f["name"] for f in document["preflight"]["without_network"]} == {
        "mode",
        "database",
        "redis",
    }
    assert document["disk"]["free_bytes"] > 0


def test_a_section_that_cannot_be_read_says_so_and_the_others_stand(monkeypatch, capsys, tmp_path):
    def broken() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(doctor, "_disk", broken)
    path = tmp_path / "b.zip"
    call_command("doctor", str(path), "--quick")
    said = capsys.readouterr()
    assert "disk could not be read: OSError: [Errno 5] Input/output error" in said.err
    assert "secrets removed; read it before you send it" in said.out
    with zipfile.ZipFile(path) as archive:
        document = json.loads(archive.read("doctor.json"))
    assert document["versions"]["python"] and document["invariants"]["now"] is None
    with pytest.raises(CommandError, match="allowed: a new one"):
        call_command("doctor", str(path), "--quick")


def test_an_administrator_gets_it_over_http_without_secrets(monkeypatch, settings, tmp_path):
    """SEC-9, SEC-32"""
    plant(monkeypatch, settings, tmp_path)
    assert by_token("operator").get("/api/v1/doctor/").status_code == 403
    answer = by_token("admin").get("/api/v1/doctor/")
    assert answer.status_code == 200
    assert leaks(answer.content.decode()) == []
    assert answer.json()["logs"]["trading.log"]


def test_known_are_variables_by_their_names_their_files_and_passwords_of_addresses(tmp_path):
    (tmp_path / "file").write_text("from-a-file\n")
    (tmp_path / "practice_api_key").write_text("from-the-folder")
    (tmp_path / "installation_id").write_text("abc123")
    found = known_secrets(
        {
            "NOTIFY_A_FILE": str(tmp_path / "file"),
            "SOME_API_KEY": "by-name",
            "DATABASE_URL": "postgres://u:by-address@h/d",
            "PATH": "/usr/bin",
        },
        tmp_path,
        ["given", ""],
    )
    assert set(found) == {"given", "from-a-file", "by-name", "by-address", "from-the-folder"}
    assert new_secret() not in Scrubber([]).text(f"seed {new_secret()}")
