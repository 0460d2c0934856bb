const RELOADED = "reloaded-for-isolation";
const PATIENCE_MS = 4000; // for a worker that may never come: some browsers are told to have none

/**
 * Keeps the page working without a network, and cross-origin isolated on hosts that cannot send the headers: the service
 * worker adds them. The first visit to such a host reloads once, when it has taken over.
 */
export async function installOffline(): Promise<void> {
  const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (!workers) return;
  const installed = workers.register(new URL("service-worker.js", import.meta.url), { type: "module" }).then(() => workers.ready, () => undefined);
  if (crossOriginIsolated || sessionStorage.getItem(RELOADED)) return;
  const patience = new Promise<undefined>((resolve) => setTimeout(resolve, PATIENCE_MS, undefined));
  if (!(await Promise.race([installed, patience]))) return; // a private window: the page works, with one thread
  sessionStorage.setItem(RELOADED, "yes");
  location.reload();
  await new Promise(() => {}); // nothing else starts before that
}
