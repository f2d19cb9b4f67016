// Asks the browser for a passkey, puts the answer into the form, and sends it. Nothing else is done here.
"use strict";
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const listed = (many) => (many || []).map((one) => ({ ...one, id: bytes(one.id) }));

const made = async (options) => {
  options.challenge = bytes(options.challenge);
  options.user.id = bytes(options.user.id);
  options.excludeCredentials = listed(options.excludeCredentials);
  const found = await navigator.credentials.create({ publicKey: options });
  return { id: found.id, client_data: text(found.response.clientDataJSON), attestation: text(found.response.attestationObject) };
};

const used = async (options) => {
  options.challenge = bytes(options.challenge);
  options.allowCredentials = listed(options.allowCredentials);
  const found = await navigator.credentials.get({ publicKey: options });
  const { clientDataJSON, authenticatorData, signature } = found.response;
  return { id: found.id, client_data: text(clientDataJSON), authenticator_data: text(authenticatorData), signature: text(signature) };
};

const WHY = {
  InvalidStateError: "This device has a passkey for your account already.",
  SecurityError: "Passkeys belong to another address of this scimd than the one that you opened. Ask an admin for it.",
};

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.hidden = false;
  form.previousElementSibling.hidden = true; // that it needs scripts
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fault = form.querySelector("[data-fault]");
    fault.hidden = true;
    try {
      const options = JSON.parse(form.dataset.options);
      const answer = await (form.dataset.passkey === "create" ? made(options) : used(options));
      for (const [name, value] of Object.entries(answer)) form.elements[name].value = value;
      form.submit();
    } catch (error) {
      fault.textContent = WHY[error.name] || "The browser did not give a passkey. Try again, or use another way.";
      fault.hidden = false;
      delete form.dataset.sent; // see forms.js
    }
  });
}
