// The tokens, and requests with them.

export const PIXORA = document.querySelector("meta[name=pixora]").content;

// All tabs share the tokens. Any script of this origin can read them: serve nothing here that you do not trust.
export const tokens = () => JSON.parse(localStorage.getItem("tokens"));

export function remember(session) {
  if (session) localStorage.setItem("tokens", JSON.stringify(session));
  else localStorage.removeItem("tokens");
}

// The id of the session that tokens are of. They themselves do not tell: another tab may have refreshed them.
export function sessionId(session) {
  if (!session) return null;
  const claims = session.access_token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(atob(claims)).sid;
}

// What the service refuses: `message` is for people, `code` for the program.
class Problem extends Error {
  constructor(response, body) {
    const details = Object.values(body.errors ?? {}).flat();
    super([body.detail ?? body.error_description ?? response.statusText, ...details].join(" "));
    this.status = response.status;
    this.code = body.code ?? body.error;
    this.mfaToken = body.mfa_token;
  }
}

export async function answerOf(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  throw new Problem(response, await response.json().catch(() => ({})));
}

export const json = (method, body) => {
  const headers = { "Content-Type": "application/json" };
  return { method, headers, body: JSON.stringify(body) };
};

// A request without a token.
export const request = async (url, options) => answerOf(await fetch(url, options));

function requestTokens(form) {
  const body = new URLSearchParams({ client_id: "page", ...form });
  return fetch(`${PIXORA}/api/auth/token`, { method: "POST", body });
}

// After the right password of a user with a second factor: for the second step, within five minutes.
let mfaToken = null;

export async function logIn(username, password) {
  try {
    remember(await answerOf(await requestTokens({ grant_type: "password", username, password })));
  } catch (problem) {
    if (problem.code !== "mfa_required") throw problem;
    mfaToken = problem.mfaToken;
  }
}

// `proof` is either the `code` of the authenticator app or a `recovery_code`.
export async function logInWithCode(proof) {
  const body = new URLSearchParams({ client_id: "page", mfa_token: mfaToken, ...proof });
  try {
    remember(await request(`${PIXORA}/api/auth/mfa`, { method: "POST", body }));
    mfaToken = null;
  } catch (problem) {
    if (problem.code === "invalid_mfa_token") mfaToken = null; // it took too long: the password is asked again
    throw problem;
  }
}

// A passkey is a whole login, also of a user with an authenticator app.
export async function logInWithPasskey(credential) {
  remember(await request(`${PIXORA}/api/auth/passkeys/login`, json("POST", { credential })));
}

export const leaveSecondStep = () => (mfaToken = null);

// Which of the page's views is due, by its id.
export const currentView = () => (tokens() ? "user" : mfaToken ? "second-step" : "visitor");

// A refresh token can be used once, so one tab at a time refreshes; those that waited find the new tokens.
export const refresh = (refused) =>
  navigator.locks.request("refresh", async () => {
    if (tokens()?.access_token !== refused) return;
    const { refresh_token } = tokens();
    const response = await requestTokens({ grant_type: "refresh_token", refresh_token });
    if (tokens()?.refresh_token !== refresh_token) return; // another tab has logged out, and perhaps in again
    if (response.status === 400) remember(null); // the session has ended
    else remember(await answerOf(response)); // 503: the old tokens stay, for another attempt
  });

// RFC 6750. Other reasons for 401 are nothing that a refresh helps against, such as a login that is too long ago.
const isExpired = (response) =>
  response.status === 401 && response.headers.get("WWW-Authenticate")?.includes("invalid_token");

const ENDED = "Another tab has logged out meanwhile. Nothing was changed.";

// A request with the access token, which is refreshed when it has expired.
export async function call(url, options = {}) {
  const id = sessionId(tokens());
  for (const isLast of [false, true]) {
    const session = tokens();
    if (!session) throw new Error("Please log in.");
    if (sessionId(session) !== id) throw new Error(ENDED); // what one user wants is not done to another
    const headers = { ...options.headers, Authorization: `Bearer ${session.access_token}` };
    const response = await fetch(url, { ...options, headers });
    if (!isExpired(response) || isLast) return answerOf(response);
    await refresh(session.access_token);
  }
}

// What a user has of something that not every service offers; null then. Asked with the token, a page could not tell:
// browsers send a preflight before, which fails. Without a token the service answers 401 or 404.
export async function callIfOffered(url) {
  const { status } = await fetch(url);
  return status === 404 ? null : call(url);
}

// Prove again that it is the user: by `credential` of a passkey, or by `password`, with `code` where there is an app.
export async function reauthenticate(proof) {
  const answer = await call(`${PIXORA}/api/auth/reauthenticate`, json("POST", proof));
  const session = tokens();
  if (sessionId(session) !== sessionId(answer)) throw new Error(ENDED);
  // The refresh token stays: another tab may have used the one of the answer.
  remember({ ...session, access_token: answer.access_token });
}
