/* Asking for a training, or stopping one; and the filters of the history. */
(function () {
  "use strict";
  const ACTS = {
    train: (data) => ({
      title: "Train " + data.predictor + " now",
      effect: "A worker trains a candidate on the candles of each open run. It votes only after it has beaten the champion, first on rows that neither saw, then on live answers.",
      confirm: "Train now",
    }),
    abort: (data) => ({
      title: "Abort training " + data.job + " of " + data.predictor,
      effect: "It stops at its next sign of progress and leaves no candidate. Who sits stays.",
      confirm: "Abort training",
    }),
  };
  const dialog = document.getElementById("learn-dialog");
  const filters = document.querySelector("[data-filters]");

  function open(button) {
    const form = dialog.querySelector("form");
    const words = ACTS[button.dataset.learn](button.dataset);
    form.reset();
    form.action = form.dataset[button.dataset.learn];
    form.elements.predictor.value = button.dataset.predictor;
    form.elements.job.value = button.dataset.job || "";
    dialog.querySelector("h2").textContent = words.title;
    dialog.querySelector("[data-effect]").textContent = words.effect;
    dialog.querySelector("[data-confirm]").textContent = words.confirm;
    dialog.showModal();
    form.elements.reason.focus();
  }

  if (dialog) {
    for (const button of document.querySelectorAll("[data-learn]")) button.addEventListener("click", () => open(button));
    dialog.querySelector("[data-cancel]").addEventListener("click", () => dialog.close());
  }
  if (filters) filters.addEventListener("change", () => filters.requestSubmit());
})();
