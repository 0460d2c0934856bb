import { byId, show } from "./dom.ts";
import type { Exhibit } from "./exhibit.ts";

const BLOCKSIZE = 64;
const WIDTH = 640, HEIGHT = 220, LEFT = 44, TOP = 10, BOTTOM = 18;
const SVG = "http://www.w3.org/2000/svg";

/** NF4 at work on real blocks of the chosen model: values, levels, codes and error, and what double quantization saves. */
export function showNf4(exhibit: Exhibit): void {
  show("nf4-empty", false);
  show("nf4-panel");
  const panel = byId("nf4-panel");
  panel.replaceChildren();
  const blocks = exhibit.absmax.length;
  const intro = element("p", `Weights of ${exhibit.tensor}, 64 at a time. Each block keeps its largest size, the absmax; every weight becomes the nearest of 16 levels between −absmax and +absmax, and only the number of the level is stored: 4 bits, a nibble.${exhibit.was4bit ? " This model came in 4 bits already: its weights lie on levels, and what rounding cost is not to be seen any more." : ""}`);
  const picker = document.createElement("label");
  picker.textContent = `Block (of ${blocks}) `;
  const range = Object.assign(document.createElement("input"), { type: "range", min: "0", max: String(blocks - 1), value: "0", id: "nf4-block" });
  picker.append(range);
  const stage = document.createElement("div");
  const draw = (): void => stage.replaceChildren(...blockView(exhibit, Number(range.value)));
  range.addEventListener("input", draw);
  panel.append(intro, picker, stage, ...savings(blocks));
  draw();
}

function blockView(exhibit: Exhibit, block: number): Element[] {
  const from = block * BLOCKSIZE;
  const values = exhibit.values.slice(from, from + BLOCKSIZE);
  const absmax = exhibit.absmax[block];
  const snapped = values.map((_, i) => exhibit.levels[exhibit.codes[from + i]] * absmax);
  const rms = (list: number[]): number => Math.sqrt(list.reduce((sum, v) => sum + v * v, 0) / list.length);
  const error = rms(values.map((v, i) => v - snapped[i]));
  const errorNested = rms(values.map((v, i) => v - exhibit.restored[from + i]));
  const codes = element("p", `Codes: ${values.map((_, i) => exhibit.codes[from + i].toString(16)).join(" ")}`);
  codes.style.overflowWrap = "anywhere";
  return [picture(values, snapped, absmax, exhibit.levels), codes, tableOf([
    ["", "stored as", "absmax", "RMS error", "of RMS"],
    ["NF4", "f32 absmax", absmax.toPrecision(5), error.toExponential(2), percent(error, rms(values))],
    ["NF4, double-quantized", "8-bit absmax", exhibit.nestedAbsmax[block].toPrecision(5), errorNested.toExponential(2), percent(errorNested, rms(values))],
  ])];
}

const percent = (part: number, whole: number): string => (whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : "–");

function savings(blocks: number): Element[] {
  const nested = Math.ceil(blocks / 256);
  return [tableOf([
    [`For these ${blocks} blocks`, "codes", "absmax", "bits a weight"],
    ["16-bit weights", "–", "–", "16"],
    ["NF4", `${blocks * 32} bytes`, `${blocks * 4} bytes`, (4 + 32 / 64).toFixed(3)],
    ["with double quantization", `${blocks * 32} bytes`, `${blocks + 4 * nested} bytes`, (4 + 8 / 64 + 32 / (64 * 256)).toFixed(3)],
  ])];
}

/** Dots: the weights; orange: the level each one snaps to; lines: the 16 levels. */
function picture(values: readonly number[], snapped: readonly number[], absmax: number, levels: readonly number[]): SVGElement {
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  svg.append(Object.assign(shape("title", {}), { textContent: `64 weights and the 16 levels of NF4, absmax ${absmax.toPrecision(4)}` }));
  const x = (i: number): number => LEFT + 6 + (i * (WIDTH - LEFT - 12)) / (BLOCKSIZE - 1);
  const y = (value: number): number => TOP + ((absmax - value) / (2 * absmax || 1)) * (HEIGHT - TOP - BOTTOM);
  for (const level of levels) svg.append(shape("line", { class: "level", x1: LEFT, x2: WIDTH, y1: y(level * absmax), y2: y(level * absmax) }));
  for (const value of [absmax, 0, -absmax]) svg.append(Object.assign(shape("text", { x: 0, y: y(value) + 4 }), { textContent: value.toPrecision(2) }));
  values.forEach((value, i) => {
    svg.append(shape("line", { class: "gap", x1: x(i), x2: x(i), y1: y(value), y2: y(snapped[i]) }));
    svg.append(shape("circle", { class: "weight", cx: x(i), cy: y(value), r: 2.6 }));
    svg.append(shape("rect", { class: "snapped", x: x(i) - 2.2, y: y(snapped[i]) - 1, width: 4.4, height: 2 }));
  });
  return svg;
}

function shape(name: string, attributes: Record<string, string | number>): SVGElement {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

function element(name: string, content: string): HTMLElement {
  return Object.assign(document.createElement(name), { textContent: content });
}

function tableOf(rows: readonly (readonly string[])[]): HTMLElement {
  const table = document.createElement("table");
  rows.forEach((cells, i) => {
    const row = document.createElement("tr");
    row.append(...cells.map((cell, j) => element(i === 0 || j === 0 ? "th" : "td", cell)));
    table.append(row);
  });
  return table;
}
