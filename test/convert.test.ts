// The pipeline of `quantize`: chunks are read ahead and written behind, and nothing of that shows in the bytes.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { quantize } from "../src/commands/quantize.ts";
import { readAhead } from "../src/commands/read-ahead.ts";
import { readSafetensors, type HostTensor } from "../src/format/safetensors.ts";
import { memoryFolder, MemorySink } from "../src/io/memory.ts";
import type { ByteSource, SinkFolder, SourceFolder } from "../src/io/types.ts";
import { copy, fill } from "../src/ops/index.ts";
import { quantizeTensor } from "../src/quant/quantize-tensor.ts";
import { testDevices } from "./support/devices.ts";
import { tinyFiles, TINY_CONFIG } from "./support/formats.ts";
import { normals } from "./support/numbers.ts";

const devices = await testDevices({ gpu: true });
const test = suite("convert");
test.after(async () => void (await Promise.all(devices.map((device) => device.dispose()))));
const base = new Map(devices.map((device) => [device, device.memory.buffers]));
const bytesOf = (data: Uint8Array): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

// gate, up and down have 1.3 million weights: two and a half chunks.
const CONFIG = { ...TINY_CONFIG, hidden_size: 64, intermediate_size: 20480 };
const SHAPES: Record<string, number[]> = {
  "model.embed_tokens.weight": [5, 64], "model.norm.weight": [64], "model.layers.0.input_layernorm.weight": [64], "model.layers.0.post_attention_layernorm.weight": [64],
  "model.layers.0.self_attn.q_proj.weight": [64, 64], "model.layers.0.self_attn.k_proj.weight": [32, 64], "model.layers.0.self_attn.v_proj.weight": [32, 64], "model.layers.0.self_attn.o_proj.weight": [64, 64],
  "model.layers.0.mlp.gate_proj.weight": [20480, 64], "model.layers.0.mlp.up_proj.weight": [20480, 64], "model.layers.0.mlp.down_proj.weight": [64, 20480],
};

/** Bits of a float32, cut off: any values of the type will do, and rounding millions by the plain reference took half a minute. */
const CUT = {
  F32: undefined,
  BF16: (bits: number) => bits >>> 16,
  F16: (bits: number) => ((bits >>> 16) & 0x8000) | Math.max(0, (((bits >>> 23) & 255) - 112) << 10 | ((bits >>> 13) & 1023)),
} as const;

function model(dtype: keyof typeof CUT): Map<string, HostTensor> {
  return new Map(Object.entries(SHAPES).map(([name, shape], seed) => {
    const values = normals(shape.reduce((a, b) => a * b, 1), seed, 0.02);
    const cut = CUT[dtype];
    return [name, { name, dtype, shape, data: cut ? new Uint16Array(new Uint32Array(values.buffer).map(cut)) : values }];
  }));
}

const sources = Object.fromEntries(Object.keys(CUT).map((dtype) => [dtype, model(dtype as keyof typeof CUT)]));
const folderOf = (dtype: string): SourceFolder => memoryFolder("model", tinyFiles(sources[dtype], CONFIG));

