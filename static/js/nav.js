/* A menu of the header closes when another opens, on Escape, and when one looks elsewhere. */
(function () {
  "use strict";
  const menus = [...document.querySelectorAll(".menu details")];

  document.addEventListener("click", (event) => {
    for (const menu of menus) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    const open = menus.find((menu) => menu.open);
    if (event.key !== "Escape" || !open) return;
    open.open = false;
    open.querySelector("summary").focus();
  });
})();
