// Sends the chosen picture to the REST API, which looks at what it is. Nothing else is done here.
"use strict";
const base64 = (file) =>
  new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });

for (const form of document.querySelectorAll("form[data-picture]")) {
  form.hidden = false;
  form.previousElementSibling.hidden = true; // that it needs scripts
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fault = form.querySelector("[data-fault]");
    const said = (text) => {
      fault.textContent = text;
      fault.hidden = false;
    };
    const file = form.elements.picture.files[0];
    if (file.size > 524288) return said("The picture is larger than 512 KB.");
    try {
      const answer = await fetch(form.dataset.picture, {
        method: "PUT",
        headers: { "Content-Type": "application/json", "X-Form-Token": form.dataset.token },
        body: JSON.stringify({ image: await base64(file) }),
      });
      if (answer.ok) location.assign("/my?said=profile");
      else if (answer.status === 401) location.assign(form.dataset.signIn);
      else said((await answer.json()).detail);
    } catch {
      said("The picture could not be sent: scimd did not answer. Try again.");
    }
  });
}
