import { kernels } from "#kernels";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { loadLlama } from "../src/commands/load-llama.ts";
import { quantize } from "../src/commands/quantize.ts";
import type { Device } from "../src/device.ts";
import { openCheckpoint, type Bnb4Tensor, type Checkpoint, type DenseTensor } from "../src/format/checkpoint.ts";
import { MemorySink } from "../src/io/memory.ts";
import { openSource } from "../src/io/node.ts";
import { BatchPass } from "../src/nn/batch-pass.ts";
import { DecodePass } from "../src/nn/decode-pass.ts";
import type { Llama } from "../src/nn/llama.ts";
import { LossHead } from "../src/nn/loss-head.ts";
import { place } from "../src/nn/placing.ts";
import { multiplyBackward, type Weight } from "../src/nn/weight.ts";
import { dequantizeTensor } from "../src/quant/dequantize-tensor.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { testDevices } from "./support/devices.ts";
import { integers, normals, relativeNorm } from "./support/numbers.ts";
import { sameBits } from "./support/run-op.ts";
import { randomWeights, weightsReference } from "./support/weights-4bit.ts";

// A model written with `--embeddings nf4` computes with its 4 bits as if the table were floats, in a seventh of the memory.
const EMBEDDING = "model.embed_tokens.weight", HEAD = "lm_head.weight";
const VOCAB = 2048, HIDDEN = 192; // of the demo model

const sink = new MemorySink("demo-nf4");
await using writer = await WasmDevice.create({ wasm: kernels });
await quantize({ model: await openSource("src/demo"), output: sink, device: writer, embeddings: "nf4" });
const stored = await openCheckpoint(sink.source());

async function inFloats(tensor: Bnb4Tensor): Promise<DenseTensor> {
  const { name, shape, state, quantMap, nestedAbsmax, nestedQuantMap } = tensor;
  const values = dequantizeTensor({
    type: "nf4", dtype: "f32", blocksize: state.blocksize, shape, packed: await tensor.packed(0, (VOCAB * HIDDEN) / 2), absmax: await tensor.absmax(), code: quantMap,
    nested: { offset: state.nested!.offset, absmax: nestedAbsmax!, code: nestedQuantMap! },
  });
  return { kind: "dense", name, shape, dtype: "f32", storage: "F32", storageBytes: values.byteLength, read: async (begin, end) => values.slice(begin, end) };
}

function untied({ config, tensors, ...rest }: Checkpoint): Checkpoint {
  const table = tensors.get(EMBEDDING)!;
  return { ...rest, config: { ...config, tieWordEmbeddings: false }, tensors: new Map([...tensors, [HEAD, { ...table, name: HEAD }]]) };
}

const floats = { ...stored, tensors: new Map([...stored.tensors, [EMBEDDING, await inFloats(stored.tensors.get(EMBEDDING) as Bnb4Tensor)]]) };

const [BATCH, LENGTH] = [2, 9];
const batch = { batch: BATCH, length: LENGTH, ids: integers(BATCH * LENGTH, 1, VOCAB), targets: integers(BATCH * LENGTH, 2, VOCAB) };

/** Losses, logits of decoding, and the gradient that the head passes down. */
async function outcome(device: Device, model: Llama): Promise<Record<string, Float32Array>> {
  const pass = new BatchPass(model, { batch: BATCH, length: LENGTH, microBatches: 1, rank: 1, training: false, recompute: true, dropout: false });
  await pass.evaluate(batch);
  const [losses] = await pass.losses([batch]);
  pass.dispose();
  const decode = new DecodePass(model, LENGTH, 0);
  const logits = await decode.append([...batch.ids.subarray(0, LENGTH)]);
  decode.dispose();
  const rows = BATCH * LENGTH;
  const { value: { head, found }, tensors } = place(device, (memory) => ({ head: new LossHead(model, rows, memory), found: LossHead.allocateRows(memory, model, rows) }));
  const [x, d, loss, targets] = [device.allocate("f32", [rows, HIDDEN], "x"), device.allocate("f32", [rows, HIDDEN], "d"), device.allocate("f32", [rows], "loss"), device.allocate("i32", [rows], "targets")];
  device.write(x, normals(rows * HIDDEN, 3));
  device.write(targets, batch.targets);
  await head.run([{ x, rows, targets: batch.targets, targetTensor: targets, loss, d, found }], 1 / rows);
  const gradient = (await device.read(d)) as Float32Array;
  for (const tensor of [...tensors, x, d, loss, targets]) device.free(tensor);
  return { losses: Float32Array.from(losses), logits, gradient };
}

