// Cloudflare Workers: `MODEL_URL`, `ADAPTERS` (JSON) and `HOSTS` (JSON) are bindings. esbuild --conditions=workerd,worker,browser
import { createHandler } from "./handler.mjs";

let handler;
export default {
  fetch(request, env) {
    handler ??= createHandler({ modelUrl: env.MODEL_URL, adapters: JSON.parse(env.ADAPTERS), hosts: JSON.parse(env.HOSTS) });
    return handler(request);
  },
};
