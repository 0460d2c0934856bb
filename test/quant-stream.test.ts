// Files that stream by: the bits of quantizeTensor in a file that the readers of folders accept, and the way back.
import { kernels } from "#kernels";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, MemoryError, ShapeError } from "../src/errors.ts";
import { openSafetensorsWeights } from "../src/format/safetensors-weights.ts";
import { encodeSafetensors, openSafetensors, type HostTensor } from "../src/format/safetensors.ts";
import { memoryFolder, memorySource } from "../src/io/memory.ts";
import { dequantizeStream } from "../src/quant/dequantize-stream.ts";
import { dequantizeTensor } from "../src/quant/dequantize-tensor.ts";
import { quantizeStream, type QuantizeStreamOptions } from "../src/quant/quantize-stream.ts";
import { quantizeTensor } from "../src/quant/quantize-tensor.ts";
import type { QuantizedByTable, ValueType } from "../src/quant/quantized-tensor.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { bitsOf, f32ToBf16, f32ToF16 } from "./ops/half.ts";
import { expectError } from "./support/formats.ts";
import { normals } from "./support/numbers.ts";
import { sameBits } from "./support/run-op.ts";

const name = (layer: number, what: string): string => `model.layers.${layer}.${what}`;
const values = normals(7 * 4099, 1);
const tensor = (key: string, dtype: HostTensor["dtype"], shape: number[], data: HostTensor["data"]): HostTensor => ({ name: key, dtype, shape, data });
const cut = (n: number, at = 0): Float32Array => values.slice(at, at + n);
const toBf16 = (value: number): number => f32ToBf16(bitsOf(value));
const toF16 = (value: number): number => f32ToF16(bitsOf(value));
const tensors = [
  tensor(name(0, "mlp.up_proj.weight"), "F32", [7, 4099], cut(7 * 4099)),
  tensor(name(0, "mlp.down_proj.weight"), "BF16", [5, 13], Uint16Array.from(cut(65, 9), toBf16)),
  tensor(name(0, "self_attn.q_proj.weight"), "F16", [64, 70], Uint16Array.from(cut(64 * 70, 3), toF16)),
  tensor(name(0, "input_layernorm.weight"), "F32", [11], cut(11)),
  tensor("model.embed_tokens.weight", "BF16", [3, 5], Uint16Array.from(cut(15), toBf16)),
  tensor("ids", "U8", [3], Uint8Array.of(1, 2, 3)),
];
const file = encodeSafetensors(tensors, { format: "pt", made: "here" });

/** Chunks of uneven sizes, and whether the source was cancelled. */
function chunked(bytes: Uint8Array, size = 1009): ReadableStream<Uint8Array> & { cancelled?: unknown } {
  let at = 0;
  const stream: ReadableStream<Uint8Array> & { cancelled?: unknown } = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, (at += size)));
    },
    cancel(reason) { stream.cancelled = reason ?? "cancelled"; },
  });
  return stream;
}
const collect = async (stream: ReadableStream<Uint8Array>): Promise<Uint8Array> => new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
const isLinear = ({ name: key }: HostTensor): boolean => key.includes("_proj");

const test = suite("quantizeStream and dequantizeStream");

for (const options of [{}, { type: "fp4", blocksize: 128 }, { doubleQuant: false }, { blocksize: 4096, doubleQuant: false }, { blocksize: 32 }] as Pick<QuantizeStreamOptions, "type" | "blocksize" | "doubleQuant">[]) {
  test(JSON.stringify(options), async () => {
    const quantized = await collect(quantizeStream(chunked(file), options));
    const { tensors: stored, metadata } = await openSafetensors(memorySource("q", quantized));
    assert.is(metadata.get("made"), "here");
    for (const { dtype, offset } of stored.values()) assert.is(offset % (dtype === "F32" ? 4 : dtype === "U8" ? 1 : 2), 0, "aligned, as PyTorch wants it");
    const { tensors: weights } = await openSafetensorsWeights(memoryFolder("q", [["model.safetensors", await collect(quantizeStream(chunked(file.slice(), 1 << 20), { ...options, select: isLinear as never })).then(withoutIds)]]));
    const back = await openSafetensors(memorySource("b", await collect(dequantizeStream(chunked(quantized, 65536)))));
    assert.equal([...back.tensors.keys()], [...(await openSafetensors(memorySource("f", file))).tensors.keys()], "the order of the file");
    assert.equal([...back.metadata], [["format", "pt"], ["made", "here"]]);
    for (const item of tensors) {
      const bytes = await back.source.read(back.tensors.get(item.name)!.offset, back.tensors.get(item.name)!.bytes);
      assert.equal(back.tensors.get(item.name)!.shape, item.shape);
      if (!isLinear(item)) {
        assert.ok(sameBits(bytes, new Uint8Array(item.data.buffer)), item.name);
        continue;
      }
      const q = quantizeTensor(item.data as Float32Array, { ...options, dtype: item.dtype.toLowerCase() as ValueType, shape: item.shape }) as QuantizedByTable;
      const weight = weights.get(item.name)!;
      assert.is(weight.kind, "bnb4");
      if (weight.kind !== "bnb4") return;
      assert.ok(sameBits(await weight.packed(0, q.packed.length), q.packed), "packed");
      assert.ok(sameBits(await weight.absmax(), q.absmax), "absmax");
      if (q.nested) assert.ok(sameBits(weight.nestedAbsmax!, q.nested.absmax) && weight.state.nested!.offset === q.nested.offset, "nested");
      const plain = dequantizeTensor(q);
      const expected = item.dtype === "F32" ? plain : Uint16Array.from(plain, item.dtype === "F16" ? toF16 : toBf16);
      assert.ok(sameBits(bytes, new Uint8Array(expected.buffer)), `${item.name} dequantized`);
    }
  });
}

