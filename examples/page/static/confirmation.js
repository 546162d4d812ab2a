// Step-up (RFC 9470): what changes how one can log in wants a login of the last five minutes, with all factors.

import { call, callIfOffered, PIXORA, reauthenticate } from "./session.js";
import { $, onClick, onSubmit } from "./ui.js";
import { getPasskey, isSupported } from "./webauthn.js";

const dialog = $("confirmation");

// As `call`; where the service wants it, the user confirms first.
export async function callConfirmed(url, options) {
  try {
    return await call(url, options);
  } catch (problem) {
    if (problem.code !== "insufficient_user_authentication") throw problem;
    await confirm();
    return call(url, options);
  }
}

async function confirm() {
  const [factors, passkeys] = await Promise.all([
    callIfOffered(`${PIXORA}/api/users/me/factors`),
    callIfOffered(`${PIXORA}/api/users/me/passkeys`),
  ]);
  const [hasApp, hasPasskey] = [Boolean(factors?.totp), Boolean(passkeys?.length)];
  $("confirm-code").disabled = $("confirm-code").hidden = !hasApp;
  $("confirm").hidden = hasPasskey && !hasApp; // the password alone is not enough then
  $("confirm-passkey").hidden = !(hasPasskey && isSupported);
  if (hasPasskey && !hasApp && !isSupported) throw new Error("Use the device with your passkey for this.");
  $("confirmation-error").textContent = "";
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  $("confirm").reset();
  if (dialog.returnValue !== "confirmed") throw new Error("Nothing was changed, because you did not confirm.");
}

onSubmit(
  $("confirm"),
  async (proof) => {
    await reauthenticate(proof);
    dialog.close("confirmed");
  },
  $("confirmation-error"),
);

onClick(
  $("confirm-passkey"),
  async () => {
    const options = await call(`${PIXORA}/api/auth/reauthenticate/options`, { method: "POST" });
    await reauthenticate({ credential: await getPasskey(options) });
    dialog.close("confirmed");
  },
  $("confirmation-error"),
);

export const cancelConfirmation = () => dialog.close();
$("cancel").onclick = cancelConfirmation;
