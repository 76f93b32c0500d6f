import { createInterface } from "node:readline/promises";
import { badRequest, cancelled } from "../core/base/errors.ts";
import { showBytes } from "../core/base/progress.ts";
import { describeBase } from "../core/baseModel.ts";
import { openAdapterCheckpoint } from "../core/checkpoint/adapterCheckpoint.ts";
import { openModel } from "../core/precision.ts";
import { modelFolder } from "../core/checkpoint/findAdapter.ts";
import { planPush, type PushPlan, pushToHub } from "../core/pushToHub.ts";
import { baseOf } from "./adapters.ts";
import { readArguments } from "./arguments.ts";
import { showTransfers } from "./progress.ts";

const options = {
  base: { type: "string" },
  public: { type: "boolean", default: false },
  message: { type: "string" },
  revision: { type: "string" },
  "create-pr": { type: "boolean", default: false },
  bin: { type: "boolean", default: false },
  yes: { type: "boolean", default: false },
  plan: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Uploads an adapter in one commit, after it was said what leaves and that was agreed to. */
export async function push(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const [adapter, repoId] = positionals;
  if (adapter === undefined || repoId === undefined || positionals.length > 2) {
    throw badRequest("push needs an adapter's folder and a repository: push DIR owner/name.");
  }
  const base = await modelFolder(
    values.base ?? (await baseOf(adapter, "push")),
    { signal },
    "Base model",
  );
  const { checkpoint } = await openModel(base, signal);
  const source = {
    adapters: [
      {
        name: "default",
        checkpoint: await openAdapterCheckpoint(await modelFolder(adapter, { signal }), signal),
      },
    ],
    base: { checkpoint, tree: describeBase(checkpoint).tree },
  };
  const wish = {
    private: !values.public,
    commitMessage: values.message,
    revision: values.revision,
    createPr: values["create-pr"],
    safeSerialization: !values.bin,
    onProgress: showTransfers(),
    signal,
  };
  const plan = await planPush(source, repoId, wish);
  if (values.plan) {
    process.stdout.write(
      `${values.json ? JSON.stringify(plan, null, 2) : linesOf(plan).join("\n")}\n`,
    );
    return;
  }
  process.stderr.write(`${linesOf(plan).join("\n")}\n`);
  if (!values.yes && !(await isAgreed(signal))) throw cancelled();
  const result = await pushToHub(source, plan.repoId, { ...wish, digest: plan.digest });
  const text = values.json
    ? JSON.stringify(result, null, 2)
    : (result.pullRequestUrl ?? result.commitUrl);
  process.stdout.write(`${text}\n`);
}

function linesOf(plan: PushPlan): string[] {
  const made = plan.exists ? "" : ", to be created";
  const where = plan.createPr ? `a pull request on ${plan.revision}` : plan.revision;
  return [
    `${plan.repoId} on ${plan.endpoint} (${plan.visibility}${made}), ${where}, as ${plan.account}`,
    `"${plan.commitMessage}": ${plan.files.length} files, ${showBytes(plan.bytes)}`,
    ...plan.files.map(({ path, size, change }) => `  ${path}  ${showBytes(size)}  ${change}`),
    ...plan.warnings,
  ];
}

async function isAgreed(signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY) throw badRequest("Nobody is here to be asked. Add --yes to upload.");
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question("Upload? [y/N] ", { signal })).trim());
  } finally {
    lines.close();
  }
}
