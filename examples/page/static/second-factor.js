// The second factor: set up an authenticator app, get recovery codes, remove them.

import { callConfirmed } from "./confirmation.js";
import { callIfOffered, json, PIXORA, refresh, tokens } from "./session.js";
import { $, onClick, onSubmit } from "./ui.js";

const FACTORS = `${PIXORA}/api/users/me/factors`;

export async function showSecondFactor() {
  const factors = await callIfOffered(FACTORS);
  $("second-factor").hidden = !factors;
  if (!factors) return;
  const { totp, recovery_codes } = factors;
  $("totp-state").textContent = totp
    ? `On since ${new Date(totp.created_at).toLocaleDateString()}. You have ${recovery_codes.left} recovery codes left.`
    : "Off. With an app, a stolen password is not enough to log in.";
  $("set-up-totp").textContent = totp ? "Change to another app" : "Set up";
  $("renew-codes").hidden = $("remove-totp").hidden = !totp;
}

// Show nothing of this user to the next one.
export function clearSecondFactor() {
  for (const id of ["secret", "codes"]) $(id).replaceChildren();
  for (const id of ["qr", "uri"]) $(id).removeAttribute(id === "qr" ? "src" : "href");
  $("enrolment").reset();
  $("enrolment").hidden = $("new-codes").hidden = true;
}

function showNewCodes(codes) {
  $("codes").replaceChildren(
    ...codes.map((code) => {
      const item = document.createElement("li");
      item.textContent = code;
      return item;
    }),
  );
  $("new-codes").hidden = false;
}

onClick($("set-up-totp"), async () => {
  const { secret, uri, qr_svg } = await callConfirmed(`${FACTORS}/totp`, { method: "POST" });
  $("qr").src = `data:image/svg+xml,${encodeURIComponent(qr_svg)}`; // an image cannot run scripts
  $("uri").href = uri;
  $("secret").textContent = secret;
  $("enrolment").hidden = false;
});

onSubmit($("enrolment"), async ({ code }) => {
  const { recovery_codes } = await callConfirmed(`${FACTORS}/totp/confirm`, json("POST", { code }));
  clearSecondFactor();
  showNewCodes(recovery_codes);
  await refresh(tokens().access_token); // this session now has two factors, and the new access token says so
  await showSecondFactor();
});

onClick($("renew-codes"), async () => {
  const { recovery_codes } = await callConfirmed(`${FACTORS}/recovery-codes`, { method: "POST" });
  showNewCodes(recovery_codes);
  await showSecondFactor();
});

onClick($("remove-totp"), async () => {
  await callConfirmed(`${FACTORS}/totp`, { method: "DELETE" });
  clearSecondFactor();
  await showSecondFactor();
});

onClick($("saved"), clearSecondFactor);
