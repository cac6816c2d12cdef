/* The tables of decisions and orders: a row opens its decision; a filter applies when chosen. */
(function () {
  "use strict";
  for (const bar of document.querySelectorAll("[data-width]")) {
    bar.style.width = (100 * Number(bar.dataset.width)).toFixed(2) + "%";
  }
  const links = [...document.querySelectorAll("[data-decision]")];
  const peek = (link) => window.TP.drawer.open({ id: link.dataset.decision });
  for (const link of links) {
    link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return; // a new tab is the full page
      event.preventDefault();
      peek(link);
    });
  }
  const filters = document.getElementById("filters");
  if (filters) filters.addEventListener("change", () => filters.requestSubmit());

  /* j and k walk the rows, Enter opens the page, space peeks, f goes to the filters. */
  document.addEventListener("keydown", (event) => {
    const busy = event.target.closest("input, select, textarea, dialog[open]");
    if (busy || event.metaKey || event.ctrlKey || event.altKey) return;
    const here = links.indexOf(document.activeElement);
    if (event.key === "j" || event.key === "k") {
      const next = Math.min(links.length - 1, Math.max(0, here + (event.key === "j" ? 1 : -1)));
      if (links[next]) links[next].focus();
    } else if (event.key === "Enter" && here >= 0 && links[here].href) {
      event.preventDefault();
      window.location.assign(links[here].href);
    } else if (event.key === " " && here >= 0) {
      event.preventDefault();
      peek(links[here]);
    } else if (event.key === "f" && filters) {
      event.preventDefault();
      filters.querySelector("select").focus();
    }
  });
})();
