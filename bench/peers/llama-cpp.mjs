// Generation by node-llama-cpp (native llama.cpp). arguments: THREADS; case: {"model": FILE.gguf, "size": TOKENS}
import { getLlama } from "node-llama-cpp";
import { readFileSync } from "node:fs";
import { serve } from "./serve.mjs";

const threads = Number(process.argv[2]);
const { version } = JSON.parse(readFileSync(new URL("node_modules/node-llama-cpp/package.json", import.meta.url), "utf8"));
const llama = await getLlama({ build: "never", gpu: false, progressLogs: false, skipDownload: true, maxThreads: threads });

await serve(`node-llama-cpp ${version} (native, ${threads} thread${threads > 1 ? "s" : ""})`, async ({ model: modelPath, size }) => {
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({ threads, contextSize: 512 });
  const sequence = context.getSequence();
  const [first] = model.tokenize("Once");
  return async (times) => {
    for (let i = 0; i < times; i++) {
      await sequence.clearHistory();
      let tokens = 0;
      for await (const _ of sequence.evaluate([first], { temperature: 0, yieldEogToken: true })) if (++tokens >= Number(size)) break;
      if (tokens < Number(size)) throw new Error(`the model stopped after ${tokens} tokens`);
    }
  };
});
