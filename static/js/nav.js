/* A menu of the header closes when another opens, on Escape, and when one looks elsewhere; on a
   phone all of them lie folded behind one button. */
(function () {
  "use strict";
  const menus = [...document.querySelectorAll(".menu details")];

  const fold = document.getElementById("fold");

  fold.addEventListener("click", () => {
    fold.setAttribute("aria-expanded", String(fold.getAttribute("aria-expanded") !== "true"));
  });
  document.addEventListener("click", (event) => {
    for (const menu of menus) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = menus.find((menu) => menu.open);
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
    } else if (fold.getAttribute("aria-expanded") === "true") {
      fold.setAttribute("aria-expanded", "false");
      fold.focus();
    }
  });
})();
