// One handler for every edge runtime: Web APIs only, no file system, no timers as clocks, no compilation at run time.
//   POST /quantize     a safetensors file streams through NF4 with double quantization
//   POST /dequantize   and back
//   GET  /inspect?url= what lies in a remote model, by range requests
//   POST /merge?adapter=&module=   an adapter into one float32 weight
//   POST /generate     { prompt, adapter?, maxNewTokens? } → text, as it comes
import { createDevice, dequantizeStream, encodeSafetensors, FormatError, inspect, loadModel, mergeTensor, NibbleError, openSource, quantizeStream, readSafetensors } from "nibblelm";
import { bodyOf, HttpError, refuse, started, statusOf, streamOf } from "./http.mjs";

const MB = 1e6;

/**
 * @param modelUrl folder of the base, quantized to NF4 when it is loaded.
 * @param adapters name → address of a PEFT folder: any number over the one base.
 * @param hosts that /inspect may ask.
 * @param hostMemory bytes of Wasm memory at most.
 * @param maxLength tokens of prompt and answer together.
 */
export function createHandler({ modelUrl, adapters, hosts, maxBodyBytes = 64e9, maxTensorBytes = 32 * MB, hostMemory = 64 * MB, maxLength = 128 }) {
  const resident = new Resident({ modelUrl, adapters, hostMemory, maxLength });
  const stream = (convert) => (request, { signal }) => {
    const body = bodyOf(request, "application/octet-stream", maxBodyBytes);
    return started(convert(body, { signal, maxHeaderBytes: 4 * MB, maxBytes: maxBodyBytes, maxHeldBytes: maxTensorBytes, name: "body" }));
  };
  const routes = {
    "POST /quantize": stream(quantizeStream),
    "POST /dequantize": stream(dequantizeStream),
    "GET /inspect": async (_, { query, signal }) => {
      const url = new URL(query.get("url") ?? refuse(400, "url is missing"));
      if (!hosts.includes(url.host)) refuse(403, `${url.host} is not among the hosts of this worker`);
      const { kind, parameters, bytes, bitsPerParam, tensors, quantization } = await inspect({ source: await openSource(url, { signal }), signal });
      return Response.json({ kind, parameters, bytes, bitsPerParam, tensors: tensors.length, quantization });
    },
    "POST /merge": async (request, { query, signal }) => {
      const body = bodyOf(request, "application/octet-stream", maxTensorBytes, { whole: true });
      const [weight, ...others] = (await readSafetensors(await openSource(body, { name: "body" }), "body")).values();
      if (weight?.dtype !== "F32" || weight.shape.length !== 2 || others.length) throw new FormatError("body", "tensors", { expected: "one, F32 [out, in]", got: weight ? `${weight.dtype} [${weight.shape}] and ${others.length} more` : "none" });
      const adapter = await resident.adapterSource(query.get("adapter"), signal);
      const device = await createDevice({ kind: "wasm", hostMemory });
      try {
        const data = await mergeTensor({ values: weight.data, shape: weight.shape, module: query.get("module") ?? refuse(400, "module is missing"), adapter, device, signal });
        return new Response(encodeSafetensors([{ ...weight, data }]), { headers: { "content-type": "application/octet-stream" } });
      } finally {
        await device.dispose();
      }
    },
    "POST /generate": async (request, { signal, waitUntil }) => {
      bodyOf(request, "application/json", 64_000, { whole: true });
      const { prompt, adapter, maxNewTokens = 32 } = await request.json().catch(() => refuse(400, "the body is no JSON"));
      if (typeof prompt !== "string") refuse(400, "prompt is missing");
      const pieces = resident.generate({ prompt, adapter, maxNewTokens, signal, waitUntil });
      return started(streamOf(pieces), "text/plain; charset=utf-8");
    },
  };

  return async (request, waitUntil = () => {}) => {
    const { pathname, searchParams: query } = new URL(request.url);
    try {
      const route = routes[`${request.method} ${pathname}`];
      if (!route) throw new HttpError(Object.keys(routes).some((key) => key.endsWith(` ${pathname}`)) ? 405 : 404, "see the list of routes");
      return await route(request, { query, signal: request.signal, waitUntil });
    } catch (error) {
      // Not awaited: where a runtime has made two of the body, this ends with the other. Locked when it was being read: then its reader has cancelled it.
      request.body?.cancel().catch(() => {});
      return Response.json({ error: error instanceof NibbleError || error instanceof HttpError ? error.message : "internal error" }, { status: statusOf(error) });
    }
  };
}

/** The base, loaded by the first request that needs it, and the adapters asked for so far. Answers one request at a time. */
class Resident {
  #options;
  #model;
  #loaded = new Map();
  #turn = Promise.resolve();

  constructor(options) {
    this.#options = options;
  }

  adapterSource(name, signal) {
    const url = Object.hasOwn(this.#options.adapters, name ?? "") ? this.#options.adapters[name] : refuse(404, `no adapter ${name}: there are ${Object.keys(this.#options.adapters)}`);
    return openSource(new URL(url), { signal });
  }

  /** Workers stop at once for a client that has gone: `waitUntil` lets this one come to its end, or the next would wait for ever. */
  async *generate({ prompt, adapter, maxNewTokens, signal, waitUntil }) {
    const source = adapter === undefined ? undefined : await this.adapterSource(adapter);
    const before = this.#turn;
    let done;
    waitUntil((this.#turn = new Promise((resolve) => (done = resolve))));
    await before;
    try {
      const model = (this.#model ??= await this.#load());
      if (source && !this.#loaded.has(adapter)) this.#loaded.set(adapter, await model.loadAdapter(source));
      const adapters = source ? [{ adapter: this.#loaded.get(adapter) }] : [];
      for await (const piece of model.generate({ prompt, adapters, maxNewTokens, signal })) yield new TextEncoder().encode(piece);
    } finally {
      done();
    }
  }

  async #load() {
    const { modelUrl, hostMemory, maxLength } = this.#options;
    const device = await createDevice({ kind: "wasm", hostMemory });
    try {
      const model = await loadModel({ model: await openSource(new URL(modelUrl)), device, quantize: "nf4", maxLength });
      // Pages would be read on behalf of this request, which is over when the next one needs them.
      return model.paging ? refuse(503, `the base needs more than ${hostMemory} bytes`) : model;
    } catch (error) {
      await device.dispose();
      throw error;
    }
  }
}
