/* Closing a position, half of it, or moving its exits: one dialog, a reason each time. */
(function () {
  "use strict";
  const TP = window.TP;
  const { el, format } = TP;
  const dialog = document.getElementById("position-dialog");
  if (!dialog) return;
  const form = dialog.querySelector("form");
  const part = (name) => dialog.querySelector("[data-" + name + "]");
  const plain = (value) => (format.isNumber(value) ? String(Number(value)) : "");
  const ACTS = {
    close: ["Close", "A market order takes all of it off at the next event, within seconds."],
    half: ["Close half", "A market order takes half of it off at the next event; the rest keeps stop and target."],
    exits: ["Edit stop and target", "The stop resting at the venue is replaced at the next event. A tighter stop needs a reason only."],
  };

  /* One key a dialog: a form sent twice is one request. */
  function newKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function open(act, row) {
    form.reset();
    const [title, effect] = ACTS[act];
    const fields = form.elements;
    fields.act.value = act;
    fields.strategy.value = row.strategy;
    fields.symbol.value = row.symbol;
    fields.key.value = newKey();
    fields.stop_price.value = plain(row.stop_price);
    fields.target_price.value = plain(row.target_price);
    document.getElementById("position-title").textContent = title + ": " + row.symbol + ", " + row.strategy;
    part("effect").textContent = "Held: " + format.quantity(row.quantity) + " at " + format.price(row.average_price || row.entry_price) + ", last price " + format.price(row.mark_price) + ". " + effect;
    part("exits").hidden = act !== "exits";
    part("confirm").textContent = title;
    part("confirm").disabled = false;
    dialog.showModal();
    (act === "exits" ? fields.stop_price : fields.reason).focus();
  }

  function button(act, words, row, current) {
    const node = el("button", { type: "button", class: "button small", "aria-label": ACTS[act][0] + " " + row.symbol + " of " + row.strategy }, words);
    node.addEventListener("click", () => open(act, current()));
    return node;
  }

  /* `current` gives the row as it stands when a button is pressed: marks and exits move. */
  TP.positionActions = (row, current) =>
    el("td", { class: "acts" }, button("close", "Close", row, current), button("half", "Half", row, current), button("exits", "Stop", row, current));
  part("cancel").addEventListener("click", () => dialog.close());
  form.addEventListener("submit", () => {
    part("confirm").disabled = true;
  });
})();
