import createClient from "openapi-fetch";
import type { paths } from "./openapi-typescript/schema.js";
import { account, check } from "./account.js";

const api = createClient<paths>({ baseUrl: process.env.URL! });
const urlencoded = { bodySerializer: (form: object) => new URLSearchParams({ ...form } as Record<string, string>) };
const form = { headers: { "Content-Type": "application/x-www-form-urlencoded" }, ...urlencoded };

check((await api.POST("/api/auth/signup", { body: account })).response, 201);
const { email: username, password } = account;
const login = await api.POST("/api/auth/login", { body: { grant_type: "password", username, password }, ...form });
let headers = { Authorization: `Bearer ${login.data!.access_token}` };
const me = await api.GET("/api/users/me", { headers });
if (me.data!.email !== username) throw new Error(me.data!.email);
const { refresh_token } = login.data!;
const refreshed = await api.POST("/api/auth/refresh", { body: { grant_type: "refresh_token", refresh_token }, ...form });
headers = { Authorization: `Bearer ${refreshed.data!.access_token}` };
const changed = await api.PATCH("/api/users/me", { headers, body: { last_name: "King" } });
if (changed.data!.last_name !== "King") throw new Error("unchanged");
check((await api.POST("/api/auth/logout", { headers })).response, 204);
const refused = await api.GET("/api/users/me", { headers });
if (refused.error!.code !== "invalid_token") throw new Error("still logged in");
