/* One decision with its ten phases: what was seen, what was said, what was cut, and why. */
(function () {
  "use strict";
  const TP = window.TP;
  const { el, format } = TP;
  const drawer = document.getElementById("drawer");
  const part = (name) => drawer.querySelector('[data-drawer="' + name + '"]');

  function fact(label, value) {
    return el("div", null, el("dt", null, label), el("dd", null, value));
  }

  function section(title, ...children) {
    return el("section", null, el("h3", null, title), ...children);
  }

  function reasonItem(reason) {
    const item = el("li", null, reason.text || reason.code);
    if (format.isNumber(reason.value) && format.isNumber(reason.limit) && Number(reason.limit) !== 0) {
      const scale = Math.max(Math.abs(reason.value), Math.abs(reason.limit)) * 1.15;
      const bar = el("i");
      bar.style.width = ((100 * Math.abs(reason.value)) / scale).toFixed(1) + "%";
      const mark = el("u");
      mark.style.left = ((100 * Math.abs(reason.limit)) / scale).toFixed(1) + "%";
      const words = reason.code + ": value " + reason.value + ", limit " + reason.limit;
      item.append(el("span", { class: "gauge", role: "img", title: words, "aria-label": words }, bar, mark));
    }
    return item;
  }

  function plain(value) {
    if (value === null || value === undefined) return TP.NONE;
    if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
    if (typeof value === "object") return JSON.stringify(value);
    return String(value);
  }

  function output(values) {
    const rows = Object.entries(values || {});
    if (!rows.length) return null;
    const list = el("dl", { class: "output" });
    for (const [name, value] of rows) {
      list.append(el("dt", null, name.replaceAll("_", " ")), el("dd", null, plain(value)));
    }
    return el("details", null, el("summary", null, "Output, " + rows.length + (rows.length === 1 ? " value" : " values")), list);
  }

  /* Where a phase gave no reason its first plain values say what it found. */
  function gist(values) {
    return Object.entries(values || {})
      .filter(([, value]) => value !== null && value !== "" && typeof value !== "object")
      .slice(0, 4)
      .map(([name, value]) => name.replaceAll("_", " ") + " " + (typeof value === "string" ? value.toLowerCase() : plain(value)))
      .join(", ");
  }

  function phase(row, blocking) {
    const ms = format.isNumber(row.duration_us) ? format.number(row.duration_us / 1000, 2) + " ms" : "";
    const said = row.reasons.length ? row.reasons.map(reasonItem) : [el("li", null, gist(row.output))];
    const reasons = el("ul", { class: "reasons" }, ...said);
    return el(
      "div",
      { class: row.number === blocking ? "phase stopped" : "phase" },
      el("span", { class: "n" }, String(row.number)),
      el("span", { class: "title" }, row.title),
      el("span", { class: "ms" }, ms),
      el("span", { class: "status " + row.status }, row.status),
      row.reasons.length || gist(row.output) ? reasons : null,
      output(row.output)
    );
  }

  function bar(track, from, to, className) {
    const fill = el("i", { class: className });
    fill.style.left = (100 * Math.min(from, to)).toFixed(2) + "%";
    fill.style.width = (100 * Math.abs(to - from)).toFixed(2) + "%";
    track.append(fill);
    return track;
  }

  function sizing(detail) {
    const trace = detail.sizing;
    if (!trace) return null;
    const steps = [
      ...(trace.steps || []).map((step) => ({ name: step.code.replaceAll("_", " "), value: Number(step.after_base), note: step.text })),
      { name: "Final size", value: Number(trace.quantity_base), note: format.number(trace.notional_quote, 2) + " " + detail.quote + " notional, " + format.number(trace.stop_risk_quote, 2) + " at the stop" },
    ];
    const largest = Math.max(...steps.map((step) => step.value), 1e-12);
    const rows = steps.flatMap((step) => [
      el("span", null, step.name),
      bar(el("span", { class: "track" }), 0, step.value / largest, ""),
      el("span", { class: "num" }, format.quantity(step.value)),
      el("span", { class: "note" }, step.note),
    ]);
    const denied = trace.denied ? el("p", { class: "down" }, trace.denied.text) : null;
    return section("Size", el("div", { class: "bars" }, ...rows), denied);
  }

  function opinions(detail) {
    if (!detail.opinions || !detail.opinions.length) return null;
    const consensus = detail.consensus;
    const weights = new Map(consensus ? consensus.contributors.map((name, i) => [name, consensus.weights[i]]) : []);
    const scores = new Map((detail.sources || []).map((source) => [source.source, source]));
    const record = (source) => {
      const score = scores.get(source);
      const weight = weights.has(source) ? "weight " + format.percent(weights.get(source), 0) : "not in the vote";
      if (!score || !format.isNumber(score.brier)) return weight;
      return weight + ", Brier " + format.number(score.brier, 3) + " over " + score.settled;
    };
    const row = (name, probability, note) => [
      el("span", null, name),
      bar(el("span", { class: "track" }), 0.5, probability, probability >= 0.5 ? "up" : "down"),
      el("span", { class: "num" }, format.percent(probability, 1)),
      note ? el("span", { class: "note" }, note) : null,
    ];
    const rows = detail.opinions.flatMap((opinion) =>
      row(opinion.source, opinion.probability_up, record(opinion.source))
    );
    if (consensus) {
      rows.push(
        ...row(
          "Combined",
          consensus.probability_up,
          "uncertainty ± " + format.percent(consensus.uncertainty, 1) + "; " + consensus.confluence_up + " lean up, " + consensus.confluence_down + " lean down"
        )
      );
    }
    return section("Votes: probability that the price rises", el("div", { class: "bars vote" }, ...rows.filter(Boolean)));
  }

  function orders(detail) {
    if (!detail.orders.length) return null;
    const rows = detail.orders.map((order) =>
      el(
        "tr",
        null,
        el("td", null, el("span", { class: "status " + order.status }, order.status)),
        el("td", null, order.side + " " + order.purpose),
        el("td", { class: "num" }, format.quantity(order.filled) + " of " + format.quantity(order.quantity)),
        el("td", { class: "num" }, format.price(order.average_price)),
        el("td", { class: "wide" }, order.refusal || "")
      )
    );
    return section("Orders", el("table", null, el("tbody", null, ...rows)));
  }

  function facts(detail) {
    return el(
      "dl",
      { class: "facts" },
      fact("Bar close, venue time " + format.zone, format.moment(detail.at_ms)),
      fact("Price", format.price(detail.price)),
      detail.action === "EXIT" || detail.action === "HOLD"
        ? fact("Code", detail.reason_code.replaceAll("_", " "))
        : fact("Confidence", format.percent(detail.confidence, 0)),
      fact("Quantity", format.quantity(detail.quantity)),
      fact("Stop", format.price(detail.stop_price)),
      fact("Target", format.price(detail.target_price)),
      fact("Regime", detail.regime ? detail.regime.toLowerCase() : TP.NONE),
      fact("Mode", detail.mode + (detail.is_simulated ? ", simulated" : ""))
    );
  }

  function show(detail) {
    part("action").textContent = detail.action;
    part("action").className = "status " + detail.action;
    part("title").textContent = detail.strategy + " on " + detail.symbol;
    const body = part("body");
    body.replaceChildren(
      el("section", null, el("p", { class: "verdict" }, detail.action === "HOLD" ? detail.summary : detail.reason || detail.reason_code), facts(detail), el("p", null, el("a", { href: "/decisions/" + detail.id + "/" }, "Full trace, every gate, decide again"))),
      section("Ten phases", ...detail.phases.map((row) => phase(row, detail.blocking_phase))),
      ...[sizing(detail), opinions(detail), orders(detail)].filter(Boolean)
    );
    drawer.scrollTop = 0;
  }

  async function open(row) {
    const address = row.id
      ? "/data/decisions/" + row.id + "/"
      : "/data/decisions/?" + new URLSearchParams({ run: row.run, symbol: row.symbol, strategy: row.strategy, at_ms: row.at_ms });
    part("action").textContent = "";
    part("title").textContent = "Loading";
    part("body").replaceChildren();
    if (!drawer.open) drawer.showModal();
    try {
      show(await TP.fetchJson(address));
    } catch (error) {
      part("title").textContent = "Not available";
      part("body").replaceChildren(el("section", null, "This decision could not be read. " + error.message));
    }
  }

  TP.trace = { phase, sizing, opinions, orders, facts };
  if (!drawer) return;
  drawer.querySelector("[data-close]").addEventListener("click", () => drawer.close());
  drawer.addEventListener("click", (event) => {
    if (event.target === drawer) drawer.close(); // a click beside the drawer
  });
  TP.drawer = { open };
})();
