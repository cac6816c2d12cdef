/* Draws one stretch of a market: candles and marks, volume, and a pane for each indicator. All
   panes share one time axis, so they move together. */
(function () {
  "use strict";
  const TP = window.TP;
  const { charts, format } = TP;
  const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };
  const PRICE_PX = 400;
  const VOLUME_PX = 84;
  const PANE_PX = 110;
  const GAP_PX = 14;
  const BOTTOM_PX = 34;

  const at = format.onAxis;
  const column = (rows, name) => rows.map((row) => row[name]);

  /* Heights in pixels become shares of the whole, from the bottom up. */
  function panes(n) {
    const heights = [...Array(n).fill(PANE_PX), VOLUME_PX, PRICE_PX];
    const whole = heights.reduce((sum, px) => sum + px + GAP_PX, -GAP_PX);
    let low = 0;
    const domains = heights.map((px) => {
      const domain = [low / whole, Math.min(1, (low + px) / whole)];
      low += px + GAP_PX;
      return domain;
    });
    return { domains, height: whole + BOTTOM_PX };
  }

  function candles(view) {
    const bars = view.bars;
    const up = bars.close.map((close, i) => close >= bars.open[i]);
    return [
      {
        type: "candlestick",
        name: view.symbol,
        x: bars.ts_ms.map(at),
        open: bars.open,
        high: bars.high,
        low: bars.low,
        close: bars.close,
        increasing: { line: { color: charts.token("--up"), width: 1 }, fillcolor: charts.token("--up") },
        decreasing: { line: { color: charts.token("--down"), width: 1 }, fillcolor: charts.token("--down") },
      },
      {
        type: "bar",
        name: "volume",
        x: bars.ts_ms.map(at),
        y: bars.volume,
        yaxis: "y2",
        marker: { color: up.map((rose) => charts.token(rose ? "--up" : "--down")), opacity: 0.55, line: { width: 0 } },
        hovertemplate: "volume %{y:,.4~g}<extra></extra>",
      },
    ];
  }

  function lines(pieces, name, color, dash) {
    const x = [];
    const y = [];
    for (const piece of pieces) {
      for (const [ms, value] of piece) {
        x.push(at(ms));
        y.push(value);
      }
      x.push(null);
      y.push(null);
    }
    return { type: "scatter", mode: "lines", name, x, y, hoverinfo: "skip", line: { color: charts.token(color), width: 1.3, dash, shape: name === "stops" ? "hv" : "linear" } };
  }

  function stops(view) {
    const last = view.bars.ts_ms[view.bars.ts_ms.length - 1] + view.bars.timeframe_ms;
    const pieces = view.stops.map((line) => {
      const end = line.closed_ms === null ? Math.max(last, line.steps[line.steps.length - 1][0]) : line.closed_ms;
      return [...line.steps, [end, line.steps[line.steps.length - 1][1]]];
    });
    return lines(pieces, "stops", "--down", "dash");
  }

  function marks(rows, name, symbol, color, size, text) {
    return {
      type: "scatter",
      mode: "markers",
      name,
      meta: "opens",
      x: rows.map((row) => at(row.ts_ms)),
      y: column(rows, "price"),
      customdata: rows.map((row) => row.id || row.decision || ""),
      text: rows.map(text),
      hovertemplate: "%{text}<extra></extra>",
      marker: { symbol, size, color: charts.token(color), line: { width: 1.5, color: charts.token("--surface") } },
    };
  }

  const short = (text) => (text.length > 90 ? text.slice(0, 88) + "…" : text);
  const saidBy = (row) => row.action + " " + row.strategy + ": " + short(row.reason || row.reason_code);
  const filledAs = (row) => row.strategy + " " + row.purpose + " " + row.side + " " + format.quantity(row.quantity) + " at " + format.price(row.price);

  function traces(view, shown) {
    const drawn = [
      ...candles(view),
      lines(view.trades.map((row) => [[row.opened_ms, row.entry_price], [row.closed_ms, row.exit_price]]), "trades", "--accent", "dot"),
      marks(view.fills.filter((row) => row.side === "BUY"), "bought", "triangle-up", "--up", 11, filledAs),
      marks(view.fills.filter((row) => row.side === "SELL"), "sold", "triangle-down", "--down", 11, filledAs),
    ];
    if (shown.stops) drawn.push(stops(view));
    if (shown.stopped) drawn.push(marks(view.decisions.stopped, "stopped", "x-thin-open", "--warn", 7, saidBy));
    if (shown.decisions) drawn.push(marks(view.decisions.acted, "decisions", "diamond-open", "--accent", 9, saidBy));
    shown.features.forEach((name, i) => {
      const values = view.features[name] || [];
      drawn.push({
        type: "scatter",
        mode: "lines",
        name,
        x: values.length ? view.bars.ts_ms.map(at) : [],
        y: values,
        yaxis: "y" + (i + 3),
        line: { color: charts.seriesColor(i + 2), width: 1.3 },
        hovertemplate: name + " %{y:.3f}<extra></extra>",
      });
    });
    return drawn;
  }

  /* The prices between two times, with room above and below. */
  function priceRange(view, range) {
    let low = Infinity;
    let high = -Infinity;
    view.bars.ts_ms.forEach((ms, i) => {
      if (ms < range[0] - view.bars.timeframe_ms || ms > range[1]) return;
      low = Math.min(low, view.bars.low[i]);
      high = Math.max(high, view.bars.high[i]);
    });
    if (!Number.isFinite(low)) return null;
    const room = 0.06 * (high - low || high * 0.001);
    return [low - room, high + room];
  }

  function layout(view, shown, range, measured, badge) {
    const { domains, height } = panes(shown.features.length);
    const price = domains[domains.length - 1];
    const prices = priceRange(view, range);
    const options = charts.layout({
      height,
      margin: { l: 14, r: 74, t: 4, b: BOTTOM_PX },
      hoversubplots: "axis",
      uirevision: "market",
      bargap: 0.15,
      xaxis: charts.axis({
        type: "date",
        range: range.map(at),
        rangeslider: { visible: false },
        showgrid: false,
        nticks: 9,
        tickformatstops: TP.axes.TIMES,
        anchor: "y" + (shown.features.length ? shown.features.length + 2 : 2),
        showspikes: true,
        spikemode: "across",
        spikesnap: "cursor",
        spikethickness: 1,
        spikedash: "dot",
        spikecolor: charts.token("--line-strong"),
      }),
      yaxis: charts.axis({ side: "right", domain: price, fixedrange: true, tickformat: ",", nticks: 8, automargin: false, ...(prices ? { range: prices } : {}) }),
      yaxis2: charts.axis({ side: "right", domain: domains[domains.length - 2], fixedrange: true, nticks: 3, rangemode: "tozero", automargin: false }),
      shapes: measured ? [measured.shape] : [],
      annotations: [
        ...charts.watermark(badge, (price[0] + price[1]) / 2),
        ...shown.features.map((name, i) => title(name, domains[shown.features.length - 1 - i][1])),
        title("volume", domains[domains.length - 2][1]),
      ],
    });
    shown.features.forEach((name, i) => {
      options["yaxis" + (i + 3)] = charts.axis({ side: "right", domain: domains[shown.features.length - 1 - i], fixedrange: true, nticks: 4, automargin: false, zeroline: true, zerolinecolor: charts.token("--line-strong") });
    });
    return options;
  }

  function title(text, y) {
    return { text, xref: "paper", yref: "paper", x: 0, xanchor: "left", y, yanchor: "top", showarrow: false, font: { size: 11, color: charts.token("--muted") } };
  }

  function draw(node, view, shown, range, measured, badge) {
    const options = layout(view, shown, range, measured, badge);
    node.style.height = options.height + "px";
    return TP.plot(node, traces(view, shown), options, CONFIG);
  }

  TP.marketChart = { draw, priceRange };
})();
