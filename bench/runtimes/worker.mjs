// In workerd, whose clocks stand still: a case of `bench quantize` so many times. GET /?op=&size=&times=
import { createDevice, repeatCase } from "nibblelm/bench";

let device;
export default {
  async fetch(request) {
    const query = new URL(request.url).searchParams;
    if (!query.has("op")) return new Response("ready");
    device ??= await createDevice({ kind: "wasm" });
    const elements = await repeatCase({ op: query.get("op"), size: query.get("size"), times: Number(query.get("times")), device });
    return Response.json({ elements, device: device.description });
  },
};
