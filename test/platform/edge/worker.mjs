// Cloudflare Workers: `MODEL_URL`, `ADAPTERS` (JSON), `HOSTS` (JSON) and, for large models, `HOST_MEMORY` are bindings. esbuild --conditions=workerd,worker,browser
import { createHandler } from "./handler.mjs";

let handler;
export default {
  fetch(request, env, context) {
    const hostMemory = env.HOST_MEMORY ? Number(env.HOST_MEMORY) : undefined;
    handler ??= createHandler({ modelUrl: env.MODEL_URL, adapters: JSON.parse(env.ADAPTERS), hosts: JSON.parse(env.HOSTS), hostMemory });
    return handler(request, (work) => context.waitUntil(work));
  },
};