test("streams of bytes are read into one buffer", async () => {
  const asked = new Set<number>();
  let at = 0;
  const source = new ReadableStream({
    type: "bytes",
    pull(controller) {
      const { view } = (controller as ReadableByteStreamController).byobRequest!;
      asked.add(view!.byteLength);
      const part = file.subarray(at, (at += 5000));
      if (!part.length) (controller as ReadableByteStreamController).close();
      else new Uint8Array(view!.buffer, view!.byteOffset).set(part);
      (controller as ReadableByteStreamController).byobRequest!.respond(part.length);
    },
  });
  assert.equal(await collect(quantizeStream(source as ReadableStream<Uint8Array>)), await collect(quantizeStream(chunked(file))));
  assert.equal([...asked], [2 ** 18]);
});

test("a tensor of many chunks and of several nested blocks", async () => {
  const n = 1_200_001;
  const long = normals(n, 2);
  const big = encodeSafetensors([tensor(name(0, "mlp.up_proj.weight"), "F32", [1, n], long)]);
  for (const blocksize of [64, 4096]) {
    const stored = await openSafetensorsWeights(memoryFolder("q", [["model.safetensors", await collect(quantizeStream(chunked(big, 77_777), { blocksize }))]]));
    const weight = stored.tensors.get(name(0, "mlp.up_proj.weight"))!;
    const q = quantizeTensor(long, { blocksize, shape: [1, n] }) as QuantizedByTable;
    assert.is(weight.kind, "bnb4");
    if (weight.kind !== "bnb4") return;
    assert.ok(sameBits(await weight.packed(0, q.packed.length), q.packed), "packed");
    assert.ok(sameBits(await weight.absmax(), q.absmax), "absmax");
    assert.ok(sameBits(weight.nestedAbsmax!, q.nested!.absmax), "nested absmax");
  }
});

/** Of a model folder every tensor is a float; the last one of this file is not. */
function withoutIds(bytes: Uint8Array): Uint8Array {
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, unknown>;
  delete header["ids"];
  const json = new TextEncoder().encode(JSON.stringify(header).padEnd(length));
  const copy = bytes.slice(0, bytes.length - 3);
  copy.set(json, 8);
  return copy;
}

test("broken streams, and what is refused", async () => {
  const fails = (bytes: Uint8Array, pattern: RegExp, options: QuantizeStreamOptions = {}): Promise<void> => expectError(() => collect(quantizeStream(chunked(bytes), options)), FormatError, pattern);
  await fails(file.subarray(0, file.length - 1), /the stream ended early: expected at least \d+ bytes, got \d+/);
  await fails(file.subarray(0, 5), /ended early/);
  await fails(Uint8Array.of(...file, 0), /bytes after the last tensor/);
  await fails(new TextEncoder().encode("this is no tensor file"), /header length: expected at most/);
  await fails(file, /header length: expected at most 10, got/, { maxHeaderBytes: 10 });
  await expectError(() => collect(quantizeStream(chunked(file), { maxBytes: 1000 })), MemoryError, new RegExp(`stream: file: expected at most 1000 bytes, got ${file.length}$`));
  const nan = file.slice();
  const { tensors: stored } = await openSafetensors(memorySource("f", file));
  new DataView(nan.buffer).setFloat32(stored.get(tensors[0].name)!.offset + 4 * 130, Infinity, true);
  await fails(nan, /up_proj\.weight: values from 128 on: expected finite numbers, got NaN or infinity/);
  await expectError(() => quantizeStream(chunked(file), { blocksize: 65 }), ShapeError, /blocksize: expected 32, 64/);
  await expectError(() => quantizeStream(chunked(file), { type: "int8" as never }), ShapeError, /type: expected nf4 or fp4/);
});

test("the way back holds a weight's codes, and no more than it may", async () => {
  const quantized = await collect(quantizeStream(chunked(file)));
  await expectError(() => collect(dequantizeStream(chunked(quantized), { maxHeldBytes: 9000 })), MemoryError, /weights to hold: expected at most 9000 bytes/);
  const plain = new TextDecoder("latin1").decode(quantized).replace('"nibblelm_stream"', '"nibblelm_strean"');
  const renamed = Uint8Array.from(plain, (c) => c.charCodeAt(0));
  await expectError(() => collect(dequantizeStream(chunked(renamed))), FormatError, /metadata nibblelm_stream: expected those that quantizeStream writes, got nothing/);
  await expectError(() => collect(dequantizeStream(chunked(quantized.subarray(0, 5000)))), FormatError, /ended early/);
});

test("cancelling and aborting reach the source and free the device", async () => {
  const device = WasmDevice.createSync({ wasm: kernels });
  for (const turn of ["cancel", "abort", "read"]) {
    const source = chunked(file);
    const stop = new AbortController();
    const reader = quantizeStream(source, { device, signal: stop.signal }).getReader();
    await reader.read();
    await reader.read();
    if (turn === "cancel") await reader.cancel();
    else if (turn === "abort") {
      stop.abort(new Error("enough"));
      const error = await reader.read().then(() => reader.read()).then(() => undefined, (failure: Error) => failure);
      assert.is(error?.message, "enough");
    } else while (!(await reader.read()).done);
    assert.is(source.cancelled !== undefined, turn !== "read", turn);
    assert.is(device.memory.buffers, 1, "the scratch alone is left");
  }
});

test.run();
