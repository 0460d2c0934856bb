/** Chat templates: Jinja as Transformers runs it, with a limit on the work a template may cause. */
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { FormatError } from "../errors.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

export interface ChatOptions {
  /** End with the header of the assistant's turn, so that the model continues there. */
  readonly addGenerationPrompt: boolean;
  /** More variables for the template: `bos_token`, `enable_thinking`, `date_string`, … */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** The clock that `strftime_now` of a template reads. */
  readonly now?: Date;
}

/** Templates of real models take thousands of steps; a hostile one would otherwise run for ever. */
const STEPS = 1_000_000;
const RANGE = 100_000;
const OUTPUT = 16 * 2 ** 20;

/** `chat_template.jinja` wins over `tokenizer_config.json`, where a list holds named templates. */
export function chatTemplateOf(config: Readonly<Record<string, unknown>>, file?: string): string | undefined {
  if (file !== undefined) return file;
  const value = config.chat_template;
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  if (Array.isArray(value)) {
    const named = value.filter((item): item is { name: string; template: string } => typeof item?.template === "string");
    const chosen = named.find((item) => item.name === "default") ?? named[0];
    if (chosen) return chosen.template;
  }
  throw new FormatError("tokenizer_config.json", "chat_template", { expected: "a string or a list of {name, template}", got: JSON.stringify(value).slice(0, 40) });
}

/** Counts every node it evaluates and every item it loops over. */
class LimitedInterpreter extends Interpreter {
  #steps = 0;
  readonly #iterables = new WeakSet<object>();

  override evaluate(...[statement, environment]: Parameters<Interpreter["evaluate"]>): ReturnType<Interpreter["evaluate"]> {
    this.#count(1);
    if (statement?.type === "For") {
      const { iterable } = statement as unknown as { iterable: { lhs?: object } };
      this.#iterables.add(iterable.lhs ?? iterable);
    }
    const result = super.evaluate(statement, environment);
    if (statement && this.#iterables.has(statement)) {
      const items = result.value as { length?: number; size?: number } | null;
      this.#count(items?.length ?? items?.size ?? 0);
    }
    return result;
  }

  #count(steps: number): void {
    this.#steps += steps;
    if (this.#steps > STEPS) throw new Error(`the template takes more than ${STEPS} steps`);
  }
}

/** @throws FormatError for a broken template, a template that calls `raise_exception`, or one past its limits. */
export function renderChatTemplate(template: string, messages: readonly ChatMessage[], options: ChatOptions): string {
  try {
    const program = parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true }));
    const environment = new Environment();
    for (const [name, value] of Object.entries(globals(messages, options))) environment.set(name, value);
    const text = String(new LimitedInterpreter(environment).run(program).value);
    if (text.length > OUTPUT) throw new Error(`more than ${OUTPUT} characters`);
    return text;
  } catch (cause) {
    throw new FormatError("chat template", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function globals(messages: readonly ChatMessage[], options: ChatOptions): Record<string, unknown> {
  const now = options.now ?? new Date();
  return {
    true: true, True: true, false: false, False: false, none: null, None: null,
    range: limitedRange,
    raise_exception: (message: unknown) => {
      throw new Error(String(message));
    },
    strftime_now: (format: string) => strftime(now, format),
    ...options.variables,
    messages,
    add_generation_prompt: options.addGenerationPrompt,
  };
}

function limitedRange(first: number, second?: number, step = 1): number[] {
  const [begin, end] = second === undefined || second === null ? [0, first] : [first, second];
  if (step === 0) throw new Error("range() step is zero");
  const length = Math.max(0, Math.ceil((end - begin) / step));
  if (length > RANGE) throw new Error(`range() of more than ${RANGE}`);
  return Array.from({ length }, (_, i) => begin + i * step);
}

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** The directives of Python's strftime that templates use, in the C locale. */
export function strftime(date: Date, format: string): string {
  const two = (n: number): string => String(n).padStart(2, "0");
  const hour12 = date.getHours() % 12 || 12;
  const directives: Record<string, string> = {
    Y: String(date.getFullYear()), y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1), B: MONTHS[date.getMonth()], b: MONTHS[date.getMonth()].slice(0, 3),
    d: two(date.getDate()), A: DAYS[date.getDay()], a: DAYS[date.getDay()].slice(0, 3),
    H: two(date.getHours()), I: two(hour12), p: date.getHours() < 12 ? "AM" : "PM", M: two(date.getMinutes()), S: two(date.getSeconds()),
    "%": "%",
  };
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, bare: string, letter: string) => {
    const text = directives[letter];
    return text === undefined ? whole : bare ? text.replace(/^0(?=.)/, "") : text;
  });
}
