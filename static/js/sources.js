/* Calibration and Brier score of every source. */
(function () {
  "use strict";
  const board = window.TP.data("board-data");
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

  function line(source, i, points, x, y) {
    return { type: "scatter", mode: "lines+markers", name: source.source, x: points.map(x), y: points.map(y), line: { color: color(i), width: 1.6, dash: i < 6 ? "solid" : "dash" }, marker: { size: 5 } };
  }

  function draw() {
    const bins = board.sources.map((s, i) => line(s, i, s.calibration, (b) => b.said, (b) => b.came));
    const said = board.sources.flatMap((s) => s.calibration.map((b) => b.said));
    const ends = said.length ? [Math.min(...said), Math.max(...said)] : [0, 1];
    bins.push({ type: "scatter", mode: "lines", name: "as often as said", x: ends, y: ends, line: { color: token("--muted"), width: 1, dash: "dot" } });
    const time = board.sources.map((s, i) => line(s, i, s.over_time, (b) => new Date(b.at_ms), (b) => b.brier));
    window.Plotly.react("calibration", bins, layout(["probability of a rise that was said", { tickformat: ".1%" }], ["share that rose", { tickformat: ".0%", rangemode: "tozero" }]), config);
    window.Plotly.react("brier", time, layout(["venue time, UTC", {}], ["Brier score", { tickformat: ".3f" }]), config);
  }

  draw();
  document.documentElement.addEventListener("themechange", draw);
})();
