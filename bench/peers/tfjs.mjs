// Float32 matMul of tfjs-backend-wasm, one thread. Case: {"size": "MxNxK"}, x [M, K] times w [K, N], the layout it is fast on.
import * as tf from "@tensorflow/tfjs-core";
import wasm from "@tensorflow/tfjs-backend-wasm";
import { serve } from "./serve.mjs";

wasm.setThreadsCount(1);
await tf.setBackend("wasm");

await serve(`tfjs-backend-wasm ${wasm.version_wasm} (1 thread)`, async ({ size }) => {
  const [m, n, k] = size.split("x").map(Number);
  const x = tf.randomUniform([m, k], -0.5, 0.5);
  const w = tf.randomUniform([k, n], -0.5, 0.5);
  return async (times) => {
    for (let i = 0; i < times; i++) tf.matMul(x, w).dispose(); // the wasm backend computes at once
  };
});
