// Keeps the parts of a page that say data-live="<seconds>" fresh while they say so; all else works without.
"use strict";
const refresh = async () => {
  const live = document.querySelector("[data-live]");
  if (!live) return;
  await new Promise((done) => setTimeout(done, 1000 * Number(live.dataset.live)));
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
    if (answer.ok && !live.contains(document.activeElement)) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(live.id);
      if (fresh) live.replaceWith(document.adoptNode(fresh));
    }
  } catch {
    // Offline, or signed out: the next look tells.
  }
  refresh();
};
refresh();
