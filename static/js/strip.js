/* The strip on every page: mode, trading state, limits, freshness; and the control dialog. */
(function () {
  "use strict";
  const TP = window.TP;
  const { el, format } = TP;
  const cells = {};
  let said = null;
  let strip = TP.data("strip-data");
  // A page opened for one run, or for the account that was chosen, shows that run; the socket
  // speaks of the default one.
  const query = new URLSearchParams(window.location.search);
  const shown = document.getElementById("account-shown");
  TP.runAsked = query.get("run") || (shown && strip.run ? strip.run.code : null);
  const SETTLED_MS = 1500;
  const LOOK_MS = 3000;
  const SNAPSHOT_AGE_MS = 10000;

  const EFFECTS = {
    HALTED:
      "Halt: nothing new is sent from now on, neither entries nor exits, and entries that rest at the broker are cancelled. Positions stay open. A stop or target that rests at the broker already stays there and may fill; none is placed, moved or judged at a bar's close. Flatten closes positions; Reduce lets exits go on.",
    REDUCING:
      "Reduce: no new entries. Exits, stops and cancels go on, so open positions are still looked after.",
    ACTIVE: "Resume: entries are allowed again from the next bar. A limit that is still broken stops them again.",
  };
  const ASKED = "control-asked";
  const SEVERITY = { ACTIVE: 0, REDUCING: 1, HALTED: 2 };
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
    for (const name of ["day-limit", "drawdown-limit"]) cells[name].title = cells[name].textContent;
    meter(cells["drawdown-meter"], limits.drawdown_fraction, limits.drawdown_limit_fraction);
  }

  /* "account:second/strategy:breakout" is breakout on second. */
  function nameOf(scope) {
    if (scope === "global") return "Trading";
    if (!scope.startsWith("account:")) return scope.slice(scope.indexOf(":") + 1);
    const [account, ...rest] = scope.slice("account:".length).split("/");
    const part = rest.join("/");
    return part ? part.slice(part.indexOf(":") + 1) + " on account " + account : "Account " + account;
  }

  const rowOf = (scope) => (scope === "global" ? strip.control : strip.control.scopes.find((one) => one.scope === scope));

  /* What the gate goes by: a hold blocks entries although nobody changed the state, and so does
     what stops this account alone. */
  function effectiveState() {
    const control = strip.control;
    const own = rowOf(control.account_scope);
    const states = [control.state, own ? own.state : "ACTIVE", control.holds.length ? "REDUCING" : "ACTIVE"];
    return states.reduce((worst, state) => (SEVERITY[state] > SEVERITY[worst] ? state : worst));
  }

  const MEANINGS = { REDUCING: "no new entries, exits go on", HALTED: "nothing new is sent, stops resting at the broker stay" };

  function until(row) {
    if (!row.releases_at_ms) return "";
    return " Ends by itself at " + format.moment(row.releases_at_ms).slice(0, 16) + " venue time.";
  }

  /* The strategy is named already: "lost 5 trades in a row, limit was 5". */
  function causeOf(row) {
    const reason = row.reason || row.reason_code || "no reason was given";
    return reason.replace(nameOf(row.scope) + " ", "").replace(/\.$/, "");
  }

  function stopNode(row) {
    const words = el(
      "span",
      null,
      el("b", null, nameOf(row.scope) + " is " + row.state),
      ", " + MEANINGS[row.state] + ": " + causeOf(row) + "." + until(row)
    );
    const node = el("li", { class: row.state }, words);
    if (document.getElementById("control-dialog")) {
      const label = "Resume " + nameOf(row.scope);
      node.append(el("button", { type: "button", class: "button small", "data-resume": row.scope, "aria-label": label }, "Resume"));
    }
    return node;
  }

  function holdNode(hold) {
    return el("li", { class: "REDUCING" }, el("span", null, el("b", null, "Entries wait"), ": " + hold + ". Exits go on; this ends by itself."));
  }

  /* More than two lines of the mild kind push the page away: one line names them, a click opens it. */
  const MOST_LINES = 2;

  function stopNodes(stopped) {
    const mild = stopped.filter((row) => row.state === "REDUCING" && row.scope !== "global");
    if (mild.length <= MOST_LINES) return stopped.map(stopNode);
    const open = cells.stops.querySelector("details[open]") !== null;
    const names = mild.map((row) => nameOf(row.scope)).join(", ");
    const words = el(
      "summary",
      null,
      el("b", null, mild.length + " are REDUCING"),
      ", " + MEANINGS.REDUCING + ": " + names + ". ",
      el("span", { class: "more" }, "Why, and resume")
    );
    const list = el("details", { open: open ? "open" : "" }, words, el("ul", null, ...mild.map(stopNode)));
    const folded = el("li", { class: "folded REDUCING" }, list);
    return [...stopped.filter((row) => !mild.includes(row)).map(stopNode), folded];
  }

  function showStops() {
    const control = strip.control;
    const stopped = control.state === "ACTIVE" ? control.scopes : [{ ...control, scope: "global" }, ...control.scopes];
    const error = strip.run && strip.run.last_error;
    const nodes = [
      ...stopNodes(stopped),
      ...control.holds.map(holdNode),
      ...(error ? [el("li", { class: "HALTED" }, el("span", null, el("b", null, "Last error"), ": " + error))] : []),
    ];
    const text = nodes.map((node) => node.textContent).join("|");
    if (text === cells.stops.dataset.text) return; // a button under a finger stays where it is
    cells.stops.dataset.text = text;
    cells.stops.hidden = nodes.length === 0;
    cells.stops.replaceChildren(...nodes);
  }

  /* Said once a change, and not when the page opens. */
  function say() {
    const control = strip.control;
    const words = [
      "Trading is " + effectiveState(),
      ...control.scopes.map((row) => nameOf(row.scope) + " is " + row.state),
      ...control.holds,
    ].join(", ");
    if (said !== null && said !== words) cells.said.textContent = words;
    said = words;
  }

  function showControl() {
    const control = strip.control;
    const state = effectiveState();
    const n = control.scopes.length;
    cells.state.textContent = state;
    cells.state.className = "state " + state;
    const own = rowOf(control.account_scope);
    const isHeld = state !== control.state && !(own && own.state === state);
    const why = isHeld ? control.holds[0] : n ? n + " stopped" : "";
    cells["state-note"].textContent = why;
    cells["state-note"].title = why;
    showStops();
    say();
    for (const button of document.querySelectorAll("[data-control]")) {
      button.disabled = button.dataset.control === control.state;
    }
  }

  /* One bar waits whenever it has just closed. */
  const isBehind = () => strip.behind_bars > 1;

  function showVenueTime() {
    const at = strip.run && strip.run.last_event_at_ms;
    cells["venue-time"].textContent = at ? format.moment(at).slice(5, 16) : TP.NONE;
    cells["venue-time"].title = format.moment(at);
    const behind = isBehind() ? format.number(strip.behind_bars, 0) + " bars behind" : "";
    cells.behind.textContent = behind;
    cells.behind.title = behind && "bars that have closed at the venue and wait to be decided on";
  }

  /* Both times are the server's: a browser's clock that is wrong calls nobody late. */
  const isLoopQuiet = () => format.isNumber(strip.loop_quiet_at_ms) && strip.read_at_ms > strip.loop_quiet_at_ms;

  function showAge() {
    const at = strip.decision && strip.decision.created_at_ms;
    cells.decision.textContent = at ? format.age(Date.now() - at) + " ago" : "none yet";
    cells.decision.className = isLoopQuiet() ? "late" : "";
    cells.decision.title = isLoopQuiet() ? "the trading loop has not been heard since " + format.moment(strip.loop_quiet_at_ms) + ": see Platform, System" : "";
  }

  function show() {
    const run = strip.run;
    cells.badge.textContent = run ? run.badge : "NO RUN";
    cells.badge.className = "badge " + (run ? run.badge : "");
    cells.layer.textContent = strip.layer ? (strip.layer.enabled ? "on · " + strip.layer.status : "off") : TP.NONE;
    showLimits();
    showControl();
    showVenueTime();
    showAge();
  }

  /* A shared snapshot may have been read before this page was: right after a click it would show
     what was. By more than a few seconds only a clock that was set back is older. */
  function update(next) {
    const olderMs = strip.read_at_ms - next.read_at_ms;
    if (olderMs > 0 && olderMs < SNAPSHOT_AGE_MS) return;
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

  function onBar(data) {
    if (!isOurs(data)) return;
    strip.run.last_event_at_ms = Math.max(strip.run.last_event_at_ms || 0, data.ts_ms + strip.run.timeframe_ms);
    showVenueTime();
  }

  /* The frame may come before the transaction that caused it is committed, so it is shown as it
     is; what it does not carry is read a moment later. */
  function onControl(data) {
    if (data.scope.startsWith("settings:")) {
      window.setTimeout(refresh, SETTLED_MS); // nobody is stopped; what the strip says of the layer is
      return;
    }
    const row = { reason_code: "", actor: "", releases_at_ms: null, ...data, reason: data.reason || "" };
    if (data.scope === "global") {
      Object.assign(strip.control, row);
    } else if (data.scope.startsWith("account:") && data.scope.split("/")[0] !== strip.control.account_scope) {
      return; // another account's
    } else {
      const others = strip.control.scopes.filter((one) => one.scope !== data.scope);
      strip.control.scopes = data.state === "ACTIVE" ? others : [...others, row].sort((a, b) => (a.scope < b.scope ? -1 : 1));
    }
    showControl();
    window.setTimeout(refresh, SETTLED_MS);
  }

  function onOrder(data) {
    if (isOurs(data) && data.status === "UNKNOWN") refresh();
  }

  /* Holds begin and end without a frame of their own. */
  let looks = 0;
  function look() {
    looks += 1;
    const mayBeQuiet = format.isNumber(strip.loop_quiet_at_ms) && Date.now() > strip.loop_quiet_at_ms;
    const isDue = strip.control.holds.length > 0 || isBehind() || mayBeQuiet || looks % 5 === 0;
    if (isDue && document.visibilityState === "visible" && TP.stream.state === "live") refresh();
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

    /* Only what loosens asks for the password again; the server judges, this only shows the field. */
    function loosens(state, scope) {
      return SEVERITY[state] < SEVERITY[stateOf(scope)];
    }

    /* What was asked before this page, where it was not done (a wrong password): its reason is kept. */
    const asked = JSON.parse(window.sessionStorage.getItem(ASKED) || "null");
    window.sessionStorage.removeItem(ASKED);
    const stateOf = (scope) => (rowOf(scope) || { state: "ACTIVE" }).state;
    const undone = asked && stateOf(asked.scope) !== asked.state ? asked : null;
    const isUndone = (state, scope) =>
      undone !== null &&
      undone.state === state &&
      (undone.scope === scope || (scope === "global" && undone.scope === strip.control.account_scope));

    const which = form.elements.which;
    const about = (state, scope) => {
      const verb = { HALTED: "Halt ", REDUCING: "Reduce ", ACTIVE: "Resume " }[state];
      return scope === "global" ? TITLES[state] : verb + nameOf(scope).replace(/^Account/, "account");
    };

    /* Only what stands on the strip's buttons is asked of one account or of all. */
    function open(state, scope) {
      form.reset();
      if (which) part("which").hidden = scope !== "global";
      fill(state, scope);
      if (isUndone(state, scope)) form.elements.reason.value = undone.reason;
      goTo("1");
      dialog.showModal();
      form.elements.reason.focus();
    }

    function fill(state, scope) {
      const title = about(state, scope);
      const isWhole = scope === "global" || scope === strip.control.account_scope;
      form.elements.state.value = state;
      form.elements.scope.value = scope;
      dialog.querySelector("#control-title").textContent = title;
      part("effect").textContent = isWhole ? EFFECTS[state] : nameOf(scope) + " may enter again from the next bar. The rest of trading stays as it is. A limit that is still broken stops it again.";
      const asks = loosens(state, scope);
      part("password").hidden = !asks;
      form.elements.password.required = asks;
      part("confirm").textContent = title;
      part("confirm").disabled = false;
    }

    function review() {
      if (!form.elements.reason.value.trim()) form.elements.reason.value = "";
      if (!form.reportValidity()) return;
      part("summary").textContent = form.elements.reason.value.trim();
      goTo("2");
      part("confirm").focus();
    }

    for (const button of document.querySelectorAll("[data-control]")) {
      button.addEventListener("click", () => open(button.dataset.control, "global"));
    }
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-resume]");
      if (button) open("ACTIVE", button.dataset.resume);
    });
    if (which) which.addEventListener("change", () => fill(form.elements.state.value, which.value));
    part("review").addEventListener("click", review);
    part("cancel").addEventListener("click", () => dialog.close());
    part("return").addEventListener("click", () => goTo("1"));
    form.addEventListener("submit", (event) => {
      if (steps[1].hidden) {
        event.preventDefault(); // Enter in the first step goes on, it does not act
        review();
      } else {
        part("confirm").disabled = true;
        const { state, scope, reason } = form.elements;
        const told = { state: state.value, scope: scope.value, reason: reason.value };
        window.sessionStorage.setItem(ASKED, JSON.stringify(told));
      }
    });
  }

  if (shown) shown.addEventListener("change", () => shown.form.submit());
  for (const node of document.querySelectorAll("[data-cell]")) cells[node.dataset.cell] = node;
  show();
  wireDialog();
  window.setInterval(showAge, 1000);
  window.setInterval(look, LOOK_MS);
  TP.stream
    .on("state", showStream)
    .on("snapshot", (data) => {
      if (!TP.runAsked) update(data.strip);
    })
    .on("equity", onEquity)
    .on("bars", onBar)
    .on("orders", onOrder)
    .on("decisions", onDecision)
    .on("control", onControl)
    .on("poll", refresh);
  TP.strip = { isOurs, current: () => strip };
  // after the page's own script has named its topics
  window.addEventListener("DOMContentLoaded", TP.stream.start);
})();
