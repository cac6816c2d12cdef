/* Growth against holding, the fall from the peak, and how results are spread. */
(function () {
  "use strict";
  const TP = window.TP;
  const { charts, format } = TP;
  const curve = TP.data("curve-data");
  if (!curve) return; // nothing was measured yet: the page says why
  const spread = TP.data("distribution-data");
  const byId = (id) => document.getElementById(id);
  const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: "reset" };
  const strip = TP.data("strip-data");
  const badge = strip && strip.run ? strip.run.badge : "";
  const x = charts.dates(curve.ts_ms);
  let scale = "linear";

  function line(name, growth, color) {
    return {
      type: "scatter",
      mode: "lines",
      name,
      x,
      y: growth.map((value) => 100 * value),
      customdata: growth.map((value) => format.signedPercent(value - 1)),
      line: { color: charts.token(color), width: 1.7 },
      hovertemplate: name + " %{customdata}<extra></extra>",
    };
  }

  function time(extra) {
    return charts.axis({ type: "date", showgrid: false, tickformatstops: TP.axes.TIMES, nticks: 8, ...extra });
  }

  function drawGrowth() {
    const traces = [line("account", curve.growth, "--c1")];
    if (curve.hold_growth.length) traces.push(line("buy and hold", curve.hold_growth, "--c3"));
    const options = charts.layout({
      uirevision: "growth " + scale,
      xaxis: time(),
      yaxis: charts.axis({ side: "right", type: scale, nticks: 7, tickformat: ",~g" }),
      annotations: charts.watermark(badge),
    });
    return TP.plot(byId("growth-chart"), traces, options, CONFIG);
  }

  function drawWater() {
    const traces = [
      {
        type: "scatter",
        mode: "lines",
        name: "below the peak",
        x,
        y: curve.underwater_fraction.map((value) => -100 * value),
        fill: "tozeroy",
        fillcolor: charts.token("--down-soft"),
        line: { color: charts.token("--down"), width: 1.2 },
        hovertemplate: "%{y:.2f} %<extra></extra>",
      },
    ];
    const options = charts.layout({
      uirevision: "water",
      xaxis: time(),
      yaxis: charts.axis({ side: "right", ticksuffix: " %", nticks: 4, autorangeoptions: { maxallowed: 0, include: -0.5 } }),
      annotations: charts.watermark(badge),
    });
    return TP.plot(byId("water-chart"), traces, options, CONFIG);
  }

  function drawSpread(id, found, unit) {
    const node = byId(id);
    const has = found.n > 0;
    node.hidden = !has;
    document.querySelector('[data-empty="' + id + '"]').hidden = has;
    if (!has) return;
    const low = found.edges.slice(0, -1);
    const width = found.edges[1] - found.edges[0];
    const middles = low.map((edge) => edge + width / 2);
    const traces = [
      {
        type: "bar",
        x: middles,
        y: found.counts,
        width: low.map(() => width * 0.92),
        marker: { color: middles.map((value) => charts.token(value > 0 ? "--up" : "--down")) },
        customdata: low.map((edge, i) => format.quantity(edge) + " to " + format.quantity(found.edges[i + 1]) + " " + unit),
        hovertemplate: "%{customdata}: %{y} trades<extra></extra>",
      },
    ];
    const options = charts.layout({
      hovermode: "closest",
      margin: { l: 14, r: 40, t: 6, b: 40 },
      xaxis: charts.axis({ showgrid: false, title: { text: unit, font: { size: 11, color: charts.token("--muted") } } }),
      yaxis: charts.axis({ side: "right", ...TP.axes.counting(found.counts) }),
      annotations: charts.watermark(badge),
    });
    TP.plot(node, traces, options, CONFIG);
  }

  function draw() {
    drawGrowth();
    drawWater();
    drawSpread("r-chart", spread.r, "R");
    drawSpread("quote-chart", spread.quote, strip.run.quote);
  }

  for (const button of document.querySelectorAll("[data-scale]")) {
    button.addEventListener("click", () => {
      scale = button.dataset.scale;
      for (const other of document.querySelectorAll("[data-scale]")) other.setAttribute("aria-pressed", String(other === button));
      drawGrowth();
    });
  }
  document.documentElement.addEventListener("themechange", draw);
  draw();
})();
