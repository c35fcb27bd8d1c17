// connect-redis 8 on node-redis 4, which speaks RESP2: what many applications still have.
import { RedisStore } from "connect-redis-8";
import { createClient } from "redis-4";

const client = createClient({ url: process.env.REDIS_URL });
client.on("error", (error) => console.error("sessions:", error.message));
await client.connect();

export const store = new RedisStore({ client });
