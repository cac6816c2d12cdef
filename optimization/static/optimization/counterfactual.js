/* The run beside the book that trades without the layer: curve, figures, what filtering and sizing earned. */
(function () {
  "use strict";
  const TP = window.TP;
  const { el, format } = TP;
  const REFRESH_MS = 30000;
  const panel = document.getElementById("counterfactual");
  if (!panel || !panel.dataset.address) return;
  const part = (name) => panel.querySelector('[data-part="' + name + '"]');
  const note = document.getElementById("counterfactual-note");
  const TONES = { better: "ACTIVE", worse: "SUSPENDED", "not enough evidence": "" };
  const percent = (value) => format.percent(value, 2);
  const plain = (digits) => (value) => format.number(value, digits);
  const signed = (value, write) => (format.isNumber(value) && value > 0 ? "+" : "") + write(value);
  const FIGURES = [
    ["return_fraction", "Return", percent],
    ["max_drawdown_fraction", "Max drawdown", percent],
    ["sharpe", "Sharpe, a year", plain(2)],
    ["sortino", "Sortino, a year", plain(2)],
    ["expectancy_r", "Expectancy, R", plain(3)],
    ["win_rate_fraction", "Win rate", percent],
    ["profit_factor", "Profit factor", plain(2)],
  ];
  let shown = null;

  const cell = (content, className) => el("td", { class: className }, content);
  const chip = (verdict) => el("span", { class: "status " + TONES[verdict] }, verdict);

  function table(heads, rows) {
    const head = heads.map(([text, name]) => el("th", { class: name, scope: "col" }, text));
    return el("table", null, el("thead", null, el("tr", null, ...head)), el("tbody", null, ...rows));
  }

  function between(low, high, write) {
    return format.isNumber(low) && format.isNumber(high) ? write(low) + " to " + write(high) : "no interval";
  }

  function figureRow([name, title, write], figures) {
    const row = figures[name];
    const range = el("small", null, between(row.low, row.high, (value) => signed(value, write)));
    return el("tr", null, cell(title), cell(write(row.on), "num"), cell(write(row.off), "num"), el("td", { class: "num" }, signed(row.difference, write), range), cell(chip(row.verdict)));
  }

  function effectRow(title, what, row) {
    const range = el("small", null, between(row.low, row.high, (value) => format.signed(value, 2)));
    return el("tr", null, el("td", null, title), el("td", { class: "evidence" }, ...what), el("td", { class: "num " + format.tone(row.earned_quote) }, format.signed(row.earned_quote, 2), range), cell(chip(row.verdict)));
  }

  function filterRow(title, row) {
    const words = format.number(row.saved_quote, 2) + " of losses saved, " + format.number(row.missed_quote, 2) + " of wins missed";
    return effectRow(title, [words, el("small", null, row.traded + " trades of the other book")], row);
  }

  function sizingRow(row) {
    const mean = format.isNumber(row.mean_multiplier) ? "mean multiplier " + format.number(row.mean_multiplier, 3) : "none taken by both";
    return effectRow("Sizing", [mean, el("small", null, row.entries + " entries both took")], row);
  }

  function sentence(data) {
    const found = data.figures.return_fraction;
    const head = "With the layer " + percent(found.on) + ", without it " + percent(found.off) + ". ";
    if (data.shortfall) return head + "Not enough evidence to call either better: " + data.shortfall + ".";
    if (found.verdict === "better") return head + "The layer earned more, beyond what chance explains.";
    if (found.verdict === "worse") return head + "The layer cost money, beyond what chance explains.";
    return head + "The difference may be chance: its interval has 0 in it.";
  }

  function show() {
    const data = shown;
    const isEmpty = Boolean(data.empty);
    part("empty").hidden = !isEmpty;
    for (const name of ["verdict", "curve", "tables", "keys"]) part(name).hidden = isEmpty;
    note.textContent = isEmpty ? "" : "since " + format.moment(data.since_ms).slice(0, 16) + ", when the book without it began";
    if (isEmpty) {
      const [head, ...rest] = data.empty.split(": ");
      const why = rest.join(": ");
      part("empty").replaceChildren(el("strong", null, head), why.charAt(0).toUpperCase() + why.slice(1));
      return;
    }
    part("verdict").textContent = sentence(data);
    TP.layerCharts.drawEquity(part("curve"), data.curve, data.quote);
    part("figures").replaceChildren(table([["Figure"], ["With", "num"], ["Without", "num"], ["Difference, 95 %", "num"], ["Verdict"]], FIGURES.map((row) => figureRow(row, data.figures))));
    const rows = [
      filterRow("Filtering, in all", data.filtered),
      ...data.filtering.map((row) => filterRow(row.reason_code, row)),
      sizingRow(data.sizing),
    ];
    part("effects").replaceChildren(table([["What it did"], ["On closed trades"], ["Earned, " + data.quote + ", 95 %", "num"], ["Verdict"]], rows));
    part("keys").textContent = data.trades.on + " closed trades with the layer, " + data.trades.off + " without it. Better or worse is said from " + data.trades.needed + " on, and only where the 95 % interval of a block bootstrap (" + data.resamples + " resamples) leaves 0 out.";
  }

  async function read() {
    try {
      shown = await TP.fetchJson(panel.dataset.address);
    } catch (failed) {
      // what was read before stays; the strip says that live updates are away
      if (!shown) part("empty").replaceChildren(el("strong", null, "The comparison could not be read"), failed.message);
      return;
    }
    show();
  }

  read();
  TP.stream.on("trades", TP.throttled(read, REFRESH_MS));
  document.documentElement.addEventListener("themechange", () => shown && show());
})();
