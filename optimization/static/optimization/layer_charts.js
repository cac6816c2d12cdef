/* The layer's two charts: allocation over time, and quality of executed against filtered. */
(function () {
  "use strict";
  const TP = window.TP;
  const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: "reset" };
  const TITLES = { share: "share", effective: "effective weight", raw: "stored weight" };

  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function axis(extra) {
    return { gridcolor: token("--line"), linecolor: token("--line"), zeroline: false, tickfont: { size: 11, color: token("--muted") }, automargin: true, ...extra };
  }

  function layout(extra) {
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: token("--font"), size: 12, color: token("--text") },
      margin: { l: 14, r: 52, t: 8, b: 34 },
      showlegend: false,
      hoverlabel: { bgcolor: token("--surface-3"), bordercolor: token("--line-strong"), font: { size: 12, color: token("--text") }, align: "left" },
      dragmode: "pan",
      ...extra,
    };
  }

  /* Text of a hover in lines of readable length; Plotly knows <br> and nothing else of it. */
  function wrapped(text, width) {
    const safe = String(text).replace(/[&<>]/g, (mark) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[mark]);
    const lines = [""];
    for (const word of safe.split(" ")) {
      const line = lines[lines.length - 1];
      if (line && line.length + word.length > width) lines.push(word);
      else lines[lines.length - 1] = line ? line + " " + word : word;
    }
    return lines.slice(0, 6).join("<br>");
  }

  /* One stepped line a strategy; a mark where that strategy itself changed, with its reason. */
  /* A first change a moment ago is no axis of milliseconds: an hour at least is shown. */
  const HOUR_MS = 3600000;
  function atLeastAnHour(at) {
    const [first, last] = [Math.min(...at), Math.max(...at)];
    return last - first < HOUR_MS ? { range: [last - HOUR_MS, last] } : {};
  }

  function drawAllocation(node, series, kind) {
    /* what was changed last holds until now */
    const at = [...series.ts_ms, Date.now()].map(TP.format.onAxis);
    const narrow = node.clientWidth < 520;
    const traces = series.strategies.map((code, index) => {
      const values = [...series[kind][code], series[kind][code][series.ts_ms.length - 1]];
      return {
        type: "scatter",
        mode: "lines+markers",
        name: code,
        x: at,
        y: kind === "share" ? values.map((value) => 100 * value) : values,
        line: { shape: "hv", width: 1.8, color: TP.charts.seriesColor(index) },
        marker: { color: TP.charts.seriesColor(index), size: [...series.changed.map((one) => (one === code ? 7 : 0)), 0] },
        text: [...series.reasons.map((reason, i) => (series.changed[i] === code ? wrapped(reason, narrow ? 34 : 60) : "unchanged")), "now"],
        hovertemplate: "<b>" + code + "</b> " + TITLES[kind] + (kind === "share" ? " %{y:.1f} %" : " %{y:.3f}") + "<br>%{text}<extra></extra>",
      };
    });
    const options = layout({
      uirevision: "allocation " + kind,
      hovermode: "closest",
      xaxis: axis({ type: "date", showgrid: false, tickformatstops: TP.axes.TIMES, nticks: narrow ? 4 : 8, ...atLeastAnHour(at) }),
      yaxis: axis({ side: "right", rangemode: "tozero", nticks: 6, ticksuffix: kind === "share" ? " %" : "" }),
    });
    return TP.plot(node, traces, options, CONFIG);
  }

  function drawQuality(node, quality, threshold) {
    const middle = quality.executed.map((_, i) => (quality.edges[i] + quality.edges[i + 1]) / 2);
    const span = middle.map((_, i) => quality.edges[i].toFixed(2) + " to " + quality.edges[i + 1].toFixed(2));
    const stacked = quality.executed.map((n, i) => n + quality.filtered[i]);
    const bars = (name, y, color) => ({
      type: "bar",
      name,
      x: middle,
      y,
      text: span,
      textposition: "none",
      marker: { color },
      hovertemplate: "%{y} " + name + "<br>quality %{text}<extra></extra>",
    });
    const options = layout({
      barmode: "stack",
      bargap: 0.08,
      hovermode: "closest",
      uirevision: "quality",
      showlegend: true,
      legend: { orientation: "h", x: 0, y: 1.14, font: { size: 11, color: token("--muted") } },
      margin: { l: 14, r: 44, t: 28, b: 40 },
      xaxis: axis({ range: [0, 1], title: { text: "quality", font: { size: 11, color: token("--muted") } }, nticks: 6, showgrid: false }),
      yaxis: axis({ side: "right", ...TP.axes.counting(stacked), title: { text: "" } }),
      shapes: [{ type: "line", xref: "x", yref: "paper", x0: threshold, x1: threshold, y0: 0, y1: 1, line: { color: token("--warn"), width: 1.5, dash: "dash" } }],
    });
    return TP.plot(node, [bars("executed", quality.executed, token("--accent")), bars("filtered", quality.filtered, token("--faint"))], options, CONFIG);
  }

  /* Both books began with the same money: what lies between the lines is the layer's doing. */
  function drawEquity(node, curve, quote) {
    const at = curve.ts_ms.map(TP.format.onAxis);
    const trace = (name, y, color, dash) => ({
      type: "scatter",
      mode: "lines",
      name,
      x: at,
      y,
      line: { color, width: 1.8, dash },
      hovertemplate: "%{y:,.2f} " + quote + " " + name + "<extra></extra>",
    });
    const options = layout({
      uirevision: "counterfactual",
      hovermode: "x unified",
      showlegend: true,
      legend: { orientation: "h", x: 0, y: 1.14, font: { size: 11, color: token("--muted") } },
      margin: { l: 14, r: 64, t: 28, b: 34 },
      xaxis: axis({ type: "date", showgrid: false, tickformatstops: TP.axes.TIMES, nticks: node.clientWidth < 520 ? 4 : 8 }),
      yaxis: axis({ side: "right", tickformat: ",", nticks: 6 }),
    });
    return TP.plot(node, [trace("with the layer", curve.on, token("--accent"), "solid"), trace("without it", curve.off, token("--warn"), "dash")], options, CONFIG);
  }

  TP.layerCharts = { drawAllocation, drawQuality, drawEquity };
})();
