// Improves pages that work without it: copy buttons, and lists that go on by themselves.
"use strict";

for (const button of document.querySelectorAll("button[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  if (!source || !navigator.clipboard) continue;
  button.hidden = false;
  const label = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText("value" in source ? source.value : source.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

// A field whose whole value is what one wants of it.
for (const field of document.querySelectorAll("input[readonly]")) {
  field.addEventListener("focus", () => field.select());
}

// <input type="checkbox" data-live="x"> shows the element x of this page anew, every few seconds, while it is ticked.
for (const toggle of document.querySelectorAll("input[data-live]")) {
  const target = document.getElementById(toggle.dataset.live);
  if (!target) continue;
  toggle.closest("[hidden]")?.removeAttribute("hidden");
  const refresh = async () => {
    if (!toggle.checked || document.hidden) return;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (!answer.ok || answer.redirected) throw new Error("signed out");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(target.id);
      if (fresh && !target.contains(document.activeElement)) target.replaceChildren(...fresh.childNodes);
    } catch {
      toggle.checked = false;
    }
  };
  setInterval(refresh, 3000);
}
