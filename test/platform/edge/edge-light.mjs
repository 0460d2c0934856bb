// Vercel Edge Functions and middleware: what a route exports with `config = { runtime: "edge" }`; a bundler makes modules of
// the kernels, which are imported as `.wasm?module`. `MODEL_URL`, `ADAPTERS` (JSON) and `HOSTS` (JSON) are its environment.
import { createHandler } from "./handler.mjs";

const { MODEL_URL, ADAPTERS, HOSTS } = process.env;
const handler = createHandler({ modelUrl: MODEL_URL, adapters: JSON.parse(ADAPTERS), hosts: JSON.parse(HOSTS) });

export const config = { runtime: "edge" };
export default (request, context) => handler(request, (work) => context?.waitUntil?.(work));
