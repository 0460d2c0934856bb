import type { CommandSpec } from "./command.ts";
import { CHOICES, GROUPS, optionOf, type Flag } from "./options.ts";
import type { Paint } from "./output.ts";

const LEFT = 38;

/** `--help` of one command. */
export function commandHelp(spec: CommandSpec, summary: string, paint: Paint, width: number): string {
  const needed = (spec.required ?? []).map((flag) => ` ${spelling(spec, flag)}`).join("");
  const argument = spec.positional ? (spec.positional.required === false ? ` [${spec.positional.name}]` : ` ${spec.positional.name}`) : "";
  const lines = [`${paint.bold(`nibblelm ${spec.name}`)}: ${summary}`, "", `Usage: nibblelm ${spec.name}${argument}${needed} [options]`];
  if (spec.positional) lines.push("", ...entry(`  ${spec.positional.name}`, spec.positional.help, width));
  for (const group of GROUPS) {
    const flags = spec.flags.filter((flag) => optionOf(flag).group === group);
    if (flags.length) lines.push("", paint.bold(group), ...flags.flatMap((flag) => optionLines(spec, flag, width)));
  }
  lines.push("", paint.bold(spec.examples.length === 1 ? "Example" : "Examples"), ...spec.examples.map((line) => `  ${line}`));
  return lines.join("\n");
}

function optionLines(spec: CommandSpec, flag: Flag, width: number): string[] {
  const { alias, help, default: shown } = optionOf(flag, spec.differs);
  const value = typeof shown === "boolean" || shown === undefined ? "" : ` (default ${shown})`;
  return entry(`  ${alias ? `-${alias}, ` : "    "}${spelling(spec, flag)}`, `${help}${value}`, width);
}

function spelling(spec: CommandSpec, flag: Flag): string {
  const { kind, hint, default: value } = optionOf(flag, spec.differs);
  if (kind === "switch") return value === true ? `--no-${flag}` : `--${flag}`;
  return `--${flag} ${hint ?? CHOICES[kind]!.join("|")}`;
}

/** `help` mentions every command with its summary. */
export function mainHelp(commands: readonly (readonly [string, string])[], version: string, paint: Paint): string {
  const width = Math.max(...commands.map(([name]) => name.length));
  return [
    `${paint.bold("nibblelm")} ${version}: QLoRA in JavaScript. Quantize a language model to 4 bits, train a LoRA adapter`,
    "over it, merge, generate; on the CPU, without Python and without a native build.",
    "", "Usage: nibblelm COMMAND [options]", "", paint.bold("Commands"),
    ...commands.map(([name, summary]) => `  ${name.padEnd(width)}   ${summary}`),
    "", paint.bold("Start here"),
    "  nibblelm demo                                  all of it in a minute, offline",
    "  nibblelm train --model MODEL --data FILE       MODEL: a folder, a .gguf file, or demo",
    "  nibblelm COMMAND --help                        every option of a command",
    "", "Exit codes: 0 done, 1 failed, 2 wrong call, 3 no such device, 4 out of memory or disk, 130 interrupted.",
  ].join("\n");
}

function entry(left: string, text: string, width: number): string[] {
  const room = Math.max(30, width - LEFT);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line ? `${line} ${word}` : word;
  }
  lines.push(line);
  const first = left.length < LEFT ? [left.padEnd(LEFT) + lines[0]] : [left, " ".repeat(LEFT) + lines[0]];
  return [...first, ...lines.slice(1).map((rest) => " ".repeat(LEFT) + rest)];
}
