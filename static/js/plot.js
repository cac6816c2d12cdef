/* Draws charts. Plotly is nine tenths of what a page transfers and takes longest to be read, so it
   is asked for when the first chart is, after figures and tables stand; what is to be drawn until
   then waits, the newest for each place. */
(function () {
  "use strict";
  const TP = window.TP;
  const address = document.currentScript.dataset.plotly;
  const waiting = new Map();
  let isAsked = false;

  /* How a time axis names its ticks: finer ticks get finer names, so no two are called the same. */
  const TIMES = [
    { dtickrange: [null, 1000], value: "%H:%M:%S.%L\n%b %d" },
    { dtickrange: [1000, 60000], value: "%H:%M:%S\n%b %d" },
    { dtickrange: [60000, 86400000], value: "%H:%M\n%b %d" },
    { dtickrange: [86400000, "M1"], value: "%b %d\n%Y" },
    { dtickrange: ["M1", "M12"], value: "%b\n%Y" },
    { dtickrange: ["M12", null], value: "%Y" },
  ];
  /* Of an axis that counts things: there is no half of one. */
  const LEAST_STEP = 1;
  const MOST_STEPS = 5;

  function counting(values) {
    const most = values.reduce((sum, value) => Math.max(sum, value), 0);
    return { rangemode: "tozero", tickformat: ",d", tick0: 0, dtick: Math.max(LEAST_STEP, Math.ceil(most / MOST_STEPS)) };
  }

  function fail() {
    for (const node of waiting.keys()) {
      node.removeAttribute("aria-busy");
      node.dataset.failed = "";
    }
  }

  function flush() {
    for (const [node, { what, done }] of [...waiting]) {
      waiting.delete(node);
      node.removeAttribute("aria-busy");
      done(window.Plotly.react(node, ...what));
    }
  }

  function ask() {
    if (isAsked) return;
    isAsked = true;
    const script = TP.el("script", { src: address });
    script.addEventListener("load", flush);
    script.addEventListener("error", fail);
    // what stands already is painted before the page is busy with reading it
    window.requestAnimationFrame(() => window.setTimeout(() => document.head.append(script), 0));
  }

  /* Draws or updates one chart; resolves when it stands. */
  function plot(node, ...what) {
    if (window.Plotly) return window.Plotly.react(node, ...what);
    node.setAttribute("aria-busy", "true");
    ask();
    return new Promise((done) => {
      const before = waiting.get(node);
      const both = before ? (drawn) => [before.done, done].forEach((told) => told(drawn)) : done;
      waiting.set(node, { what, done: both });
    });
  }

  TP.plot = plot;
  TP.axes = { TIMES, counting };
})();
