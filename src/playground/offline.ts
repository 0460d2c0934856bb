const RELOADED = "reloaded-for-isolation";

/**
 * Keeps the page working without a network, and cross-origin isolated on hosts that cannot send the headers: the service
 * worker adds them. The first visit to such a host reloads once, when it has taken over.
 */
export async function installOffline(): Promise<void> {
  const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (!workers) return;
  try {
    await workers.register(new URL("service-worker.js", import.meta.url), { type: "module" });
    await workers.ready;
  } catch {
    return; // a private window or a file: the page works, online and with one thread
  }
  if (crossOriginIsolated || sessionStorage.getItem(RELOADED)) return;
  sessionStorage.setItem(RELOADED, "yes");
  location.reload();
  await new Promise(() => {}); // nothing else starts before that
}
