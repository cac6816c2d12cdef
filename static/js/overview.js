/* The overview: draws what the server read, then keeps it fresh from the stream. */
(function () {
  "use strict";
  const TP = window.TP;
  const { el, format, charts } = TP;
  const byId = (id) => document.getElementById(id);
  let state = TP.data("overview-data");
  if (!state.run) {
    // the first run brings a page of its own
    TP.stream.on("snapshot", (data) => data.run && window.location.reload());
    return;
  }
  let symbol = state.price ? state.price.symbol : null;
  const badge = state.run.badge;

  /* --- figures and words ------------------------------------------------------------------ */

  function figure(label, value, note, tone) {
    return el("div", { class: "figure" }, el("dt", null, label), el("dd", { class: tone }, value), el("dd", null, note));
  }

  function totals() {
    const sums = { trades: 0, wins: 0, pnl: 0 };
    for (const row of state.strategies) {
      sums.trades += row.trades;
      sums.wins += row.wins;
      sums.pnl += row.pnl_quote || 0;
    }
    return sums;
  }

  function showFigures() {
    const account = state.account || {};
    const sums = totals();
    const quote = state.run.quote;
    const unrealised = state.positions.reduce((sum, row) => sum + (row.unrealised_pnl_quote || 0), 0);
    byId("figures").replaceChildren(
      figure("Equity", format.number(account.equity, 2), quote + ", started with " + format.number(state.run.starting_cash_quote, 0)),
      figure("Return", format.signedPercent(account.return_fraction), "since the run began", format.tone(account.return_fraction)),
      figure("Today", format.signed(account.day_pnl, 2), quote + ", UTC day", format.tone(account.day_pnl)),
      figure("Drawdown", format.percent(account.drawdown_fraction), "worst " + format.percent(account.worst_drawdown_fraction)),
      figure("Exposure", format.percent(account.exposure_fraction, 1), "cash " + format.number(account.cash, 2)),
      figure("Open PnL", state.positions.length ? format.signed(unrealised, 2) : TP.NONE, state.positions.length === 1 ? "1 open position" : state.positions.length + " open positions", state.positions.length ? format.tone(unrealised) : ""),
      figure("Win rate", sums.trades && !state.trades_lack ? format.percent(sums.wins / sums.trades, 1) : TP.NONE, (sums.trades && state.trades_lack) || sums.trades + (sums.trades === 1 ? " closed trade" : " closed trades"))
    );
  }

  function showWhy() {
    const why = byId("why");
    why.hidden = !state.why_no_trade;
    why.lastElementChild.textContent = state.why_no_trade;
  }

  function showFunnel() {
    const counts = state.funnel;
    const part = (n, words) => el("span", null, el("b", null, format.number(n, 0)), " " + words);
    byId("funnel").replaceChildren(
      part(counts.evaluated, "evaluated in " + counts.bars + " bars"),
      part(counts.nobody_proposed, "nobody proposed"),
      ...counts.blocked.map((row) => part(row.n, "stopped at " + row.title.toLowerCase())),
      part(counts.acted, "acted"),
      counts.late ? part(counts.late, "too late to enter on") : "",
      counts.rejected ? el("span", { class: "down", title: counts.rejected_reason }, part(counts.rejected, (counts.rejected === 1 ? "bar" : "bars") + " refused: " + counts.rejected_reason)) : ""
    );
  }

  /* --- tables ------------------------------------------------------------------------------- */

  function table(heads, rows, empty) {
    if (!rows.length) return el("div", { class: "empty" }, el("strong", null, empty[0]), empty[1]);
    const head = heads.map(([text, kind]) => el("th", { class: kind, scope: "col" }, text));
    return el("table", null, el("thead", null, el("tr", null, ...head)), el("tbody", null, ...rows));
  }

  const cell = (content, className) => el("td", { class: className }, content);

  function speed() {
    const n = state.pace.bars_per_s;
    return format.isNumber(n) ? "Bars arrive at " + format.number(n, 1) + " a second. " : "";
  }

  function showPositions() {
    const seen = state.pace.bars_seen === 1 ? "1 bar" : format.number(state.pace.bars_seen, 0) + " bars";
    const why = state.pace.bars_seen ? speed() + seen + " seen; a position opens when a proposal passes all phases." : "The first bar is on its way; a position opens when a proposal passes all phases.";
    TP.positionTable.show(byId("positions"), state.positions, { atMs: state.run.last_event_at_ms, mayAct: !state.run.ended_at_ms, empty: ["No open position", why] });
  }

  /* A bar moves the marks at once; the rows are read again when something is filled. */
  function markPositions(bar) {
    let isMoved = false;
    for (const row of state.positions) {
      if (row.symbol !== bar.symbol || !format.isNumber(row.mark_price)) continue;
      const gain = (row.side === "SELL" ? -1 : 1) * row.quantity * (bar.close - row.mark_price);
      row.mark_price = bar.close;
      row.notional_quote = row.quantity * bar.close;
      row.unrealised_pnl_quote += gain;
      if (row.risk_quote) row.r_so_far = row.unrealised_pnl_quote / row.risk_quote;
      isMoved = true;
    }
    return isMoved;
  }

  function weightCell(row) {
    const fill = el("i");
    fill.style.width = (50 * row.weight).toFixed(1) + "%"; // the range is 0 to 2
    const words = "weight " + format.number(row.weight, 2) + " of 2";
    return el("td", { class: "num" }, format.number(row.weight, 2), el("span", { class: "share", role: "img", "aria-label": words }, fill));
  }

  /* "stopped: lost 5 trades in a row" for a strategy whose own trading state is not ACTIVE. */
  function statusCell(row) {
    const node = el("td", null, el("span", { class: "status " + row.status, title: row.status_reason }, row.status));
    const stop = TP.strip.current().control.scopes.find((one) => one.scope.endsWith("strategy:" + row.strategy));
    if (stop) {
      const streak = /lost (\d+) trades in a row/.exec(stop.reason);
      const why = streak ? streak[1] + " losses in a row" : stop.reason.replace(row.strategy + " ", "");
      node.append(el("small", { class: "stopped", title: stop.state + ": " + stop.reason }, "stopped: " + (why || stop.state)));
    }
    return node;
  }

  function showStrategies() {
    const rows = state.strategies.map((row) =>
      el(
        "tr",
        null,
        cell(row.name),
        statusCell(row),
        weightCell(row),
        el("td", { class: "num" }, String(row.trades), row.trades && row.lacks ? el("small", null, row.lacks) : null),
        cell(row.trades ? format.percent(row.win_rate_fraction, 1) : TP.NONE, "num " + (row.lacks ? "muted" : "")),
        cell(format.isNumber(row.expectancy_r) ? format.signed(row.expectancy_r, 2) + " R" : TP.NONE, "num " + (row.lacks ? "muted" : format.tone(row.expectancy_r))),
        cell(format.signed(row.pnl_quote, 2), "num " + format.tone(row.pnl_quote))
      )
    );
    const heads = [["Strategy"], ["Status"], ["Weight", "num"], ["Trades", "num"], ["Win rate", "num"], ["Expectancy", "num"], ["PnL, net", "num"]];
    byId("strategies").replaceChildren(table(heads, rows, ["No strategy registered", "Strategies are created when the platform starts."]));
  }

  function showTrades() {
    const rows = state.trades.slice(0, 8).map((row) =>
      el(
        "tr",
        null,
        el("td", { title: format.moment(row.closed_at_ms) }, format.clock(row.closed_at_ms)),
        cell(row.strategy),
        cell(row.symbol),
        cell(format.signed(row.pnl_quote, 2), "num " + format.tone(row.pnl_quote)),
        cell(format.isNumber(row.r_multiple) ? format.signed(row.r_multiple, 2) : TP.NONE, "num"),
        cell(format.price(row.entry_price), "num"),
        cell(format.price(row.exit_price), "num"),
        cell(row.exit_reason.replaceAll("_", " ").toLowerCase(), "muted")
      )
    );
    const heads = [["Closed"], ["Strategy"], ["Symbol"], ["PnL, net", "num"], ["R", "num"], ["Entry", "num"], ["Exit", "num"], ["Left by"]];
    byId("trades").replaceChildren(table(heads, rows, ["No closed trade yet", "A trade is listed when its position is closed, by its stop, its target or its own rule."]));
  }

  /* --- alerts --------------------------------------------------------------------------------- */

  async function acknowledge(id, button) {
    const form = byId("acknowledge");
    button.disabled = true;
    try {
      const answer = await fetch("/alerts/" + id + "/acknowledge/", { method: "POST", body: new FormData(form), credentials: "same-origin" });
      if (!answer.ok) throw new Error("answered " + answer.status);
      refresh();
    } catch (failed) {
      form.action = "/alerts/" + id + "/acknowledge/";
      form.submit(); // the server's own page says what is wrong
    }
  }

  function alertNode(row) {
    const mayAct = Boolean(byId("acknowledge"));
    const button = row.is_acknowledged || !mayAct ? null : el("button", { type: "button", class: "button small", "aria-label": "Acknowledge: " + row.text }, "Acknowledge");
    if (button) button.addEventListener("click", () => acknowledge(row.id, button));
    const times = row.count > 1 ? row.count + " times, last " : "";
    const seen = row.is_acknowledged ? ", acknowledged" : "";
    return el(
      "div",
      { class: "alert " + row.severity + (row.is_acknowledged ? " seen" : "") },
      el("span", { class: "status " + row.severity }, row.severity),
      el("span", null, row.text),
      button,
      el("small", { title: format.moment(row.last_at_ms) + " " + format.zone }, times + format.clock(row.last_at_ms) + " " + format.zone + ", " + el("span", { "data-since": String(row.last_at_ms) }, format.age(Date.now() - row.last_at_ms)), " ago" + seen)
    );
  }

  function showAlerts() {
    const nodes = state.alerts.map(alertNode);
    const none = el("div", { class: "empty" }, el("strong", null, "No open alert"), "What needs a person is listed here.");
    byId("alerts").replaceChildren(...(nodes.length ? nodes : [none]));
    byId("components").hidden = !state.components.length;
    byId("components").replaceChildren(
      ...state.components.map((row) =>
        el("span", { class: "dot " + row.state, title: row.reason || "expected every " + row.expected_every_s + " s" }, " " + row.component + (row.state === "up" ? "" : ", " + row.state + (row.age_s === null ? "" : " " + format.age(1000 * row.age_s))))
      )
    );
  }

  /* --- charts --------------------------------------------------------------------------------- */

  function hasBars() {
    return Boolean(state.price && state.price.bars.ts_ms.length);
  }

  function showPrice() {
    byId("price-chart").hidden = !hasBars();
    byId("price-empty").hidden = hasBars();
    if (!hasBars()) return;
    const bars = state.price.bars;
    const n = bars.close.length;
    const change = n > 1 ? bars.close[n - 1] / bars.close[0] - 1 : null;
    byId("price-last").textContent = format.price(bars.close[n - 1]) + " " + state.run.quote + "  " + format.signedPercent(change) + " in " + n + " bars" + (format.isNumber(state.pace.bars_per_s) ? " · " + format.number(state.pace.bars_per_s, 1) + " bars/s" : "");
    charts.drawPrice(byId("price-chart"), state.price, state.positions, badge);
  }

  function showEquity() {
    const has = state.equity.ts_ms.length > 0;
    byId("equity-chart").hidden = !has;
    byId("equity-empty").hidden = has;
    if (has) charts.drawEquity(byId("equity-chart"), state.equity, badge);
  }

  function showAllocation() {
    const tradable = state.strategies.filter((row) => row.status === "ACTIVE" || row.status === "DEGRADED");
    const sum = tradable.reduce((total, row) => total + row.weight, 0);
    const held = new Map();
    for (const row of state.positions) held.set(row.strategy, (held.get(row.strategy) || 0) + (row.notional_quote || 0));
    const shares = tradable.map((row) => ({
      name: row.name,
      share: row.weight / sum,
      held: held.get(row.strategy) || 0,
      color: charts.seriesColor(state.strategies.indexOf(row)),
    }));
    shares.total = state.strategies.length;
    byId("allocation-legend").replaceChildren(
      ...shares.map((row) => {
        const swatch = el("span", { class: row.held ? "swatch" : "swatch flat" });
        swatch.style.background = row.color;
        const holding = row.held ? format.number(row.held, 0) + " " + state.run.quote : "flat";
        return el("li", null, el("span", null, swatch, row.name), el("b", null, format.percent(row.share, 1)), el("small", null, holding));
      })
    );
    charts.drawAllocation(byId("allocation-chart"), shares, badge);
  }

  function showSymbols() {
    byId("symbols").replaceChildren(
      ...state.run.symbols.map((name) => {
        const button = el("button", { type: "button", "aria-pressed": String(name === symbol) }, name);
        button.addEventListener("click", () => chooseSymbol(name));
        return button;
      })
    );
  }

  async function chooseSymbol(name) {
    symbol = name;
    showSymbols();
    await readPrice();
  }

  async function readPrice() {
    const asked = symbol;
    const query = new URLSearchParams({ symbol: asked, run: state.run.code });
    const view = await TP.fetchJson("/data/price/?" + query);
    if (asked !== symbol) return; // another one was chosen meanwhile
    state.price = view;
    showPrice();
  }

  /* --- everything ------------------------------------------------------------------------------- */

  function show() {
    showFigures();
    showWhy();
    showFunnel();
    showPositions();
    showStrategies();
    showTrades();
    showAlerts();
    showSymbols();
    showPrice();
    showEquity();
    showAllocation();
    TP.decisions.reset(state.decisions, state.strategies.map((row) => row.strategy), state.run.symbols);
  }

  function take(next) {
    if (next.run && next.run.code !== state.run.code && !TP.runAsked) {
      window.location.reload(); // a new run began
      return;
    }
    const price = state.price;
    state = next;
    if (price && state.price && price.symbol === symbol && state.price.symbol !== symbol) {
      state.price = price;
      readPrice().catch(() => undefined); // the older candles stay until the next try
    }
    show();
  }

  function refresh() {
    const query = new URLSearchParams({ run: state.run.code, symbol: symbol || "" });
    TP.fetchJson("/data/overview/?" + query)
      .then(take)
      .catch(() => undefined); // the strip says that the page is offline
  }

  const refreshSoon = TP.throttled(refresh, 3000);
  const priceSoon = TP.throttled(showPrice, 250);
  const positionsSoon = TP.throttled(showPositions, 500);
  const equitySoon = TP.throttled(() => {
    showEquity();
    showFigures();
  }, 500);
  const ours = (handler) => (data, frame) => {
    if (TP.strip.isOurs(data)) handler(data, frame);
  };

  TP.stream
    .on("snapshot", (data) => {
      if (!TP.runAsked && data.run) take(data);
    })
    .on("bars", ours((bar) => {
      state.run.last_event_at_ms = Math.max(state.run.last_event_at_ms || 0, bar.ts_ms + state.run.timeframe_ms);
      state.pace.bars_seen += 1;
      if (markPositions(bar) || !state.positions.length) positionsSoon();
      if (bar.symbol !== symbol || !state.price) return;
      if (charts.appendBar(state.price.bars, bar)) priceSoon();
    }))
    .on("equity", ours((point) => {
      if (!charts.appendEquity(state.equity, point)) return;
      const equity = Number(point.equity);
      const exposure = Number(point.exposure);
      const worst = (state.account && state.account.worst_drawdown_fraction) || 0;
      state.account = {
        equity,
        cash: Number(point.cash),
        exposure,
        exposure_fraction: equity > 0 ? exposure / equity : null,
        // money put in or taken out is no gain: only the server knows of it
        return_fraction: state.account ? state.account.return_fraction : null,
        drawdown_fraction: point.drawdown_fraction,
        worst_drawdown_fraction: Math.max(worst, point.drawdown_fraction),
        day_pnl: Number(point.day_pnl),
      };
      equitySoon();
      refreshSoon();
    }))
    .on("decisions", ours((row, frame) => TP.decisions.add({ run: state.run.code, ...row, seq: frame.seq })))
    .on("fills", ours(refreshSoon))
    .on("trades", ours(refreshSoon))
    .on("positions", ours(refreshSoon))
    .on("health", refreshSoon)
    .on("weights", refreshSoon)
    .on("control", () => {
      showStrategies(); // the strip has taken the frame already
      refreshSoon();
    })
    .on("alerts", refreshSoon)
    .on("poll", refresh);

  document.documentElement.addEventListener("themechange", () => {
    showPrice();
    showEquity();
    showAllocation();
  });
  // words that count bars grow old without any event of their own
  window.setInterval(() => document.visibilityState === "visible" && refreshSoon(), 30000);
  window.setInterval(() => {
    for (const node of document.querySelectorAll("[data-since]")) node.textContent = format.age(Date.now() - Number(node.dataset.since));
  }, 1000);
  show();
})();
