/* The tables of decisions and orders: a row opens its decision; a filter applies when chosen. */
(function () {
  "use strict";
  for (const button of document.querySelectorAll("[data-decision]")) {
    button.addEventListener("click", () => window.TP.drawer.open({ id: button.dataset.decision }));
  }
  const filters = document.getElementById("filters");
  if (filters) filters.addEventListener("change", () => filters.requestSubmit());
})();
