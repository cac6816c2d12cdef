/* The layer's page: draws what the server read and reads it again when something changes. */
(function () {
  "use strict";
  const TP = window.TP;
  const { el, format } = TP;
  const byId = (id) => document.getElementById(id);
  const REFRESH_MS = 3000;
  let state = TP.data("layer-data");
  const verbs = TP.data("layer-verbs") || [];
  let kind = "share";

  const cell = (content, className) => el("td", { class: className }, content);

  function table(heads, rows, empty) {
    if (!rows.length) return el("div", { class: "empty" }, el("strong", null, empty[0]), empty[1]);
    const head = heads.map(([text, name]) => el("th", { class: name, scope: "col" }, text));
    return el("table", null, el("thead", null, el("tr", null, ...head)), el("tbody", null, ...rows));
  }

  const counted = (n, what) => n + " " + what + (n === 1 ? "" : "s");
  const reasonCell = (text) => el("td", { class: "reason", title: text }, el("span", null, text));
  const fact = (label, value) => el("li", null, el("span", null, label), el("b", null, value));
  const r = (value) => (format.isNumber(value) ? format.signed(value, 2) + " R" : TP.NONE);
  const moment = (iso) => (iso ? format.moment(Date.parse(iso)) : TP.NONE);

  /* --- updates and alerts -------------------------------------------------------------------- */

  const TONES = { healthy: "ACTIVE", degraded: "DEGRADED", critical: "SUSPENDED", error: "SUSPENDED", disabled: "" };

  function showUpdates() {
    const { update, status, alerts, open_trades: open } = state.status;
    byId("verdict").className = "status " + TONES[status];
    byId("verdict").textContent = status;
    byId("update-facts").replaceChildren(
      fact("Last update", moment(update.last_at)),
      fact("Next update", state.status.enabled ? moment(update.next_at) : "while on"),
      fact("State", update.state_version ? "version " + update.state_version + ", as of trade " + update.as_of_trade : "none yet"),
      fact("Open trades", String(open))
    );
    const lines = alerts.map((line) => {
      const [severity, text] = [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)];
      const shown = severity === "alert" ? "warning" : severity;
      return el("div", { class: "alert " + shown }, el("span", { class: "status " + shown }, severity), el("span", null, text));
    });
    if (update.last_error) lines.unshift(el("div", { class: "alert critical" }, el("span", { class: "status critical" }, "error"), el("span", null, update.last_error)));
    byId("layer-alerts").replaceChildren(...lines);
    const rows = state.updates.slice(0, 6).map((row) => {
      const made = row.summary || {};
      const moved = (made.weights || []).filter((one) => !one.regime).length;
      const words = row.error || [counted(made.taken || 0, "new trade"), counted(moved, "weight change"), counted((made.edges || []).length, "status change")].join(", ");
      return el("tr", null, cell(format.moment(row.period_at_ms).slice(0, 16)), cell(el("span", { class: "status " + (row.status === "FAILED" ? "error" : "") }, row.status)), reasonCell(words));
    });
    byId("updates").replaceChildren(rows.length ? table([["Period"], ["Status"], ["What it did"]], rows, []) : "");
  }

  /* --- health board ---------------------------------------------------------------------------- */

  const EFFECTS = {
    suspend: "No new entries of this strategy; its exits go on.",
    unsuspend: "It may enter again, as DEGRADED: half the size, until the evidence says more.",
    activate: "Full standing again, before the evidence says so.",
    retire: "The end of this strategy. No machine brings it back; a person may reinstate it.",
    reinstate: "Brings it back from retirement, as DEGRADED.",
  };
  const NEXT = { ACTIVE: ["suspend", "retire"], DEGRADED: ["activate", "suspend", "retire"], SUSPENDED: ["unsuspend", "retire"], RETIRED: ["reinstate"] };
  const LOOSENS = new Set(["unsuspend", "activate", "reinstate"]);

  function evidence(row) {
    if (!row.trades) return "no closed trade yet";
    const parts = [counted(row.trades, "trade"), "win rate " + format.percent(row.win_rate_fraction, 0), "PF " + format.number(row.profit_factor, 2), "drawdown " + format.number(row.max_drawdown_r, 1) + " R"];
    if (row.lacks) parts[0] = row.lacks;
    if (row.streak < -1) parts.push(-row.streak + " losses in a row");
    return parts.join(", ");
  }

  function healthRow(row) {
    const acts = (NEXT[row.status] || []).filter((verb) => verbs.includes(verb)).map((verb) => {
      const button = el("button", { type: "button", class: "button small", "aria-label": verb + " " + row.strategy }, verb);
      button.addEventListener("click", () => askMove(row, verb));
      return button;
    });
    const fill = el("i");
    fill.style.width = (100 * row.share_fraction).toFixed(1) + "%";
    const until = row.override_until_ms ? el("small", null, "a person's word until " + format.moment(row.override_until_ms).slice(0, 16)) : null;
    return el(
      "tr",
      null,
      cell(row.name),
      el("td", null, el("span", { class: "status " + row.status }, row.status), el("small", { title: format.moment(row.status_changed_at_ms) }, "since " + format.moment(row.status_changed_at_ms).slice(0, 16))),
      el("td", { class: "num" }, format.number(row.weight, 3), el("small", null, "base " + format.number(row.base_weight, 2))),
      el("td", { class: "num" }, format.percent(row.share_fraction, 1), el("span", { class: "share", "aria-hidden": "true" }, fill)),
      cell(r(row.expectancy_r), "num " + (row.lacks ? "muted" : format.tone(row.expectancy_r))),
      el("td", { class: "evidence" }, evidence(row), row.status_reason ? el("small", null, row.status_reason) : null, until),
      el("td", { class: "acts" }, ...acts)
    );
  }

  function showHealth() {
    const heads = [["Strategy"], ["Status"], ["Weight", "num"], ["Share", "num"], ["Expectancy", "num"], ["Evidence"], [""]];
    byId("health").replaceChildren(table(heads, state.strategies.map(healthRow), ["No strategy registered", "Strategies are created when the platform starts."]));
  }

  /* --- tables ------------------------------------------------------------------------------------ */

  function showRegimes() {
    const rows = state.regimes.map((row) => el("tr", null, cell(row.strategy), cell(row.regime.toLowerCase(), "muted"), el("td", { class: "num" }, String(row.trades), row.lacks ? el("small", null, row.lacks) : null), cell(format.percent(row.win_rate_fraction, 0), "num " + (row.lacks ? "muted" : "")), cell(r(row.expectancy_r), "num " + (row.lacks ? "muted" : format.tone(row.expectancy_r))), cell(format.signed(row.pnl_quote, 2), "num " + format.tone(row.pnl_quote))));
    const heads = [["Strategy"], ["Regime"], ["Trades", "num"], ["Win rate", "num"], ["Expectancy", "num"], ["PnL, net", "num"]];
    byId("regimes").replaceChildren(table(heads, rows, ["No closed trade yet", "Each trade counts for the regime it was entered in."]));
  }

  function showChanges() {
    const rows = state.changes.map((row) => el("tr", null, el("td", null, format.moment(row.at_ms).slice(0, 16), el("small", null, row.actor)), el("td", null, row.strategy, el("small", null, row.kind)), cell(row.what), reasonCell(row.reason)));
    byId("changes").replaceChildren(table([["At"], ["Strategy"], ["Change"], ["Reason"]], rows, ["Nothing has changed yet", "Each change of a weight or a status is listed with its reason."]));
  }

  /* --- charts ------------------------------------------------------------------------------------ */

  function showAllocation() {
    const series = state.allocation;
    const has = series.ts_ms.length > 0;
    byId("allocation-chart").hidden = !has;
    byId("allocation-empty").hidden = has;
    if (!has) return byId("allocation-legend").replaceChildren();
    TP.layerCharts.drawAllocation(byId("allocation-chart"), series, kind);
    const last = (code) => series[kind][code][series.ts_ms.length - 1];
    byId("allocation-legend").replaceChildren(
      ...series.strategies.map((code, index) => {
        const swatch = el("span", { class: "swatch" });
        swatch.style.background = TP.charts.seriesColor(index);
        return el("li", null, swatch, code, el("b", null, kind === "share" ? format.percent(last(code), 1) : format.number(last(code), 3)));
      })
    );
  }

  function showQuality() {
    const quality = state.quality;
    const has = quality.n_executed + quality.n_filtered > 0;
    const threshold = state.status.settings.values.quality_threshold;
    byId("quality-chart").hidden = !has;
    byId("quality-empty").hidden = has;
    byId("quality-note").textContent = has ? quality.n_executed + " executed, " + quality.n_filtered + " filtered, threshold " + format.number(threshold, 2) : "";
    if (has) TP.layerCharts.drawQuality(byId("quality-chart"), quality, threshold);
  }

  function show() {
    showUpdates();
    showHealth();
    showRegimes();
    showChanges();
    showAllocation();
    showQuality();
  }

  /* --- preview --------------------------------------------------------------------------------- */

  async function look() {
    const button = byId("preview");
    button.disabled = true;
    try {
      showPreview(await TP.fetchJson("/data/optimization/preview/"));
    } catch (failed) {
      byId("preview-result").replaceChildren(el("p", { class: "down" }, "The preview failed: " + failed.message));
    } finally {
      button.disabled = false;
    }
  }

  function showPreview(found) {
    if (!found.at) return byId("preview-result").replaceChildren(el("p", { class: "muted" }, "No run trades now, so no update is due."));
    const moved = found.weights.filter((row) => !row.regime);
    const items = [
      ...found.edges.map((row) => el("li", null, el("b", null, row.strategy + ": " + row.from + " → " + row.to), el("small", null, row.reason))),
      ...moved.map((row) => el("li", null, el("b", null, row.strategy + ": " + format.number(row.old, 3) + " → " + format.number(row.new, 3)), el("small", null, row.reason))),
    ];
    const none = el("li", null, "Nothing: no weight would move and no status would change.", el("small", null, "A weight needs 10 closed trades of its strategy, 5 of them since it last moved; a status needs more than chance explains."));
    byId("preview-result").replaceChildren(
      el("p", { class: "muted" }, "At " + moment(found.at) + " venue time, with " + counted(found.taken, "new closed trade") + "; nothing was written."),
      el("ul", null, ...(items.length ? items : [none]))
    );
  }

  /* --- dialogs --------------------------------------------------------------------------------- */

  function open(dialog, { title, effect, confirm, password }) {
    dialog.querySelector("h2").textContent = title;
    dialog.querySelector("[data-effect]").textContent = effect;
    dialog.querySelector("[data-confirm]").textContent = confirm;
    const box = dialog.querySelector("[data-password]");
    box.hidden = !password;
    box.querySelector("input").required = password;
    dialog.showModal();
  }

  function askMove(row, verb) {
    const dialog = byId("move-dialog");
    const form = dialog.querySelector("form");
    form.elements.strategy.value = row.strategy;
    form.elements.verb.value = verb;
    dialog.querySelector("[data-holds]").hidden = !LOOSENS.has(verb);
    const title = verb[0].toUpperCase() + verb.slice(1) + " " + row.name;
    open(dialog, { title, effect: EFFECTS[verb], confirm: title, password: LOOSENS.has(verb) });
  }

  function askSwitch(on) {
    const dialog = byId("switch-dialog");
    dialog.querySelector("form").elements.enabled.value = String(on);
    open(dialog, {
      title: on ? "Switch the layer on" : "Switch the layer off",
      effect: on ? "From the next event of each run signals are scored and sizes scaled. Hard limits stay as they are." : "From the next event: base weights, every signal, multiplier 1. Strategy status stays as it is.",
      confirm: on ? "Switch on" : "Switch off",
      password: on,
    });
  }

  function bind() {
    byId("preview").addEventListener("click", look);
    for (const button of byId("allocation-kind").children) {
      button.addEventListener("click", () => {
        kind = button.dataset.kind;
        for (const one of byId("allocation-kind").children) one.setAttribute("aria-pressed", String(one === button));
        showAllocation();
      });
    }
    for (const button of document.querySelectorAll("[data-switch]")) button.addEventListener("click", () => askSwitch(button.dataset.switch === "true"));
    for (const button of document.querySelectorAll("[data-settings]")) button.addEventListener("click", () => byId("settings-dialog").showModal());
    for (const button of document.querySelectorAll("dialog.confirm [data-cancel]")) button.addEventListener("click", () => button.closest("dialog").close());
    document.documentElement.addEventListener("themechange", show);
  }

  const refresh = TP.throttled(async () => {
    try {
      state = await TP.fetchJson("/data/optimization/");
      show();
    } catch (failed) {
      // the strip says that live updates are away; the page keeps what it showed
    }
  }, REFRESH_MS);

  bind();
  show();
  for (const topic of ["weights", "health", "trades"]) TP.stream.on(topic, refresh);
})();
