import { fineTuneAndAsk } from "./browser.mjs";

addEventListener("message", async ({ data }) => {
  try {
    postMessage(await fineTuneAndAsk(data));
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) });
  }
});
