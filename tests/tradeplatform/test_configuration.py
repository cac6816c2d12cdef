"""F-087: a wrong configuration is refused with one line, and no risk limit is made up."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from tradeplatform import configuration
from tradeplatform.configuration import (
    Configuration,
    ConfigurationError,
    Optimization,
    Risk,
    from_mapping,
    load,
)

ROOT = Path(__file__).resolve().parents[2]

# text of the file, the key the line must name, the value it must show, a word of what is allowed
BAD_FILES = [
    ("risk: {risk_per_trade: 3}", "risk.risk_per_trade", "3", "at most 0.05"),
    ("risk: {risk_per_trade: 0}", "risk.risk_per_trade", "0", "above 0"),
    ("risk: {risk_per_trade: -0.01}", "risk.risk_per_trade", "-0.01", "above 0"),
    ("risk: {risk_per_trade: .nan}", "risk.risk_per_trade", "nan", "finite"),
    ("risk: {max_position_size: .inf}", "risk.max_position_size", "inf", "finite"),
    ("risk: {max_position_size: -.inf}", "risk.max_position_size", "-inf", "finite"),
    ("risk: {max_position_size: 10}", "risk.max_position_size", "10", "at most 1"),
    ("risk: {max_position_size: 10%}", "risk.max_position_size", "10%", "a number"),
    ("risk: {max_position_size: true}", "risk.max_position_size", "True", "a number"),
    ("risk: {max_position_size: '0.1'}", "risk.max_position_size", "0.1", "a number"),
    ("risk: {max_position_size: null}", "risk.max_position_size", "empty", "a number"),
    ("risk: {max_position_size: [0.1]}", "risk.max_position_size", "[0.1]", "a number"),
    ("risk: {max_open_orders: 2.5}", "risk.max_open_orders", "2.5", "whole number"),
    ("risk: {max_open_orders: 0}", "risk.max_open_orders", "0", "at least 1"),
    ("risk: {max_open_orders: false}", "risk.max_open_orders", "False", "whole number"),
    ("risk: {max_order_quote: -5}", "risk.max_order_quote", "-5", "above 0"),
    ("risk: {max_day_loss: 0}", "risk.max_day_loss", "0", "above 0"),
    ("risk: {leverage: 3}", "risk.leverage", "3", "at most 1"),
    ("risk: {max_day_los: 0.03}", "risk.max_day_los", "0.03", "max_day_loss"),
    ("risk: {max_risk_per_trade: 0.005}", "risk.risk_per_trade", "0.01", "at most"),
    ("risk: {max_day_loss: 0.3}", "risk.max_day_loss", "0.3", "max_total_drawdown"),
    ("risk: {cash_reserve: 0.5}", "risk.cash_reserve", "0.5", "max_gross_exposure"),
    ("risk: {max_gross_exposure: 0.1}", "risk.max_strategy_exposure", "0.2", "at most"),
    ("risk: 5", "risk", "5", "the keys risk_per_trade"),
    ("risk: []", "risk", "[]", "the keys risk_per_trade"),
    ("rsik: {}", "rsik", "{}", "the keys exchange"),
    ("trading: {symbols: BTC/USDT}", "trading.symbols", "BTC/USDT", "a list"),
    ("trading: {symbols: []}", "trading.symbols", "[]", "a list"),
    ("trading: {symbols: [BTC/USDT, btc]}", "trading.symbols[1]", "btc", "text like"),
    ("trading: {symbols: [BTC/USDT, 7]}", "trading.symbols[1]", "7", "text like"),
    ("trading: {symbols: [BTC/USDT, BTC/USDT]}", "trading.symbols", "BTC/USDT", "once"),
    ("trading: {symbols: [BTC/USDT, ETH/BTC]}", "trading.symbols", "ETH/BTC", "one quote"),
    ("trading: {timeframe: 7m}", "trading.timeframe", "7m", "15m"),
    ("trading: {timeframe: 60}", "trading.timeframe", "60", "15m"),
    ("trading: {cash: 0}", "trading.cash", "0", "above 0"),
    ("trading: {cash: 1e400}", "trading.cash", "1e400", "a number"),
    ("trading: {cash: 1.0e+400}", "trading.cash", "inf", "finite"),
    ("trading: {mode: live}", "trading.mode", "live", "practice"),
    ("exchange: {id: binance}", "trading.mode", "practice", "paper or live"),
    ("exchange: {id: 'Binance Spot'}", "exchange.id", "Binance Spot", "text like"),
    ("exchange: {api_key: abc}", "exchange.api_key", "abc", "the keys id"),
    ("exchange: {request_timeout_seconds: 60}", "exchange.request_timeout_seconds", "60", "9"),
    ("strategies: {ema-trnd: {}}", "strategies.ema-trnd", "", "ema-trend"),
    ("strategies: {ema-trend: {base_weight: 5}}", "strategies.ema-trend.base_weight", "5", "2"),
    ("strategies: {ema-trend: {base_weight: 0}}", "strategies.ema-trend.base_weight", "0", "0.1"),
    (
        "strategies: {breakout: {}, ema-trend: {parameters: {fast: twelve}}}",
        "strategies.ema-trend.parameters.fast",
        "twelve",
        "a number",
    ),
    ("strategies: [ema-trend]", "strategies", "['ema-trend']", "a mapping"),
    ("predictors: {oracle: {}}", "predictors.oracle", "", "online-linear"),
    ("optimization: {enabled: 'yes'}", "optimization.enabled", "yes", "true or false"),
    ("optimization: {enabled: 1}", "optimization.enabled", "1", "true or false"),
    (
        "optimization: {update_interval_seconds: 0}",
        "optimization.update_interval_seconds",
        "0",
        "at least 1",
    ),
    ("optimization: {quality_threshold: 60}", "optimization.quality_threshold", "60", "at most 1"),
    ("optimization: {enable: true}", "optimization.enable", "True", "the keys enabled"),
    ("notifications: {minimum_severity: loud}", "notifications.minimum_severity", "loud", "info"),
    ("risk: {cash_reserve: 0.1}\nrisk: {}", "key risk", "there twice", "YAML"),
    ("risk: {cash_reserve: 0.1, cash_reserve: 0.2}", "key cash_reserve", "twice", "YAML"),
    ("1: 2", "key 1", "not text", "YAML"),
    ("risk: {cash_reserve: !!python/object/apply:os.getpid []}", "file", "python", "YAML"),
    ("risk: [", "file", "", "YAML"),
    ("just words", "file", "str", "a mapping"),
    ("- risk", "file", "list", "a mapping"),
]


@pytest.mark.parametrize(("text", "key", "value", "allowed"), BAD_FILES)
def test_a_bad_file_is_refused_with_one_line_naming_file_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, key: str, value: str, allowed: str
) -> None:
    """F-087, OPT-41"""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    said, _, rule = message.partition("allowed")
    assert re.search(rf"(?<![\w.]){re.escape(key)}(?![\w])", said), message
    assert value in said
    assert allowed in rule


def test_bytes_that_are_not_text_are_refused_with_one_line(tmp_path: Path) -> None:
    """F-087, F-088: half-written or binary files."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"risk: \xff\xfe")
    with pytest.raises(ConfigurationError, match="not readable"):
        load(path)


