import { readFileSync, readdirSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Op } from "../src/op.ts";
import * as table from "../src/ops/index.ts";

// Shaders name what contracts name: held here, because a shader with two operands exchanged compiles well.
const ops = Object.values(table) as unknown as Op[];
const WORDS: Record<string, readonly string[]> = { f32: ["f32", "u32", "vec4f", "Out"], i32: ["i32"], u32: ["u32"], u8: ["u32"], i8: ["u32"], f16: ["u32"], bf16: ["u32"] };

interface Binding { index: number; access: string; name: string; type: string }

function bindingsOf(text: string): Binding[] {
  const pattern = /@group\(0\) @binding\((\d+)\) var<storage, (read|read_write)> (\w+): array<(\w+)>;/g;
  return [...text.matchAll(pattern)].map(([, index, access, name, type]) => ({ index: Number(index), access, name, type }));
}

function paramsOf(text: string): string {
  return /struct Params \{ (.*?) \}/.exec(text)?.[1] ?? "none";
}

const contracts = suite("shaders against contracts");
for (const op of ops.filter(({ devices }) => devices.includes("webgpu"))) {
  contracts(op.name, () => {
    assert.ok(op.gpu, "a contract with webgpu among its devices has gpu");
    const { code, passes, scratch } = op.gpu!;
    assert.is(code, readFileSync(`gpu/${op.name}.wgsl`, "utf8"));
    assert.is(paramsOf(code), op.params.map(({ name, type }) => `${name}: ${type}`).join(", "));
    const bindings = bindingsOf(code);
    assert.equal(bindings.map(({ index }) => index), bindings.map((_, i) => i + 1), "bindings are numbered from 1");
    assert.is(bindings.length, op.operands.length + (scratch ? 1 : 0));
    op.operands.forEach(({ name, dtype, access }, i) => {
      const binding = bindings[i];
      assert.is(binding.name, name, `binding ${i + 1}`);
      assert.is(binding.access, access === "in" ? "read" : "read_write", name);
      const dtypes = typeof dtype === "string" ? [dtype] : dtype;
      for (const one of dtypes) assert.ok(WORDS[one].includes(binding.type), `${name}: ${one} as array<${binding.type}>`);
      if (dtypes.length > 1) assert.is(binding.type, "u32", `${name} has several dtypes`);
    });
    for (const { entry, operands, scratch: usesScratch } of passes) {
      assert.match([code, ...passes.flatMap(({ lib }) => (lib ?? []).map(({ text }) => text))].join("\n"), new RegExp(`@compute[^{]*fn ${entry}\\(`), entry);
      const bound = (operands ?? op.operands).length + (usesScratch ? 1 : 0);
      assert.ok(bound <= 8, `${entry} binds ${bound} storage buffers; WebGPU promises 8`);
    }
  });
}

contracts("every file in gpu/ belongs to an op", () => {
  const known = new Set([...ops.filter(({ gpu }) => gpu).map(({ name }) => `${name}.wgsl`), "write-word.wgsl"]);
  assert.equal(readdirSync("gpu").filter((file) => file.endsWith(".wgsl") && !known.has(file)), []);
});

contracts("no shader tests for NaN by comparing a value with itself", () => {
  const files = readdirSync("gpu", { recursive: true }).map(String).filter((file) => file.endsWith(".wgsl"));
  const wrong = files.filter((file) => /\b(\w+) != \1\b/.test(readFileSync(`gpu/${file}`, "utf8").replace(/\/\/.*$/gm, "")));
  assert.equal(wrong, []);
});
contracts.run();
