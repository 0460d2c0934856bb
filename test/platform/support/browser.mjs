// Debian's Chromium, and pages for it as a user's bundler makes them.
import { build } from "esbuild";
import { chromium } from "playwright-core";

/** Containers have no user namespaces for the sandbox; SwiftShader is the GPU of machines without one. */
export function launchChromium() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"] });
}

export function bundlePage(folder, entryPoints, outdir) {
  return build({ absWorkingDir: folder, entryPoints, bundle: true, minify: true, format: "esm", outdir, logLevel: "error" });
}
