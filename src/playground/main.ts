import { proxy, wrap } from "comlink";
import { LossChart } from "./chart.ts";
import { bytes, button, byId, millions, onDrop, readable, show, text } from "./dom.ts";
import type { Engine } from "./engine.ts";
import { showNf4 } from "./nf4-panel.ts";
import type { PagingStats } from "../pager/pager.ts";
import type { ChatMessage } from "../text/chat.ts";
import { suggestedRate, type DataFacts, type EngineEvent, type Measured, type ModelFacts, type Opened, type RunFacts, type Settings } from "./session.ts";
import { installOffline } from "./offline.ts";

const engine = wrap<Engine>(new Worker(new URL("worker.js", import.meta.url), { type: "module" }));
const chart = new LossChart();
const form = byId<HTMLFormElement>("settings");

let model: ModelFacts | undefined;
let data: DataFacts | undefined;
let run: RunFacts | undefined;
let busy = false;
let answerTo = "";
let loadedAdapter = false;
let talks: Record<"without" | "with", readonly ChatMessage[]> = { without: [], with: [] };

/** What may be pressed now. */
function refresh(): void {
  const paused = run?.status === "paused";
  for (const id of ["model-demo", "data-demo", "startover"]) button(id).disabled = busy || (id === "data-demo" && !model);
  for (const id of ["model-files", "data-file", "adapter-files"]) byId<HTMLInputElement>(id).disabled = busy || (id !== "model-files" && !model);
  button("start").disabled = busy || !model || !data;
  button("start").textContent = paused ? `Go on from step ${run!.step}` : run ? "Train again" : "Train";
  button("pause").disabled = !busy || run?.status !== "running";
  button("write").disabled = busy || !model;
  button("download").disabled = busy || !run || run.step === 0;
  for (const field of form.elements) (field as HTMLInputElement).disabled = busy || paused;
  text("budget-of", settings().device === "webgpu" ? "GPU budget in MB" : "RAM budget in MB");
  show("new-talk", Object.values(talks).some((talk) => talk.length > 0));
}

/** Runs one call of the engine; what goes wrong is said at the top of the page, which stays usable. */
async function doing<T>(work: () => Promise<T>): Promise<T | undefined> {
  show("error", false);
  busy = true;
  refresh();
  try {
    return await work();
  } catch (error) {
    text("error", readable(error instanceof Error ? error.message : String(error)));
    show("error");
    byId("error").scrollIntoView({ block: "nearest" });
    return undefined;
  } finally {
    busy = false;
    show("progress", false);
    refresh();
  }
}

function settings(): Settings {
  const values = new FormData(form);
  const number = (name: string): number => Number(fieldOf(name).value);
  return {
    r: number("r"), loraAlpha: number("loraAlpha"), learningRate: number("learningRate"), steps: number("steps"), batch: number("batch"), length: number("length"),
    device: fieldOf("device").value as Settings["device"], megabytes: fieldOf("megabytes").value ? number("megabytes") : undefined,
    prompt: String(values.get("prompt") ?? fieldOf("prompt").value),
  };
}

function fieldOf(name: string): HTMLInputElement {
  return form.elements.namedItem(name) as HTMLInputElement;
}

function fillForm(from: Settings): void {
  for (const [name, value] of Object.entries(from)) fieldOf(name).value = value === undefined ? "" : String(value);
}

const listener = proxy((event: EngineEvent): void => {
  if (event.type === "progress") return progress(`${event.what}…`, event.done / event.total);
  if (event.type === "piece") return void byId(answerTo).append(event.text);
  if (event.type === "measured") return measured(event.when, event.measured);
  const { point, steps, tokensPerSecond, memory: { live, peak, limit }, paging } = event;
  if (run) run = { ...run, step: point[0] };
  chart.add(point);
  progress(`Step ${point[0]} of ${steps}`, point[0] / steps);
  meters([
    ["Loss", point[1].toFixed(3)],
    ["Speed", `${Math.round(tokensPerSecond)} tokens/s`],
    ["Left", left(steps - point[0], tokensPerSecond)],
    limit === Infinity ? ["Memory", bytes(live), live / peak] : ["Memory", `${bytes(live)} of ${bytes(limit)}`, live / limit],
    ...(paging ? pagingMeters(paging) : []),
  ]);
});

