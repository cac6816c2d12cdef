/* One decision on a page of its own: gates with their room, sizing, votes, phases, and deciding it again. */
(function () {
  "use strict";
  const TP = window.TP;
  const { el, format } = TP;
  const detail = TP.data("decision-data");
  const part = (name) => document.querySelector('[data-trace="' + name + '"]');

  function number(value) {
    return format.isNumber(value) ? String(Number(Number(value).toPrecision(5))) : "";
  }

  function gateRow(gate) {
    const word = gate.passed === null ? "not asked" : gate.passed ? "passed" : "failed";
    const tone = gate.passed === null ? "skipped" : gate.passed ? "passed" : "blocked";
    return el(
      "tr",
      null,
      el("td", null, gate.name),
      el("td", null, el("span", { class: "status " + tone }, word)),
      el("td", { class: "num" }, number(gate.value)),
      el("td", { class: "num" }, number(gate.limit)),
      el("td", { class: "num " + (gate.margin < 0 ? "down" : "") }, number(gate.margin)),
      el("td", { class: "said" }, gate.text)
    );
  }

  function table(headings, rows, label) {
    const head = el("tr", null, ...headings.map(([name, className]) => el("th", { class: className }, name)));
    const body = el("table", { class: "gates" }, el("thead", null, head), el("tbody", null, ...rows));
    return el("div", { class: "flush", tabindex: "0", role: "region", "aria-label": label }, body);
  }

  function why() {
    const parts = [];
    if (detail.nearest_miss) parts.push(el("p", { class: "nearest" }, el("strong", null, "Nearest miss: "), detail.nearest_miss));
    if (detail.gates.length) {
      const headings = [["Gate"], ["Answer"], ["Value", "num"], ["Limit", "num"], ["Room", "num"], ["In words"]];
      const failed = detail.gates.filter((gate) => gate.passed === false);
      if (failed.length) parts.push(table(headings, failed.map(gateRow), "Gates that failed, in order"));
      const rest = detail.gates.filter((gate) => gate.passed !== false);
      const list = table(headings, rest.map(gateRow), "Gates that passed");
      parts.push(el("details", failed.length ? null : { open: "open" }, el("summary", null, rest.length + " gates that did not stop it"), list));
    }
    for (const near of detail.near_misses) {
      const rows = near.conditions.map((c) =>
        el("li", null, el("span", null, c.name), el("b", null, number(c.value) || "nothing to measure"), el("span", { class: "muted" }, "needed " + c.wants + " " + number(c.limit) + " " + c.unit))
      );
      parts.push(el("div", { class: "near" }, el("h3", null, near.source + ", " + near.side + " by " + near.setup), el("ul", null, ...rows)));
    }
    if (!parts.length) parts.push(el("p", { class: "muted" }, "No gate was asked: " + detail.summary));
    return parts;
  }

  function fill(name, ...nodes) {
    const found = nodes.filter(Boolean);
    const place = part(name);
    if (found.length) place.replaceChildren(...found);
    else place.closest("[data-optional]").hidden = true;
  }

  fill("facts", TP.trace.facts(detail));
  fill("why", ...why());
  /* what was stopped before its size was worked out has none */
  fill("sizing", detail.sizing && detail.sizing.steps.length ? TP.trace.sizing(detail) : null);
  fill("votes", TP.trace.opinions(detail));
  fill("phases", ...detail.phases.map((row) => TP.trace.phase(row, detail.blocking_phase)));
  fill("orders", TP.trace.orders(detail));

  const LABELS = { price: "Candles", state: "Record", config: "Settings", code: "Code" };

  function told(replay) {
    const verdict = replay.same
      ? el("p", { class: "up" }, "The same decision, digest " + replay.verdict_then.digest + ", and nothing differed on the way.")
      : el("p", { class: "down" }, replay.same_verdict ? "The same decision, but not everything is as it was." : "Not the same decision.");
    const rows = replay.differences.map((d) =>
      el("tr", null, el("td", null, LABELS[d.label] || d.label), el("td", null, d.phase ? "phase " + d.phase : ""), el("td", null, d.what), el("td", { class: "said" }, d.then), el("td", { class: "said" }, d.now))
    );
    const used = { recomputed: [], recorded: [], follows: [] };
    for (const phase of replay.phases) used[phase.source].push(phase.number);
    const basis = "Recomputed: phases " + (used.recomputed.join(", ") || "none") + (used.recorded.length ? "; taken from the record: " + used.recorded.join(", ") : "") + ". Code then " + (replay.code_then || "unknown") + ", now " + replay.code_now + ".";
    return [verdict, el("p", { class: "muted" }, basis), rows.length ? table([["Label"], ["Where"], ["What"], ["Then"], ["Now"]], rows, "Differences") : null].filter(Boolean);
  }

  const button = document.getElementById("replay");
  button.addEventListener("click", async () => {
    const result = document.getElementById("replay-result");
    button.disabled = true;
    result.replaceChildren(el("p", { class: "muted" }, "Deciding again"));
    try {
      result.replaceChildren(...told(await TP.fetchJson(button.dataset.address)));
    } catch (error) {
      result.replaceChildren(el("p", { class: "down" }, "This could not be decided again. " + error.message));
    }
    button.disabled = false;
  });
})();
