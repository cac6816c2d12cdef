/* The open positions. A bar rewrites the cells that say something new; a row keeps its buttons, so
   that a press or the focus is never on one that has just been taken away. */
(function () {
  "use strict";
  const TP = window.TP;
  const { el, format } = TP;
  const HEADS = [["Strategy"], ["Symbol"], ["Open PnL", "num"], ["So far", "num"], ["Age", "num"], ["Quantity", "num"], ["Entry", "num"], ["Mark", "num"], ["Stop", "num"], ["Target", "num"]];
  const ACTS = ["Act", "acts"];
  const shown = new Map(); // by strategy and symbol: what stands on the page now
  let body = null;
  let hasActs = false;

  const cell = (content, className) => el("td", { class: className }, content);
  const keyOf = (row) => row.strategy + "|" + row.symbol;

  /* Where the price must go, from where it is: "109,900.00 −0.52 %". */
  function levelCell(level, mark) {
    if (!format.isNumber(level)) return cell(TP.NONE, "num");
    return el("td", { class: "num" }, format.price(level), el("small", null, format.isNumber(mark) ? format.signedPercent(level / mark - 1) : ""));
  }

  /* The stop's level, and whether an order of it rests or the bar's close judges it. */
  function stopCell(row) {
    const stop = levelCell(row.stop_price, row.mark_price);
    if (!format.isNumber(row.stop_price)) return stop;
    const rests = row.resting_stop_quantity > 0;
    stop.append(el("small", null, rests ? "resting" : "at close"));
    stop.title = rests ? "a stop order of " + format.quantity(row.resting_stop_quantity) + " rests at the broker" : "no stop order rests: the bar's close judges it";
    return stop;
  }

  function cellsOf(row, atMs) {
    const r = row.r_so_far;
    const cells = [
      cell(row.strategy),
      cell(row.symbol),
      cell(format.signed(row.unrealised_pnl_quote, 2), "num " + format.tone(row.unrealised_pnl_quote)),
      cell(format.isNumber(r) ? format.signed(r, 2) + " R" : TP.NONE, "num " + format.tone(r)),
      el("td", { class: "num", title: "opened " + format.moment(row.opened_at_ms) + " " + format.zone }, format.age(atMs - row.opened_at_ms)),
      cell(format.quantity(row.quantity), "num"),
      cell(format.price(row.entry_price), "num"),
      cell(format.price(row.mark_price), "num"),
      stopCell(row),
      levelCell(row.target_price, row.mark_price),
    ];
    // on a phone a row is a card, each figure beside its name
    cells.forEach((one, i) => one.setAttribute("data-label", HEADS[i][0]));
    return cells;
  }

  function newLine(row, cells) {
    const line = { row, cells, node: el("tr", null, ...cells) };
    // the dialog is told what is held when it opens, not when the row was drawn
    if (hasActs) line.node.append(TP.positionActions(row, () => line.row));
    return line;
  }

  function rewrite(line, row, cells) {
    line.row = row;
    cells.forEach((fresh, i) => {
      if (line.cells[i].isEqualNode(fresh)) return;
      line.cells[i].replaceWith(fresh);
      line.cells[i] = fresh;
    });
  }

  function clear(node, ...children) {
    shown.clear();
    body = null;
    node.replaceChildren(...children);
  }

  function begin(node) {
    const heads = [...HEADS, ...(hasActs ? [ACTS] : [])];
    const head = heads.map(([text, kind]) => el("th", { class: kind, scope: "col" }, text));
    const rows = el("tbody");
    clear(node, el("table", { class: "stacks" }, el("thead", null, el("tr", null, ...head)), rows));
    body = rows;
  }

  /* `atMs` is the run's newest moment; `empty` are the two parts of what is said without a row. */
  function show(node, rows, { atMs, mayAct, empty }) {
    if (!rows.length) {
      clear(node, el("div", { class: "empty" }, el("strong", null, empty[0]), empty[1]));
      return;
    }
    const wantsActs = Boolean(mayAct && TP.positionActions);
    if (!body || wantsActs !== hasActs) {
      hasActs = wantsActs;
      begin(node);
    }
    const keys = new Set(rows.map(keyOf));
    for (const [key, line] of shown) {
      if (keys.has(key)) continue;
      line.node.remove();
      shown.delete(key);
    }
    rows.forEach((row, i) => {
      const cells = cellsOf(row, atMs);
      const line = shown.get(keyOf(row));
      if (line) rewrite(line, row, cells);
      else shown.set(keyOf(row), newLine(row, cells));
      const { node: at } = shown.get(keyOf(row));
      // only what stands elsewhere is moved: a moved row loses the focus
      if (body.children[i] !== at) body.insertBefore(at, body.children[i] || null);
    });
  }

  TP.positionTable = { show };
})();
