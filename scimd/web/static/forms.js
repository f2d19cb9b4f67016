// Sends a form once: a second click while it is under way would spend a link or a code that the first one spent.
"use strict";
const UNDER_WAY_MS = 15000; // then it was lost, or stopped, and may be sent again
document.addEventListener(
  "submit",
  (event) => {
    const { dataset, method } = event.target;
    if (method !== "post") return; // who searches again wants the newer answer
    if (performance.now() - Number(dataset.sent ?? -Infinity) < UNDER_WAY_MS) {
      event.preventDefault();
      event.stopImmediatePropagation();
    } else dataset.sent = performance.now();
  },
  { capture: true },
);
// Who comes back to the page may send it again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent;
});
