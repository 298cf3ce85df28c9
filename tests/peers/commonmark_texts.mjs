// The visible text of Markdown documents by an independent parser, the npm package commonmark: every example of the
// CommonMark specification, and generated documents.
//
//   node commonmark_texts.mjs COUNT    prints a line of JSON for each document: {"markdown", "text"}; COUNT generated ones

import { Parser } from "commonmark";
import spec from "commonmark-spec";

const visible = (markdown) => {
  const walker = new Parser().parse(markdown).walker();
  let text = "";
  for (let step = walker.next(); step; step = walker.next()) {
    const { node, entering } = step;
    if (!entering) continue;
    if (node.literal !== null) text += node.type === "code_block" || node.type === "html_block" ? ` ${node.literal} ` : node.literal;
    else if (!["emph", "strong", "link", "text"].includes(node.type)) text += " ";
  }
  return text;
};
const print = (markdown) => console.log(JSON.stringify({ markdown, text: visible(markdown) }));

for (const { markdown } of spec.tests) print(markdown);

// An emoji stands between spaces: beside a mark of emphasis, versions of the specification differ.
// A linear congruential generator: the documents are the same in every run.
let seed = 20261201;
const below = (most) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % most;
const PIECES = ["word ", "a", "é ", " 🥒 ", " ", "\n", "\n\n", "*", "**", "_", "`", "``", "# ", "## ", "> ", "- ", "1. ", "    ",
  "```\n", "[x](http://a.b) ", "<http://c.d> ", "\\", "&amp; ", "---\n", "![i](p.png) ", "<b>", "!"];
for (let n = Number(process.argv[2]); n > 0; n -= 1) {
  print(Array.from({ length: 1 + below(40) }, () => PIECES[below(PIECES.length)]).join(""));
}
