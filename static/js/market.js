/* One symbol's market: which stretch is shown, what is loaded for it, and what the stream adds. */
(function () {
  "use strict";
  const TP = window.TP;
  const { el, format, marketChart } = TP;
  const panel = document.getElementById("market");
  if (!panel) return;
  const node = document.getElementById("market-chart");
  const part = (name) => panel.querySelector('[data-market="' + name + '"]');
  const BAR = Number(panel.dataset.timeframe);
  const MOST = Number(panel.dataset.most);
  const MOST_FEATURES = Number(panel.dataset.mostFeatures);
  const LEAST_BARS = 10;
  const AT_FIRST = 300;
  const badge = (TP.data("strip-data").run || {}).badge;
  const asked = new URLSearchParams(window.location.search);

  let symbol = panel.dataset.symbol;
  let view = null;
  let range = null; // what is shown, [from, to] in ms
  let follows = !asked.get("until"); // the newest bar stays in sight until somebody looks elsewhere
  let isDragged = false;
  let measured = null;
  let loading = 0;
  const shown = { decisions: true, stopped: false, stops: true, features: (asked.get("features") || "").split(",").filter(Boolean) };

  /* --- which stretch ----------------------------------------------------------------------- */

  const end = () => view.span[1] + BAR;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  /* Keeps a stretch within what is stored, with a little room beside the newest bar. */
  function within(next) {
    const room = 0.03 * (next[1] - next[0]);
    const span = clamp(next[1] - next[0], LEAST_BARS * BAR, end() - view.span[0] + 2 * room);
    const to = clamp(next[1], view.span[0] + span, end() + room);
    return [to - span, to];
  }

  /* More than is seen is loaded, so that a drag shows bars at once. */
  function wanted() {
    const span = range[1] - range[0];
    const room = span <= (MOST / 2) * BAR ? (MOST * BAR * 0.98 - span) / 2 : 0;
    return [Math.max(view.span[0], Math.floor(range[0] - room)), Math.min(end(), Math.ceil(range[1] + room))];
  }

  /* What is loaded will not do: too little of it, or candles of more bars than need be. */
  function isShort() {
    const low = Math.max(range[0], view.span[0]);
    const high = Math.min(range[1], end());
    const needed = (range[1] - range[0]) / BAR > MOST ? null : BAR;
    return low < view.since_ms || high > view.until_ms || (needed !== null && view.bars.timeframe_ms > needed);
  }

  function keepAddress() {
    const query = new URLSearchParams({ symbol });
    if (TP.runAsked) query.set("run", panel.dataset.run);
    if (!follows) {
      query.set("since", Math.round(range[0]));
      query.set("until", Math.round(range[1]));
    }
    if (shown.features.length) query.set("features", shown.features.join(","));
    window.history.replaceState(null, "", "?" + query);
  }

  /* --- loading ---------------------------------------------------------------------------------- */

  async function load(since, until, features = shown.features) {
    const turn = ++loading;
    const query = new URLSearchParams({ run: panel.dataset.run, symbol });
    if (since !== null) query.set("since", Math.max(0, Math.floor(since)));
    if (until !== null) query.set("until", Math.max(0, Math.ceil(until)));
    if (features.length) query.set("features", features.join(","));
    panel.setAttribute("aria-busy", "true");
    const found = await TP.fetchJson(panel.dataset.address + "?" + query);
    if (turn !== loading) return false; // another stretch was asked for meanwhile
    panel.removeAttribute("aria-busy");
    view = found;
    return true;
  }

  /* Where the chart waits for it: a reading beside what is shown already says nothing. */
  function tellReading() {
    part("said").textContent = "reading candles…";
  }

  function fail(error) {
    panel.removeAttribute("aria-busy");
    part("said").textContent = "could not be loaded: " + error.message;
  }

  async function reload() {
    if (!view || !view.span) return begin();
    const before = end();
    const [since, until] = wanted();
    if (!(await load(since, follows ? null : until))) return undefined;
    if (follows) range = [range[0] + end() - before, range[1] + end() - before];
    return show();
  }

  async function begin() {
    const since = Number(asked.get("since")) || null;
    const until = Number(asked.get("until")) || null;
    tellReading();
    // candles at once; indicators may have to be compiled first
    if (!(await load(null, null, []))) return;
    if (!view.span) {
      showEmpty();
      return;
    }
    range = within(since && until ? [since, until] : [end() - AT_FIRST * BAR, end()]);
    follows = follows || range[1] >= end();
    if (!isShort()) show();
    if (isShort() || shown.features.length) await reload();
  }

  async function go(next) {
    if (!view || !view.span) return undefined;
    range = within(next);
    follows = range[1] >= end();
    if (!isShort()) return show();
    tellReading();
    return reload();
  }

  const goSafe = (next) => go(next).catch(fail);
  const reloadSoon = TP.throttled(() => reload().catch(fail), 3000);

  /* --- showing ---------------------------------------------------------------------------------- */

  function showEmpty() {
    document.getElementById("market-empty").hidden = false;
    part("said").textContent = "";
    part("empty").textContent = view.empty + " The chart starts with the first closed bar.";
    node.hidden = true;
  }

  function said() {
    const joined = view.bars.timeframe_ms / BAR;
    const n = Math.round((range[1] - range[0]) / BAR);
    const words = [format.number(n, 0) + " bars" + (joined > 1 ? ", " + joined + " in one candle" : "")];
    const { acted, acted_n: all } = view.decisions;
    if (shown.decisions && all > acted.length) words.push("newest " + acted.length + " of " + all + " decisions");
    if (view.features_note) words.push(view.features_note);
    part("said").textContent = words.join("; ");
  }

  function show() {
    if (!view.span || isDragged) return;
    document.getElementById("market-empty").hidden = true;
    node.hidden = false;
    marketChart.draw(node, view, shown, range, measured, badge).then(listen);
    said();
    keepAddress();
    const bars = Math.round((range[1] - range[0]) / BAR);
    for (const button of panel.querySelectorAll("[data-bars]")) button.setAttribute("aria-pressed", String(follows && Number(button.dataset.bars) === bars));
  }

  const showSoon = TP.throttled(() => view && show(), 250);

  function chips() {
    document.getElementById("chosen").replaceChildren(
      ...shown.features.map((name) => {
        const button = el("button", { type: "button", class: "button small", "aria-label": "Remove " + name }, name + " ×");
        button.addEventListener("click", () => {
          shown.features = shown.features.filter((other) => other !== name);
          chips();
          reload().catch(fail);
        });
        return el("li", null, button);
      })
    );
    document.getElementById("feature").disabled = shown.features.length >= MOST_FEATURES;
  }

  /* --- what a person does -------------------------------------------------------------------------- */

  const MOVES = {
    back: (span) => [range[0] - 0.6 * span, range[1] - 0.6 * span],
    on: (span) => [range[0] + 0.6 * span, range[1] + 0.6 * span],
    in: (span) => (follows ? [range[0] + 0.5 * span, range[1]] : [range[0] + 0.25 * span, range[1] - 0.25 * span]),
    out: (span) => (follows ? [range[0] - span, range[1]] : [range[0] - 0.5 * span, range[1] + 0.5 * span]),
    last: (span) => [end() - span, end()],
  };

  function move(name) {
    if (range) goSafe(MOVES[name](range[1] - range[0]));
  }

  panel.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.move) move(button.dataset.move);
    if (button.dataset.bars && view && view.span) {
      goSafe(button.dataset.bars === "all" ? [view.span[0], end()] : [end() - Number(button.dataset.bars) * BAR, end()]);
    }
    if (button.dataset.pick && button.dataset.pick !== symbol) {
      symbol = button.dataset.pick;
      measured = null;
      part("symbol").textContent = symbol;
      for (const other of panel.querySelectorAll("[data-pick]")) other.setAttribute("aria-pressed", String(other === button));
      const kept = range;
      tellReading();
      load(kept ? Math.floor(kept[0]) : null, kept && !follows ? Math.ceil(kept[1]) : null)
        .then((isNew) => {
          if (!isNew) return undefined;
          if (!view.span) return showEmpty();
          range = within(kept || [end() - AT_FIRST * BAR, end()]);
          return isShort() ? reload() : show();
        })
        .catch(fail);
    }
  });
  document.getElementById("feature").addEventListener("change", (event) => {
    const name = event.target.value;
    event.target.value = "";
    if (!name || shown.features.includes(name)) return;
    shown.features.push(name);
    chips();
    reload().catch(fail);
  });
  for (const [id, name] of [["show-decisions", "decisions"], ["show-stopped", "stopped"], ["show-stops", "stops"]]) {
    document.getElementById(id).addEventListener("change", (event) => {
      shown[name] = event.target.checked;
      if (view) show();
    });
  }
  const KEYS = { ArrowLeft: "back", ArrowRight: "on", "+": "in", "-": "out" };
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea, dialog[open]") || event.metaKey || event.ctrlKey || event.altKey) return;
    if (KEYS[event.key]) {
      event.preventDefault();
      move(KEYS[event.key]);
    }
  });

  const toggle = document.getElementById("measure");
  toggle.addEventListener("click", () => {
    const on = toggle.getAttribute("aria-pressed") !== "true";
    toggle.setAttribute("aria-pressed", String(on));
    if (!on) tellMeasure(null);
    if (view && view.span) show();
  });

  function tellMeasure(text, from, to) {
    const bar = part("measured");
    bar.hidden = text === null;
    bar.textContent = text === null ? "" : "Measured: " + text;
    measured =
      text === null
        ? null
        : {
            shape: {
              type: "rect",
              x0: from.ms,
              x1: to.ms,
              y0: from.price,
              y1: to.price,
              line: { width: 1, color: TP.charts.token("--accent") },
              fillcolor: TP.charts.token("--info-soft"),
            },
          };
    showSoon();
  }

  let isHeard = false;

  /* The chart's events exist once it is drawn. */
  function listen() {
    if (isHeard) return;
    isHeard = true;
    TP.measure.attach(node, () => toggle.getAttribute("aria-pressed") === "true", () => BAR, tellMeasure);
    node.on("plotly_relayouting", () => {
      isDragged = true;
    });
    node.on("plotly_relayout", (change) => {
      isDragged = false;
      const [low, high] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (low === undefined || high === undefined) return;
      goSafe([format.offAxis(low), format.offAxis(high)]);
    });
    node.on("plotly_doubleclick", () => move("last"));
    node.on("plotly_click", (event) => {
      const hit = event.points.find((point) => point.data.meta === "opens" && point.customdata);
      if (hit) TP.drawer.open({ id: hit.customdata });
    });
  }

  /* --- what the stream adds --------------------------------------------------------------------- */

  function add(bar) {
    if (!view || !view.span) return reloadSoon();
    if (view.bars.timeframe_ms !== BAR || !follows) {
      view.span[1] = Math.max(view.span[1], bar.ts_ms);
      return undefined;
    }
    const { bars } = view;
    const newest = bars.ts_ms.length - 1;
    if (bar.ts_ms < bars.ts_ms[newest]) return undefined;
    const isNew = bar.ts_ms !== bars.ts_ms[newest];
    const before = end();
    for (const name of ["ts_ms", "open", "high", "low", "close", "volume"]) {
      if (isNew) bars[name].push(bar[name]);
      else bars[name][newest] = bar[name];
      if (bars[name].length > MOST) bars[name].shift();
    }
    if (isNew) {
      for (const column of Object.values(view.features)) {
        column.push(null);
        if (column.length > MOST) column.shift();
      }
      view.since_ms = Math.max(view.since_ms, bars.ts_ms[0]);
      view.span[1] = bar.ts_ms;
      view.until_ms = end();
      range = [range[0] + end() - before, range[1] + end() - before];
      if (shown.features.length) reloadSoon();
    }
    return showSoon();
  }

  const ours = (handler) => (data) => {
    if (TP.strip.isOurs(data) && (!data.symbol || data.symbol === symbol)) handler(data);
  };
  TP.stream.on("bars", ours(add)).on("fills", ours(reloadSoon)).on("trades", ours(reloadSoon)).on("decisions", ours((row) => row.action !== "HOLD" && reloadSoon())).on("poll", reloadSoon);
  document.documentElement.addEventListener("themechange", () => view && view.span && show());

  chips();
  begin().catch(fail);
})();
