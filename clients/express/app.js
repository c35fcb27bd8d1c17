// An Express application with express-session and connect-redis, as their manuals show them.
// clients/README.md says what each route is for; docs/frameworks/express.md shows the lines of the session.
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import express from "express";
import session from "express-session";

const { store } = await import(`./stores/${process.env.VARIANT}.js`);
const idle = Number(process.env.IDLE_SECONDS) * 1000;
const app = express();

// Before the sessions: this route has none.
app.get("/healthz", (req, res) => res.json({ ok: true }));

app.use(
  session({
    store,
    secret: process.env.SESSION_SECRET,
    resave: false,
    saveUninitialized: false,
    rolling: true,
    cookie: { maxAge: idle, httpOnly: true, sameSite: "lax" },
  }),
);

app.get("/me", (req, res) => {
  res.json({ user: req.session.user ?? null });
});

app.post("/login", (req, res, next) => {
  req.session.regenerate((error) => {
    if (error) return next(error);
    req.session.user = req.query.user;
    res.json({ user: req.session.user });
  });
});

app.post("/logout", (req, res, next) => {
  req.session.destroy((error) => {
    if (error) return next(error);
    res.json({ user: null });
  });
});

// express-session has no call that keeps the content, so applications carry it over.
app.post("/regenerate", (req, res, next) => {
  const { cookie, ...content } = req.session;
  req.session.regenerate((error) => {
    if (error) return next(error);
    Object.assign(req.session, content);
    res.json({ user: req.session.user ?? null });
  });
});

app.post("/cart", (req, res) => {
  req.session[`cart_${req.query.item}`] = true;
  res.json({ cart: cart(req.session) });
});

app.get("/cart", (req, res) => {
  res.json({ cart: cart(req.session) });
});

app.post("/slow", async (req, res) => {
  const user = req.session.user ?? null;
  await fetch(req.query.until);
  req.session[`cart_${req.query.item}`] = true;
  res.json({ user });
});

app.post("/many", async (req, res) => {
  const set = promisify(store.set.bind(store));
  const made = Array.from({ length: Number(req.query.n) }, (_, index) => {
    const cookie = new session.Cookie({ maxAge: idle });
    return set(randomBytes(24).toString("base64url"), { cookie, user: `many-${index}` });
  });
  await Promise.all(made);
  res.json({ made: made.length });
});

app.get("/sessions", async (req, res) => {
  res.json({ sessions: await promisify(store.length.bind(store))() });
});

app.delete("/sessions", async (req, res) => {
  await promisify(store.clear.bind(store))();
  res.json({ sessions: 0 });
});

const server = app.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => {
  server.close();
  process.exit(0);
});

function cart(session) {
  const items = Object.keys(session).filter((name) => name.startsWith("cart_"));
  return items.map((name) => name.slice("cart_".length)).sort();
}
