// AlterConnect: opens the Connect page of the vault that serves this script, in a window of its own, and tells the app
// how it ended. It stores and sends nothing. How to use it: docs/CONNECT.md.
(() => {
  "use strict";
  const VERSION = "1.0.0";
  // Where the script comes from; nothing on the page can name another vault.
  const VAULT = new URL(document.currentScript.src).origin;
  const WIDTH = 500, HEIGHT = 700, WATCH_MS = 250, LAST_WORD_MS = 1000;
  // Phones, and tablets held upright, have no room for a second window.
  const SMALL = "(max-width: 480px), (max-width: 1024px) and (orientation: portrait) and (pointer: coarse)";
  const CALLBACKS = ["onSuccess", "onError", "onExit", "onEvent"];

  const failure = (code, message) => Object.assign(new Error(message), { name: "AlterConnectError", code });

  // What a handler throws is the app's own affair and stops nothing here.
  const call = (handler, ...values) => {
    try { if (handler) handler(...values); } catch (error) { setTimeout(() => { throw error; }); }
  };

  function create(options = {}) {
    if (options.baseURL !== undefined) {
      throw failure("invalid_options", "baseURL is reserved.");
    }
    const handlers = new Map();
    let popup = null, given = {}, watch = 0, closedAt = 0, isDestroyed = false;

    const log = (...words) => { if (options.debug) console.debug("[AlterConnect]", ...words); };

    const emit = (event, data) => {
      log(event);
      for (const handler of [...(handlers.get(event) || [])]) call(handler, data);
    };

    const alive = () => {
      if (isDestroyed) throw failure("sdk_destroyed", "This AlterConnect was destroyed.");
    };

    // Closes the window and forgets it; answers what was given for it.
    const end = () => {
      const ended = given;
      clearInterval(watch);
      window.removeEventListener("message", hear);
      if (popup) popup.close();
      popup = null;
      given = {};
      return ended;
    };

    // Any window can send messages: this one counts only from the vault, in the window that was opened here.
    const hear = (message) => {
      if (message.origin !== VAULT || !popup || message.source !== popup) return;
      const told = message.data;
      if (!told || told.type !== "sallyport.connect") return;
      const { onSuccess, onError } = end();
      if (told.status === "completed") {
        call(onSuccess, told.grants);
        emit("success", told.grants);
      } else {
        call(onError, told.error);
        emit("error", told.error);
      }
    };

    const leave = () => {
      call(end().onExit);
      emit("exit", {});
    };

    // The last message of a closed window may still be on its way.
    const look = () => {
      if (!popup.closed) return;
      closedAt = closedAt || Date.now();
      if (Date.now() - closedAt >= LAST_WORD_MS) leave();
    };

    return {
      open(asked) {
        alive();
        if (!asked || typeof asked.token !== "string" || !asked.token) {
          throw failure("invalid_options", "token must be the session_token that your server got.");
        }
        if (CALLBACKS.some((name) => asked[name] !== undefined && typeof asked[name] !== "function")) {
          throw failure("invalid_options", CALLBACKS.join(", ") + " must be functions.");
        }
        if (popup && !popup.closed) return log("is open already");
        if (popup) leave();
        const address = VAULT + "/connect/" + encodeURIComponent(asked.token);
        if (!window.matchMedia(SMALL).matches) {
          const left = Math.max(0, Math.round(window.screenX + (window.outerWidth - WIDTH) / 2));
          const top = Math.max(0, Math.round(window.screenY + (window.outerHeight - HEIGHT) / 2));
          popup = window.open(address, "_blank", `popup,width=${WIDTH},height=${HEIGHT},left=${left},top=${top}`);
        }
        const opened = { timestamp: new Date().toISOString() };
        if (popup) {
          given = asked;
          closedAt = 0;
          window.addEventListener("message", hear);
          watch = setInterval(look, WATCH_MS);
        } else {
          // The session's return_url leads back.
          window.location.assign(address);
        }
        call(asked.onEvent, "connect_opened", opened);
        emit("connect_opened", opened);
      },
      close() {
        alive();
        end();
      },
      destroy() {
        end();
        handlers.clear();
        isDestroyed = true;
      },
      isOpen: () => popup !== null && !popup.closed,
      getVersion: () => VERSION,
      on(event, handler) {
        alive();
        handlers.set(event, (handlers.get(event) || new Set()).add(handler));
      },
      off(event, handler) {
        alive();
        (handlers.get(event) || new Set()).delete(handler);
      },
    };
  }

  window.AlterConnect = Object.freeze({ create });
})();
