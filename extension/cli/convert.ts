import { badRequest } from "../core/base/errors.ts";
import { type Conversion, convertAdapter } from "../core/convertAdapter.ts";
import { convertResult } from "../engine/convertResult.ts";
import { oneOf, readArguments, readNumber } from "./arguments.ts";

const options = {
  to: { type: "string" },
  out: { type: "string" },
  base: { type: "string" },
  rank: { type: "string" },
  energy: { type: "string" },
  exact: { type: "boolean", default: false },
  "top-k": { type: "string" },
  threshold: { type: "string" },
  mitigation: { type: "string" },
  dtype: { type: "string" },
  names: { type: "string" },
  overwrite: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

type Values = ReturnType<typeof readArguments<typeof options>>["values"];

/** Turns an adapter into another form; what is there already stays, by an error. */
export async function convert(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const [path] = positionals;
  const { out: target, base, overwrite } = values;
  if (path === undefined || target === undefined) {
    throw badRequest("convert needs an adapter, --to KIND and --out PATH.");
  }
  const to = conversionOf(values);
  const report = await convertAdapter({ path, base, to, target, overwrite, signal });
  const result = convertResult(report);
  if (values.json) {
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    return;
  }
  for (const warning of result.warnings) process.stderr.write(`${warning}\n`);
  const [least, most] = result.ranks;
  const ranks = least === most ? `rank ${least}` : `ranks ${least} to ${most}`;
  const lines = [
    `${result.modules} modules of ${ranks}, written to ${result.target}`,
    `${percent(result.lost)} of the update ${to.kind === "reduceIntruders" ? "changed" : "is lost"}`,
    ...result.worst.map(({ module, lost }) => `  ${module}  ${percent(lost)}`),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function conversionOf(values: Values): Conversion {
  switch (values.to) {
    case "lora":
    case "resize":
      return { kind: values.to, size: sizeOf(values) };
    case "reduce-intruders":
      return {
        kind: "reduceIntruders",
        topK: number(values, "top-k"),
        threshold: number(values, "threshold"),
        mitigation: number(values, "mitigation"),
      };
    case "onnx-adapter":
      return {
        kind: "onnxAdapter",
        dtype: oneOf("dtype", values.dtype, ["fp32", "fp16"]),
        names: oneOf("names", values.names, ["olive", "genai"]),
      };
    case "gguf":
      return { kind: "gguf", dtype: oneOf("dtype", values.dtype, ["fp32", "fp16", "bf16"]) };
    case "peft":
      return { kind: "peft" };
    default:
      throw badRequest(
        `--to is "${values.to ?? ""}": lora, resize, reduce-intruders, onnx-adapter, gguf or peft.`,
      );
  }
}

function sizeOf(values: Values): (Conversion & { kind: "lora" })["size"] {
  const chosen = [values.rank, values.energy, values.exact || undefined];
  if (chosen.filter((value) => value !== undefined).length !== 1) {
    throw badRequest(`--to ${values.to} needs one of --rank N, --energy SHARE and --exact.`);
  }
  if (values.exact) return { kind: "exact" };
  return values.rank === undefined
    ? { kind: "energy", energy: readNumber(values.energy, "energy", 1) }
    : { kind: "rank", rank: readNumber(values.rank, "rank", 1) };
}

function number(values: Values, name: "top-k" | "threshold" | "mitigation"): number | undefined {
  return values[name] === undefined ? undefined : readNumber(values[name], name, 0);
}

function percent(share: number): string {
  return share === 0 ? "nothing" : `${(100 * share).toPrecision(2)} %`;
}
