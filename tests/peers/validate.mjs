// Whether JSON documents are what a JSON Schema says, by an independent validator: the npm package ajv.
//
//   node validate.mjs SCHEMA.json [--closed] < LINES     a document on each line
//
// --closed: what the schema does not describe is an error too. Prints what is wrong, and ends with 1.

import { readFileSync } from "node:fs";
import Ajv2020 from "ajv/dist/2020.js";

const [path, mode] = process.argv.slice(2);
const schema = JSON.parse(readFileSync(path, "utf8"));

// Every object of the schema that describes fields allows no others.
const close = (node) => {
  if (node === null || typeof node !== "object") return;
  if (node.properties && node.description && !("additionalProperties" in node)) node.additionalProperties = false;
  Object.values(node).forEach(close);
};
if (mode === "--closed") close(schema);

const check = new Ajv2020({ allErrors: true, strict: true, strictRequired: false, strictTypes: false }).compile(schema);
let bad = 0;
for (const [number, line] of readFileSync(0, "utf8").split("\n").entries()) {
  if (line === "" || check(JSON.parse(line))) continue;
  bad += 1;
  for (const { instancePath, message, params } of check.errors) {
    console.log(`line ${number + 1}: ${instancePath || "/"} ${message} ${JSON.stringify(params)}`);
  }
}
process.exit(bad ? 1 : 0);
