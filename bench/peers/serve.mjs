// A peer is a process of its own that times rounds of one case on request. It reads JSON objects, one a line:
//   {"do": "prepare", "id": N, "case": {…}}  → {"name": "library 1.2"} after a warm-up
//   {"do": "round", "id": N}                 → {"ms": …, "cpu_ms": …} of one run: the mean of as many as fill 20 ms
//   {"do": "memory"}                         → {"peak_memory_bytes": …}, the highest RSS so far
// and answers {"error": "…"} to what it cannot do. common.py is the same in Python.
import { createInterface } from "node:readline";

const ROUND_MS = 20;
const WARM_MS = 300;

/** @param prepare makes of a case a function that runs it `times` times and waits for the result. */
export async function serve(name, prepare) {
  const prepared = new Map();
  const time = async (run, times) => {
    const before = process.cpuUsage();
    const began = performance.now();
    await run(times);
    const ms = (performance.now() - began) / times;
    const { user, system } = process.cpuUsage(before);
    return { ms, cpu_ms: (user + system) / 1e3 / times };
  };
  const answers = {
    async prepare({ id, case: item }) {
      const run = await prepare(item);
      let { ms: once } = await time(run, 1);
      for (const until = performance.now() + WARM_MS - once; performance.now() < until; ) once = (await time(run, 1)).ms;
      prepared.set(id, { run, repeats: Math.ceil(ROUND_MS / once) });
      return { name };
    },
    async round({ id }) {
      const { run, repeats } = prepared.get(id);
      return time(run, repeats);
    },
    memory: async () => ({ peak_memory_bytes: process.resourceUsage().maxRSS * 1024 }),
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    const answer = await answers[request.do](request).catch((error) => ({ error: String(error?.stack ?? error) }));
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0);
}
