import type { FromWorker, ToWorker } from "./worker-main.ts";

/** A worker as the pool sees it. */
export interface WorkerHandle {
  post(message: ToWorker): void;
  onMessage(handler: (message: FromWorker) => void): void;
  /** Called when the worker has failed or is no more, for whatever reason. */
  onEnd(handler: (error: Error) => void): void;
  /** Whether the process should stay alive for this worker: only while it works. */
  keepAlive(yes: boolean): void;
  terminate(): Promise<void>;
}

/** How this runtime starts workers; `createDevice` passes the right one. */
export interface WorkerHost {
  spawn(): WorkerHandle | Promise<WorkerHandle>;
}
