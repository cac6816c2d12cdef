"""Several accounts in one file: what each goes by, and that an only account goes by what it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradeplatform.configuration import Configuration, from_mapping, load, load_accounts
from tradeplatform.configuration_errors import ConfigurationError


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_a_file_without_accounts_is_one_account_and_its_document_knows_of_none(
    tmp_path: Path,
) -> None:
    """D-31, D-59: a digest that changed by itself would be an audited change nobody made."""
    some = "risk: {max_day_loss: 0.02}\ntrading: {symbols: [BTC/USDT]}\n"
    some += "strategies: {breakout: {enabled: false}}\n"
    path = written(tmp_path, some)
    (only,) = load_accounts(path)
    assert "accounts" not in only.as_json()
    assert only.digest() == load(path).digest()
    assert only.digest() != Configuration().digest()
    assert not only.is_apart


def test_a_second_account_changes_nothing_of_main(tmp_path: Path) -> None:
    """D-59: its run goes on as it is, under the same digest."""
    alone = load(written(tmp_path, "risk: {max_day_loss: 0.02}"))
    text = "risk: {max_day_loss: 0.02}\naccounts: {main: , second: {risk: {loss_streak: 3}}}"
    main, second = load_accounts(written(tmp_path, text))
    assert main == alone and main.digest() == alone.digest()
    assert (second.exchange.account, second.is_apart) == ("second", True)


def test_an_accounts_own_keys_win_and_the_files_hold_where_it_is_silent(tmp_path: Path) -> None:
    """D-59: by key, not by section; what a run stored is read back as the same."""
    text = """
    risk: {max_day_loss: 0.02, loss_streak: 4}
    strategies: {breakout: {enabled: false}, ema-trend: {base_weight: 1.5}}
    monitoring: {holds_kept_days: 3}
    accounts:
      second:
        exchange: {id: kraken}
        trading: {mode: paper, symbols: [ETH/EUR]}
        risk: {loss_streak: 2}
        strategies: {ema-trend: {enabled: false}}
      main: {}
    """
    main, second = load_accounts(written(tmp_path, text))
    assert main.exchange.account == "main" and main.exchange.id == "practice"
    assert (second.exchange.id, second.trading.mode) == ("kraken", "paper")
    assert second.trading.symbols == ("ETH/EUR",)
    assert (second.risk.max_day_loss, second.risk.loss_streak) == (0.02, 2)
    assert (main.risk.loss_streak, main.strategy("ema-trend").enabled) == (4, True)
    assert not second.strategy("breakout").enabled
    assert second.strategy("ema-trend").base_weight == 1.5
    assert not second.strategy("ema-trend").enabled
    assert second.monitoring.holds_kept_days == 3
    assert from_mapping(second.as_json(), source="its run") == second
    assert from_mapping(second.as_json(), source="its run").is_apart


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("accounts: {second: {}}", "accounts was second, allowed: main and others"),
        ("accounts: {}", "accounts was empty, allowed: main and others"),
        ("accounts: [main]", "accounts was ['main'], allowed: a mapping"),
        ("accounts: {main: , Second: {}}", "accounts was Second, allowed: a small letter"),
        ("accounts: {main: , second: 5}", "accounts.second was 5, allowed: a mapping of exchange"),
        ("accounts: {main: , b: {monitoring: {}}}", "accounts.b.monitoring was {}, allowed: exch"),
        ("accounts: {main: , b: {risk: 5}}", "accounts.b.risk was 5, allowed: a mapping"),
        (
            "accounts: {main: , b: {exchange: {account: c}}}",
            "accounts.b.exchange.account was c, allowed: none, the account's name is it",
        ),
        ("exchange: {account: c}\naccounts: {main: }", "exchange.account was c, allowed: none"),
        (
            "accounts: {main: , b: {risk: {max_day_loss: 7}}}",
            "accounts.b: risk.max_day_loss was 7, allowed: a number above 0 and at most 0.5",
        ),
        (
            "accounts: {main: , b: {exchange: {id: kraken}}}",
            "accounts.b: trading.mode was practice, allowed with exchange.id kraken",
        ),
        (
            "accounts: {main: , b: {trading: {symbols: [BTC/USDT]}}}",
            "accounts.b.trading.symbols was ['BTC/USDT'], allowed: that of main",
        ),
        ("accounts: {main: , b: {risk: {max_day_loss: .nan}}}", "risk.max_day_loss was nan"),
        ("accounts: {main: , main: }", "key main was there twice"),
    ],
)
def test_a_wrong_account_is_one_line_that_names_it(tmp_path: Path, text: str, line: str) -> None:
    """F-087."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as refused:
        load_accounts(path)
    said = str(refused.value)
    assert line in said and said.startswith(str(path)) and "\n" not in said


def test_the_example_of_the_page_is_a_file_that_loads(tmp_path: Path) -> None:
    """OPT-92: whoever copies it trades three accounts."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "accounts.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]
    accounts = load_accounts(written(tmp_path, example))
    assert [(a.exchange.account, a.trading.mode) for a in accounts] == [
        ("main", "practice"),
        ("second", "practice"),
        ("watch", "paper"),
    ]
    assert accounts[1].trading.cash == 5000 and accounts[1].risk.max_day_loss == 0.01
