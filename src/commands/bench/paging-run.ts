import type { Device } from "../../device.ts";
import { KernelError } from "../../errors.ts";
import type { Checkpoint } from "../../format/checkpoint.ts";
import type { StepResult } from "../../optim/training-step.ts";
import type { Pager, PagingOptions, PagingStats } from "../../pager/pager.ts";
import { Plan } from "../../pager/plan.ts";
import type { Arrangement } from "../arrangement.ts";
import { loadLlama } from "../load-llama.ts";
import { QUANTIZATION } from "./model-cases.ts";
import { Trainee } from "./train-case.ts";

/** One way to hold a model and its training, step by step. */
export class PagingRun {
  readonly pager: Pager | undefined;
  /** Of every step so far. */
  readonly results: StepResult[] = [];
  readonly #device: Device;
  readonly #trainee: Trainee;
  readonly #plan: Plan | undefined;
  #bytes = 0;

  private constructor(device: Device, trainee: Trainee, pager: Pager | undefined) {
    this.#device = device;
    this.#trainee = trainee;
    this.pager = pager;
    const up = pager?.pages.map((_, i) => i);
    this.#plan = up && new Plan([...up, ...up.toReversed()]);
  }

  /** Takes its first step too: there is no more to allocate then. */
  static async place(device: Device, checkpoint: Checkpoint, paging: PagingOptions | undefined, [batch, length]: readonly [number, number], arrangement?: Arrangement): Promise<PagingRun> {
    const before = device.memory.live;
    const llama = await loadLlama(device, checkpoint, { quantization: QUANTIZATION, paging });
    const trainee = new Trainee(llama, batch, length, arrangement);
    await trainee.prepare();
    const run = new PagingRun(device, trainee, llama.pager);
    await run.step();
    run.#bytes = device.memory.live - before;
    return run;
  }

  /** Bytes that it took of the device, with the frames that it began with. */
  get bytes(): number {
    return this.#bytes;
  }

  get stats(): PagingStats {
    return this.#trainee.paging!;
  }

  async step(): Promise<void> {
    this.results.push(await this.#trainee.step());
  }

  /** The base as a step loads it, with nothing computed. */
  async load(): Promise<void> {
    const plan = this.#plan!;
    await this.pager!.begin(plan);
    for (const page of plan.uses) await this.pager!.use(page);
    await this.#device.finish();
  }
}

/** @throws KernelError when a paged step had another result than the same step of the unpaged run */
export function refuseDifference(paged: readonly StepResult[], unpaged: readonly StepResult[]): void {
  paged.forEach(({ loss, gradNorm }, i) => {
    const expected = unpaged[i];
    if (!Object.is(loss, expected.loss) || !Object.is(gradNorm, expected.gradNorm)) {
      throw new KernelError("bench paging", `loss and gradient norm of step ${i + 1}`, { expected: `${expected.loss}, ${expected.gradNorm}, as without paging`, got: `${loss}, ${gradNorm}` });
    }
  });
}
