// deno run --allow-net --allow-env=MODEL_URL,ADAPTERS,HOSTS,PORT edge/deno.mjs
import { createHandler } from "./handler.mjs";

const env = (name) => Deno.env.get(name);
const handler = createHandler({ modelUrl: env("MODEL_URL"), adapters: JSON.parse(env("ADAPTERS")), hosts: JSON.parse(env("HOSTS")) });
Deno.serve({ hostname: "127.0.0.1", port: Number(env("PORT")) }, (request) => handler(request));
