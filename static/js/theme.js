/* Runs before the first paint, so that no page flashes in the other theme. */
(function () {
  "use strict";
  const root = document.documentElement;
  const light = window.matchMedia("(prefers-color-scheme: light)");

  function stored() {
    try {
      return window.localStorage.getItem("theme");
    } catch (refused) {
      return null; // storage is switched off: the system's choice holds
    }
  }

  function apply(theme) {
    root.dataset.theme = theme;
    root.dispatchEvent(new CustomEvent("themechange"));
  }

  apply(stored() || (light.matches ? "light" : "dark"));
  light.addEventListener("change", () => {
    if (!stored()) apply(light.matches ? "light" : "dark");
  });
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    button.addEventListener("click", () => {
      const next = root.dataset.theme === "light" ? "dark" : "light";
      apply(next);
      try {
        window.localStorage.setItem("theme", next);
      } catch (refused) {
        /* the choice then lasts for this page */
      }
    });
  });
})();
