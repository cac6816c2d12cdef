/* Measures price, bars and time between two points of a chart: Shift and drag, or its button. */
(function () {
  "use strict";
  const TP = window.TP;
  const { format } = TP;

  function point(node, event) {
    const box = node.getBoundingClientRect();
    const { xaxis, yaxis } = node._fullLayout;
    const x = event.clientX - box.left - xaxis._offset;
    const y = event.clientY - box.top - yaxis._offset;
    const within = x >= 0 && x <= xaxis._length && y >= 0 && y <= yaxis._length;
    return { within, ms: xaxis.p2r(x), price: yaxis.p2r(y) };
  }

  function words(from, to, barMs) {
    const change = to.price - from.price;
    const span = Math.abs(format.offAxis(to.ms) - format.offAxis(from.ms));
    const bars = Math.round(span / barMs);
    return format.signedPercent(change / from.price) + ", " + (change > 0 ? "+" : "") + format.price(change) + ", " + bars + (bars === 1 ? " bar, " : " bars, ") + format.age(span);
  }

  /* `told(text, from, to)` hears while the pointer moves; null ends the measure. */
  function attach(node, isOn, barMs, told) {
    let from = null;
    node.addEventListener(
      "mousedown",
      (event) => {
        if (event.button !== 0 || !(event.shiftKey || isOn())) return;
        const start = point(node, event);
        if (!start.within) return;
        event.preventDefault();
        event.stopPropagation(); // the chart itself would pan
        from = start;
        told(null);
      },
      true
    );
    window.addEventListener("mousemove", (event) => {
      if (!from) return;
      const to = point(node, event);
      told(words(from, to, barMs()), from, to);
    });
    window.addEventListener("mouseup", () => {
      from = null;
    });
  }

  TP.measure = { attach, words };
})();
