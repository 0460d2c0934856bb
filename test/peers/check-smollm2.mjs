// Quantizes SmolLM2's GGUF and holds every linear against bitsandbytes' checksums: codes, plain absmax, and nested constants
// given bitsandbytes' own offsets. usage: node test/peers/check-smollm2.mjs GGUF SUMS.json OUT   (OUT is left as `quantize` writes it by default)
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { engine } from "./engine.mjs";

const [gguf, sums, out] = process.argv.slice(2);
if (!out) throw new Error("usage: check-smollm2.mjs GGUF SUMS.json OUT");
const { quantize, createSink, openSource, MemorySink, readSafetensors, WasmDevice, kernels } = engine;

const { tensors: golden } = JSON.parse(readFileSync(sums, "utf8"));
const device = await WasmDevice.create({ wasm: kernels });
const sha = (data) => createHash("sha256").update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)).digest("hex");

async function run(output, options) {
  const began = performance.now();
  const result = await quantize({ model: await openSource(gguf), output, device, ...options });
  return { result, seconds: (performance.now() - began) / 1000 };
}

/** Number of tensors whose sum differs, for each golden sum and the key that it is of. */
function differing(weights, parts) {
  const wrong = Object.fromEntries(Object.keys(parts).map((part) => [part, 0]));
  for (const [name, expected] of Object.entries(golden)) {
    for (const [part, suffix] of Object.entries(parts)) {
      const tensor = weights.get(name + suffix);
      if (!tensor || sha(tensor.data) !== expected[part]) wrong[part]++;
    }
  }
  return wrong;
}

const weightsOf = (folder) => readSafetensors(folder, "model.safetensors");
const report = { tensors: Object.keys(golden).length };

const plain = new MemorySink();
await run(plain, { doubleQuant: false });
report.plain = differing(await weightsOf(plain.source()), { codes: "", absmax_f32: ".absmax" });

const nested = new MemorySink();
await run(nested, { nestedOffsets: new Map(Object.entries(golden).map(([name, { nested_offset }]) => [name, nested_offset])) });
report.given_offsets = differing(await weightsOf(nested.source()), { codes: "", nested_absmax_u8: ".absmax", nested_absmax: ".nested_absmax" });

const { result, seconds } = await run(await createSink(out, { force: true, inputs: [gguf] }), {});
const own = await weightsOf(await openSource(out));
report.own_offsets = { ...differing(own, { codes: "" }), ...stepsApart(own, await weightsOf(nested.source())) };
Object.assign(report, { seconds, ...result });
console.log(JSON.stringify(report, null, 2));
const failures = [...Object.values(report.plain), ...Object.values(report.given_offsets), report.own_offsets.codes];
process.exit(failures.some((n) => n > 0) ? 1 : 0);

/** How far our own mean leads from bitsandbytes': nested codes that differ, and by how much at most. */
function stepsApart(ours, theirs) {
  let different = 0;
  let most = 0;
  for (const name of Object.keys(golden)) {
    const [a, b] = [ours.get(`${name}.absmax`).data, theirs.get(`${name}.absmax`).data];
    for (let i = 0; i < a.length; i++) {
      if (a[i] === b[i]) continue;
      different++;
      most = Math.max(most, Math.abs(a[i] - b[i]));
    }
  }
  return { nested_codes_that_differ: different, by_at_most: most };
}