function pagingMeters({ residentLayers, layers, bytesUp, bytesDown, bytesRead }: PagingStats): [string, string, number?][] {
  return [
    ["Layers resident", `${residentLayers} of ${layers}`, residentLayers / layers],
    ["Paged in", `${bytes(bytesUp)}${bytesRead ? `, ${bytes(bytesRead)} from storage` : ""}`],
    ...(bytesDown ? [["Paged out", bytes(bytesDown)] as [string, string]] : []),
  ];
}

function progress(what: string, part: number): void {
  show("progress");
  byId<HTMLProgressElement>("bar").value = part;
  text("bar-text", what);
}

function left(steps: number, tokensPerSecond: number): string {
  const { batch, length } = settings();
  const seconds = Math.round((steps * batch * length) / tokensPerSecond);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

function meters(rows: readonly (readonly [string, string, number?])[]): void {
  byId("meters").replaceChildren(...rows.map(([name, value, part]) => {
    const box = document.createElement("div");
    box.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
    if (part !== undefined) {
      const bar = Object.assign(document.createElement("div"), { className: "part" });
      const inner = document.createElement("i");
      inner.style.width = `${Math.min(100, 100 * part)}%`;
      bar.append(inner);
      box.append(bar);
    }
    return box;
  }));
}

function measured(when: "before" | "after", { loss, sample }: Measured): void {
  show("compare");
  text(`${when}-loss`, `loss ${loss.toFixed(2)} on unseen text`);
  text(`${when}-text`, settings().prompt + sample);
}

function showModel(facts: ModelFacts | undefined): void {
  model = facts;
  text("model-facts", facts ? `${facts.name}: ${millions(facts.parameters)} parameters, ${bytes(facts.bytesBefore)} → ${bytes(facts.bytes)} (${facts.bitsPerParameter.toFixed(2)} bits a parameter; linears in 4)` : "None chosen. The demo is a small Llama of 2.8 million parameters that comes with the page.");
  show("chat-box", facts?.chat === true);
  if (facts) fieldOf("length").max = String(facts.context);
}

function showData(facts: DataFacts | undefined): void {
  data = facts;
  text("data-facts", facts ? `${facts.name}: ${bytes(facts.bytes)}` : "None chosen. The last tenth of a text is never trained on: it shows what was learned.");
}

function showRun(facts: RunFacts | undefined): void {
  run = facts;
  show("live", facts !== undefined);
  show("compare", facts !== undefined);
  chart.set(facts?.points ?? []);
  for (const when of ["before", "after"] as const) {
    text(`${when}-loss`, "");
    text(`${when}-text`, "");
    if (facts?.[when]) measured(when, facts[when]);
  }
}

function showAll({ state, device, trouble, gpu, notice }: Opened): void {
  fillForm(state.settings);
  showModel(state.model);
  showData(state.data);
  showRun(state.run);
  text("machine", `${device ? `Computing with ${device}` : "This browser cannot compute here"}${crossOriginIsolated ? "" : "; this page is not cross-origin isolated, so with one thread"}. GPU: ${gpu ?? "none that pages may use"}.`);
  const gpuOption = form.querySelector<HTMLOptionElement>("option[value=webgpu]")!;
  gpuOption.disabled = gpu === undefined;
  if (notice) text("notice", notice);
  show("notice", notice !== undefined);
  if (trouble) throw new Error(trouble); // shown like any other
}

async function showExhibit(): Promise<void> {
  const exhibit = await engine.exhibit();
  show("nf4-panel", exhibit !== undefined);
  show("nf4-empty", exhibit === undefined);
  if (exhibit) showNf4(exhibit);
}

async function chooseModel(files: File[] | "demo", name = "model"): Promise<void> {
  await doing(async () => {
    showModel(await engine.chooseModel(files, name, settings(), listener));
    fieldOf("learningRate").value = String(suggestedRate(model!.parameters));
    showRun(undefined);
    endTalks();
    await showExhibit();
  });
}

async function chooseData(file: File | "demo" | undefined): Promise<void> {
  if (!file) return;
  await doing(async () => {
    showData(await engine.chooseData(file, settings()));
    showRun(undefined);
  });
}

async function start(): Promise<void> {
  const resume = run?.status === "paused";
  if (!resume && !form.reportValidity()) return;
  await doing(async () => {
    const chosen = settings();
    if (!resume) showRun({ status: "running", settings: chosen, before: { loss: NaN, sample: "" }, step: 0, points: [] });
    else showRun({ ...run!, status: "running" });
    if (!resume) for (const id of ["before-loss", "before-text"]) text(id, "");
    refresh();
    try {
      showRun(await engine.train(chosen, resume, listener));
      loadedAdapter = false;
    } catch (error) {
      showRun(await engine.run());
      throw error;
    }
  });
}

async function write(): Promise<void> {
  const question = byId<HTMLTextAreaElement>("question");
  const chat = !byId("chat-box").hidden && byId<HTMLInputElement>("chat").checked;
  const withAdapter = loadedAdapter || (run !== undefined && run.step > 0);
  show("answers");
  button("hush").disabled = false;
  await doing(async () => {
    for (const [id, adapter] of [["without", false], ["with", true]] as const) {
      if (!chat) text(id, question.value);
      if (adapter && !withAdapter) { text(id, "Train or load an adapter first."); continue; }
      answerTo = id;
      if (chat) await say(id, question.value, adapter);
      else await engine.generate({ prompt: question.value }, adapter, settings(), listener);
    }
    if (chat) question.value = "";
  });
  button("hush").disabled = true;
}

/** One turn of a conversation; each side remembers what it answered itself. A turn that fails is not remembered. */
async function say(id: keyof typeof talks, content: string, adapter: boolean): Promise<void> {
  const messages: ChatMessage[] = [...talks[id], { role: "user", content }];
  text(id, [...messages, { role: "assistant", content: "" }].map((turn) => `${turn.role === "user" ? "You" : "Model"}: ${turn.content}`).join("\n\n"));
  talks[id] = [...messages, { role: "assistant", content: await engine.generate({ messages }, adapter, settings(), listener) }];
}

function endTalks(): void {
  talks = { without: [], with: [] };
  for (const id of ["without", "with"]) text(id, "");
  show("answers", false);
}

async function download(): Promise<void> {
  await doing(async () => {
    const url = URL.createObjectURL(new Blob([(await engine.adapterZip()) as Uint8Array<ArrayBuffer>], { type: "application/zip" }));
    Object.assign(document.createElement("a"), { href: url, download: "adapter.zip" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000); // browsers read it later
  });
}

async function loadAdapter(files: File[]): Promise<void> {
  if (!files.length) return;
  await doing(async () => {
    text("adapter-facts", `Loaded ${await engine.loadAdapter(files, settings())}.`);
    loadedAdapter = true;
  });
}

function filesOf(id: string): File[] {
  const input = byId<HTMLInputElement>(id);
  const files = [...(input.files ?? [])];
  input.value = ""; // choosing the same file again is a change too
  return files;
}

function listen(): void {
  button("model-demo").addEventListener("click", () => void chooseModel("demo"));
  byId("model-files").addEventListener("change", () => { const files = filesOf("model-files"); if (files.length) void chooseModel(files); });
  button("data-demo").addEventListener("click", () => void chooseData("demo"));
  byId("data-file").addEventListener("change", () => void chooseData(filesOf("data-file")[0]));
  byId("adapter-files").addEventListener("change", () => void loadAdapter(filesOf("adapter-files")));
  onDrop("model", (files, name) => { if (!busy && files.length) void chooseModel(files, name); });
  onDrop("data", ([file]) => { if (!busy && model) void chooseData(file); });
  onDrop("try", (files) => { if (!busy && model) void loadAdapter(files); });
  button("start").addEventListener("click", () => void start());
  button("pause").addEventListener("click", () => { button("pause").disabled = true; text("bar-text", "Saving after this step…"); void engine.pause(); });
  button("hush").addEventListener("click", () => void engine.pause());
  button("new-talk").addEventListener("click", () => { endTalks(); refresh(); });
  button("download").addEventListener("click", () => void download());
  button("startover").addEventListener("click", () => {
    if (confirm("Forget the model, the text and the adapter of this page?")) void doing(async () => { showAll(await engine.startOver()); await showExhibit(); endTalks(); });
  });
  form.addEventListener("change", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("ask").addEventListener("submit", (event) => { event.preventDefault(); void write(); });
  // A dropped file outside the cards would otherwise replace the page.
  for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault());
}

listen();
refresh();
await installOffline();
await doing(async () => {
  showAll(await engine.open());
  await showExhibit();
});