for (const device of await testDevices({ gpu: true })) {
  const here = suite(`embeddings in 4 bits on ${device.description}`);
  // llvmpipe and SwiftShader give the same bits too, but WGSL lets compilers fuse the product of level and scale into the sums.
  const same = (a: Float32Array, b: Float32Array): boolean => (device.kind === "webgpu" ? relativeNorm(a, b) < 4e-6 : sameBits(a, b));

  for (const tied of [true, false]) {
    here(`${tied ? "tied" : "untied"}: the losses, tokens and gradients of the same table in floats, in the memory of its file`, async () => {
      const sized = async (checkpoint: Checkpoint): Promise<{ model: Llama; bytes: number }> => {
        const { live } = device.memory;
        const model = await loadLlama(device, tied ? checkpoint : untied(checkpoint));
        return { model, bytes: device.memory.live - live };
      };
      const [{ model: packed, bytes }, { model: dense, bytes: floatBytes }] = [await sized(stored), await sized(floats)];
      const values = (tied ? 1 : 2) * VOCAB * HIDDEN;
      const saved = (floatBytes - bytes) / values; // of 4 bytes a value; tables of 64 and 1024 bytes stay
      assert.ok(saved > 3.47 && saved < 3.49, `saves ${saved} bytes a value`);
      const [got, want] = [await outcome(device, packed), await outcome(device, dense)];
      for (const [name, values] of Object.entries(got)) assert.ok(same(values, want[name]), `${name}: ${relativeNorm(values, want[name])}`);
      const { live } = device.memory;
      packed.dispose();
      dense.dispose();
      assert.is(device.memory.live, live - bytes - floatBytes);
    });
  }

  // Pieces begin at rows 2048 and 4096, where constants of 256 blocks begin too; the last one is shorter.
  for (const nested of [0, 1]) {
    here(`a head that is cut: the gradient of the whole, ${nested ? "double quantization" : "plain scales"}`, async () => {
      const params = { n: 4500, k: 96, blocksize: 64, nested, nestedOffset: 0.25, round: 0 };
      const { n: out, k: width, blocksize, nestedOffset } = params;
      const arrays = randomWeights(params, 5);
      const put = (dtype: "f32" | "u8", data: Float32Array | Uint8Array) => {
        const tensor = device.allocate(dtype, [data.length], "table");
        device.write(tensor, data);
        return tensor;
      };
      const [m, dy] = [3, normals(3 * out, 6)];
      const gradient = device.allocate("f32", [m, width], "dx");
      const table = { ...arrays } as { packed: Uint8Array; absmax: Float32Array | Uint8Array; code: Float32Array; nestedAbsmax: Float32Array; nestedCode: Float32Array };
      const code = put("f32", table.code);
      const packed: Weight = { kind: "4bit", out, in: width, blocksize, nested: nested === 1, nestedOffset, code, packed: put("u8", table.packed), absmax: put(nested ? "u8" : "f32", table.absmax), nestedAbsmax: nested ? put("f32", table.nestedAbsmax) : code, nestedCode: nested ? put("f32", table.nestedCode) : code };
      const dense: Weight = { kind: "dense", out, in: width, values: put("f32", Float32Array.from(weightsReference(arrays, params))) };
      const result = async (weight: Weight): Promise<Float32Array> => {
        multiplyBackward(device, weight, put("f32", dy), gradient, m, false);
        return (await device.read(gradient)) as Float32Array;
      };
      const [got, want] = [await result(packed), await result(dense)];
      assert.ok(same(got, want), `${relativeNorm(got, want)}`);
    });
  }

  here.run();
}