def test_an_empty_file_and_a_missing_shipped_file_give_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPT-42"""
    monkeypatch.setattr(configuration, "SHIPPED", tmp_path / "absent.yaml")
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing\n")
    assert load(tmp_path / "absent.yaml") == load(empty) == Configuration()


def test_a_named_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """F-087: nobody trades on defaults who named limits of their own."""
    with pytest.raises(ConfigurationError, match=r"own\.yaml: file was not there"):
        load(tmp_path / "own.yaml")


def test_optimization_is_off_and_has_the_documented_defaults() -> None:
    """OPT-06, OPT-41"""
    assert msgspec.to_builtins(Configuration().optimization) == {
        "enabled": False,
        "enable_quality_filtering": True,
        "enable_adaptive_weighting": True,
        "enable_retirement_management": True,
        "update_interval_seconds": 3600.0,
        "quality_threshold": 0.60,
        "quality": {},
        "health": {},
        "weighting": {},
        "sizing": {},
    }


def test_a_section_with_only_enabled_keeps_every_other_default() -> None:
    """OPT-42"""
    given = from_mapping({"optimization": {"enabled": True}}, source="x").optimization
    assert given == msgspec.structs.replace(Optimization(), enabled=True)


def test_a_section_whose_keys_are_all_commented_out_gives_its_defaults() -> None:
    assert from_mapping({"risk": None}, source="x").risk == Risk()


def test_the_shipped_file_documents_exactly_the_defaults(tmp_path: Path) -> None:
    """Every ``# key: value`` of config.yaml, switched on, must change nothing."""
    shipped = (ROOT / "config.yaml").read_text()
    switched_on = re.sub(r"(?m)^  # (\s*)([\w-]+:)", r"  \1\2", shipped)
    path = tmp_path / "config.yaml"
    path.write_text(switched_on)
    loaded = load(path)
    assert load(ROOT / "config.yaml") == Configuration()
    for section in ("exchange", "trading", "risk", "optimization", "monitoring", "notifications"):
        assert getattr(loaded, section) == getattr(Configuration(), section)
        given = yaml.safe_load(switched_on)[section]
        assert set(given) == set(getattr(Configuration(), section).__struct_encode_fields__)


def test_the_digest_follows_values_and_ignores_comments_and_order(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("risk: {cash_reserve: 0.2, max_gross_exposure: 0.5}\n")
    second.write_text("# why\nrisk:\n  max_gross_exposure: 0.5\n  cash_reserve: 0.2\n")
    assert load(first).digest() == load(second).digest()
    assert load(first).digest() != Configuration().digest()


def test_a_loaded_configuration_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Configuration().risk.leverage = 2.0  # type: ignore[misc]
