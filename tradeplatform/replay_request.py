"""What a replay is asked to do: files or candles, span, sources, money; and what it tells."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from django.conf import settings

from engine.types.bars import BarColumns
from engine.types.decisions import JsonValue
from market.sources.history import History, HistorySource, load_history
from research.core.journal import MemoryJournal
from research.core.report import Market, Terms, report_document
from research.core.result import ReplayResult, replay_result
from research.core.traced_journal import ReportJournal
from tradeplatform import bootstrap
from tradeplatform.configuration import PREDICTOR_CODES, STRATEGY_CODES, Configuration, load
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.layer import replay_layer
from tradeplatform.peak_memory import peak_rss_mb
from tradeplatform.replay_run import Replay
from tradeplatform.reporters import LogReporter

PROGRESS_EVERY = 50_000
# bars between two words to whoever may stop the replay
TOLD_EVERY = 200
Progress = Callable[[int, int], None]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options that every command over history has."""
    parser.add_argument("--data", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--from", dest="from_iso", metavar="ISO")
    parser.add_argument("--to", dest="to_iso", metavar="ISO")
    parser.add_argument("--symbol")
    parser.add_argument("--timeframe")
    parser.add_argument("--strategies", metavar="a,b")
    parser.add_argument("--predictors", default="all", metavar="all|none|a,b")
    parser.add_argument("--seed", type=int, default=1, help="of synthetic book and training")
    parser.add_argument("--cash", default=None)
    parser.add_argument("--book", choices=["synthetic", "none"], default="none")
    parser.add_argument("--slippage-bps", default="2", help="where there is no book")
    parser.add_argument("--config", default=None, metavar="FILE")
    parser.add_argument("--json", action="store_true")


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A checked request; ``source`` may be fed to one replay, ``again`` gives another."""

    config: Configuration
    history: History
    from_ms: int | None
    to_ms: int | None
    book_seed: int | None
    seed: int
    cash_quote: Decimal
    slippage_bps: Decimal

    def source(self) -> HistorySource:
        """Return the bars from the start."""
        return HistorySource(
            self.history, from_ms=self.from_ms, to_ms=self.to_ms, book_seed=self.book_seed
        )

    def run(
        self,
        *,
        with_layer: bool,
        journal: type[MemoryJournal] = MemoryJournal,
        label: str = "",
        progress: Progress | None = None,
    ) -> tuple[Replay, ReplayResult]:
        """Replay everything and return the wiring, with what it journalled, and the result.

        ``progress`` hears (bars done, bars in all) every few hundred bars and may raise to stop;
        without it, lines go to standard error.
        """
        source, total = self.source(), len(self.source())
        wiring = bootstrap.replay(
            bootstrap.with_layer(self.config, with_layer),
            source,
            cash_quote=self.cash_quote,
            reporter=LogReporter(),
            slippage_bps=self.slippage_bps,
            layer=replay_layer if with_layer else None,
            seed=self.seed,
            told=lambda line: _say(f"{label}{line}"),
            journal_kind=journal,
        )
        if progress is None:
            elapsed_s = wiring.run(PROGRESS_EVERY, _progress(label, total))
        else:
            elapsed_s = wiring.run(TOLD_EVERY, lambda done: progress(done, total))
        return wiring, replay_result(
            wiring.journal,
            starting_cash=str(self.cash_quote),
            elapsed_s=elapsed_s,
            peak_rss_mb=peak_rss_mb(),
            interventions=len(wiring.operator.interventions),
            layer=None if wiring.layer is None else wiring.layer.summary(),
        )

    def report(self, wiring: Replay, result: ReplayResult) -> dict[str, JsonValue]:
        """Return the report's document of a finished replay that kept a ``ReportJournal``."""
        journal = report_journal(wiring)
        source = wiring.source
        bars = {symbol: self._replayed(source, symbol) for symbol in source.instruments}
        return report_document(
            result,
            journal,
            Market(bars, source.instruments, source.timeframe_ms),
            Terms(
                cash_quote=float(self.cash_quote),
                slippage_bps=float(self.slippage_bps),
                has_book=self.book_seed is not None,
                resume_after_days=bootstrap.RESUME_AFTER_DAYS,
                entry_order=self.config.trading.entry_order,
            ),
            np.random.default_rng(self.seed),
        )

    @staticmethod
    def _replayed(source: HistorySource, symbol: str) -> BarColumns:
        """Return the bars that were events, without the warm-up before them."""
        bars = source.columns(symbol)
        return bars.rows(source.first_row(symbol), len(bars))


def report_journal(wiring: Replay) -> ReportJournal:
    """Return the journal of a replay that was run for a report."""
    journal = wiring.journal
    if not isinstance(journal, ReportJournal):
        raise TypeError(f"a report needs its own journal, was {type(journal).__name__}")
    return journal


def read_request(
    options: Mapping[str, Any], history: History | None = None, symbols: Sequence[str] = ()
) -> ReplayRequest:
    """Check the options and read the files, or take a ``history`` that was read elsewhere.

    ``symbols`` chooses among those of the history; empty means all.

    Raises:
        ConfigurationError, DataError, StrategyError: one line that names the option or file.
    """
    config = _narrowed(load(options["config"] or settings.CONFIG_FILE), options)
    if history is None:
        history = load_history(
            options["data"], symbol=options["symbol"], timeframe=options["timeframe"]
        )
    history = _of_symbols(history, symbols)
    from_ms, to_ms = (_moment(f"--{end}", options[f"{end}_iso"]) for end in ("from", "to"))
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise ConfigurationError(
            f"--from was {options['from_iso']}, allowed: before --to, which was {options['to_iso']}"
        )
    request = ReplayRequest(
        config=config,
        history=history,
        from_ms=from_ms,
        to_ms=to_ms,
        book_seed=options["seed"] if options["book"] == "synthetic" else None,
        seed=options["seed"],
        cash_quote=_amount("--cash", options["cash"] or str(config.trading.cash)),
        slippage_bps=_amount("--slippage-bps", options["slippage_bps"]),
    )
    if len(request.source()) == 0:
        raise ConfigurationError(
            f"no bar opens between --from {options['from_iso'] or 'the first'} and --to"
            f" {options['to_iso'] or 'the last'}, {_span(history)}"
        )
    return request


def _of_symbols(history: History, symbols: Sequence[str]) -> History:
    for symbol in symbols:
        if symbol not in history.bars:
            raise ConfigurationError(
                f"symbols had {symbol}, the files hold {', '.join(history.bars)}"
            )
    chosen = [symbol for symbol in history.bars if not symbols or symbol in symbols]
    quotes = sorted({history.instruments[symbol].quote for symbol in chosen})
    if len(quotes) > 1:
        raise ConfigurationError(
            f"symbols were quoted in {', '.join(quotes)}, allowed: one quote currency"
        )
    return History(
        {symbol: history.bars[symbol] for symbol in chosen},
        {symbol: history.instruments[symbol] for symbol in chosen},
        history.timeframe_ms,
    )


def _span(history: History) -> str:
    opens = [(bars.ts_ms[0], bars.ts_ms[-1]) for bars in history.bars.values() if len(bars.ts_ms)]
    if not opens:
        return "the files hold no bars"
    first, last = min(first for first, _ in opens), max(last for _, last in opens)
    return f"the files hold {_iso(first)} to {_iso(last)} UTC"


def _iso(ts_ms: int) -> str:
    return f"{datetime.fromtimestamp(int(ts_ms) / 1000, UTC):%Y-%m-%dT%H:%M}"


def _narrowed(config: Configuration, options: Mapping[str, Any]) -> Configuration:
    """Switch off what the options leave out."""
    if options["strategies"]:
        wanted = _codes("--strategies", options["strategies"], STRATEGY_CODES)
        config = bootstrap.with_strategies(config, wanted)
    predictors = options["predictors"]
    if predictors != "all":
        wanted = () if predictors == "none" else _codes("--predictors", predictors, PREDICTOR_CODES)
        config = bootstrap.with_predictors(config, wanted)
    return config


def _codes(name: str, text: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    codes = tuple(part.strip() for part in text.split(",") if part.strip())
    for code in codes:
        if code not in allowed:
            raise ConfigurationError(f"{name} was {code!r}, allowed: {', '.join(allowed)}")
    return codes


def _moment(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{name} was {text!r}, allowed: an ISO date or time such as 2024-03-01T00:00"
        ) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _amount(name: str, text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ConfigurationError(f"{name} was {text!r}, allowed: a number") from None
    if not amount.is_finite() or amount < 0:
        raise ConfigurationError(f"{name} was {text}, allowed: 0 or more")
    return amount


def _progress(label: str, total: int) -> Callable[[int], None]:
    return lambda done: _say(f"{label}{done} of {total} bars")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
