// A Fastify application with @fastify/session and connect-redis, as their manuals show them.
// clients/README.md says what each route is for; docs/frameworks/fastify.md shows the lines of the session.
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import cookie from "@fastify/cookie";
import session from "@fastify/session";
import { RedisStore } from "connect-redis";
import Fastify from "fastify";
import { createClient } from "redis";

const idle = Number(process.env.IDLE_SECONDS) * 1000;
const app = Fastify();

const client = createClient({ url: process.env.REDIS_URL });
client.on("error", (error) => console.error("sessions:", error.message));
await client.connect();
const store = new RedisStore({ client });

app.register(cookie);
app.register(session, {
  store,
  secret: process.env.SESSION_SECRET,
  saveUninitialized: false,
  cookie: { maxAge: idle, httpOnly: true, sameSite: "lax", secure: "auto" },
});

app.get("/healthz", async () => ({ ok: true }));

app.get("/me", async (request) => ({ user: request.session.user ?? null }));

app.post("/login", async (request) => {
  await request.session.regenerate();
  request.session.user = request.query.user;
  return { user: request.session.user };
});

app.post("/logout", async (request) => {
  await request.session.destroy();
  return { user: null };
});

app.post("/regenerate", async (request) => {
  await request.session.regenerate(["user", ...names(request.session)]);
  return { user: request.session.user ?? null };
});

app.post("/cart", async (request) => {
  request.session[`cart_${request.query.item}`] = true;
  return { cart: cart(request.session) };
});

app.get("/cart", async (request) => ({ cart: cart(request.session) }));

app.post("/slow", async (request) => {
  const user = request.session.user ?? null;
  await fetch(request.query.until);
  request.session[`cart_${request.query.item}`] = true;
  return { user };
});

app.post("/many", async (request) => {
  const set = promisify(store.set.bind(store));
  const made = Array.from({ length: Number(request.query.n) }, (_, index) => {
    const expires = new Date(Date.now() + idle);
    const cookie = { originalMaxAge: idle, expires, httpOnly: true, path: "/" };
    return set(randomBytes(24).toString("base64url"), { cookie, user: `many-${index}` });
  });
  await Promise.all(made);
  return { made: made.length };
});

app.get("/sessions", async () => ({ sessions: await promisify(store.length.bind(store))() }));

app.delete("/sessions", async () => {
  await promisify(store.clear.bind(store))();
  return { sessions: 0 };
});

process.on("SIGTERM", () => process.exit(0));
await app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });

function names(session) {
  return Object.keys(session).filter((name) => name.startsWith("cart_"));
}

function cart(session) {
  return names(session).map((name) => name.slice("cart_".length)).sort();
}
