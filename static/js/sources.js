/* Calibration and Brier score over time of every source. */
(function () {
  "use strict";
  const series = window.TP.data("series-data");
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const color = (i) => token("--c" + ((i % 6) + 1));
  const config = { displayModeBar: false, responsive: true, scrollZoom: false };

  function layout(x, y) {
    const axis = (title, extra) => ({ title: { text: title, font: { size: 11 } }, gridcolor: token("--line"), linecolor: token("--line"), zeroline: false, tickfont: { size: 11, color: token("--muted") }, automargin: true, ...extra });
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: token("--font"), size: 12, color: token("--text") },
      margin: { l: 48, r: 16, t: 8, b: 40 },
      showlegend: false,
      xaxis: axis(...x),
      yaxis: axis(...y),
    };
  }

  /* The best voters and the baselines are drawn at once, the rest when its name is pressed. */
  const SHOWN_AT_FIRST = 3;
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const ranked = series.filter((s) => s.votes && s.over_time.length).sort((a, b) => mean(a.over_time.map((t) => t.brier)) - mean(b.over_time.map((t) => t.brier)));
  const chosen = new Set([...ranked.slice(0, SHOWN_AT_FIRST), ...series.filter((s) => s.is_control)].map((s) => s.source));
  const colors = new Map(series.filter((s) => !s.is_control).map((s, i) => [s.source, i]));
  const colorOf = (source) => (source.is_control ? token("--muted") : color(colors.get(source.source)));

  function legend() {
    const buttons = series.map((source) => {
      const swatch = window.TP.el("span", { class: "swatch" });
      swatch.style.background = colorOf(source);
      const button = window.TP.el("button", { type: "button", class: "button small", "aria-pressed": String(chosen.has(source.source)) }, swatch, source.source);
      button.addEventListener("click", () => {
        if (!chosen.delete(source.source)) chosen.add(source.source);
        button.setAttribute("aria-pressed", String(chosen.has(source.source)));
        draw();
      });
      return button;
    });
    document.getElementById("series-legend").replaceChildren(...buttons);
  }

  function line(source, points, x, y) {
    return {
      type: "scatter",
      mode: "lines+markers",
      name: source.source,
      x: points.map(x),
      y: points.map(y),
      visible: chosen.has(source.source),
      line: { color: colorOf(source), width: 1.6, dash: source.is_control ? (source.source === "base-rate" ? "dash" : "dot") : colors.get(source.source) < 6 ? "solid" : "dashdot" },
      marker: { size: 5 },
    };
  }

  function show(id, traces, options) {
    const node = document.getElementById(id);
    const has = traces.some((trace) => trace.x.length > 0);
    node.hidden = !has;
    document.querySelector('[data-empty="' + id + '"]').hidden = has;
    if (has) window.TP.plot(node, traces, options, config);
  }

  function draw() {
    const bins = series.map((s) => line(s, s.calibration, (b) => b.said, (b) => b.rose));
    const said = series.flatMap((s) => s.calibration.map((b) => b.said));
    if (said.length) {
      const ends = [Math.min(...said), Math.max(...said)];
      bins.push({ type: "scatter", mode: "lines", name: "as often as said", x: ends, y: ends, line: { color: token("--faint"), width: 1, dash: "dot" } });
    }
    const time = series.map((s) => line(s, s.over_time, (b) => window.TP.format.onAxis(b.at_ms), (b) => b.brier));
    show("calibration", bins, layout(["probability said", {}], ["share that rose", { tickformat: ".2~%", rangemode: "tozero" }]));
    show("brier", time, layout(["venue time, " + window.TP.format.zone, { type: "date", tickformatstops: window.TP.axes.TIMES }], ["Brier score", {}]));
  }

  legend();
  draw();
  document.documentElement.addEventListener("themechange", () => {
    legend();
    draw();
  });
})();
