// Float32 MatMul of onnxruntime-web's wasm backend, one thread. Case: {"size": "MxNxK"}, x [M, K] times w [K, N].
import { readFileSync } from "node:fs";
import { InferenceSession, Tensor, env } from "onnxruntime-web";
import { serve } from "./serve.mjs";

env.wasm.numThreads = 1;
const { version } = JSON.parse(readFileSync(new URL("node_modules/onnxruntime-web/package.json", import.meta.url), "utf8"));

// Just enough protobuf to write a model of one node: fields of ModelProto, GraphProto, NodeProto, ValueInfoProto (onnx.proto3).
const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(Math.floor(n / 128))]);
const field = (number, bytes) => [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
const text = (number, value) => field(number, [...Buffer.from(value)]);
const integer = (number, value) => [...varint(number * 8), ...varint(value)];
const FLOAT = 1;

function matrix(name, rows, columns) {
  const shape = [rows, columns].flatMap((n) => field(1, integer(1, n)));
  return [...text(1, name), ...field(2, field(1, [...integer(1, FLOAT), ...field(2, shape)]))];
}

function matmulModel(m, n, k) {
  const node = [...text(1, "x"), ...text(1, "w"), ...text(2, "y"), ...text(4, "MatMul")];
  const graph = [...field(1, node), ...text(2, "product"), ...field(11, matrix("x", m, k)), ...field(11, matrix("w", k, n)), ...field(12, matrix("y", m, n))];
  return Uint8Array.from([...integer(1, 8), ...field(8, [...text(1, ""), ...integer(2, 17)]), ...field(7, graph)]);
}

const values = (n) => Float32Array.from({ length: n }, (_, i) => ((i * 7919) % 1000) / 1000 - 0.5);

await serve(`onnxruntime-web ${version} (wasm, 1 thread)`, async ({ size }) => {
  const [m, n, k] = size.split("x").map(Number);
  const session = await InferenceSession.create(matmulModel(m, n, k), { executionProviders: ["wasm"] });
  const feeds = { x: new Tensor("float32", values(m * k), [m, k]), w: new Tensor("float32", values(k * n), [k, n]) };
  return async (times) => {
    for (let i = 0; i < times; i++) await session.run(feeds);
  };
});
