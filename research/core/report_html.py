"""One replay as one HTML file: everything inside, nothing fetched, no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from research.core.line_chart import Line, line_chart
from research.core.report import figures_lack

NONE = "-"
STYLE = """
:root{color-scheme:light dark;--bg:#f4f6f9;--surface:#fff;--line:#e2e6ed;--text:#151a22;
--muted:#556072;--a:#2559c7;--b:#8a5d00;--down:#bf2f3b;--up:#0f6e47}
@media(prefers-color-scheme:dark){:root{--bg:#0b0e13;--surface:#12161d;--line:#222935;
--text:#e7eaf0;--muted:#98a2b3;--a:#6ea0ff;--b:#e0ae4b;--down:#ef6f79;--up:#3dbb85}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--text);
font:13px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1100px;margin:0 auto;padding:24px 16px 48px}h1{font-size:20px;margin:0 0 2px}
h2{font-size:14px;margin:0 0 10px}p{margin:0 0 8px}.muted,dt,small,th{color:var(--muted)}
section{margin-top:14px;padding:14px;border:1px solid var(--line);border-radius:10px;
background:var(--surface);overflow-x:auto}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:10px;margin:0}
dd{margin:0;font-size:18px;font-weight:620}dd small{display:block;font-size:11.5px;font-weight:400}
table{width:100%;border-collapse:collapse}th,td{padding:4px 8px;text-align:left;
border-top:1px solid var(--line);white-space:nowrap}th{font-weight:500;border-top:0}
.n{text-align:right}.up{color:var(--up)}.down{color:var(--down)}ul{margin:0;padding-left:18px}
svg{display:block;width:100%;height:auto}svg text{fill:var(--muted);font-size:12px}
svg path{fill:none;stroke-width:1.8}.rule{stroke:var(--line);stroke-width:1}.equity{stroke:var(--a)}
.hold{stroke:var(--b);stroke-dasharray:5 4}.depth{stroke:var(--down)}
.key b{display:inline-block;width:18px;border-top:2px solid var(--a);vertical-align:middle;
margin:0 5px 0 12px}
.key b.hold{border-top:2px dashed var(--b)}.key b.depth{border-color:var(--down)}
"""


def report_html(
    *,
    title: str,
    figures: Mapping[str, Any],
    document: Mapping[str, Any],
    made: Sequence[tuple[str, str]],
) -> str:
    """Return the whole page. ``made`` says what was asked, and with which code, line by line."""
    series = document["series"]
    charts = (
        ("Equity against buy-and-hold", _equity_chart(series)),
        ("Underwater: below the peak so far", _depth_chart(series)),
    )
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="muted">SIMULATED on recorded history. {_span(document)}</p>',
        f"<section><h2>Figures</h2>{_figures(figures, document)}</section>",
        *(f"<section><h2>{name}</h2>{chart}</section>" for name, chart in charts if chart),
        f"<section><h2>Assumptions</h2>{_list(document['assumptions'])}</section>",
        f"<section><h2>Costs</h2>{_costs(document)}</section>",
        f"<section><h2>From bars to trades</h2>{_funnel(document)}</section>",
        f"<section><h2>Strategies</h2>{_strategies(document)}</section>",
        *_honesty(document),
        f"<section><h2>Trades</h2>{_trades(document)}</section>",
        f"<section><h2>How it was made</h2>{_table(('What', 'Value'), made)}</section>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>"
    )


def _equity_chart(series: Mapping[str, Any]) -> str:
    lines = [Line("equity", "equity", series["equity"]), Line("hold", "hold", series["hold"])]
    key = (
        '<p class="key muted"><b></b>equity, costs included<b class="hold"></b>'
        "buy-and-hold of the same cash</p>"
    )
    chart = line_chart("Equity and buy-and-hold", series["ts_ms"], lines)
    return chart and key + chart


def _depth_chart(series: Mapping[str, Any]) -> str:
    lines = [
        Line("underwater", "depth", series["underwater"]),
        Line("buy-and-hold", "hold", series["hold_underwater"]),
    ]
    key = (
        '<p class="key muted"><b class="depth"></b>this replay<b class="hold"></b>buy-and-hold</p>'
    )
    chart = line_chart("Underwater", series["ts_ms"], lines, height=190, is_percent=True)
    return chart and key + chart


def _figures(figures: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    hold, quote, costs = document["hold"], document["quote"], document["costs"]
    cash = _money(document["cash_quote"])
    hold_return = f"hold {_percent(hold['return_fraction'])}"
    hold_fall = f"hold {_percent(hold['max_drawdown_fraction'])}"
    won = f"won {_percent(figures['win_rate_fraction'])}"
    lack = figures_lack(figures, document)

    def judged(of: str, name: str, digits: int, note: str) -> tuple[str, str]:
        return ("-", lack[of]) if lack[of] else (_number(figures[name], digits), note)

    cells = (
        ("Return", _percent(figures["return_fraction"]), hold_return),
        ("Final equity", _money(figures["final_equity"]), f"{quote}, from {cash}"),
        ("Max drawdown", _percent(figures["max_drawdown_fraction"]), hold_fall),
        ("Sharpe", *judged("days", "sharpe", 2, "a year, by bar")),
        ("Sortino", *judged("days", "sortino", 2, "a year, by bar")),
        ("Closed trades", f"{figures['trades']:,}", lack["trades"] or won),
        ("Profit factor", *judged("trades", "profit_factor", 2, "won over lost")),
        ("Expectancy", *judged("trades", "expectancy_r", 3, "R a trade, net")),
        (
            "Fees",
            _money(costs["fees_quote"]),
            f"{_percent(costs['fees_of_cash_fraction'])} of cash",
        ),
        ("Exposure, most", _percent(figures["exposure_max_fraction"]), "of equity"),
        ("Interventions", str(figures["interventions"]), "of the simulated operator"),
        ("Deposits", "none", ""),
    )
    return (
        "<dl>"
        + "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
            for name, value, note in cells
        )
        + "</dl>"
    )


def _costs(document: Mapping[str, Any]) -> str:
    costs, quote = document["costs"], document["quote"]
    slippage = (
        "what the synthetic book gives"
        if costs["slippage_bps"] is None
        else f"{costs['slippage_bps']:g} bps against every market order and stop"
    )
    rows = (
        ("Fees paid", f"{_money(costs['fees_quote'])} {quote}"),
        ("Turnover", f"{_money(costs['turnover_quote'])} {quote}"),
        ("Taker fee", _percent(costs["taker_fee_fraction"])),
        ("Maker fee", _percent(costs["maker_fee_fraction"])),
        ("Slippage", slippage),
    )
    return _table(("Cost", "Amount"), rows)


def _funnel(document: Mapping[str, Any]) -> str:
    steps = _table(
        ("Step", "How many"), [(row["step"], f"{row['n']:,}") for row in document["funnel"]], 1
    )
    refused = [
        (phase_words(row), row["reason_code"], f"{row['n']:,}") for row in document["refused"]
    ]
    ended = _table(("Stopped at phase", "Reason", "Proposals"), refused, 2) if refused else ""
    return steps + ended


def phase_words(row: Mapping[str, Any]) -> str:
    """Return ``7 risk and sizing``."""
    return f"{row['phase']} {row['phase_name'].replace('_', ' ')}"


def _strategies(document: Mapping[str, Any]) -> str:
    rows = [
        (
            row["strategy"],
            f"{row['trades']:,}",
            _percent(row["win_rate_fraction"]),
            _money(row["fees_quote"]),
            _money(row["pnl_quote"]),
        )
        for row in document["strategies"]
    ]
    if not rows:
        return '<p class="muted">No trade was closed.</p>'
    return _table(("Strategy", "Trades", "Won", "Fees", "PnL, net"), rows, 1)


def _honesty(document: Mapping[str, Any]) -> Iterable[str]:
    """What chance alone would have done with these trades, where it was computed."""
    found = document.get("monte_carlo")
    if not found:
        return
    evidence = f'<p class="muted">{escape(evidence_words(document.get("sharpe_evidence")))}</p>'
    rows = [
        (
            row["method"],
            row["figure"],
            _chance(row, "p05"),
            _chance(row, "p50"),
            _chance(row, "p95"),
        )
        for row in found["rows"]
    ]
    yield (
        "<section><h2>What chance makes of these trades</h2>"
        f'<p class="muted">{escape(found["text"])}</p>'
        + _table(("Method", "Figure", "5 %", "Median", "95 %"), rows, 2)
        + evidence
        + "</section>"
    )


def evidence_words(found: Mapping[str, Any] | None) -> str:
    """Return what the daily returns say of the Sharpe ratio, in a sentence."""
    if not found:
        return "Too few days for a word on the Sharpe ratio: 30 with returns that vary are needed."
    return (
        f"Over {found['days']:,} days the Sharpe ratio was {found['sharpe_a_year']:.2f} a year;"
        f" with their skew and fat tails the chance that the true one is above 0 is"
        f" {100.0 * found['probability_above_0']:.0f} of 100, if this was the only try. Every other"
        " try lowers it: a sweep counts them."
    )


def _chance(row: Mapping[str, Any], name: str) -> str:
    return _percent(row[name]) if row["is_fraction"] else _money(row[name])


def _trades(document: Mapping[str, Any]) -> str:
    shown, total = document["trades"], document["trades_total"]
    if not shown:
        return '<p class="muted">No trade was closed.</p>'
    rows = [
        (
            _moment(row["opened_at_ms"]),
            _moment(row["closed_at_ms"]),
            row["strategy"],
            row["symbol"],
            row["exit_reason"],
            row["quantity_base"],
            row["entry_price"],
            row["exit_price"],
            _money(row["fees_quote"]),
            _money(row["pnl_quote"]),
            _number(row["r_multiple"], 2),
        )
        for row in reversed(shown)
    ]
    head = "Opened UTC,Closed UTC,Strategy,Symbol,Exit,Quantity,Entry,Exit price,Fees,PnL net,R"
    note = f'<p class="muted">The newest {len(shown):,} of {total:,}.</p>'
    return (note if total > len(shown) else "") + _table(head.split(","), rows, 5)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 99) -> str:
    def cell(tag: str, at: int, text: str) -> str:
        mark = ' class="n"' if at >= numbers_from else ""
        return f"<{tag}{mark}>{escape(text)}</{tag}>"

    def line(tag: str, cells: Sequence[str]) -> str:
        return f"<tr>{''.join(cell(tag, at, text) for at, text in enumerate(cells))}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><thead>{line('th', head)}</thead><tbody>{body}</tbody></table>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _span(document: Mapping[str, Any]) -> str:
    if document["from_ms"] is None:
        return ""
    symbols = escape(", ".join(document["symbols"]))
    minutes = document["timeframe_ms"] // 60_000
    first, last = _moment(document["from_ms"]), _moment(document["to_ms"])
    return f"{symbols}, bars of {minutes:,} min, {first} to {last} UTC."


def _moment(ts_ms: int) -> str:
    return f"{datetime.fromtimestamp(ts_ms / 1000, UTC):%Y-%m-%d %H:%M}"


def _percent(fraction: float | None) -> str:
    return NONE if fraction is None else f"{100.0 * fraction:,.2f} %"


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:,.{digits}f}"


def _money(value: str | float | None) -> str:
    return NONE if value is None else f"{float(value):,.2f}"
