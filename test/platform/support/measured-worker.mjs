// The worker of edge/worker.mjs, which also says how large its Wasm memories are.
import worker from "./edge/worker.mjs";

const memories = [];
WebAssembly.Memory = class extends WebAssembly.Memory {
  constructor(...parts) {
    super(...parts);
    memories.push(new WeakRef(this));
  }
};

export default {
  fetch(request, env, context) {
    if (new URL(request.url).pathname !== "/wasm-memories") return worker.fetch(request, env, context);
    return new Response(String(memories.reduce((sum, memory) => sum + (memory.deref()?.buffer.byteLength ?? 0), 0)));
  },
};
