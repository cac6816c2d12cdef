/* Numbers, times and elements. Text always enters the page as text, never as markup. */
(function () {
  "use strict";
  const TP = (window.TP = window.TP || {});
  const NONE = "–";

  function isNumber(value) {
    return value !== null && value !== undefined && value !== "" && Number.isFinite(Number(value));
  }

  function number(value, digits) {
    if (!isNumber(value)) return NONE;
    return Number(value)
      .toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
      .replace("-", "−");
  }

  /* A price keeps about six figures whatever its size. */
  function price(value) {
    if (!isNumber(value)) return NONE;
    const size = Math.abs(Number(value));
    return number(value, size >= 1000 ? 2 : size >= 10 ? 3 : size >= 0.1 ? 5 : 8);
  }

  function quantity(value) {
    if (!isNumber(value)) return NONE;
    return Number(value).toLocaleString("en-US", { maximumSignificantDigits: 6 });
  }

  function signed(value, digits) {
    if (!isNumber(value)) return NONE;
    return (Number(value) > 0 ? "+" : "") + number(value, digits);
  }

  function percent(fraction, digits) {
    return isNumber(fraction) ? number(100 * fraction, digits === undefined ? 2 : digits) + " %" : NONE;
  }

  function signedPercent(fraction) {
    return isNumber(fraction) ? (Number(fraction) > 0 ? "+" : "") + percent(fraction) : NONE;
  }

  function tone(value) {
    return !isNumber(value) || Number(value) === 0 ? "" : Number(value) > 0 ? "up" : "down";
  }

  const two = (part) => String(part).padStart(2, "0");

  /* Every time is shown in the zone the person chose, whatever the browser's own is. */
  const zone = document.documentElement.dataset.zone || "UTC";
  const wall = zone === "UTC" ? null : zoned(zone);

  function zoned(name) {
    const parts = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" };
    try {
      return new Intl.DateTimeFormat("en-US", { timeZone: name, hourCycle: "h23", calendar: "gregory", numberingSystem: "latn", ...parts });
    } catch (unknown) {
      return null; // a zone this browser does not know: UTC, and the offset shown says so
    }
  }

  /* What a clock in the zone shows at a moment, as the milliseconds UTC would have for the same
     figures: what charts, which know no zones, are given. */
  function onAxis(ms) {
    const at = Number(ms);
    if (!wall) return at;
    const found = {};
    for (const part of wall.formatToParts(at)) found[part.type] = Number(part.value);
    const whole = Date.UTC(found.year, found.month - 1, found.day, found.hour, found.minute, found.second);
    return whole + (((at % 1000) + 1000) % 1000);
  }

  /* And back. Of an hour that the clocks repeat, the first. */
  function offAxis(value) {
    const shown = typeof value === "number" ? value : Date.parse(String(value).replace(" ", "T").replace(/Z?$/, "Z"));
    const guess = shown - (onAxis(shown) - shown);
    return shown - (onAxis(guess) - guess);
  }

  function clock(ms, withSeconds) {
    if (!isNumber(ms)) return NONE;
    const at = new Date(onAxis(ms));
    const text = two(at.getUTCHours()) + ":" + two(at.getUTCMinutes());
    return withSeconds ? text + ":" + two(at.getUTCSeconds()) : text;
  }

  function moment(ms) {
    if (!isNumber(ms)) return NONE;
    const at = new Date(onAxis(ms));
    return at.getUTCFullYear() + "-" + two(at.getUTCMonth() + 1) + "-" + two(at.getUTCDate()) + " " + clock(ms, true);
  }

  function age(ms) {
    if (!isNumber(ms)) return NONE;
    const seconds = Math.max(0, Math.round(ms / 1000));
    if (seconds < 100) return seconds + " s";
    if (seconds < 6000) return Math.round(seconds / 60) + " min";
    if (seconds < 172800) return Math.round(seconds / 3600) + " h";
    return Math.round(seconds / 86400) + " d";
  }

  /* el("td", {class: "num"}, "text", child) */
  function el(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined && value !== "") element.setAttribute(key, value);
    }
    for (const child of children) {
      if (child !== null && child !== undefined) element.append(child);
    }
    return element;
  }

  function data(id) {
    const node = document.getElementById(id);
    return node ? JSON.parse(node.textContent) : null;
  }

  async function fetchJson(address) {
    const answer = await fetch(address, { headers: { Accept: "application/json" }, credentials: "same-origin" });
    if (answer.status === 401) TP.toLogin();
    if (!answer.ok) throw new Error(address + " answered " + answer.status);
    return answer.json();
  }

  function toLogin() {
    const here = window.location.pathname + window.location.search;
    window.location.assign("/login/?next=" + encodeURIComponent(here));
  }

  /* Calls fn at most once in every `wait` ms, and once more after the last request. */
  function throttled(fn, wait) {
    let last = 0;
    let timer = null;
    return function () {
      if (timer !== null) return;
      timer = window.setTimeout(() => {
        timer = null;
        last = performance.now();
        fn();
      }, Math.max(0, wait - (performance.now() - last)));
    };
  }

  TP.NONE = NONE;
  TP.format = { number, price, quantity, signed, percent, signedPercent, tone, clock, moment, age, isNumber, onAxis, offAxis, zone: wall ? zone : "UTC" };
  TP.el = el;
  TP.data = data;
  TP.fetchJson = fetchJson;
  TP.toLogin = toLogin;
  TP.throttled = throttled;
})();
