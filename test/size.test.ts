// What a page or a worker downloads: each entry bundled and minified as a user's bundler would, gzipped, Wasm included.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const KB = 1000;
const TOKENIZER = ["@huggingface/tokenizers", "@huggingface/jinja"];

async function sizeOf(entry: string, external: string[] = []): Promise<number> {
  const { outputFiles } = await build({ entryPoints: [`dist/${entry}.js`], bundle: true, minify: true, format: "esm", target: "es2022", platform: "browser", external, write: false, logLevel: "silent", tsconfigRaw: {} });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

const sizes = suite("sizes, gzipped");
const limit = (what: string, entry: string, most: number, external?: string[]): void => {
  sizes(`${what}: at most ${most} KB`, async () => {
    const size = await sizeOf(entry, external);
    console.log(`${what}: ${(size / KB).toFixed(1)} KB gzipped`);
    assert.ok(size <= most * KB, `${size} bytes`);
  });
};
limit("nibblelm/quant with its Wasm", "quant", 40);
limit("nibblelm without tokenizer, all builds of the kernels and all shaders", "index", 150, TOKENIZER);
limit("nibblelm/train without tokenizer", "train", 150, TOKENIZER);
limit("nibblelm/text", "text", 40);
sizes.run();
