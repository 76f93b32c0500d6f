import assert from "node:assert/strict";
import { test } from "node:test";
import { pythonRegex, substitute } from "../../../../extension/core/checkpoint/pythonRegex.ts";
import { failure } from "../support.ts";

const place = { field: "target_modules", file: "config" };

/** Answers of Python 3.11's `re.search`. */
const searched: [pattern: string, text: string, found: boolean][] = [
  ["(?i)Q_PROJ", "q_proj", true],
  ["(?x) q _ proj  # the query", "q_proj", true],
  ["(?x)[ #]q", " q", true],
  ["(?P<a>q)_(?P=a)", "q_q", true],
  ["\\Aq", "q_proj", true],
  ["proj\\Z", "q_proj", true],
  ["l{,2}$", "ll", true],
  ["[]a]b", "]b", true],
  ["[^]a]b", "]b", false],
  ["a(?#never)b", "ab", true],
  ["(?<=layers\\.)0", "layers.0", true],
  ["(?:q|v)_proj", "v_proj", true],
];

for (const [pattern, text, found] of searched) {
  test(`/${pattern}/ ${found ? "is" : "is not"} in "${text}"`, () => {
    assert.equal(pythonRegex(pattern, place).test(text), found);
  });
}

for (const pattern of ["(q", "\\q", "q(?i)", "(?<name>q)", "*q", "[q"]) {
  test(`/${pattern}/ is refused, as Python does`, () => {
    assert.throws(
      () => pythonRegex(pattern, place),
      failure("bad-file", "config", "target_modules"),
    );
  });
}

/** Answers of Python's `re.subn`. */
const substituted: [pattern: string, template: string, text: string, result: string][] = [
  ["h\\.(\\d+)", "layers.\\1", "h.0.h.1", "layers.0.layers.1"],
  ["h\\.(?P<n>\\d+)", "layers.\\g<n>", "h.0", "layers.0"],
  ["h\\.(\\d+)", "l\\g<1>0", "h.7", "l70"],
  ["^", "model.", "layers", "model.layers"],
  ["q", "$&$1", "q", "$&$1"],
  ["q", "\\\\", "q", "\\"],
];

for (const [pattern, template, text, result] of substituted) {
  test(`/${pattern}/ → ${template} makes ${text} ${result}`, () => {
    const regex = pythonRegex(pattern, place, { flags: "g" });
    assert.equal(substitute(regex, template, text).text, result);
  });
}
