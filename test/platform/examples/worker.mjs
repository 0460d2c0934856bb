import { fineTuneAndAsk } from "./browser.mjs";
import { trainFromStorage } from "./opfs.mjs";

addEventListener("message", async ({ data }) => {
  try {
    postMessage(await (data.stored ? trainFromStorage : fineTuneAndAsk)(data));
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) });
  }
});
