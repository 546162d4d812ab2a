// Another service: it verifies Pixora's access tokens by itself, with the public keys.
//
//   npm ci
//   PIXORA_URL=https://auth.example.com PIXORA_ISSUER=https://auth.example.com PORT=3000 node server.mjs

import { createServer } from "node:http";
import { createRemoteJWKSet, jwtVerify } from "jose";

const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", process.env.PIXORA_URL));
// The clock of the machine that issued a token may be a little ahead of ours. jose compares iat only where maxTokenAge is
// set: then set clockTolerance to 5 as well, and compare exp yourself, for which there is no tolerance.
const expected = {
  issuer: process.env.PIXORA_ISSUER,
  audience: "pixora",
  requiredClaims: ["sub", "sid", "jti", "iat", "exp"],
};

const server = createServer(async (request, response) => {
  try {
    const [scheme, token] = (request.headers.authorization ?? "").split(" ");
    const { payload } = await jwtVerify(token, keys, expected);
    if (scheme.toLowerCase() !== "bearer" || payload.type !== "access") throw new Error("not an access token");
    if (request.url === "/admin" && !payload.roles?.includes("admin")) return response.writeHead(403).end();
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ user: payload.sub }));
  } catch (error) {
    response.writeHead(401, { "WWW-Authenticate": "Bearer" }).end();
  }
});
server.listen(process.env.PORT ?? 3000, "127.0.0.1");
