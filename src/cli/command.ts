import { defineCommand, type ArgsDef, type CommandDef } from "citty";
import { ShapeError } from "../errors.ts";
import { canonicalArguments } from "./arguments.ts";
import { apiName, optionOf, type Differences, type Flag, type Values } from "./options.ts";
import type { Session } from "./session.ts";
import { readValue } from "./values.ts";

/** What a command of the command line is made of; `--help` is written from it. */
export interface CommandSpec<F extends Flag = Flag, P extends string = string, D extends Differences<F> = Differences<F>> {
  readonly name: string;
  /** Argument without a flag, and what it is. */
  readonly positional?: { readonly name: P; readonly help: string; readonly required?: boolean };
  readonly flags: readonly F[];
  readonly required?: readonly F[];
  /** Kinds, defaults and words of this command where they differ from the table's. */
  readonly differs?: D;
  readonly examples: readonly string[];
}

export interface Command {
  readonly spec: CommandSpec;
  readonly citty: CommandDef;
}

/** A command whose `run` gets typed values under the library's names, and the argument as `argument`. */
export function cliCommand<const F extends Flag, const D extends Differences<F> = {}>(spec: CommandSpec<F, string, D>, run: (values: Values<F, D> & { readonly argument?: string | undefined }, session: Session) => Promise<number | void>): Command {
  const args = cittyArguments(spec as CommandSpec);
  return {
    spec: spec as CommandSpec,
    citty: defineCommand({
      meta: { name: spec.name },
      args,
      run: ({ args, data }) => run(valuesOf(spec as CommandSpec, args) as Parameters<typeof run>[0], data as Session),
    }),
  };
}

function cittyArguments(spec: CommandSpec): ArgsDef {
  const args: ArgsDef = {};
  if (spec.positional) args["argument"] = { type: "positional", required: false };
  for (const flag of spec.flags) {
    const { kind, help, alias } = optionOf(flag, spec.differs);
    args[flag] = { type: kind === "switch" ? "boolean" : "string", description: help, ...(alias ? { alias } : {}) };
  }
  return args;
}

function valuesOf(spec: CommandSpec, parsed: Record<string, unknown>): Record<string, unknown> {
  const values: Record<string, unknown> = { argument: parsed["argument"] };
  for (const flag of spec.flags) {
    const value = parsed[flag];
    if (value === undefined) continue;
    values[apiName(flag)] = typeof value === "string" ? readValue(spec.name, flag, optionOf(flag, spec.differs).kind, value) : value;
  }
  const missing = (spec.required ?? []).filter((flag) => values[apiName(flag)] === undefined).map((flag) => `--${flag}`);
  if (spec.positional?.required && !values["argument"]) missing.unshift(spec.positional.name);
  if (missing.length) throw new ShapeError(spec.name, `${missing.join(" and ")} missing`, { hint: `for example: ${spec.examples[0]}` });
  return values;
}

/** The arguments in the one spelling that citty, which takes unknown flags and swallows values, cannot misread. */
export function argumentsFor(command: Command, argv: readonly string[]): string[] {
  return canonicalArguments(command.spec, argv);
}
