/* The strip on every page: mode, trading state, limits, freshness; and the control dialog. */
(function () {
  "use strict";
  const TP = window.TP;
  const { format } = TP;
  const cells = {};
  let strip = TP.data("strip-data");
  // A page opened for one run shows that run; the socket speaks of the default one.
  const query = new URLSearchParams(window.location.search);
  TP.runAsked = query.get("run");

  const EFFECTS = {
    HALTED:
      "Halt: from the next bar no order is sent, neither entries nor exits; open orders may only be cancelled. Positions stay open and their stops are not acted on.",
    REDUCING:
      "Reduce: no new entries. Exits, stops and cancels go on, so open positions are still looked after.",
    ACTIVE: "Resume: entries are allowed again from the next bar. A limit that is still broken stops them again.",
  };
  const TITLES = { HALTED: "Halt trading", REDUCING: "Reduce only", ACTIVE: "Resume trading" };

  /* Without a limit there is nothing to measure against: the meter stays empty. */
  function meter(cell, amount, limit) {
    const used = format.isNumber(limit) && Number(limit) > 0 ? Math.max(0, amount || 0) / limit : 0;
    const share = Math.min(1, used);
    cell.style.width = (100 * share).toFixed(1) + "%";
    cell.className = used >= 1 ? "over" : used >= 0.7 ? "near" : "";
  }

  function showLimits() {
    const limits = strip.limits || {};
    const quote = strip.run ? " " + strip.run.quote : "";
    cells.day.textContent = format.isNumber(limits.day_pnl_quote) ? format.signed(limits.day_pnl_quote, 2) + quote : TP.NONE;
    cells.day.className = format.tone(limits.day_pnl_quote);
    cells["day-limit"].textContent = format.isNumber(limits.day_loss_limit_fraction)
      ? format.signedPercent(limits.day_pnl_fraction) + " of −" + format.percent(limits.day_loss_limit_fraction, 1)
      : "no limit set";
    meter(cells["day-meter"], -(limits.day_pnl_fraction || 0), limits.day_loss_limit_fraction);
    cells.drawdown.textContent = format.percent(limits.drawdown_fraction);
    cells["drawdown-limit"].textContent = format.isNumber(limits.drawdown_limit_fraction)
      ? "of " + format.percent(limits.drawdown_limit_fraction, 1)
      : "no limit set";
    meter(cells["drawdown-meter"], limits.drawdown_fraction, limits.drawdown_limit_fraction);
  }

  function showControl() {
    const control = strip.control;
    cells.state.textContent = control.state;
    cells.state.className = "value state " + control.state;
    const notes = control.scopes.map((row) => row.scope + " is " + row.state + ": " + row.reason);
    if (control.state !== "ACTIVE") notes.unshift("Trading is " + control.state + ": " + (control.reason || "no reason given"));
    if (strip.run && strip.run.last_error) notes.push("Last error: " + strip.run.last_error);
    cells.notice.hidden = notes.length === 0;
    cells.notice.textContent = notes.join(" · ");
    cells.notice.className = "notice " + (control.state === "HALTED" ? "halted" : "reducing");
    for (const button of document.querySelectorAll("[data-control]")) {
      button.disabled = button.dataset.control === control.state;
    }
  }

  function showAge() {
    const at = strip.decision && strip.decision.created_at_ms;
    cells.decision.textContent = at ? format.age(Date.now() - at) + " ago" : "none yet";
  }

  function show() {
    const run = strip.run;
    cells.badge.textContent = run ? run.badge : "NO RUN";
    cells.badge.className = "badge " + (run ? run.badge : "");
    cells.layer.textContent = strip.layer ? (strip.layer.enabled ? "on · " + strip.layer.status : "off") : TP.NONE;
    showLimits();
    showControl();
    showAge();
  }

  function update(next) {
    strip = next;
    show();
  }

  function isOurs(data) {
    return Boolean(strip.run) && (!data.run || data.run === strip.run.code);
  }

  function refresh() {
    const address = "/data/strip/" + (TP.runAsked ? "?run=" + encodeURIComponent(TP.runAsked) : "");
    TP.fetchJson(address).then(update).catch(() => undefined); // the stream cell tells of it
  }

  function onEquity(data) {
    if (!isOurs(data) || !strip.limits) return;
    const limits = strip.limits;
    const dayStart = Number(data.equity) - Number(data.day_pnl);
    limits.day_pnl_quote = Number(data.day_pnl);
    limits.day_pnl_fraction = dayStart > 0 ? Number(data.day_pnl) / dayStart : null;
    limits.drawdown_fraction = Number(data.drawdown_fraction);
    showLimits();
  }

  function onDecision(data, frame) {
    if (!isOurs(data)) return;
    strip.decision = { created_at_ms: frame.at, bar_close_at_ms: data.at_ms };
    showAge();
  }

  function onControl(data) {
    if (data.scope === "global") {
      Object.assign(strip.control, { state: data.state, reason: data.reason || "" });
      showControl();
    } else {
      refresh();
    }
  }

  function showStream(state) {
    const words = { live: "live", waiting: "connecting", lost: "offline, polling" };
    cells.stream.textContent = words[state];
    cells.stream.className = "value dot " + state;
  }

  function wireDialog() {
    const dialog = document.getElementById("control-dialog");
    if (!dialog) return;
    const form = dialog.querySelector("form");
    const part = (name) => dialog.querySelector("[data-" + name + "]");
    const steps = [...dialog.querySelectorAll("[data-step]")];
    const goTo = (step) => steps.forEach((node) => (node.hidden = node.dataset.step !== step));

    function open(state) {
      form.reset();
      form.elements.state.value = state;
      dialog.querySelector("#control-title").textContent = TITLES[state];
      part("effect").textContent = EFFECTS[state];
      part("password").hidden = state !== "ACTIVE";
      form.elements.password.required = state === "ACTIVE";
      part("confirm").textContent = TITLES[state];
      part("confirm").disabled = false;
      goTo("1");
      dialog.showModal();
      form.elements.reason.focus();
    }

    function review() {
      if (!form.elements.reason.value.trim()) form.elements.reason.value = "";
      if (!form.reportValidity()) return;
      part("summary").textContent = form.elements.reason.value.trim();
      goTo("2");
      part("confirm").focus();
    }

    for (const button of document.querySelectorAll("[data-control]")) {
      button.addEventListener("click", () => open(button.dataset.control));
    }
    part("review").addEventListener("click", review);
    part("cancel").addEventListener("click", () => dialog.close());
    part("return").addEventListener("click", () => goTo("1"));
    form.addEventListener("submit", (event) => {
      if (steps[1].hidden) {
        event.preventDefault(); // Enter in the first step goes on, it does not act
        review();
      } else {
        part("confirm").disabled = true;
      }
    });
  }

  for (const node of document.querySelectorAll("[data-cell]")) cells[node.dataset.cell] = node;
  show();
  wireDialog();
  window.setInterval(showAge, 1000);
  TP.stream
    .on("state", showStream)
    .on("snapshot", (data) => {
      if (!TP.runAsked) update(data.strip);
    })
    .on("equity", onEquity)
    .on("decisions", onDecision)
    .on("control", onControl)
    .on("poll", refresh);
  TP.strip = { isOurs, current: () => strip };
  // after the page's own script has named its topics
  window.addEventListener("DOMContentLoaded", TP.stream.start);
})();
