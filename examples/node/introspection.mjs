// Another service: it asks Pixora about each access token, so it notices at once that a session has ended.
//
//   PIXORA_URL=https://auth.example.com SERVICE_NAME=orders SERVICE_KEY=… PORT=3000 node introspection.mjs
//
// Pixora has the SHA-256 hash of the key in SERVICE_KEYS.

import { createServer } from "node:http";

const { PIXORA_URL, SERVICE_NAME, SERVICE_KEY, PORT } = process.env;
const endpoint = new URL("/api/auth/introspect", PIXORA_URL);
const credentials = Buffer.from(`${SERVICE_NAME}:${SERVICE_KEY}`).toString("base64");

async function introspect(token) {
  const headers = { Authorization: `Basic ${credentials}` };
  const options = { method: "POST", headers, body: new URLSearchParams({ token }), signal: AbortSignal.timeout(5000) };
  const answer = await fetch(endpoint, options);
  if (!answer.ok) throw new Error(`Pixora answers ${answer.status}`);
  return answer.json();
}

const server = createServer(async (request, response) => {
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  try {
    const found = scheme.toLowerCase() === "bearer" && token ? await introspect(token) : { active: false };
    if (!found.active) response.writeHead(401, { "WWW-Authenticate": "Bearer" }).end();
    else if (request.url === "/admin" && !found.roles.includes("admin")) response.writeHead(403).end();
    else response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ user: found.sub }));
  } catch (error) {
    response.writeHead(503).end();
  }
});
server.listen(PORT ?? 3000, "127.0.0.1");
