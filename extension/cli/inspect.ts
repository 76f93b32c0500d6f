import { badRequest } from "../core/base/errors.ts";
import { loadBaseModel } from "../core/baseModel.ts";
import { modelFolder } from "../core/checkpoint/findAdapter.ts";
import { PeftModel } from "../core/peftModel.ts";
import { inspectAdapter } from "../engine/inspect.ts";
import { showTransfers } from "./progress.ts";
import { readArguments } from "./arguments.ts";

const options = { base: { type: "string" }, json: { type: "boolean", default: false } } as const;

/** Tells what an adapter's files hold and, with a base, whether it fits. */
export async function inspect(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const [named] = positionals;
  if (named === undefined) throw badRequest("inspect needs a folder or an id.");
  const place = { onProgress: showTransfers(), signal };
  const folder = await modelFolder(named, place);
  const base = values.base === undefined ? undefined : await loadBaseModel(values.base, place);
  const report = await inspectAdapter(folder, base && new PeftModel(base));
  if (values.json) {
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  const { summary, totals, grid, fit, warnings, alpha, scaling } = report;
  const numbers = [
    summary.rank === null ? "" : ` r ${summary.rank}`,
    alpha === null ? "" : ` · α ${alpha}`,
    scaling === null ? "" : ` · scale ${scaling}`,
  ].join("");
  const lines = [
    `${summary.name}  ${summary.method}${numbers}`,
    `for ${summary.baseName ?? "an unnamed base"}${summary.basePath ? ` (${summary.basePath})` : ""}`,
    `${totals.modules} modules, ${totals.tensors} tensors, ${totals.parameters.toLocaleString("en")} parameters, ` +
      `${totals.dtypes.join(" + ")}, ${totals.bytes.toLocaleString("en")} bytes`,
    ...gridLines(grid),
  ];
  if (fit) {
    const share = (100 * fit.share).toPrecision(2);
    const word = fit.fits ? "fits" : "does not fit";
    lines.push(
      `${word} ${fit.baseName}: ${fit.bound} of ${fit.total} modules bound, ${share} % of its parameters`,
    );
    if (fit.reason) lines.push(fit.reason);
  }
  process.stdout.write(`${[...lines, ...warnings].join("\n")}\n`);
}

/** Parameters by layer and module, one line a layer. */
function gridLines({
  rows,
  columns,
  cells,
}: Awaited<ReturnType<typeof inspectAdapter>>["grid"]): string[] {
  const first = Math.max(0, ...rows.map((row) => row.length));
  const width = Math.max(9, ...columns.map((column) => column.length)) + 1;
  const head = " ".repeat(first) + columns.map((column) => column.padStart(width)).join("");
  const body = rows.map((row) => {
    const counts = columns.map((column) => {
      const own = cells.filter((cell) => cell.row === row && cell.column === column);
      const sum = own.reduce((total, cell) => total + cell.parameters, 0);
      return (own.length === 0 ? "·" : sum.toLocaleString("en")).padStart(width);
    });
    return row.padEnd(first) + counts.join("");
  });
  return [head, ...body];
}
