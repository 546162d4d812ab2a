// Passkeys: log in by a button or by the browser's suggestions; add, rename and remove one's own.

import { callConfirmed } from "./confirmation.js";
import { call, callIfOffered, json, logInWithPasskey, PIXORA } from "./session.js";
import { $, onClick, onSubmit } from "./ui.js";
import { createPasskey, getPasskey, isSupported, loginOptions, signalAccepted, signalUnknown } from "./webauthn.js";

const PASSKEYS = `${PIXORA}/api/users/me/passkeys`;
const RENEWAL = 4 * 60 * 1000; // milliseconds: a challenge is valid for five minutes

async function logIn(options, conditions) {
  const credential = await getPasskey(options, conditions);
  try {
    await logInWithPasskey(credential);
  } catch (problem) {
    if (problem.code === "unknown_passkey") await signalUnknown(options.rpId, credential.id);
    throw problem;
  }
}

let suggestions = new AbortController();

// A browser has one request for a passkey at a time.
export const stopSuggestions = () => suggestions.abort();

// Let the browser suggest passkeys in the field for the e-mail address (conditional mediation), until the user takes one,
// or until `stopSuggestions`. Return whether the user has logged in.
export async function logInBySuggestion() {
  stopSuggestions();
  const { signal } = (suggestions = new AbortController());
  let options = isSupported ? await loginOptions() : null;
  $("passkey-login").hidden = !options;
  if (!options || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return false;
  for (;;) {
    const ending = AbortSignal.any([signal, AbortSignal.timeout(RENEWAL)]);
    try {
      await logIn(options, { mediation: "conditional", signal: ending });
      return true;
    } catch (error) {
      if (error.name === "AbortError") return false;
      if (error.name !== "TimeoutError") throw error;
      options = await loginOptions();
    }
  }
}

export async function logInByButton() {
  stopSuggestions();
  await logIn(await loginOptions());
}

let user;

export async function showPasskeys(owner) {
  user = owner;
  const passkeys = await callIfOffered(PASSKEYS);
  $("passkeys").hidden = !passkeys;
  if (!passkeys) return;
  $("add-passkey").hidden = !isSupported;
  $("passkey-list").replaceChildren(...passkeys.map(itemOf));
  stopSuggestions();
  await signalAccepted(user, passkeys);
}

function itemOf(passkey) {
  const item = $("passkey").content.cloneNode(true);
  const form = item.querySelector("form");
  const added = `Added ${new Date(passkey.created_at).toLocaleDateString()}`;
  const used = passkey.last_used_at ? `last used ${new Date(passkey.last_used_at).toLocaleString()}` : "not used yet";
  item.querySelector("p").textContent = `${added}, ${used}.`;
  form.elements.name.defaultValue = passkey.name;
  onSubmit(form, ({ name }) => rename(passkey, name));
  onClick(form.elements.remove, () => remove(passkey));
  return item;
}

async function rename(passkey, name) {
  await call(`${PASSKEYS}/${passkey.id}`, json("PATCH", { name }));
  await showPasskeys(user);
}

async function remove(passkey) {
  await callConfirmed(`${PASSKEYS}/${passkey.id}`, { method: "DELETE" });
  await showPasskeys(user);
}

onSubmit($("add-passkey"), async ({ name }) => {
  const options = await callConfirmed(`${PASSKEYS}/options`, { method: "POST" });
  const credential = await createPasskey(options);
  await callConfirmed(PASSKEYS, json("POST", { name, credential }));
  await showPasskeys(user);
});
