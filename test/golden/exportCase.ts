import { existsSync, readdirSync } from "node:fs";
import * as path from "node:path";
import { loadBaseModel } from "../../extension/core/baseModel.ts";
import { PeftModel } from "../../extension/core/peftModel.ts";
import type { BaseInputs } from "../../extension/core/baseSession.ts";
import { greedyTokens } from "./models.ts";
import { expect, expectClose } from "./outcome.ts";
import { integerRows, logitDifference, readJson, readTruths, type Truth } from "./truth.ts";

/** expected.json of an export; a variant is named by its file without the ending. */
interface Expected {
  adapters: string[];
  variants?: Record<string, { truths?: string; tolerance?: number; adapters?: string[] }>;
}

/** The same file in Python's ONNX Runtime: equal bit for bit on one machine; kernels of other CPUs may round once otherwise. */
const runtimeTolerance = 1e-2;

export interface ExportCase {
  readonly id: string;
  check(): Promise<string>;
}

/** Every variant and adapter of exports/<name>, as test/golden/exports.py lays them out. */
export function exportCases(root: string): ExportCase[] {
  const parent = path.join(root, "exports");
  if (!existsSync(parent)) return [];
  const names = readdirSync(parent).filter((name) =>
    existsSync(path.join(parent, name, "expected.json")),
  );
  return names.sort().flatMap((name) => {
    const folder = path.join(parent, name);
    const { adapters, variants = { model: {} } } = readJson<Expected>(
      path.join(folder, "expected.json"),
    );
    return Object.entries(variants).map(([variant, own]) => ({
      id: `exports/${name}/${variant}`,
      check: () => checkVariant(folder, { variant, adapters: own.adapters ?? adapters, ...own }),
    }));
  });
}

async function checkVariant(
  folder: string,
  at: { variant: string; adapters: string[]; truths?: string; tolerance?: number },
): Promise<string> {
  const { variant, adapters, truths, tolerance = 1e-4 } = at;
  const base = await loadBaseModel(folder, { onnxFile: variant });
  try {
    const { export: report } = base;
    if (!report) throw new Error("it was not opened as an export");
    expect(report.missing.length === 0, `missing ${JSON.stringify(report.missing)}`);
    const notes = [`${report.mapped.length} of ${report.total} modules`];
    for (const name of adapters) {
      const source = path.join(folder, "../adapters", name);
      const file = truths ? path.join(folder, truths, `${path.basename(name)}.safetensors`) : null;
      const expected = await readTruths(file ?? path.join(source, "expected.safetensors"));
      notes.push(await checkAdapter(new PeftModel(base), { source, expected, tolerance }));
    }
    return notes.join(", ");
  } finally {
    await base.session.dispose();
  }
}

async function logitsOf(
  { base: { session } }: PeftModel,
  inputs: BaseInputs,
  { ids, mask }: { ids: number[][]; mask: number[][] },
): Promise<Float32Array> {
  const count = inputs.virtualTokens + (ids[0]?.length ?? 0);
  const logitsRows = Array.from({ length: count }, (_, i) => i - inputs.virtualTokens);
  const attentionMask = mask.map((row) => Uint8Array.from(row));
  const { data } = await session.with(inputs, (running) =>
    running.forward(running.start(inputs, ids.length), ids, { attentionMask, logitsRows }),
  );
  return data;
}

async function checkAdapter(
  model: PeftModel,
  at: { source: string; expected: Map<string, Truth>; tolerance: number },
): Promise<string> {
  const truth = (name: string): Truth => {
    const found = at.expected.get(name);
    if (!found) throw new Error(`${at.source} has no ${name}`);
    return found;
  };
  const ids = integerRows(truth("input_ids"));
  const mask = integerRows(truth("attention_mask"));
  const name = path.basename(at.source);
  const adapter = await model.loadAdapter(at.source, { adapterName: name });
  expect(adapter.report.unbound.length === 0, `${name}: ${adapter.report.unbound.join()} unbound`);
  let largest = 0;
  const notes: string[] = [];
  for (const [kind, active] of [
    ["base", []] as const,
    ["adapter", [{ name, weight: 1 }]] as const,
  ]) {
    const inputs = model.inputsOf(active);
    const { virtualTokens: virtual } = inputs;
    // Positions count real tokens only, as the truths' do.
    const logits = await logitsOf(model, inputs, { ids, mask });
    const whole = mask.map((row) => [...Array<number>(virtual).fill(1), ...row]);
    const difference = logitDifference(logits, truth(`${kind}_logits`), whole);
    expectClose(`${name} ${kind} logits`, difference, at.tolerance);
    largest = Math.max(largest, difference);
    const runtime = kind === "base" ? at.expected.get("runtime_logits") : undefined;
    if (runtime) {
      const own = logitDifference(logits, runtime, whole);
      expectClose(`${name} base logits against Python's ONNX Runtime`, own, runtimeTolerance);
      notes.push(`base as Python's ONNX Runtime ${own.toExponential(1)}`);
    }
    // Arithmetic in 8 bits may choose another token where two are nearly equal.
    if (at.tolerance >= 0.5) continue;
    const [greedy] = integerRows(truth(`greedy_${kind}`)) as [number[]];
    const [row] = ids as [number[]];
    const [got] = await greedyTokens(model, inputs, { ids: [row], count: greedy.length });
    expect(
      got?.join() === greedy.join(),
      `${name} ${kind}: greedy ${got?.join()}, not ${greedy.join()}`,
    );
  }
  return [`${name} ${largest.toExponential(1)}`, ...notes].join(", ");
}
