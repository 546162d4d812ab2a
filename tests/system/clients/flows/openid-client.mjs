import * as client from "openid-client";

const { URL: server, EMAIL: username, PASSWORD: password, SERVICE_KEY: key } = process.env;
const steps = [];
const discover = (name, authentication) =>
  client.discovery(new URL(server), name, undefined, authentication, {
    algorithm: "oauth2",
    execute: [client.allowInsecureRequests],
  });

const config = await discover("web", client.None());
steps.push("discovery");

const tokens = await client.genericGrantRequest(config, "password", { username, password });
steps.push("password");

const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
if (refreshed.refresh_token === tokens.refresh_token) throw new Error("the same refresh token");
steps.push("refresh");

const service = await discover("orders", client.ClientSecretBasic(key));
const introspect = async () => (await client.tokenIntrospection(service, refreshed.access_token)).active;
if (!(await introspect())) throw new Error("inactive");
steps.push("introspection");

await client.tokenRevocation(config, refreshed.refresh_token);
if (await introspect()) throw new Error("still active");
steps.push("revocation");

console.log(JSON.stringify(steps));