for (const device of devices) {
  for (const dtype of Object.keys(CUT)) {
    test(`${dtype} in pieces on ${device.description}: the bytes of each tensor quantized whole`, async () => {
      const sink = new MemorySink();
      await quantize({ model: folderOf(dtype), output: sink, device });
      const written = await readSafetensors(sink.source(), "model.safetensors");
      for (const [name, { data, shape }] of sources[dtype]) {
        if (!name.includes("_proj")) {
          assert.equal(written.get(name)!.data, data, name);
          continue;
        }
        const q = quantizeTensor(data as Float32Array, { shape, ...(dtype === "F32" ? {} : { dtype: dtype === "BF16" ? "bf16" : "f16" }) });
        const { nested } = q as { nested: { absmax: Float32Array; offset: number } };
        const state = JSON.parse(new TextDecoder().decode(written.get(`${name}.quant_state.bitsandbytes__nf4`)!.data as Uint8Array)) as { nested_offset: number };
        const same = (part: string, expected: ArrayLike<number>): void => assert.ok(Buffer.compare(bytesOf(written.get(name + part)!.data as Uint8Array), bytesOf(expected as Uint8Array)) === 0, `${name}${part}`);
        same("", q.packed);
        same(".absmax", q.absmax);
        same(".nested_absmax", nested.absmax);
        assert.is(state.nested_offset, nested.offset);
      }
      assert.is(device.memory.buffers, base.get(device));
    });
  }

  test(`reads and writes keep their place among ops on ${device.description}`, async () => {
    const [x, y] = [device.allocate("f32", [1000], "x"), device.allocate("f32", [1000], "y")];
    const first = async (values: Promise<ArrayLike<number>>): Promise<number> => (await values)[0];
    device.write(x, new Float32Array(1000).fill(1));
    device.run(copy, { x, y }, { n: 1000 });
    const one = device.read(y);
    device.write(x, new Float32Array(1000).fill(2)); // not before the copy has read it
    device.run(copy, { x, y }, { n: 1000 });
    const two = device.read(y, new Float32Array(1000));
    device.run(fill, { y }, { n: 1000, value: 3 });
    const three = device.read(y);
    device.run(fill, { y }, { n: 1000, value: 4 });
    assert.equal([await first(one), await first(two), await first(three), await first(device.read(y))], [1, 2, 3, 4]);
    device.free(x);
    device.free(y);
    await device.finish();
  });
}

/** Notes when data is read and written; `note` may throw instead. */
function watched(note: (event: "read" | "write", bytes: number) => void): { model: SourceFolder; output: MemorySink & SinkFolder } {
  const inner = folderOf("F32");
  const model = {
    ...inner,
    async open(file: string): Promise<ByteSource> {
      const source = await inner.open(file);
      return { ...source, read: async (offset, length) => { note("read", length); return source.read(offset, length); } };
    },
  };
  const output = new MemorySink();
  const create = output.create.bind(output);
  output.create = async (file) => {
    const sink = await create(file);
    return { ...sink, write: async (offset, bytes) => { note("write", bytes.length); await sink.write(offset, bytes); } };
  };
  return { model, output };
}

test("the next chunk is being read when the one before is written", async () => {
  const events: string[] = [];
  const { model: source, output } = watched((event, bytes) => {
    if (event === "read" && bytes >= 2 ** 19) events.push(`read ${bytes / 4}`);
    if (event === "write" && bytes >= 2 ** 17) events.push(`write ${2 * bytes}`);
  });
  await quantize({ model: source, output, device: devices[0] });
  const [whole, rest] = [2 ** 19, 20480 * 64 - 2 ** 20];
  // Of gate, up and down; the small tensors between them are not shown.
  assert.equal(events.slice(0, 5), [`read ${whole}`, `read ${whole}`, `read ${rest}`, `write ${whole}`, `read ${whole}`]);
  assert.is(events.filter((event) => event.startsWith("write")).length, 9);
  assert.is(events.at(-1), `write ${rest}`);
});

for (const where of ["read", "write"] as const) {
  test(`a ${where} that fails in the middle leaves no output and no memory`, async () => {
    for (const device of devices) {
      let left = 6;
      const { model: source, output } = watched((event, bytes) => {
        if (event === where && bytes >= 2 ** 17 && --left === 0) throw new Error("broken cable");
      });
      const error = await quantize({ model: source, output, device }).catch((cause: unknown) => cause);
      assert.is((error as Error).message, "broken cable");
      assert.is(output.files.size, 0);
      assert.is(device.memory.buffers, base.get(device));
    }
  });
}

test("reading ahead: one item, no more; and whoever stops early waits for it", async () => {
  const begun: number[] = [];
  let open = 0;
  const read = async (n: number): Promise<number> => {
    begun.push(n);
    open++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    open--;
    return 10 * n;
  };
  for await (const [item, value] of readAhead([1, 2, 3, 4], read)) {
    assert.equal([value, begun.length], [10 * item, item + 1]);
    if (item === 2) break;
  }
  assert.is(open, 0);
  const seen: number[] = [];
  for await (const [, value] of readAhead([], read)) seen.push(value);
  assert.is(seen.length, 0);
});

test.run();
