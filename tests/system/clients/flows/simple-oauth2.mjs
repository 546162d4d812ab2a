import { ResourceOwnerPassword } from "simple-oauth2";

const { URL: server, EMAIL: username, PASSWORD: password } = process.env;
const steps = [];
const getMe = async ({ access_token }) =>
  (await fetch(`${server}/api/users/me`, { headers: { authorization: `Bearer ${access_token}` } })).status;

const client = new ResourceOwnerPassword({
  client: { id: "web", secret: "" },
  auth: { tokenHost: server, tokenPath: "/api/auth/token", revokePath: "/api/auth/revoke" },
});
const granted = await client.getToken({ username, password });
if ((await getMe(granted.token)) !== 200) throw new Error("refused");
steps.push("password");

const refreshed = await granted.refresh();
if ((await getMe(refreshed.token)) !== 200) throw new Error("refused");
steps.push("refresh");

await refreshed.revokeAll();
if ((await getMe(refreshed.token)) !== 401) throw new Error("not revoked");
steps.push("revocation");

console.log(JSON.stringify(steps));
