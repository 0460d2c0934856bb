// A large safetensors file that exists nowhere: the same random matrix again and again.
import { createHash } from "node:crypto";
import { request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const CHUNK = 1 << 16;
const noise = new Float32Array(CHUNK / 4);
for (let i = 0, state = 1; i < noise.length; i++) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  noise[i] = state / 2 ** 31 - 1;
}

export function syntheticFile({ tensors, rows, columns }) {
  const tensorBytes = 4 * rows * columns;
  const entries = Array.from({ length: tensors }, (_, i) => [`model.layers.${i}.mlp.up_proj.weight`, { dtype: "F32", shape: [rows, columns], data_offsets: [i * tensorBytes, (i + 1) * tensorBytes] }]);
  const json = JSON.stringify(Object.fromEntries(entries));
  const header = Buffer.alloc(8 + json.length);
  header.writeBigUInt64LE(BigInt(json.length));
  header.write(json, 8);
  return { header, tensors, tensorBytes };
}

export function* chunksOf(header, tensors, tensorBytes) {
  yield new Uint8Array(header);
  for (let at = 0; at < tensors * tensorBytes; at += CHUNK) yield new Uint8Array(noise.buffer);
}

/** POSTs without keeping either side: @returns hash and length of the answer, or that it was stopped after so many bytes. */
export function postStream(url, chunks, { stopAfter = Infinity }) {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method: "POST", headers: { "content-type": "application/octet-stream" } });
    outgoing.on("error", (error) => (stopAfter < Infinity ? resolve({ aborted: true }) : reject(error)));
    outgoing.on("response", async (response) => {
      if (response.statusCode !== 200) return reject(new Error(`${response.statusCode} ${await response.setEncoding("utf8").reduce((all, part) => all + part, "")}`));
      const hash = createHash("sha256");
      let bytes = 0;
      try {
        for await (const chunk of response) {
          hash.update(chunk);
          if ((bytes += chunk.length) > stopAfter) {
            outgoing.destroy();
            return resolve({ aborted: true });
          }
        }
        resolve({ hash: hash.digest("hex"), bytes });
      } catch (error) {
        reject(error);
      }
    });
    pipeline(Readable.from(chunks, { objectMode: true, highWaterMark: 4 }), outgoing).catch(() => {}); // heard above
  });
}

/** Says how long a body will be, sends none of it and waits for the answer. */
export function announce(url, length) {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method: "POST", headers: { "content-type": "application/octet-stream", "content-length": length } });
    outgoing.on("error", reject);
    outgoing.on("response", async (response) => {
      const text = (await response.toArray()).join("");
      outgoing.off("error", reject).on("error", () => {}).destroy();
      resolve({ status: response.statusCode, text: async () => text });
    });
    outgoing.flushHeaders();
  });
}
