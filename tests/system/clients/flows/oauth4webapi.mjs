import * as oauth from "oauth4webapi";

const { URL: server, EMAIL: username, PASSWORD: password, SERVICE_KEY: key } = process.env;
const steps = [];
const insecure = { [oauth.allowInsecureRequests]: true };
const web = { client_id: "web" };

const found = await oauth.discoveryRequest(new URL(server), { algorithm: "oauth2", ...insecure });
const as = await oauth.processDiscoveryResponse(new URL(server), found);
steps.push("discovery");

const form = new URLSearchParams({ username, password });
const granted = await oauth.genericTokenEndpointRequest(as, web, oauth.None(), "password", form, insecure);
const tokens = await oauth.processGenericTokenEndpointResponse(as, web, granted);
steps.push("password");

const again = await oauth.refreshTokenGrantRequest(as, web, oauth.None(), tokens.refresh_token, insecure);
const refreshed = await oauth.processRefreshTokenResponse(as, web, again);
steps.push("refresh");

const headers = { authorization: `Bearer ${refreshed.access_token}` };
const claims = await oauth.validateJwtAccessToken(as, new Request(server, { headers }), "pixora", insecure);
if (claims.client_id !== "web" || !claims.roles.includes("user")) throw new Error(JSON.stringify(claims));
steps.push("validation of access tokens");

const orders = { client_id: "orders" };
const introspect = async () => {
  const basic = oauth.ClientSecretBasic(key);
  const response = await oauth.introspectionRequest(as, orders, basic, refreshed.access_token, insecure);
  return (await oauth.processIntrospectionResponse(as, orders, response)).active;
};
if (!(await introspect())) throw new Error("inactive");
steps.push("introspection");

await oauth.processRevocationResponse(
  await oauth.revocationRequest(as, web, oauth.None(), refreshed.refresh_token, insecure),
);
if (await introspect()) throw new Error("still active");
steps.push("revocation");

console.log(JSON.stringify(steps));
