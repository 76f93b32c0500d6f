import { badRequest } from "../core/base/errors.ts";
import { loadBaseModel } from "../core/baseModel.ts";
import { PeftModel } from "../core/peftModel.ts";
import { baseOf, loadAdapters } from "./adapters.ts";
import { oneOf, readArguments } from "./arguments.ts";

const options = {
  base: { type: "string" },
  adapter: { type: "string", multiple: true },
  out: { type: "string" },
  adapters: { type: "string" },
  dtype: { type: "string" },
  layout: { type: "string" },
  "allow-partial": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Writes a base, with adapters, as an ONNX model for other runtimes. */
export async function exportModel(args: string[], signal: AbortSignal): Promise<void> {
  const { values } = readArguments(args, options);
  const { adapter: given = [], out: folder } = values;
  if (folder === undefined) throw badRequest("export needs --out, and --base or --adapter.");
  const adapters = oneOf("adapters", values.adapters, ["merged", "inputs"]);
  const dtype = oneOf("dtype", values.dtype, ["fp32", "fp16"]);
  const layout = oneOf("layout", values.layout, ["genai", "transformers.js"]);
  const base = values.base ?? (await baseOf(given[0], "export"));
  const model = new PeftModel(await loadBaseModel(base, { signal }));
  try {
    const allowPartial = values["allow-partial"];
    const active = await loadAdapters(model, given, { allowPartial, signal });
    const chosen = { ...(adapters && { adapters }), ...(dtype && { dtype }) };
    const where = { folder, ...(layout && { layout }) };
    const report = await model.exportOnnx({ ...where, ...chosen, active, signal });
    const text = values.json
      ? JSON.stringify(report, null, 2)
      : `${report.files.length} files, ${report.bytes} bytes, written to ${report.folder}\n` +
        `run to check it: logits differ by at most ${report.difference.toPrecision(2)}`;
    process.stdout.write(`${text}\n`);
  } finally {
    await model.dispose();
  }
}
