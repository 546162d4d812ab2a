import { createRemoteJWKSet, jwtVerify } from "jose";

const { URL: server, EMAIL: username, PASSWORD: password } = process.env;
const body = new URLSearchParams({ grant_type: "password", username, password, client_id: "web" });
const { access_token } = await (await fetch(`${server}/api/auth/token`, { method: "POST", body })).json();

const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", server));
const { payload } = await jwtVerify(access_token, keys, {
  issuer: server,
  audience: "pixora",
  typ: "at+jwt",
  requiredClaims: ["sub", "sid", "client_id", "jti", "iat", "exp"],
});
if (payload.client_id !== "web") throw new Error(JSON.stringify(payload));

console.log(JSON.stringify(["validation of access tokens"]));
