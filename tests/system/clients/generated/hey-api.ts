import { client } from "./hey-api/client.gen.js";
import { changeMe, getMe, logIn, logOut, refreshTokens, signUp } from "./hey-api/index.js";
import { account, check } from "./account.js";

let token: string | undefined;
client.setConfig({ baseUrl: process.env.URL!, auth: () => token });

check((await signUp({ body: account })).response!, 201);
const { email: username, password } = account;
const login = await logIn({ body: { grant_type: "password", username, password } });
token = login.data!.access_token;
const me = await getMe();
if (me.data!.email !== username) throw new Error(me.data!.email);
const { refresh_token } = login.data!;
token = (await refreshTokens({ body: { grant_type: "refresh_token", refresh_token } })).data!.access_token;
const changed = await changeMe({ body: { last_name: "King" } });
if (changed.data!.last_name !== "King") throw new Error("unchanged");
check((await logOut()).response!, 204);
const refused = await getMe();
if (refused.error!.code !== "invalid_token") throw new Error("still logged in");
