import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Arithmetic without memory, that counts how far it got; it looks for a question every few milliseconds. */
const SCRIPT = `let count = 0, x = 1;
for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => {}); // they may reach a whole group; who started the loops stops them
process.on("disconnect", () => process.exit());
process.on("message", () => process.send({ count, at: performance.now() }));
const burn = () => {
  for (let i = 0; i < 50; i++) { for (let j = 0; j < 100000; j++) x = Math.imul(x, 1664525) + 1013904223 | 0; count++; }
  setImmediate(burn);
};
burn();
`;

interface Reading { readonly count: number; readonly at: number }

/** Other people's programs: processes that keep a core busy each, and know how fast they were. */
export class BusyLoops {
  readonly #children: readonly ChildProcess[];
  readonly #folder: string;
  #before: Reading[] = [];

  private constructor(children: readonly ChildProcess[], folder: string) {
    this.#children = children;
    this.#folder = folder;
  }

  static async start(count: number): Promise<BusyLoops> {
    const folder = await mkdtemp(join(tmpdir(), "nibblelm-neighbours-"));
    const script = join(folder, "busy-loop.cjs");
    await writeFile(script, SCRIPT);
    const loops = new BusyLoops(Array.from({ length: count }, () => fork(script, { execArgv: [], stdio: "ignore" })), folder);
    await loops.begin();
    return loops;
  }

  /** Where they are now, to count from. */
  async begin(): Promise<void> {
    this.#before = await this.#read();
  }

  /** Rounds a second of all together since `begin`. */
  async speed(): Promise<number> {
    const now = await this.#read();
    return now.reduce((sum, { count, at }, i) => sum + (1000 * (count - this.#before[i].count)) / (at - this.#before[i].at), 0);
  }

  #read(): Promise<Reading[]> {
    return Promise.all(this.#children.map(async (child) => {
      const answer = once(child, "message");
      child.send("how far?");
      const [reading] = (await answer) as [Reading];
      return reading;
    }));
  }

  async stop(): Promise<void> {
    const ended = this.#children.map((child) => (child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined));
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(ended);
    await rm(this.#folder, { recursive: true, force: true });
  }
}
