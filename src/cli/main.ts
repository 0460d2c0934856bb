import { ShapeError } from "../errors.ts";
import type { Command } from "./command.ts";
import { COMMANDS, isCommand } from "./commands.ts";
import { exitCodeOf, failureText } from "./failure.ts";
import { interruptSignal } from "./interrupt.ts";
import { nearest } from "./nearest.ts";
import { Output } from "./output.ts";
import { INTERRUPTED, selfCall, type Session } from "./session.ts";

declare const NIBBLELM_VERSION: string;

/** Runs one command line. @returns the exit code. */
export async function main(argv: readonly string[], packageFolder: URL): Promise<number> {
  const [first, ...rest] = argv;
  const output = new Output(rest.includes("--json"));
  if (argv.length === 1 && ["--version", "-v", "-V"].includes(first)) {
    output.line(NIBBLELM_VERSION);
    return 0;
  }
  const interrupt = interruptSignal(output);
  try {
    return await dispatch(argv, { output, signal: interrupt.signal, packageFolder, argv, self: selfCall() });
  } catch (error) {
    output.endProgress();
    if (interrupt.signal.aborted && isAbort(error)) {
      output.note("interrupted; no file was written");
      return INTERRUPTED;
    }
    const { apiName, OPTIONS } = await import("./options.ts");
    output.note(failureText(error, (name) => Object.keys(OPTIONS).filter((flag) => apiName(flag) === name).map((flag) => `--${flag}`)[0]));
    return exitCodeOf(error);
  } finally {
    interrupt.release();
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

async function dispatch(argv: readonly string[], session: Session): Promise<number> {
  const [first, ...rest] = argv;
  const help = ["--help", "-h"];
  if (first === undefined || help.includes(first) || (first === "help" && rest.length === 0)) {
    const { mainHelp } = await import("./help.ts");
    const text = mainHelp(Object.entries(COMMANDS).map(([name, { summary }]) => [name, summary]), NIBBLELM_VERSION, session.output.paint);
    if (first !== undefined) session.output.line(text);
    else session.output.note(text);
    return first === undefined ? 2 : 0;
  }
  const name = first === "help" ? rest[0] : first;
  if (!isCommand(name)) throw unknown(name);
  const { command } = await COMMANDS[name].load();
  const before = rest.includes("--") ? rest.slice(0, rest.indexOf("--")) : rest;
  if (first === "help" || before.some((arg) => help.includes(arg))) {
    const { commandHelp } = await import("./help.ts");
    session.output.line(commandHelp(command.spec, COMMANDS[name].summary, session.output.paint, Math.min(process.stdout.columns || 110, 120)));
    return 0;
  }
  return runCommand(command, rest, session);
}

function unknown(name: string): ShapeError {
  const near = nearest(name, Object.keys(COMMANDS));
  return new ShapeError(name, name.startsWith("-") ? "unknown option" : "unknown command", { hint: near ? `did you mean nibblelm ${near}?` : "nibblelm --help lists the commands" });
}

/** citty's own main prints usage and exits with 1 on any error; its runner leaves that to us. */
async function runCommand(command: Command, argv: readonly string[], session: Session): Promise<number> {
  const [{ runCommand: run }, { argumentsFor }] = await Promise.all([import("citty"), import("./command.ts")]);
  const { result } = await run(command.citty, { rawArgs: argumentsFor(command, argv), data: session });
  return typeof result === "number" ? result : 0;
}
