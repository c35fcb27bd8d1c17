// connect-redis on node-redis, both as they are today. docs/frameworks/express.md shows this.
import { RedisStore } from "connect-redis";
import { createClient } from "redis";

const client = createClient({ url: process.env.REDIS_URL });
client.on("error", (error) => console.error("sessions:", error.message));
await client.connect();

export const store = new RedisStore({ client });
