import { asGraftError } from "../core/base/errors.ts";
import { analyze, compare } from "./analyze.ts";
import { bulk } from "./bulk.ts";
import { cache } from "./cache.ts";
import { combine } from "./combine.ts";
import { convert } from "./convert.ts";
import { demo } from "./demo.ts";
import { download } from "./download.ts";
import { evaluateFile } from "./eval.ts";
import { exportModel } from "./export.ts";
import { exportTrainingJob } from "./exportJob.ts";
import { inspect } from "./inspect.ts";
import { merge } from "./merge.ts";
import { push } from "./push.ts";
import { run } from "./run.ts";
import { save } from "./save.ts";
import { search } from "./search.ts";
import { train } from "./train.ts";

/** What the terminal door can do; a new verb is its file and its line here. */
const verbs: Readonly<Record<string, (args: string[], signal: AbortSignal) => Promise<void>>> = {
  run,
  inspect,
  analyze,
  compare,
  merge,
  save,
  combine,
  convert,
  export: exportModel,
  cache,
  download,
  search,
  push,
  eval: evaluateFile,
  bulk,
  train,
  "export-job": exportTrainingJob,
  demo,
};

const usage = `Usage:
  graft run --base DIR [--adapter DIR[:WEIGHT]]... --prompt TEXT [--pair TEXT] [--text] [--json]
            [--image FILE]
            [--max-tokens N] [--temperature T] [--top-p P] [--top-k K] [--seed S]
            [--precision auto|fp32|fp16|bf16|int8|int4|nf4|fp4] [--block-size 32|64|128]
            [--quantization nf4|fp4|int8] [--double-quant]
  graft run MODEL PROMPT    a base or an adapter, which brings its base; a folder or a Hub id
  graft inspect DIR [--base DIR] [--json]
  graft analyze DIR [--base DIR | --no-base] [--module PATH]... [--thorough | --intruders] [--json]
  graft compare DIR DIR [--base DIR | --no-base] [--module PATH]... [--json]
  graft merge [--base DIR] --adapter DIR[:WEIGHT]... (--out DIR [--allow-lossy] | --preview)
            [--allow-partial] [--json]
  graft save [--base DIR] --adapter DIR --out DIR [--bin] [--convert-from DIR]
            [--embedding-layers auto|true|false] [--overwrite] [--allow-partial] [--json]
  graft combine --adapter DIR[:WEIGHT]... --out DIR [--base DIR] [--type TYPE] [--density N]
            [--svd-rank N] [--svd-clamp N] [--majority-sign total|frequency] [--seed S]
  graft convert DIR --to lora|resize (--rank N | --energy SHARE | --exact) --out DIR
  graft convert DIR --to reduce-intruders [--top-k N] [--threshold T] [--mitigation F] --out DIR
  graft convert DIR --to onnx-adapter [--dtype fp32|fp16] [--names olive|genai] --out FILE
  graft convert DIR --to gguf [--dtype fp32|fp16|bf16] --out FILE
  graft convert FILE.gguf|FILE.onnx_adapter --to peft --out DIR
            each with [--base DIR] [--overwrite] [--json]
  graft export [--base DIR] [--adapter DIR[:WEIGHT]]... --out DIR [--adapters merged|inputs]
            [--dtype fp32|fp16] [--layout genai|transformers.js] [--allow-partial] [--json]
  graft cache [list | clear [KEY]...] [--json]    quantized weights that are kept
  graft download ID [--revision R] [--subfolder DIR] [--include PATTERN]... [--onnx [--variant NAME]]
            [--no-base] [--force] [--plan] [--json]
  graft search [WORDS] [--base ID|DIR [--fit]] [--models] [--limit N] [--json]
  graft push DIR OWNER/NAME [--base DIR] [--public] [--message TEXT] [--revision BRANCH]
            [--create-pr] [--bin] [--plan] [--yes] [--json]
  graft eval FILE.prompt.yml [--base DIR] [--adapter DIR[:WEIGHT]]... [--batch N] [--json]
            each row under the base and the adapters that the file names; fails when a test does
  graft bulk DATA.jsonl|DATA.csv [--prompt FILE.prompt.yml] [--base DIR] [--adapter DIR[:WEIGHT]]...
            [--no-base] [--out FILE] [--export FILE.csv|.md|.jsonl] [--restart] [--batch N]
            [--max-tokens N] [--temperature T] [--seed S]    goes on where it stopped
  graft train RUN.json [--out DIR] [--json]    a new run below DIR (graft-runs); the same config, the same run
  graft train DIR [--json]    goes on with the run of a folder from its last checkpoint
  graft export-job RUN.json|DIR --out DIR [--json]    the run as a Python job (PEFT, TRL, Accelerate)
  graft demo
`;

async function main([verb = "", ...args]: string[]): Promise<number> {
  const action = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
  if (!action) {
    process.stderr.write(usage);
    return verb === "" || verb === "--help" || verb === "help" ? 0 : 2;
  }
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  try {
    await action(args, stop.signal);
    return 0;
  } catch (error) {
    process.stderr.write(`${asGraftError(error).message}\n`);
    return 1;
  }
}

// A reader that has seen enough (`graft demo | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
