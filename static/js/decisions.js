/* The stream of decisions: newest first, HOLDs folded away until asked for. */
(function () {
  "use strict";
  const TP = window.TP;
  const { el, format } = TP;
  const KEPT = 400;
  const list = document.getElementById("stream");
  if (!list) return;
  const inputs = {
    holds: document.getElementById("show-holds"),
    strategy: document.getElementById("filter-strategy"),
    symbol: document.getElementById("filter-symbol"),
    action: document.getElementById("filter-action"),
  };
  const rows = new Map();
  const fresh = new Set();

  const keyOf = (row) => row.symbol + "|" + row.at_ms + "|" + row.strategy;

  function isShown(row) {
    if (inputs.strategy.value && row.strategy !== inputs.strategy.value) return false;
    if (inputs.symbol.value && row.symbol !== inputs.symbol.value) return false;
    if (inputs.action.value) return row.action === inputs.action.value;
    return inputs.holds.checked || row.action !== "HOLD";
  }

  /* An exit is certain: why it left says more than 100 %. */
  function note(row) {
    if (row.action === "EXIT") return row.reason_code.replaceAll("_", " ");
    return row.action === "HOLD" ? "" : format.percent(row.confidence, 0) + " sure";
  }

  function item(row) {
    const key = keyOf(row);
    const stopped = row.blocking_phase ? "phase " + row.blocking_phase + ": " : "";
    const node = el(
      "button",
      { type: "button", class: fresh.has(key) ? "decision fresh" : "decision", "data-key": key },
      el("span", { class: "status " + row.action }, row.action),
      el("span", { class: "head" }, row.strategy + " ", el("small", null, [row.symbol, note(row)].filter(Boolean).join(" · "))),
      el("time", null, format.clock(row.at_ms)),
      el("span", { class: "reason", title: row.reason }, stopped + (row.reason || row.reason_code))
    );
    return node;
  }

  function empty(hidden) {
    const node = el("div", { class: "empty" });
    if (!rows.size) {
      node.append(el("strong", null, "No decision yet"), "The first closed bar brings the first decision; indicators are warmed up from stored history.");
    } else if (hidden) {
      const button = el("button", { type: "button", class: "button small", "data-unfold": "1" }, "Show them");
      node.append(el("strong", null, "Only HOLDs"), el("p", null, (hidden === 1 ? "1 HOLD decision is" : hidden + " HOLD decisions are") + " folded away; each says why nothing was bought."), button);
    } else {
      node.append(el("strong", null, "Nothing matches"), "No recent decision has these filters.");
    }
    return node;
  }

  function render() {
    const all = [...rows.values()].sort((a, b) => b.at_ms - a.at_ms);
    const shown = all.filter(isShown).slice(0, 120);
    const hidden = all.filter((row) => row.action === "HOLD").length;
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const top = list.scrollTop;
    list.replaceChildren(...(shown.length ? shown.map(item) : [empty(inputs.holds.checked || inputs.action.value ? 0 : hidden)]));
    list.scrollTop = top;
    fresh.clear();
    if (focused) {
      const again = list.querySelector('[data-key="' + CSS.escape(focused) + '"]');
      if (again) again.focus({ preventScroll: true });
    }
  }

  const renderSoon = TP.throttled(render, 250);

  function add(row) {
    const key = keyOf(row);
    if (!rows.has(key)) fresh.add(key);
    rows.set(key, { ...rows.get(key), ...row });
    if (rows.size > KEPT) {
      const oldest = [...rows.entries()].sort((a, b) => a[1].at_ms - b[1].at_ms);
      // actions outlive HOLDs: they are what one looks back at
      const spare = oldest.find((entry) => entry[1].action === "HOLD") || oldest[0];
      rows.delete(spare[0]);
    }
    renderSoon();
  }

  function options(select, values) {
    const chosen = select.value;
    select.replaceChildren(select.options[0], ...values.map((value) => el("option", null, value)));
    select.value = values.includes(chosen) ? chosen : "";
  }

  function reset(decisions, strategies, symbols) {
    rows.clear();
    fresh.clear();
    for (const row of decisions) rows.set(keyOf(row), row);
    options(inputs.strategy, strategies);
    options(inputs.symbol, symbols);
    render();
  }

  list.addEventListener("click", (event) => {
    if (event.target.closest("[data-unfold]")) {
      inputs.holds.checked = true;
      render();
      return;
    }
    const node = event.target.closest("[data-key]");
    if (node) TP.drawer.open(rows.get(node.dataset.key));
  });
  for (const input of Object.values(inputs)) input.addEventListener("change", render);
  TP.decisions = { add, reset };
})();
