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
      legend: { orientation: "h", y: -0.25, font: { size: 11 } },
      xaxis: axis(...x),
      yaxis: axis(...y),
    };
  }

  /* Voters are drawn at once, what has no vote when its name in the legend is clicked. Baselines are dashed. */
  function line(source, i, points, x, y) {
    return {
      type: "scatter",
      mode: "lines+markers",
      name: source.source,
      x: points.map(x),
      y: points.map(y),
      visible: source.votes || source.is_control ? true : "legendonly",
      line: { color: source.is_control ? token("--muted") : color(i), width: 1.6, dash: source.is_control ? "dash" : i < 6 ? "solid" : "dot" },
      marker: { size: 5 },
    };
  }

  function show(id, traces, options) {
    const node = document.getElementById(id);
    const has = traces.some((trace) => trace.x.length > 0);
    node.hidden = !has;
    document.querySelector('[data-empty="' + id + '"]').hidden = has;
    if (has) window.Plotly.react(node, traces, options, config);
  }

  function draw() {
    const bins = series.map((s, i) => line(s, i, s.calibration, (b) => b.said, (b) => b.rose));
    const said = series.flatMap((s) => s.calibration.map((b) => b.said));
    if (said.length) {
      const ends = [Math.min(...said), Math.max(...said)];
      bins.push({ type: "scatter", mode: "lines", name: "as often as said", x: ends, y: ends, line: { color: token("--faint"), width: 1, dash: "dot" } });
    }
    const time = series.map((s, i) => line(s, i, s.over_time, (b) => new Date(b.at_ms), (b) => b.brier));
    show("calibration", bins, layout(["probability said", { tickformat: ".2f" }], ["share that rose", { tickformat: ".0%", rangemode: "tozero" }]));
    show("brier", time, layout(["venue time, UTC", {}], ["Brier score", { tickformat: ".3f" }]));
  }

  draw();
  document.documentElement.addEventListener("themechange", draw);
})();
