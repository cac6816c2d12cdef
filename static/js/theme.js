/* Runs before the first paint, so that no page flashes in the other theme. */
(function () {
  "use strict";
  const root = document.documentElement;
  const light = window.matchMedia("(prefers-color-scheme: light)");

  /* What was switched here and now goes before what the person chose for all browsers. */
  function chosen() {
    const saved = root.dataset.themeChoice;
    return stored() || (saved === "dark" || saved === "light" ? saved : null);
  }

  function stored() {
    try {
      return window.localStorage.getItem("theme");
    } catch (refused) {
      return null; // storage is switched off: the system's choice holds
    }
  }

  function forget() {
    try {
      window.localStorage.removeItem("theme");
    } catch (refused) {
      /* nothing was kept */
    }
  }

  function apply(theme) {
    root.dataset.theme = theme;
    root.dispatchEvent(new CustomEvent("themechange"));
  }

  apply(chosen() || (light.matches ? "light" : "dark"));
  light.addEventListener("change", () => {
    if (!chosen()) apply(light.matches ? "light" : "dark");
  });
  document.addEventListener("DOMContentLoaded", () => {
    const form = document.getElementById("preferences");
    if (form) form.addEventListener("submit", forget);
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
