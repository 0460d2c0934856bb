// What HTTP needs around the library: statuses for its errors, limits for bodies, streams whose first bytes decide the status.
import { DeviceError, FormatError, MemoryError, ShapeError } from "nibblelm";

export class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function refuse(status, message) {
  throw new HttpError(status, message);
}

/** A wrong call is 400, a wrong file 422, too much 413; a client that has gone reads nothing. */
export function statusOf(error) {
  if (error instanceof HttpError) return error.status;
  if (error instanceof ShapeError) return 400;
  if (error instanceof FormatError) return 422;
  if (error instanceof MemoryError) return 413;
  if (error?.name === "AbortError") return 499;
  return error instanceof DeviceError ? 503 : 500;
}

/** The body, of this type; `whole` is for one that is kept in memory: then the client must say how long it is. */
export function bodyOf(request, type, most, { whole = false } = {}) {
  const given = request.headers.get("content-type")?.split(";")[0].trim();
  if (given !== type) refuse(415, `Content-Type: expected ${type}, got ${given ?? "none"}`);
  const length = request.headers.get("content-length");
  if (whole && length === null) refuse(411, "Content-Length is needed here");
  if (Number(length ?? 0) > most) refuse(413, `Content-Length: expected at most ${most}, got ${length}`);
  return request.body ?? refuse(400, "the body is empty");
}

/** A response once the first bytes are there: what fails before them gets a status, what fails later breaks the stream. */
export async function started(stream, type = "application/octet-stream") {
  const reader = stream.getReader();
  let first = await reader.read();
  const rest = new ReadableStream({
    async pull(controller) {
      const { done, value } = first ?? (await reader.read());
      first = undefined;
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
  return new Response(rest, { headers: { "content-type": type } });
}

export function streamOf(chunks) {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => chunks.return(),
  }, { highWaterMark: 0 });
}
