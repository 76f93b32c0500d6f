import { badRequest } from "../core/base/errors.ts";
import { showBytes } from "../core/base/progress.ts";
import { downloadModel, type ModelPlan, planModel } from "../core/hubModel.ts";
import { readArguments } from "./arguments.ts";
import { showTransfers } from "./progress.ts";

const options = {
  revision: { type: "string" },
  subfolder: { type: "string" },
  include: { type: "string", multiple: true },
  onnx: { type: "boolean", default: false },
  variant: { type: "string" },
  "no-base": { type: "boolean", default: false },
  force: { type: "boolean", default: false },
  plan: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Brings a model into the Hugging Face cache, an adapter with its base; prints the folders. */
export async function download(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const [id] = positionals;
  if (id === undefined || positionals.length > 1)
    throw badRequest("download needs one id: owner/name.");
  const wish = {
    revision: values.revision,
    subfolder: values.subfolder,
    patterns: values.include,
    onnx: values.variant ?? values.onnx,
    withBase: !values["no-base"],
    forceDownload: values.force,
    onProgress: showTransfers(),
    onWarning: (warning: string) => void process.stderr.write(`${warning}\n`),
    signal,
  };
  if (values.plan) {
    const plan = await planModel(id, wish);
    process.stdout.write(
      `${values.json ? JSON.stringify(plan, null, 2) : linesOf(plan).join("\n")}\n`,
    );
    return;
  }
  const { folder, base } = await downloadModel(id, wish);
  const lines = [folder, ...(base === null ? [] : [base])];
  process.stdout.write(
    `${values.json ? JSON.stringify({ folder, base }, null, 2) : lines.join("\n")}\n`,
  );
}

function linesOf(plan: ModelPlan): string[] {
  const list = ({ files }: Pick<ModelPlan, "files">): string[] =>
    files.map((file) => `  ${file.path}  ${file.isCached ? "here already" : showBytes(file.size)}`);
  const { base, baseProblem } = plan;
  return [
    `${plan.id} at ${plan.commit} (${plan.kind})`,
    ...list(plan),
    ...(base ? [`${base.id} at ${base.commit} (its base)`, ...list(base)] : []),
    ...(baseProblem === undefined ? [] : [baseProblem]),
    `${showBytes(plan.allBytes)} to download`,
  ];
}
