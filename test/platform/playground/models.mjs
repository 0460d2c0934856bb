// Models, texts and adapters that a person brings, the NF4 panel, conversations; and files that are none of it.
import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createDevice, quantize } from "../../../dist/node.js";
import { quantizeTensor } from "../../../dist/quant.js";
import { chooseShort, drop, give, hush, idle, root, saw, says, SHORT_TEXT, trainToTheEnd } from "./harness.mjs";

const TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";

export async function models(suite) {
  const chat = join(suite.folder, "small-chat");
  await cp(join(root, "src/demo"), chat, { recursive: true });
  const config = join(chat, "tokenizer_config.json");
  await writeFile(config, JSON.stringify({ ...JSON.parse(await readFile(config, "utf8")), chat_template: TEMPLATE }));

  await suite.test("a dropped folder and JSONL; a conversation that each side remembers", async (context) => {
    const page = await suite.open(context);
    await drop(page, "#model", [chat]);
    await says(page, "model-facts", /^small-chat: 2\.76 million/);
    await idle(page);
    const rows = join(suite.folder, "rows.jsonl");
    await writeFile(rows, Array.from({ length: 24 }, (_, i) => JSON.stringify({ prompt: `user: ${i}\nassistant:`, completion: ` ${i + 1}` })).join("\n"));
    await page.fill("[name=steps]", "2");
    await drop(page, "#data", [rows]);
    await says(page, "data-facts", /rows\.jsonl/);
    await idle(page);
    await trainToTheEnd(page);
    await page.check("#chat");
    for (const [question, before] of [["Who are you?", /^You: Who are you\?\n\nModel: ./], ["And where?", /^You: Who are you\?\n\nModel: .+\n\nYou: And where\?\n\nModel: ./]]) {
      await page.fill("#question", question);
      await page.click("#write");
      for (const side of ["without", "with"]) await says(page, side, before);
      await hush(page);
      assert.equal(await saw(page), "");
    }
    await page.click("#new-talk");
    assert.equal(await page.isVisible("#answers"), false);
  });

  await suite.test("the NF4 panel shows a real block of the model, as nibblelm/quant computes it", async (context) => {
    const page = await suite.open(context);
    await page.click("#model-demo");
    await page.waitForSelector("#nf4-panel svg");
    await idle(page);
    await page.fill("#nf4-block", "3");
    await checkPanel(page, await weightsOf(join(root, "src/demo/model.safetensors"), "model.layers.0.self_attn.q_proj.weight"), 3);
  });

  await suite.test("a folder that is in 4 bits already is taken as it is", async (context) => {
    const nf4 = join(suite.folder, "small-nf4");
    const device = await createDevice({ kind: "wasm", threads: 1 });
    await quantize({ model: "demo", output: nf4, device });
    await device.dispose();
    const page = await suite.open(context);
    await drop(page, "#model", [nf4]);
    await says(page, "model-facts", /^small-nf4: 2\.76 million/);
    await says(page, "nf4-panel", /came in 4 bits already/);
    assert.equal(await saw(page), "");
  });

  await suite.test("what is no model, no text or too little text is said in a sentence, and the page goes on", async (context) => {
    const page = await suite.open(context);
    const cat = join(suite.folder, "cat.png");
    await writeFile(cat, "not a model");
    await drop(page, "#model", [cat]);
    await says(page, "error", /config\.json or a \.gguf file/);
    await give(page, "#model-files", "broken.gguf", "GGUF, but cut off");
    await says(page, "error", /broken\.gguf/);
    await chooseShort(page);
    assert.equal(await page.isVisible("#error"), false);
    await give(page, "#data-file", "notes.docx", "hello");
    await says(page, "error", /\.txt or \.jsonl/);
    await give(page, "#data-file", "short.txt", "Too short.");
    await says(page, "error", /short\.txt/);
    await give(page, "#data-file", "broken.jsonl", `{"text": "one"}\n{"text": \n`);
    await says(page, "error", /broken\.jsonl:2/);
    await give(page, "#adapter-files", "adapter.zip", "no zip");
    await says(page, "error", /not a zip file/);
    await idle(page);
    await give(page, "#data-file", "tarts.txt", SHORT_TEXT);
    await says(page, "data-facts", /tarts\.txt/);
    await idle(page);
    await trainToTheEnd(page);
  });
}

/** bf16 is the upper half of f32. */
async function weightsOf(path, name) {
  const file = await readFile(path);
  const length = Number(file.readBigUInt64LE(0));
  const { dtype, data_offsets: [begin, end] } = JSON.parse(file.subarray(8, 8 + length).toString())[name];
  assert.equal(dtype, "BF16");
  const bytes = file.subarray(8 + length + begin, 8 + length + end);
  return Float32Array.from({ length: 256 * 64 }, (_, i) => new Float32Array(Uint32Array.of(bytes.readUInt16LE(2 * i) << 16).buffer)[0]);
}

async function checkPanel(page, weights, block) {
  const { packed, absmax } = quantizeTensor(weights, { doubleQuant: false });
  const codes = [...packed.subarray(32 * block, 32 * (block + 1))].flatMap((byte) => [byte >> 4, byte & 15]).map((code) => code.toString(16));
  const text = await page.textContent("#nf4-panel");
  assert.ok(text.includes(`Codes: ${codes.join(" ")}`), `codes ${codes.join(" ")}`);
  assert.ok(text.includes(absmax[block].toPrecision(5)), `absmax ${absmax[block]}`);
  assert.match(text, /RMS error.*\de-\d.*8192 bytes1024 bytes4\.500.*8192 bytes260 bytes4\.127/s);
  const counts = await page.evaluate(() => ["circle", ".level", ".snapped"].map((what) => document.querySelectorAll(`#nf4-panel svg ${what}`).length));
  assert.deepEqual(counts, [64, 16, 64]);
}
