import { ShapeError } from "../errors.ts";
import type { CommandSpec } from "./command.ts";
import { nearest } from "./nearest.ts";
import { flagOf, optionOf, type Flag } from "./options.ts";

/**
 * `--flag=value` for every value, `--flag` or `--no-flag` for every switch, then `--` and the argument.
 * @throws ShapeError for a flag that the command does not have, and for a value too few or too many.
 */
export function canonicalArguments(spec: CommandSpec, argv: readonly string[]): string[] {
  const flags: string[] = [];
  const rest: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const token = argv[i];
    if (token === "--") {
      rest.push(...argv.slice(i + 1));
      break;
    }
    if (!token.startsWith("-") || token === "-") {
      rest.push(token);
      continue;
    }
    const { name, flag, value } = split(spec, token);
    const { kind } = optionOf(flag, spec.differs);
    if (kind === "switch") {
      if (value !== undefined && value !== "true" && value !== "false") throw new ShapeError(`--${name}`, "takes no value", { got: JSON.stringify(value) });
      const on = (name === flag) === (value !== "false");
      flags.push(on ? `--${flag}` : `--no-${flag}`);
      continue;
    }
    const next = argv[i + 1];
    const follows = value === undefined && next !== undefined && !looksLikeFlag(next);
    if (follows) i++;
    const given = value ?? (follows ? next : bareValue(spec, flag));
    flags.push(`--${flag}=${given}`);
  }
  const room = spec.positional ? 1 : 0;
  if (rest.length > room) throw new ShapeError(spec.name, "argument that is not understood", { got: JSON.stringify(rest[room]), hint: "quote values with spaces; see --help" });
  return [...flags, "--", ...rest];
}

/** A negative number is a value, `-p` is a flag; a text that begins with a dash goes in as --prompt=-…. */
function looksLikeFlag(text: string): boolean {
  return /^--?[A-Za-z]/.test(text) && !/\s/.test(text);
}

function bareValue(spec: CommandSpec, flag: Flag): string {
  const { kind } = optionOf(flag, spec.differs);
  if (kind === "optional") return "";
  if (kind === "tristate") return "true";
  throw new ShapeError(`--${flag}`, "value missing", { hint: `write --${flag}=VALUE when the value begins with a dash` });
}

function split(spec: CommandSpec, token: string): { name: string; flag: Flag; value: string | undefined } {
  const at = token.indexOf("=");
  const written = at < 0 ? token : token.slice(0, at);
  const value = at < 0 ? undefined : token.slice(at + 1);
  const long = written.startsWith("--");
  const name = long ? written.slice(2).replaceAll("_", "-") : written.slice(1);
  const flag = long ? flagOf(name.startsWith("no-") && !flagOf(name) ? name.slice(3) : name) : spec.flags.find((f) => optionOf(f).alias === name);
  const known = flag !== undefined && spec.flags.includes(flag) && (!name.startsWith("no-") || optionOf(flag, spec.differs).kind === "switch");
  if (known) return { name, flag, value };
  const spellings = spec.flags.map((f) => (optionOf(f, spec.differs).default === true ? `--no-${f}` : `--${f}`));
  const near = nearest(`--${name}`, spellings);
  throw new ShapeError(spec.name, `unknown option ${written}`, { hint: near ? `did you mean ${near}?` : `nibblelm ${spec.name} --help lists the options` });
}
