import type { Device } from "../../src/device.ts";
import { bytesOf, viewOf, type DType, type TypedArray } from "../../src/dtype.ts";
import { elementsOf, viewTensor, type Tensor } from "../../src/tensor.ts";
import type { Arrays, OpCase, OpTest } from "./op-case.ts";

const GUARD = 64; // bytes on each side of every operand
const POISON = 0xab; // outputs start as this byte: a NaN-like pattern that no kernel writes by chance

interface Placed { whole: Tensor; tensor: Tensor; dtype: DType; elements: number; bytes: number }

/**
 * Runs one case on one device with poisoned outputs between sentinels.
 * @throws Error when a sentinel changed, that is, when the kernel wrote outside its operands.
 */
export async function runOp(device: Device, test: OpTest, { params, inputs, dtypes }: OpCase): Promise<Arrays> {
  const placed = new Map<string, Placed>();
  for (const { name, dtype: allowed, shape } of test.op.operands) {
    const dtype = (dtypes?.[name] ?? (typeof allowed === "string" ? allowed : allowed[0])) as DType;
    const size = bytesOf(dtype);
    const dims = shape(params);
    const elements = elementsOf(dims);
    const padded = Math.ceil((elements * size) / GUARD) * GUARD;
    const whole = device.allocate("u8", [padded + 2 * GUARD], name);
    const bytes = new Uint8Array(padded + 2 * GUARD).fill(POISON);
    const input = inputs[name];
    if (input) {
      if (input.length !== elements) throw new Error(`${test.op.name}: case gives ${input.length} elements for ${name}, expected ${elements}`);
      bytes.set(new Uint8Array(input.buffer, input.byteOffset, input.byteLength), GUARD);
    }
    device.write(whole, bytes);
    const tensor: Tensor = { ...viewTensor(whole, [elements * size], GUARD), dtype, shape: dims };
    placed.set(name, { whole, tensor, dtype, elements, bytes: elements * size });
  }
  device.run(test.op, Object.fromEntries([...placed].map(([name, p]) => [name, p.tensor])), params);
  const outputs: Arrays = {};
  for (const { name, access } of test.op.operands) {
    const { whole, dtype, bytes } = placed.get(name)!;
    const after = (await device.read(whole)) as Uint8Array;
    for (let i = 0; i < after.length; i++) {
      if ((i < GUARD || i >= GUARD + bytes) && after[i] !== POISON) throw new Error(`${test.op.name}: wrote outside ${name}, byte ${i - GUARD} of ${bytes}`);
    }
    const content = viewOf(dtype, after.slice(GUARD, GUARD + bytes).buffer) as TypedArray;
    if (access !== "in") outputs[name] = content;
    else if (!sameBits(content, inputs[name])) throw new Error(`${test.op.name}: changed its input ${name}`);
    device.free(whole);
  }
  return outputs;
}

export function sameBits(a: TypedArray, b: TypedArray): boolean {
  const [bytes, others] = [bytesOfArray(a), bytesOfArray(b)];
  return bytes.length === others.length && bytes.every((byte, i) => byte === others[i]);
}

function bytesOfArray(a: TypedArray): Uint8Array {
  return new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
}

export { bytesOf };
