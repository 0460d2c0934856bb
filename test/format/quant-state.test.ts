import { suite } from "uvu";
import * as assert from "uvu/assert";
import { quantizationConfig } from "../../src/format/bnb-config.ts";
import { jsonFile, pythonFloat, pythonJson } from "../../src/format/python-json.ts";
import { encodeQuantState, maxQuantStateBytes, parseQuantState, type QuantState } from "../../src/format/quant-state.ts";
import { readSafetensors } from "../../src/format/safetensors.ts";
import { openSource } from "../../src/io/node.ts";
import { randomSource } from "../support/numbers.ts";

const test = suite("quant_state and Python's JSON");

for (const folder of ["test/golden/tiny/model-nf4-dq", "test/golden/odd/model-nf4-dq"]) {
  test(`every quant_state of ${folder} is written again byte for byte`, async () => {
    const tensors = await readSafetensors(await openSource(folder), "model.safetensors");
    const states = [...tensors.values()].filter(({ name }) => name.includes(".quant_state."));
    assert.ok(states.length >= 14);
    for (const { name, data } of states) {
      const state = parseQuantState(data as Uint8Array, "nf4", name);
      const text = new TextDecoder().decode(encodeQuantState(state));
      assert.is(text, new TextDecoder().decode(data as Uint8Array));
      assert.ok(text.length <= maxQuantStateBytes(state, true));
    }
  });
}

test("without double quantization", () => {
  const state: QuantState = { quantType: "fp4", blocksize: 128, dtype: "bfloat16", shape: [3, 5] };
  const bytes = encodeQuantState(state);
  assert.is(new TextDecoder().decode(bytes), '{"quant_type": "fp4", "blocksize": 128, "dtype": "bfloat16", "shape": [3, 5]}');
  assert.equal(parseQuantState(bytes, "fp4", "t"), state);
  assert.ok(bytes.length <= maxQuantStateBytes(state, false));
});

test("spaces after the JSON, as a sink that cannot be rewound leaves them", () => {
  const state: QuantState = { quantType: "nf4", blocksize: 64, dtype: "float32", shape: [2, 2], nested: { blocksize: 256, offset: 0.25 } };
  const padded = new Uint8Array(300).fill(0x20);
  padded.set(encodeQuantState(state));
  assert.equal(parseQuantState(padded, "nf4", "t"), state);
});

// Each pair is what Python 3's repr prints.
const REPR: [number, string][] = [
  [0, "0.0"], [-0, "-0.0"], [1, "1.0"], [-2, "-2.0"], [0.1, "0.1"], [0.0001, "0.0001"], [0.00009999999747378752, "9.999999747378752e-05"], [3e-5, "3e-05"],
  [-1.5e-7, "-1.5e-07"], [1e-10, "1e-10"], [5e-324, "5e-324"], [123456789, "123456789.0"], [1e15, "1000000000000000.0"], [9007199254740993, "9007199254740992.0"],
  [1e16, "1e+16"], [1.5e16, "1.5e+16"], [1e22, "1e+22"], [1.7976931348623157e308, "1.7976931348623157e+308"], [0.031807661056518555, "0.031807661056518555"],
  [0.00123, "0.00123"], [-0.00012345, "-0.00012345"], [NaN, "NaN"], [Infinity, "Infinity"], [-Infinity, "-Infinity"],
];

for (const [value, repr] of REPR) test(`repr(${repr})`, () => assert.is(pythonFloat(value), repr));

test("no float32 offset is longer than the room kept for it", () => {
  const random = randomSource(1);
  const view = new DataView(new ArrayBuffer(4));
  const state = { quantType: "nf4", blocksize: 64, dtype: "float32", shape: [1, 1] } as const;
  for (let i = 0; i < 20000; i++) {
    view.setUint32(0, random() * 2 ** 32);
    const offset = view.getFloat32(0);
    assert.ok(encodeQuantState({ ...state, nested: { blocksize: 256, offset } }).length <= maxQuantStateBytes(state, true), String(offset));
    if (Number.isFinite(offset)) assert.is(Number(pythonFloat(offset)), offset);
  }
});

test("json.dumps: separators, order, floats by key, ASCII", () => {
  assert.is(pythonJson({ b: [1, 2.5], a: { x: null, y: true }, empty: {}, none: [] }), '{"b": [1, 2.5], "a": {"x": null, "y": true}, "empty": {}, "none": []}');
  assert.is(jsonFile({ llm_int8_threshold: 6, a: "ü猫", n: 1e30 }), '{\n  "a": "\\u00fc\\u732b",\n  "llm_int8_threshold": 6.0,\n  "n": 1000000000000000019884624838656\n}\n');
});

for (const folder of ["tiny", "odd"]) {
  test(`config.json of ${folder}/model-nf4-dq, its quantization_config ours, is written again byte for byte`, async () => {
    const text = await (await openSource(`test/golden/${folder}/model-nf4-dq`)).readText("config.json");
    const written = jsonFile({ ...JSON.parse(text), quantization_config: quantizationConfig({ quantType: "nf4", doubleQuant: true }) });
    assert.is(written, text);
  });
}

test.run();
