// Step-up (RFC 9470): what changes how one can log in wants a login of the last five minutes, with all factors.

import { call, callIfOffered, PIXORA, reauthenticate } from "./session.js";
import { $, onSubmit } from "./ui.js";

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
  const factors = await callIfOffered(`${PIXORA}/api/users/me/factors`);
  const field = $("confirm-code");
  field.disabled = field.hidden = !factors?.totp;
  $("confirmation-error").textContent = "";
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  $("confirm").reset();
  if (dialog.returnValue !== "confirmed") throw new Error("Nothing was changed, because you did not confirm.");
}

onSubmit(
  "confirm",
  async (proof) => {
    await reauthenticate(proof);
    dialog.close("confirmed");
  },
  $("confirmation-error"),
);

$("cancel").onclick = () => dialog.close();
