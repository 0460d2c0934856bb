/// <reference lib="webworker" />
export {};

const worker = self as unknown as ServiceWorkerGlobalScope;
/** Every file of the page, written by build.mjs; a new build has a new name. */
declare const PLAYGROUND_FILES: readonly string[];
declare const PLAYGROUND_BUILD: string;

const CACHE = `nibblelm-playground-${PLAYGROUND_BUILD}`;

worker.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(["./", ...PLAYGROUND_FILES])).then(() => worker.skipWaiting()));
});

worker.addEventListener("activate", (event) => {
  const old = (name: string): boolean => name.startsWith("nibblelm-playground-") && name !== CACHE;
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))).then(() => worker.clients.claim()));
});

worker.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || new URL(event.request.url).origin !== location.origin) return;
  event.respondWith(answer(event.request));
});

async function answer(request: Request): Promise<Response> {
  const cached = await (await caches.open(CACHE)).match(request, { ignoreSearch: true });
  const response = cached ?? (await fetch(request));
  if (response.type === "opaque" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
