/**
 * Every error the engine raises on purpose. The message always reads
 * `where: what: expected …, got …` and a hint, if there is one, follows on its own line.
 */
export interface ErrorDetail {
  /** What would have been right. */
  expected?: string | number;
  /** What was found instead. */
  got?: unknown;
  /** One sentence on what the user can do about it. */
  hint?: string;
  cause?: unknown;
}

function render(where: string, what: string, detail: ErrorDetail): string {
  let text = `${where}: ${what}`;
  if (detail.expected !== undefined) text += `: expected ${detail.expected}`;
  if (detail.got !== undefined) text += `${detail.expected === undefined ? ": got" : ", got"} ${String(detail.got)}`;
  if (detail.hint) text += `\n  hint: ${detail.hint}`;
  return text;
}

export class NibbleError extends Error {
  /** Stable, for programs: `ERR_SHAPE`, `ERR_FORMAT`, `ERR_DEVICE`, `ERR_MEMORY`, `ERR_KERNEL`. */
  readonly code: string;
  readonly where: string;
  readonly hint: string | undefined;

  constructor(code: string, where: string, what: string, detail: ErrorDetail = {}) {
    super(render(where, what, detail), detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = new.target.name;
    this.code = code;
    this.where = where;
    this.hint = detail.hint;
  }
}

/** The call is wrong: an option, a shape, a name. */
export class ShapeError extends NibbleError {
  constructor(where: string, what: string, detail?: ErrorDetail) {
    super("ERR_SHAPE", where, what, detail);
  }
}

/** The file or the data is wrong. */
export class FormatError extends NibbleError {
  constructor(where: string, what: string, detail?: ErrorDetail) {
    super("ERR_FORMAT", where, what, detail);
  }
}

/** The machine cannot do it. */
export class DeviceError extends NibbleError {
  constructor(where: string, what: string, detail?: ErrorDetail) {
    super("ERR_DEVICE", where, what, detail);
  }
}

/** It did not fit: memory, budget, disk. */
export class MemoryError extends NibbleError {
  constructor(where: string, what: string, detail?: ErrorDetail) {
    super("ERR_MEMORY", where, what, detail);
  }
}

/** A kernel is wrong: please report it. */
export class KernelError extends NibbleError {
  constructor(where: string, what: string, detail?: ErrorDetail) {
    super("ERR_KERNEL", where, what, detail);
  }
}
