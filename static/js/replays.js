/* Replays: progress of those that run, and the charts of those that are done. */
(function () {
  "use strict";
  const { format, fetchJson, data } = window.TP;
  const EVERY_MS = 2000;
  const config = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: "reset" };
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dates = (column) => column.map(format.onAxis);

  /* --- progress ---------------------------------------------------------------------------- */

  function watch() {
    const open = [...document.querySelectorAll("[data-replay]")];
    if (!open.length) return;
    const address = "/data/replays/?" + open.map((node) => "code=" + node.dataset.replay).join("&");
    fetchJson(address).then((answer) => {
      for (const node of open) show(node, answer.replays[node.dataset.replay]);
      window.setTimeout(watch, EVERY_MS);
    }, () => window.setTimeout(watch, 5 * EVERY_MS));
  }

  function show(node, job) {
    if (!job) return;
    if (job.status !== node.dataset.status) {
      // a form that is being filled in is not thrown away
      if (!document.querySelector("form :focus")) window.location.reload();
      return;
    }
    const bar = node.querySelector("progress");
    const pace = node.querySelector("[data-pace]");
    if (bar) bar.value = job.progress_fraction;
    if (pace) pace.textContent = format.number(job.bars_done, 0) + " of " + format.number(job.bars_total, 0) + " bars, " + format.number(job.bars_per_s, 0) + " a second";
  }

  /* --- charts ------------------------------------------------------------------------------ */

  function layout(y, extra) {
    const axis = (more) => ({ gridcolor: token("--line"), linecolor: token("--line"), zeroline: false, tickfont: { size: 11, color: token("--muted") }, automargin: true, ...more });
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: token("--font"), size: 12, color: token("--text") },
      margin: { l: 14, r: 64, t: 26, b: 30 },
      hovermode: "x unified",
      hoverlabel: { bgcolor: token("--surface-3"), bordercolor: token("--line-strong"), font: { size: 12, color: token("--text") } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11, color: token("--muted") } },
      dragmode: "pan",
      xaxis: axis({ type: "date", showgrid: false, nticks: 7, tickformatstops: window.TP.axes.TIMES }),
      yaxis: axis({ side: "right", ...y }),
      ...extra,
    };
  }

  const line = (name, x, y, color, more) => ({ type: "scatter", mode: "lines", name, x, y, line: { color, width: 1.6, ...more } });

  function draw(id, traces, options) {
    const node = document.getElementById(id);
    if (node) window.TP.plot(node, traces, options, config);
  }

  function drawAll() {
    const series = data("series-data");
    if (!series) return;
    const first = series[0];
    const x = dates(first.ts_ms);
    draw("replay-equity", [line("this replay", x, first.equity, token("--accent")), line("buy-and-hold", x, first.hold, token("--c3"), { dash: "dash" })], layout({ tickformat: ",", nticks: 6 }));
    const under = { ...line("this replay", x, first.underwater, token("--down")), fill: "tozeroy", fillcolor: token("--down-soft") };
    draw("replay-underwater", [under, line("buy-and-hold", x, first.hold_underwater, token("--c3"), { dash: "dash" })], layout({ tickformat: ".2~%", nticks: 4 }));
    const growth = series.map((s, i) => line(s.name, dates(s.ts_ms), s.equity.map((value) => value / s.equity[0] - 1), token("--c" + ((i % 6) + 1))));
    draw("replay-growth", growth, layout({ tickformat: ".2~%", nticks: 6 }));
  }

  watch();
  if (window.TP.plot) drawAll();
  document.documentElement.addEventListener("themechange", () => {
    if (window.TP.plot) drawAll();
  });
})();
