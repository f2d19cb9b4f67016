// Keeps the parts of a page that say data-live="<seconds>" fresh while they say so; all else works without.
"use strict";
// Of a part that was replaced, the element that had the focus: the same link or region, else the whole content.
const again = (fresh, had) =>
  (had.id && document.getElementById(had.id)) ||
  [...fresh.querySelectorAll("a[href]")].find((one) => one.href === had.href) ||
  document.getElementById("main");

const replace = (part, fresh) => {
  const had = part.contains(document.activeElement) ? document.activeElement : null;
  part.replaceWith(fresh);
  if (had) again(fresh, had).focus({ preventScroll: true });
};

const refresh = async () => {
  const live = document.querySelector("[data-live]");
  if (!live) return;
  await new Promise((done) => setTimeout(done, 1000 * Number(live.dataset.live)));
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(part.id);
        if (fresh && !fresh.isEqualNode(part)) replace(part, document.adoptNode(fresh));
      }
    }
  } catch {
    // Offline, or signed out: the next look tells.
  }
  refresh();
};
refresh();
