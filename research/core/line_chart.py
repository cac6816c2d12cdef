"""Line charts as SVG text: no script, no network, readable in any browser and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from math import floor, isfinite, log10

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1000, 8, 74, 12, 26
TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One line over the chart's times; ``kind`` is its CSS class. ``values`` may hold None."""

    name: str
    kind: str
    values: Sequence[float | None]


def line_chart(
    label: str,
    ts_ms: Sequence[int],
    lines: Sequence[Line],
    *,
    height: int = 300,
    is_percent: bool = False,
) -> str:
    """Return an ``<svg>`` of lines over time; percent charts take fractions.

    Fewer than two times, or no number at all, give an empty text.
    """
    known = [v for line in lines for v in line.values if v is not None and isfinite(v)]
    if len(ts_ms) < 2 or not known or ts_ms[0] == ts_ms[-1]:
        return ""
    low, high = min(known), max(known)
    pad = (high - low) * 0.05 or abs(high) * 0.01 or 1.0
    scale = _Scale(
        ts_ms[0], ts_ms[-1], low - pad, min(high + pad, 0.0) if high <= 0.0 else high + pad, height
    )
    parts = [
        f'<svg class="line-chart" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="{escape(label)}">',
        *_grid(scale, is_percent),
        *(_path(scale, ts_ms, line) for line in lines),
        "</svg>",
    ]
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Scale:
    first_ms: int
    last_ms: int
    low: float
    high: float
    height: int

    def x(self, ts_ms: float) -> float:
        share = (ts_ms - self.first_ms) / (self.last_ms - self.first_ms)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)


def _path(scale: _Scale, ts_ms: Sequence[int], line: Line) -> str:
    steps, pen = [], "M"
    for at, value in zip(ts_ms, line.values, strict=True):
        if value is None or not isfinite(value):
            pen = "M"
            continue
        steps.append(f"{pen}{scale.x(at):.1f} {scale.y(value):.1f}")
        pen = "L"
    name = escape(line.name)
    return f'<path class="{escape(line.kind)}" d="{"".join(steps)}"><title>{name}</title></path>'


def _grid(scale: _Scale, is_percent: bool) -> list[str]:
    parts = []
    step = nice_step((scale.high - scale.low) / TICKS)
    number = floor(scale.low / step) + 1
    while number * step <= scale.high:
        value, y = number * step, scale.y(number * step)
        text = f"{100 * value:,.4g} %" if is_percent else f"{value:,.6g}"
        parts.append(f'<path class="rule" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 6}" y="{y + 4:.1f}">{text}</text>')
        number += 1
    span_ms = scale.last_ms - scale.first_ms
    form = "%Y-%m-%d" if span_ms > 5 * 86_400_000 else "%m-%d %H:%M"
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = datetime.fromtimestamp((scale.first_ms + share * span_ms) / 1000, UTC)
        x = scale.x(scale.first_ms + share * span_ms)
        y = scale.height - 7
        parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{at:{form}}</text>')
    return parts


def nice_step(raw: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least ``raw`` (> 0)."""
    power: float = 10.0 ** floor(log10(raw))
    for factor in (1.0, 2.0, 5.0, 10.0):
        if factor * power >= raw * (1 - 1e-9):
            return factor * power
    return 10.0 * power
