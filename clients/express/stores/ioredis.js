// connect-redis 8 on ioredis; connect-redis 9 and later take node-redis only. docs/frameworks/express.md shows this.
import { RedisStore } from "connect-redis-8";
import { Redis } from "ioredis";

const client = new Redis(process.env.REDIS_URL);
client.on("error", (error) => console.error("sessions:", error.message));

export const store = new RedisStore({ client });
