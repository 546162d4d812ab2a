import { changeMe, getMe, logIn, logOut, refreshTokens, signUp } from "./orval/pixora.js";
import { account, check } from "./account.js";

const { fetch } = globalThis; // orval's functions ask for paths, as in a browser
globalThis.fetch = (path, options) => fetch(new URL(String(path), process.env.URL), options);

check(await signUp(account), 201);
const { email: username, password } = account;
const login = await logIn({ grant_type: "password", username, password });
if (login.status !== 200) throw new Error(String(login.status));
let headers = { Authorization: `Bearer ${login.data.access_token}` };
const me = await getMe({ headers });
if (me.status !== 200 || me.data.email !== username) throw new Error(String(me.status));
const refreshed = await refreshTokens({ grant_type: "refresh_token", refresh_token: login.data.refresh_token });
if (refreshed.status !== 200) throw new Error(String(refreshed.status));
headers = { Authorization: `Bearer ${refreshed.data.access_token}` };
const changed = await changeMe({ last_name: "King" }, { headers });
if (changed.status !== 200 || changed.data.last_name !== "King") throw new Error(String(changed.status));
check(await logOut({ headers }), 204);
const refused = await getMe({ headers });
if (refused.status !== 401 || refused.data.code !== "invalid_token") throw new Error("still logged in");
