/* Ctrl-K or "/": go to a page, a symbol, a strategy or a decision by its id. "?": the keys there are.
   What acts is only ever opened as its own dialog, which asks as it always does. */
(function () {
  "use strict";
  const TP = window.TP;
  const { el } = TP;
  const MOST = 12;
  const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
  const dialog = document.getElementById("palette");
  const help = document.getElementById("keys-help");
  if (!dialog || !help) return;
  const input = dialog.querySelector("input");
  const list = dialog.querySelector("[role=listbox]");
  const said = dialog.querySelector("[data-said]");
  const given = TP.data("palette-data");
  let shown = [];
  let at = 0;

  /* "g" and then a letter; the help sheet lists the same. */
  const GO = { o: "/", m: "/market/", d: "/decisions/", p: "/performance/", r: "/risk/", a: "/alerts/", s: "/system/" };

  const page = (node) => ({ kind: "Page", name: node.textContent.trim(), go: node.getAttribute("href") });
  const opens = (button) => ({ kind: "Opens", name: button.textContent.trim() + " …", open: button });

  function entries() {
    const found = [...document.querySelectorAll("#nav a, .bar .end a")].map(page);
    for (const [name, address] of given.pages) found.push({ kind: "Page", name, go: address });
    for (const symbol of given.symbols) found.push({ kind: "Symbol", name: symbol, go: "/market/?symbol=" + encodeURIComponent(symbol) });
    for (const code of given.strategies) found.push({ kind: "Strategy", name: code, go: "/decisions/?strategy=" + encodeURIComponent(code) });
    for (const button of document.querySelectorAll("[data-control]:not([disabled])")) found.push(opens(button));
    return found;
  }

  /* Every word of what is typed occurs; a name that begins with it stands first. */
  function matching(text) {
    const typed = text.trim().toLowerCase();
    if (UUID.test(typed)) return [{ kind: "Decision", name: typed, go: "/decisions/" + typed + "/" }];
    const words = typed.split(/\s+/).filter(Boolean);
    const hits = entries().filter((entry) => words.every((word) => (entry.kind + " " + entry.name).toLowerCase().includes(word)));
    const rank = (entry) => (entry.name.toLowerCase().startsWith(typed) ? 0 : 1);
    return hits.sort((a, b) => rank(a) - rank(b)).slice(0, MOST);
  }

  function show() {
    shown = matching(input.value);
    at = 0;
    const nodes = shown.map((entry, i) => {
      const node = el("li", { role: "option", id: "palette-" + i, "aria-selected": "false" }, el("span", null, entry.name), el("small", null, entry.kind));
      node.addEventListener("click", () => choose(entry));
      return node;
    });
    list.replaceChildren(...nodes);
    said.textContent = shown.length ? "" : "Nothing of that name. A decision is found by its whole id.";
    mark();
  }

  function mark() {
    [...list.children].forEach((node, i) => {
      node.setAttribute("aria-selected", String(i === at));
      if (i === at) node.scrollIntoView({ block: "nearest" });
    });
    if (shown.length) input.setAttribute("aria-activedescendant", "palette-" + at);
    else input.removeAttribute("aria-activedescendant");
  }

  function choose(entry) {
    dialog.close();
    if (entry.open) entry.open.click();
    else window.location.assign(entry.go);
  }

  function open() {
    if (document.querySelector("dialog[open]")) return; // one question at a time
    input.value = "";
    dialog.showModal();
    show();
    input.focus();
  }

  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && shown.length) {
      event.preventDefault();
      at = (at + step + shown.length) % shown.length;
      mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (shown[at]) choose(shown[at]);
    }
  });
  for (const one of [dialog, help]) {
    one.addEventListener("click", (event) => {
      if (event.target === one) one.close();
    });
  }
  help.querySelector("[data-close]").addEventListener("click", () => help.close());
  for (const button of document.querySelectorAll("[data-palette-open]")) button.addEventListener("click", open);

  const isTyping = (node) => node.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(node.tagName);
  let pending = 0;

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      if (dialog.open) dialog.close();
      else open();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const follows = performance.now() - pending < 1500;
    pending = 0;
    if (event.key === "?") help.showModal();
    else if (event.key === "/") {
      event.preventDefault();
      open();
    } else if (event.key === "g") pending = performance.now();
    else if (follows && GO[event.key]) window.location.assign(GO[event.key]);
  });
})();
