// What a browser does for passkeys (WebAuthn, level 3), in the forms that the service sends and reads.

import { answerOf, PIXORA } from "./session.js";

// Older browsers have passkeys without these functions. They log in with the password.
export const isSupported = Boolean(window.PublicKeyCredential?.parseRequestOptionsFromJSON);

// Anybody may ask for them; a service without passkeys has none. Their challenge is valid for five minutes.
export async function loginOptions() {
  const response = await fetch(`${PIXORA}/api/auth/passkeys/options`, { method: "POST" });
  return response.status === 404 ? null : answerOf(response);
}

// Let the user choose a passkey and unlock it; return what proves it. `conditions` are further options of `get`.
export async function getPasskey(options, conditions = {}) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const credential = await inPlainWords(navigator.credentials.get({ publicKey, ...conditions }));
  return credential.toJSON();
}

export async function createPasskey(options) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const credential = await inPlainWords(navigator.credentials.create({ publicKey }));
  return credential.toJSON();
}

const IN_PLAIN_WORDS = {
  InvalidStateError: "This device or password manager has a passkey for your account already.",
  NotAllowedError: "No passkey was used: there is none here, or you cancelled, or it took too long.",
};

async function inPlainWords(promise) {
  try {
    return await promise;
  } catch (error) {
    throw error.name in IN_PLAIN_WORDS ? new Error(IN_PLAIN_WORDS[error.name]) : error;
  }
}

// Hints for the device, where the browser passes them on. Nothing depends on them.

// The service does not know this passkey: do not offer it again.
export const signalUnknown = (rpId, credentialId) =>
  PublicKeyCredential.signalUnknownCredential?.({ rpId, credentialId }).catch(console.warn);

// These are all passkeys of the user: forget those that were removed.
export async function signalAccepted(user, passkeys) {
  if (!window.PublicKeyCredential?.signalAllAcceptedCredentials) return;
  const { rpId } = await loginOptions();
  const accepted = {
    rpId,
    userId: btoa(user.id), // the bytes of the id in base64url, without padding because their number is 24
    allAcceptedCredentialIds: passkeys.map((passkey) => passkey.credential_id),
  };
  await PublicKeyCredential.signalAllAcceptedCredentials(accepted).catch(console.warn);
}
