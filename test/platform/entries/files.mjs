// The demo model as File objects, as a page gets them; here from the package.
import { readdirSync, readFileSync } from "node:fs";

const folder = "node_modules/nibblelm/src/demo";
export const demo = readdirSync(folder).map((name) => new File([readFileSync(`${folder}/${name}`)], name));
