// Draws what `nibblelm bench paging --json FILE` and `nibblelm bench neighbours --json FILE` measured.
// usage: node bench/plots.mjs REPORT.json…   writes REPORT.svg (paging), REPORT-slowdown.svg and REPORT-throughput.svg (neighbours) beside each
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

const SIZE = { width: 640, height: 360, marginLeft: 60, marginRight: 110, marginBottom: 45, marginTop: 55 };
const COLORS = { fair: "#3b82f6", polite: "#10a36f", spinning: "#e5484d", paged: "#3b82f6", bound: "#e08700" }; // seen on white and on black
/** A viewer's light or dark: an SVG that is shown as a picture has no page to inherit from. */
const STYLE = "svg { --plot-background: #ffffff; color: #1f2328; background: #ffffff; } @media (prefers-color-scheme: dark) { svg { --plot-background: #0d1117; color: #e6edf3; background: #0d1117; } }";

/** The plots of a report: [what a file's name gets, SVG]. */
export function plotsOf({ cases, machine }) {
  const paging = cases.filter(({ op }) => op.startsWith("train"));
  if (paging.length) return [["", pagingPlot(paging, machine)]];
  return [["-slowdown", slowdownPlot(cases, machine)], ["-throughput", throughputPlot(cases, machine)]];
}

/** Tokens a second over the device memory that the run may take, and where compute + bytes / upload would be. */
function pagingPlot(rows, machine) {
  const unpaged = rows.find(({ op }) => op === "train");
  const tokens = (unpaged.median_ms * unpaged.tokens_per_second) / 1000;
  const speed = (ms) => (1000 * tokens) / ms;
  const paged = rows.filter(({ op }) => op === "train-paged").map((row) => ({ ...row, mb: row.device_bytes / 1e6 })).sort((a, b) => a.mb - b.mb);
  const last = paged.at(-1);
  return svg(`${unpaged.shape}, ${deviceOf(unpaged, machine)}`, {
    x: { label: "memory of the device for all of the run, MB →", nice: true },
    y: { label: "↑ tokens/s", domain: [0, 1.15 * Math.max(speed(unpaged.median_ms), ...paged.map(({ p10_ms }) => speed(p10_ms)))], grid: true },
    marks: [
      Plot.ruleY([speed(unpaged.median_ms)], { stroke: "currentColor", strokeDasharray: "2 4" }),
      Plot.line(paged, { x: "mb", y: ({ bound_ms }) => speed(bound_ms), stroke: COLORS.bound, strokeDasharray: "6 4", strokeWidth: 1.5 }),
      Plot.ruleX(paged, { x: "mb", y1: ({ p90_ms }) => speed(p90_ms), y2: ({ p10_ms }) => speed(p10_ms), stroke: COLORS.paged, strokeWidth: 1.5 }),
      Plot.line(paged, { x: "mb", y: "tokens_per_second", stroke: COLORS.paged, strokeWidth: 2 }),
      Plot.dot(paged, { x: "mb", y: "tokens_per_second", fill: COLORS.paged, r: 4 }),
      Plot.text(paged.filter(({ shape }) => !shape.includes(" smallest")), { x: "mb", y: 0, text: ({ frames }) => `${frames}`, dy: -10, fill: "currentColor" }),
      Plot.text([`pages there, of ${unpaged.pages}:`], { frameAnchor: "bottom-left", dy: -22, dx: 4, fill: "currentColor" }),
    ],
  }, [["unpaged", speed(unpaged.median_ms), "currentColor"], ["paged", last.tokens_per_second, COLORS.paged], ["bound", speed(last.bound_ms), COLORS.bound]]);
}

const LOADS = { label: "busy loops beside it →", tickFormat: "d" };

function slowdownPlot(rows, machine) {
  const most = Math.max(...rows.map(({ slowdown }) => slowdown));
  const fair = rows.filter(({ mode }) => mode === "fair");
  return neighbours(rows, machine, "slowdown", { label: "↑ time of a step over that on the idle machine", type: "log", domain: [0.8, 1.2 * most], tickFormat: "~g", grid: true }, [
    Plot.line(fair, { x: "loops", y: "fair_share", stroke: "currentColor", strokeDasharray: "2 4" }),
  ], [["fair share", fair.at(-1)?.fair_share, "currentColor"]]);
}

function throughputPlot(rows, machine) {
  return neighbours(rows, machine, "tokens_per_second", { label: "↑ tokens/s", type: "log", tickFormat: "~s", grid: true }, [], []);
}

function neighbours(rows, machine, value, y, marks, more) {
  const ends = ["fair", "polite", "spinning"].flatMap((mode) => {
    const last = rows.filter((row) => row.mode === mode).at(-1);
    return last ? [[mode, last[value], COLORS[mode]]] : [];
  });
  const stroke = ({ mode }) => COLORS[mode];
  return svg(`training of the demo on ${rows[0].threads} threads beside busy loops, ${machine.cpu.model}, ${machine.cpu.cores} cores`, {
    x: { ...LOADS, ticks: [...new Set(rows.map(({ loops }) => loops))] }, y,
    marks: [...marks, Plot.line(rows, { x: "loops", y: value, z: "mode", stroke, strokeWidth: 2 }), Plot.dot(rows, { x: "loops", y: value, fill: stroke, r: 4 })],
  }, [...ends, ...more]);
}

/** Names at the right ends of the lines, apart from one another. @param ends [text, value, color] */
function labels(ends, scale) {
  let above = Infinity;
  return ends.filter(([, value]) => value !== undefined).sort((a, b) => a[1] - b[1]).map(([text, value, fill]) => {
    const y = scale.apply(value);
    above = Math.min(y, above - 14);
    return Plot.text([text], { frameAnchor: "right", y: () => value, text: () => text, dx: 8, dy: above - y, textAnchor: "start", fill, fontWeight: 600 });
  });
}

const deviceOf = ({ device, build, threads }, { cpu }) => `${device} (${build}${device === "wasm" ? `, ${threads} thread${threads === 1 ? "" : "s"}` : ""}), ${cpu.model}`;

function svg(title, options, ends) {
  const { document } = parseHTML("<!doctype html><html></html>");
  const draw = (marks) => Plot.plot({ ...SIZE, style: { background: "var(--plot-background)", fontFamily: "system-ui, sans-serif", fontSize: "12px" }, ...options, marks: [...options.marks, ...marks], document });
  const heading = Plot.text([title], { frameAnchor: "top-left", dy: -24, dx: -50, fontWeight: 600, fill: "currentColor" });
  const plot = draw([heading, ...labels(ends, draw([]).scale("y"))]);
  plot.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  plot.querySelector("style").textContent += STYLE;
  return `${plot.outerHTML}\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const file of process.argv.slice(2)) {
    for (const [suffix, text] of plotsOf(JSON.parse(readFileSync(file, "utf8")))) {
      const target = file.replace(/(\.json)?$/, `${suffix}.svg`);
      writeFileSync(target, text);
      console.log(`${basename(file)} → ${basename(target)}`);
    }
  }
}
