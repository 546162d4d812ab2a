// Sign up, log in and out, and what a user sees.

import { cancelConfirmation } from "./confirmation.js";
import { logInByButton, logInBySuggestion, showPasskeys, stopSuggestions } from "./passkeys.js";
import { clearSecondFactor, showSecondFactor } from "./second-factor.js";
import {
  call,
  json,
  leaveSecondStep,
  logIn,
  logInWithCode,
  PIXORA,
  remember,
  request,
  sessionId,
  tokens,
} from "./session.js";
import { $, attempt, onClick, onSubmit, showView } from "./ui.js";

// Another tab has logged in or out. A message to this one could arrive before the tokens do.
addEventListener("storage", ({ key, oldValue, newValue }) => {
  if (key !== "tokens" || sessionId(JSON.parse(oldValue)) === sessionId(JSON.parse(newValue))) return; // it has refreshed
  leaveSecondStep();
  cancelConfirmation(); // it was asked of the user before
  clearSecondFactor();
  attempt(show);
});

async function show() {
  if (tokens()) {
    const [me, { greeting }] = await Promise.all([call(`${PIXORA}/api/users/me`), call("/api/greeting")]);
    $("name").textContent = `${me.first_name} ${me.last_name}`;
    $("greeting").textContent = greeting;
    $("confirm-email").value = me.email; // for password managers
    await Promise.all([showSecondFactor(), showPasskeys(me)]);
  }
  showView();
}

async function welcome() {
  clearSecondFactor(); // of the user before
  await show();
}

onSubmit($("login"), async ({ username, password }) => {
  await logIn(username, password);
  await welcome();
});

async function suggestPasskeys() {
  if (await logInBySuggestion()) await welcome();
}

$("visitor").addEventListener("shown", () => attempt(suggestPasskeys));
$("visitor").addEventListener("hidden", stopSuggestions);

onClick($("passkey-login"), async () => {
  try {
    await logInByButton();
  } catch (error) {
    attempt(suggestPasskeys);
    throw error;
  }
  await welcome();
});

for (const form of ["code", "recovery"]) {
  onSubmit($(form), async (proof) => {
    await logInWithCode(proof);
    await welcome();
  });
}

onClick($("back"), () => {
  leaveSecondStep();
  showView();
});

onSubmit($("signup"), async (account) => {
  await request(`${PIXORA}/api/auth/signup`, json("POST", account));
  await logIn(account.email, account.password);
  await welcome();
});

onClick($("again"), show);

onClick($("logout"), async () => {
  await call(`${PIXORA}/api/auth/logout`, { method: "POST" });
  remember(null);
  await show();
});

attempt(show);
