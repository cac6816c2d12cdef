/* Resources over time, with what the optimizer did as marks on them. */
(function () {
  "use strict";
  const grid = document.querySelector("[data-system]");
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const { onAxis } = window.TP.format;
  const scale = { bytes: 1 / 1048576 };
  const LABELLED = 4;
  const APART_SHARE = 0.03; // of the span shown: closer names would lie on one another
  let spanMs = 0;
  const formats = { processors: ".2~%", memory: ".2~%" };

  /* The newest actions, without those whose name would cover another's. */
  function apart(actions) {
    const all = actions.map((a) => a.at_ms);
    const least = APART_SHARE * Math.max(spanMs, Math.max(...all) - Math.min(...all));
    const kept = [];
    for (const action of actions) {
      if (kept.length < LABELLED && kept.every((one) => Math.abs(one.at_ms - action.at_ms) >= least)) kept.push(action);
    }
    return kept;
  }

  function legend(name, traces) {
    const items = traces.map((trace) => {
      const swatch = window.TP.el("span", { class: "swatch" });
      if (trace.line.dash === "dash") {
        swatch.classList.add("dashed");
        swatch.style.borderColor = trace.line.color;
      } else {
        swatch.style.background = trace.line.color;
      }
      return window.TP.el("li", null, swatch, trace.name);
    });
    document.querySelector('[data-legend="' + name + '"]').replaceChildren(...items);
  }

  function layout(name, actions) {
    const axis = { gridcolor: token("--line"), linecolor: token("--line"), zeroline: false, tickfont: { size: 11, color: token("--muted") }, automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: token("--font"), size: 12, color: token("--text") },
      margin: { l: 48, r: 16, t: 8, b: 32 },
      showlegend: false,
      hovermode: "x unified",
      hoverlabel: { bgcolor: token("--surface-3"), bordercolor: token("--line-strong"), font: { size: 12, color: token("--text") } },
      xaxis: { ...axis, type: "date", tickformatstops: window.TP.axes.TIMES },
      yaxis: { ...axis, rangemode: "tozero", tickformat: formats[name] || "" },
      shapes: actions.map((a) => ({ type: "line", x0: onAxis(a.at_ms), x1: onAxis(a.at_ms), yref: "paper", y0: 0, y1: 1, line: { color: a.verdict === "success" ? token("--up") : token("--faint"), width: 1, dash: "dot" } })),
      annotations: apart(actions).map((a) => ({ x: onAxis(a.at_ms), yref: "paper", y: 1, yanchor: "top", text: a.action, textangle: -90, xanchor: "right", showarrow: false, font: { size: 10, color: token("--muted") } })),
    };
  }

  function draw(data) {
    for (const [name, lines] of Object.entries(data.charts)) {
      const node = document.getElementById("chart-" + name);
      if (!node) continue;
      const traces = lines.map((l, i) => ({
        type: "scatter",
        mode: "lines",
        name: l.name,
        x: l.at_ms.map(onAxis),
        y: l.values.map((v) => (v === null ? null : v * (scale[l.unit] || 1))),
        line: { color: token("--c" + ((i % 6) + 1)), width: 1.6, dash: i < 6 ? "solid" : "dash" },
      }));
      const has = traces.some((t) => t.y.some((v) => v !== null));
      node.hidden = !has;
      const empty = document.querySelector('[data-empty="' + name + '"]');
      if (empty) empty.hidden = has;
      legend(name, has ? traces : []);
      const times = lines.flatMap((l) => l.at_ms);
      spanMs = times.length ? Math.max(...times) - Math.min(...times) : 0;
      if (has) window.TP.plot(node, traces, layout(name, data.actions), { displayModeBar: false, responsive: true });
    }
  }

  let last = null;
  async function refresh() {
    const answer = await fetch(grid.dataset.system, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    last = await answer.json();
    draw(last);
  }
  refresh();
  setInterval(refresh, 10_000);
  document.documentElement.addEventListener("themechange", () => last && draw(last));
})();
