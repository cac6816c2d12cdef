/* The socket: a snapshot, then numbered deltas. It makes the page sooner; the truth stays in the
   database, so a lost connection costs latency and nothing else. */
(function () {
  "use strict";
  const TP = (window.TP = window.TP || {});
  const LOGIN_NEEDED = 4401;
  const PING_MS = 20000;
  const SILENCE_MS = 45000;
  const POLL_MS = 10000;
  const FIRST_RETRY_MS = 500;
  const LONGEST_RETRY_MS = 30000;

  const handlers = new Map();
  const stream = { state: "waiting", seq: null, epoch: null, gaps: 0, frames: 0 };
  let socket = null;
  let failures = 0;
  let heardAt = 0;
  let isLeaving = false;

  stream.on = function (topic, handler) {
    handlers.set(topic, [...(handlers.get(topic) || []), handler]);
    return stream;
  };

  function emit(topic, data, frame) {
    for (const handler of handlers.get(topic) || []) handler(data, frame);
  }

  function setState(state) {
    if (stream.state === state) return;
    stream.state = state;
    emit("state", state);
  }

  function connect() {
    const scheme = window.location.protocol === "https:" ? "wss://" : "ws://";
    socket = new WebSocket(scheme + window.location.host + "/ws/stream/");
    socket.addEventListener("open", () => {
      heardAt = performance.now();
    });
    socket.addEventListener("message", (event) => receive(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => {
      if (isLeaving) return;
      if (event.code === LOGIN_NEEDED) {
        TP.toLogin();
        return;
      }
      setState(failures > 2 ? "lost" : "waiting");
      window.setTimeout(connect, retryDelay());
      failures += 1;
    });
  }

  /* Full jitter: two hundred tabs that wake together do not come back together. */
  function retryDelay() {
    const ceiling = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures);
    return ceiling * (0.5 + 0.5 * Math.random());
  }

  function receive(frame) {
    heardAt = performance.now();
    if ("pong" in frame) return;
    if (frame.topic === "snapshot") {
      failures = 0;
      stream.epoch = frame.epoch;
      stream.seq = frame.seq;
      setState("live");
      emit("snapshot", frame.data, frame);
      return;
    }
    if (stream.seq !== null && frame.seq <= stream.seq) return; // seen before the snapshot
    if (stream.seq && frame.seq !== stream.seq + 1) {
      stream.gaps += 1;
      socket.send(JSON.stringify({ since: stream.seq, epoch: stream.epoch }));
      stream.seq = null; // whatever comes first now, frame or snapshot, is the new position
      return;
    }
    stream.seq = frame.seq;
    stream.frames += 1;
    emit(frame.topic, frame.data, frame);
  }

  function watch() {
    if (!socket || socket.readyState !== WebSocket.OPEN) return;
    if (performance.now() - heardAt > SILENCE_MS) socket.close();
    else socket.send(JSON.stringify({ ping: Math.round(performance.now()) }));
  }

  function poll() {
    if (stream.state !== "live" && document.visibilityState === "visible") emit("poll");
  }

  stream.start = function () {
    connect();
    window.setInterval(watch, PING_MS);
    window.setInterval(poll, POLL_MS);
    window.addEventListener("pagehide", () => {
      isLeaving = true;
      if (socket) socket.close();
    });
    window.addEventListener("pageshow", (event) => {
      if (!event.persisted) return;
      isLeaving = false;
      connect();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") watch();
    });
  };

  TP.stream = stream;
})();
