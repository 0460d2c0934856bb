// Node behind Hono: node edge/node.mjs
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { createHandler } from "./handler.mjs";

const { MODEL_URL, ADAPTERS, HOSTS, PORT } = process.env;
const handler = createHandler({ modelUrl: MODEL_URL, adapters: JSON.parse(ADAPTERS), hosts: JSON.parse(HOSTS) });
const app = new Hono();
app.all("*", (context) => handler(context.req.raw));
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: Number(PORT) });
