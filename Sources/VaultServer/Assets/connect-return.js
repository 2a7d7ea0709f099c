// The last page of a Connect session: tells the window that opened it how it ended, or goes back to the app.
"use strict";

(() => {
  const end = document.querySelector("[data-connect-outcome]");
  if (!end) return;
  const { connectOutcome, allowedOrigin, returnUrl } = end.dataset;
  const goBack = () => { if (returnUrl) location.replace(returnUrl); };
  if (!window.opener || !allowedOrigin) return goBack();
  // Only to a page of this origin: the browser drops the message when another one has opened the window.
  window.opener.postMessage(JSON.parse(connectOutcome), allowedOrigin);
  // Not at once: the receiver compares the sender with the window that it opened, which a closed one is no more.
  setTimeout(() => {
    window.close();
    // A window that no script opened stays.
    setTimeout(goBack, 500);
  }, 500);
})();
