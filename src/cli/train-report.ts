import type { StepEvent, TrainProgress } from "../commands/train.ts";
import type { TrainOptions } from "../commands/train-options.ts";
import { bytesText, countText, plural, shortNumber } from "./format.ts";
import type { Output } from "./output.ts";
import { movedBytes, pagingLine, pagingObject } from "./paging-report.ts";
import type { Progress } from "./progress.ts";
import { recoveredLine, recoveredObject } from "./recovery-report.ts";
import { peakMemory } from "./session.ts";

export interface RunFacts {
  readonly model: string;
  readonly data: string;
  readonly options: TrainOptions;
  readonly device: string;
  readonly resumedAt: number;
}

/** What a training run tells while it goes: a header, a progress line, a JSON object for every step. */
export class TrainReport {
  readonly #output: Output;
  readonly #facts: RunFacts;
  #bar: Progress | undefined;
  #phase: string | undefined;
  #moved = 0; // bytes paged up to the last step
  firstLoss: number | undefined;

  constructor(output: Output, facts: RunFacts) {
    this.#output = output;
    this.#facts = facts;
  }

  step(event: StepEvent): void {
    this.firstLoss ??= event.loss;
    const { step, maxSteps, loss, gradNorm, learningRate, tokensPerSecond, cpuSeconds, paging } = event;
    this.#output.object({ event: "step", step, loss, grad_norm: gradNorm, learning_rate: learningRate, tokens_per_second: tokensPerSecond, cpu_seconds: cpuSeconds, ...(paging ? { paging: pagingObject(paging) } : {}) });
    const paged = paging ? [pagingLine(paging, movedBytes(paging) - this.#moved)] : [];
    this.#moved = paging ? movedBytes(paging) : 0;
    this.#barFor("train", "step").update(step, maxSteps, [`loss ${loss.toFixed(4)}`, `${countText(tokensPerSecond)} tokens/s`, `peak ${bytesText(peakMemory())}`, ...paged], this.#facts.resumedAt);
  }

  progress(event: TrainProgress): void {
    if (event.phase === "load") this.#barFor("load", "bytes").update(event.done, event.total);
    else if (event.phase === "evaluate") this.#barFor("evaluate", "row").update(event.done, event.total);
    else if (event.phase === "ready") this.#header(event);
    else if (event.phase === "recovered") this.#recovered(event);
    else if (event.path.includes("checkpoint-")) this.#output.note(`saved ${event.path}`);
  }

  #recovered(event: Extract<TrainProgress, { phase: "recovered" }>): void {
    this.#moved = 0;
    this.#output.object({ ...recoveredObject(event), step: event.step });
    this.#output.note(`after step ${event.step}: ${recoveredLine(event)}`);
  }

  #barFor(phase: string, unit: "step" | "bytes" | "row"): Progress {
    if (this.#phase !== phase) this.#bar = this.#output.progress(phase.padEnd(5), unit);
    this.#phase = phase;
    return this.#bar!;
  }

  #header(ready: Extract<TrainProgress, { phase: "ready" }>): void {
    const { model, data, options: o, device, resumedAt } = this.#facts;
    this.#output.endProgress();
    this.#phase = undefined;
    const cut = ready.truncated ? `; ${plural(ready.truncated, "row")} cut there` : "";
    const left = ready.leftOver ? `; the last ${plural(ready.leftOver, "token")} fill no window` : "";
    this.#output.facts([
      ["model", model],
      ["base", `quantization: ${ready.quantization}`],
      ["adapter", `${plural(ready.trainable, "trainable parameter")} on ${plural(ready.modules, "linear")}`],
      ["data", `${data}: ${plural(ready.rows, "row")} of at most ${o.maxLength} tokens${cut}${left}`],
      ["run", `${plural(ready.steps, "step")} of ${o.gradientAccumulationSteps} × ${plural(o.perDeviceTrainBatchSize, "row")}, learning rate ${shortNumber(o.learningRate)} (${o.lrSchedulerType}), seed ${o.seed}${resumedAt ? `; going on after step ${resumedAt}` : ""}`],
      ["device", `${device}; activations ${ready.recompute ? `recomputed to save memory${ready.arrangement.stacked ? ", layers' inputs in host memory" : ""}` : "kept"}${ready.arrangement.pagedOptimizer ? "; AdamW's states in host memory" : ""}`],
    ]);
    if (o.maxLength > ready.context) this.#output.note(`max_length ${o.maxLength} is more than the ${ready.context} positions that this model was trained on: rows beyond them may teach it little`);
    this.start();
  }

  /** The progress line's clock starts with the first step, not after it. */
  start(): void {
    this.#barFor("train", "step");
  }
}
