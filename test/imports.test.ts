import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";

// Who may import whom (ARCHITECTURE.md). Each folder names all it may import from, itself aside.
const LEAVES = ["errors.ts", "dtype.ts"];
const BASE = [...LEAVES, "tensor.ts", "op.ts", "device.ts", "random.ts"];
const NETWORK = ["nn", "optim", "data", "text", "pager"];
const ALLOWED: Record<string, readonly string[]> = {
  "errors.ts": [], "dtype.ts": LEAVES, "random.ts": LEAVES, "tensor.ts": LEAVES,
  "op.ts": [...LEAVES, "tensor.ts"], "device.ts": [...LEAVES, "tensor.ts", "op.ts"],
  ops: BASE, wasm: BASE, webgpu: BASE,
  format: [...LEAVES, "io/types.ts"],
  io: [...LEAVES, "wasm/worker-host.ts", "wasm/worker-main.ts", "wasm/pace.ts", "webgpu/adapter.ts", "webgpu/dawn.ts"],
  text: [...BASE, "format"], data: [...BASE, "text", "nn"],
  pager: [...BASE, "io/types.ts"], nn: [...BASE, "ops", "pager", "data/labels.ts"], optim: [...BASE, "ops", "nn", "data", "pager"],
  quant: [...BASE, "ops", "format", "wasm"],
  commands: [...BASE, "ops", "format", "io/types.ts", "io/run-folder.ts", "quant", ...NETWORK],
  kernels: ["wasm/kernels.ts"],
  "create-device.ts": [...BASE, "wasm", "webgpu", "ops", "io/workers-web.ts", "io/pace-web.ts"],
  "index.ts": ["*"], "anywhere.ts": ["*"], "quant.ts": ["*"], "train.ts": ["*"], "text.ts": ["*"], "bench.ts": ["*"], "node.ts": ["*"], "cli.ts": ["*"], cli: ["*"], hub: ["*"], playground: ["*"],
};
const WHY: Record<string, string> = {
  format: "what bytes mean on disk must not depend on a device, so that an edge runtime can read files",
  nn: "layers are written with ops and never see bytes or a particular device",
  kernels: "kernels are bytes or modules, chosen by the runtime's condition in package.json",
  wasm: "devices implement device.ts; they know neither each other nor the ops",
  ops: "a contract knows shapes, nothing of who uses it",
};

function sources(dir: string): string[] {
  return readdirSync(dir, { recursive: true }).map(String).filter((f) => f.endsWith(".ts")).map((f) => join(dir, f));
}

function homeOf(file: string): string {
  return relative("src", file).split("/")[0];
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((m) => relative(".", resolve(dirname(file), m[1])));
}

const rules = suite("imports");

rules("every import goes the way ARCHITECTURE.md draws it", () => {
  const wrong: string[] = [];
  for (const file of sources("src")) {
    const home = homeOf(file);
    const allowed = ALLOWED[home];
    if (!allowed) {
      if (!file.endsWith(".d.ts")) wrong.push(`${file}: src/${home} has no rule here`);
      continue;
    }
    for (const target of importsOf(file)) {
      if (!target.startsWith("src/") || allowed.includes("*")) continue;
      const to = homeOf(target);
      if (to === home || allowed.includes(to) || allowed.includes(relative("src", target))) continue;
      wrong.push(`${file} imports ${target}${WHY[home] ? `: ${WHY[home]}` : ""}`);
    }
  }
  assert.equal(wrong, []);
});

const HOSTS = /\b(process\.|globalThis\.process|Deno\.|node:)/;
rules("only the command line, the hub and src/io know the host", () => {
  const wrong = sources("src").filter((f) => !/^src\/(cli|io|hub)\b|^src\/(cli|node)\.ts/.test(f)).filter((f) => HOSTS.test(readFileSync(f, "utf8").replace(/^\s*(\/\/|\*|\/\*).*$/gm, "")));
  assert.equal(wrong, []);
});

rules("only wasm/arena.ts, and a worker for its control words, touch memory.buffer", () => {
  assert.equal(sources("src").filter((f) => !/^src\/wasm\/(arena|worker-main)\.ts$/.test(f) && /memory\.buffer/.test(readFileSync(f, "utf8"))), []);
});

rules("the library prints nothing", () => {
  assert.equal(sources("src").filter((f) => !/^src\/cli/.test(f) && /\bconsole\./.test(readFileSync(f, "utf8"))), []);
});

rules("every suite of every test file is run", () => {
  // uvu silently skips a suite whose .run() was forgotten.
  const wrong = sources("test").filter((f) => f.endsWith(".test.ts")).filter((f) => {
    const text = readFileSync(f, "utf8");
    return (text.match(/= suite\(/g) ?? []).length !== (text.match(/^\s*\w+\.run\(\);/gm) ?? []).length;
  });
  assert.equal(wrong, []);
});

rules.run();
