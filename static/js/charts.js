/* The three charts. Each is drawn once and then updated in place: no layout jump, zoom is kept. */
(function () {
  "use strict";
  const TP = window.TP;
  const { format } = TP;
  const BARS = 300;
  const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: "reset" };
  const SERIES = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];

  function token(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function seriesColor(index) {
    return token(SERIES[index % SERIES.length]);
  }

  function axis(extra) {
    return {
      gridcolor: token("--line"),
      linecolor: token("--line"),
      zeroline: false,
      tickfont: { size: 11, color: token("--muted") },
      automargin: true,
      ...extra,
    };
  }

  function layout(extra) {
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: token("--font"), size: 12, color: token("--text") },
      margin: { l: 14, r: 64, t: 6, b: 30 },
      showlegend: false,
      hovermode: "x unified",
      hoverlabel: { bgcolor: token("--surface-3"), bordercolor: token("--line-strong"), font: { size: 12, color: token("--text") } },
      dragmode: "pan",
      ...extra,
    };
  }

  function watermark(badge, y) {
    if (!badge || badge === "LIVE") return [];
    return [
      {
        text: badge,
        xref: "paper",
        yref: "paper",
        x: 0.5,
        y: y === undefined ? 0.5 : y,
        showarrow: false,
        font: { size: 44, color: token("--text") },
        opacity: 0.05,
      },
    ];
  }

  const dates = (column) => column.map(format.onAxis);

  /* --- price ------------------------------------------------------------------------------ */

  function priceTraces(view) {
    const bars = view.bars;
    const buys = view.fills.filter((fill) => fill.side === "BUY");
    const sells = view.fills.filter((fill) => fill.side === "SELL");
    const lines = { x: [], y: [] };
    for (const trade of view.trades) {
      lines.x.push(format.onAxis(trade.opened_ms), format.onAxis(trade.closed_ms), null);
      lines.y.push(trade.entry_price, trade.exit_price, null);
    }
    const marker = (fills, name, color, symbol) => ({
      type: "scatter",
      mode: "markers",
      name,
      x: fills.map((fill) => format.onAxis(fill.ts_ms)),
      y: fills.map((fill) => fill.price),
      text: fills.map((fill) => fill.strategy + " " + fill.purpose + " " + format.quantity(fill.quantity)),
      hovertemplate: "%{text} at %{y}<extra></extra>",
      marker: { symbol, size: 10, color, line: { width: 1.5, color: token("--surface") } },
    });
    return [
      {
        type: "candlestick",
        name: view.symbol,
        x: dates(bars.ts_ms),
        open: bars.open,
        high: bars.high,
        low: bars.low,
        close: bars.close,
        increasing: { line: { color: token("--up"), width: 1 }, fillcolor: token("--up") },
        decreasing: { line: { color: token("--down"), width: 1 }, fillcolor: token("--down") },
        xaxis: "x",
        yaxis: "y",
      },
      {
        type: "scatter",
        mode: "lines",
        name: "closed trades",
        x: lines.x,
        y: lines.y,
        hoverinfo: "skip",
        line: { color: token("--accent"), width: 1.2, dash: "dot" },
      },
      marker(buys, "bought", token("--up"), "triangle-up"),
      marker(sells, "sold", token("--down"), "triangle-down"),
    ];
  }

  function levels(positions, symbol) {
    const line = (value, color) => ({
      type: "line",
      xref: "paper",
      x0: 0,
      x1: 1,
      y0: value,
      y1: value,
      line: { color, width: 1, dash: "dash" },
      opacity: 0.6,
    });
    return positions
      .filter((row) => row.symbol === symbol)
      .flatMap((row) => [
        ...(format.isNumber(row.stop_price) ? [line(row.stop_price, token("--down"))] : []),
        ...(format.isNumber(row.target_price) ? [line(row.target_price, token("--up"))] : []),
      ]);
  }

  function priceLayout(view, positions, badge) {
    const last = view.bars.close[view.bars.close.length - 1];
    const label = format.price(last);
    return layout({
      // the label of the last price stands beside the axis: room for its digits
      margin: { l: 14, r: Math.max(64, 16 + 7 * label.length), t: 6, b: 30 },
      uirevision: "price " + view.symbol,
      xaxis: axis({ type: "date", rangeslider: { visible: false }, showgrid: false, tickformatstops: TP.axes.TIMES, nticks: 8 }),
      yaxis: axis({ side: "right", tickformat: ",", nticks: 8, automargin: false }),
      shapes: levels(positions, view.symbol),
      annotations: [
        ...watermark(badge),
        ...(format.isNumber(last)
          ? [
              {
                text: label,
                xref: "paper",
                x: 1,
                xanchor: "left",
                y: last,
                showarrow: false,
                bgcolor: token("--surface-3"),
                borderpad: 3,
                font: { size: 11, color: token("--text") },
              },
            ]
          : []),
      ],
    });
  }

  function drawPrice(node, view, positions, badge) {
    return TP.plot(node, priceTraces(view), priceLayout(view, positions, badge), CONFIG);
  }

  /* Adds or replaces one bar and keeps the last BARS; true where something changed. */
  function appendBar(bars, bar) {
    const n = bars.ts_ms.length;
    const newest = n ? bars.ts_ms[n - 1] : -Infinity;
    if (bar.ts_ms < newest) return false;
    const isSame = bar.ts_ms === newest;
    for (const name of ["ts_ms", "open", "high", "low", "close", "volume"]) {
      if (isSame) bars[name][n - 1] = bar[name];
      else bars[name].push(bar[name]);
      if (bars[name].length > BARS) bars[name].shift();
    }
    return true;
  }

  /* --- equity ------------------------------------------------------------------------------- */

  function drawEquity(node, curve, badge) {
    const x = dates(curve.ts_ms);
    const traces = [
      {
        type: "scatter",
        mode: "lines",
        name: "equity",
        x,
        y: curve.equity,
        line: { color: token("--accent"), width: 1.7 },
        hovertemplate: "equity %{y:,.2f}<extra></extra>",
      },
      {
        type: "scatter",
        mode: "lines",
        name: "drawdown",
        x,
        y: curve.drawdown_fraction.map((value) => -100 * value),
        yaxis: "y2",
        fill: "tozeroy",
        fillcolor: token("--down-soft"),
        line: { color: token("--down"), width: 1.2 },
        hovertemplate: "drawdown %{y:.2f} %<extra></extra>",
      },
    ];
    const options = layout({
      uirevision: "equity",
      xaxis: axis({ type: "date", showgrid: false, anchor: "y2", tickformatstops: TP.axes.TIMES, nticks: 6 }),
      yaxis: axis({ side: "right", domain: [0.36, 1], tickformat: ",", nticks: 5 }),
      yaxis2: axis({ side: "right", domain: [0, 0.28], ticksuffix: " %", nticks: 3, autorangeoptions: { maxallowed: 0, include: -0.5 } }),
      annotations: watermark(badge, 0.72),
    });
    return TP.plot(node, traces, options, CONFIG);
  }

  function appendEquity(curve, point) {
    const n = curve.ts_ms.length;
    const newest = n ? curve.ts_ms[n - 1] : -Infinity;
    if (point.at_ms < newest) return false;
    const values = { ts_ms: point.at_ms, equity: Number(point.equity), drawdown_fraction: Number(point.drawdown_fraction) };
    for (const name of Object.keys(values)) {
      if (point.at_ms === newest) curve[name][n - 1] = values[name];
      else curve[name].push(values[name]);
    }
    return true;
  }

  /* --- allocation ------------------------------------------------------------------------------- */

  /* A share whose strategy holds nothing now. */
  function faded(color) {
    return color + "59"; // 35 % opaque
  }

  function drawAllocation(node, shares, badge) {
    const traces = [
      {
        type: "pie",
        hole: 0.68,
        sort: false,
        direction: "clockwise",
        labels: shares.map((row) => row.name),
        values: shares.map((row) => row.share),
        textinfo: "none",
        customdata: shares.map((row) => (row.held ? "in the market" : "flat")),
        hovertemplate: "%{label}: %{percent}, %{customdata}<extra></extra>",
        pull: shares.map((row) => (row.held ? 0.07 : 0)),
        marker: { colors: shares.map((row) => (row.held ? row.color : faded(row.color))), line: { width: 2, color: token("--surface") } },
      },
    ];
    const options = layout({
      margin: { l: 8, r: 8, t: 8, b: 8 },
      hovermode: "closest",
      annotations: [
        {
          text: shares.filter((row) => row.held).length + " of " + shares.length + "<br>in the market",
          showarrow: false,
          font: { size: 12, color: token("--muted") },
        },
      ],
      uirevision: "allocation " + badge,
    });
    return TP.plot(node, traces, options, CONFIG);
  }

  TP.charts = { drawPrice, appendBar, drawEquity, appendEquity, drawAllocation, seriesColor, token, axis, layout, watermark, dates };
})();
