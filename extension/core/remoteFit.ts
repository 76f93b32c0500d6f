import { t } from "@vscode/l10n";
import { asGraftError, throwIfAborted } from "./base/errors.ts";
import { bindReasons } from "./bindReasons.ts";
import { bindWarnings, checkReport } from "./bindReport.ts";
import { methodLabel } from "./checkpoint/adapterConfig.ts";
import { expertSources } from "./checkpoint/experts.ts";
import { type RemoteAdapter, readRemoteAdapter } from "./checkpoint/remoteModel.ts";
import type { SnapshotOptions } from "./hub/snapshot.ts";
import { methodOf, methods } from "./peft/index.ts";
import type { BindReport, MethodBase } from "./peft/method.ts";

/** What an adapter on the Hub is, by its config and the sizes of its files. */
export interface RemoteAdapterInfo {
  readonly id: string;
  readonly commit: string;
  /** `peft_type` as stored, and as people say it. */
  readonly peftType: string;
  readonly method: string;
  readonly rank: number | null;
  readonly baseName: string | null;
  /** Of all files that loading takes. */
  readonly bytes: number;
  readonly format: "safetensors" | "bin";
  /** Why Graft cannot run it; a sentence. */
  readonly problem?: string;
}

/** Does an adapter on the Hub fit a base? `fits` is null where only its whole file would tell. */
export interface RemoteFit extends RemoteAdapterInfo {
  readonly fits: boolean | null;
  readonly bound: number;
  readonly total: number;
  /** Why it does not fit, or what of it finds no place; sentences. */
  readonly reason?: string;
}

type Options = Pick<SnapshotOptions, "revision" | "subfolder" | "signal"> &
  Partial<SnapshotOptions>;

/** Size, method and rank for a list of search results; fetches the config alone. */
export async function describeRemoteAdapter(
  id: string,
  options: Options = {},
): Promise<RemoteAdapterInfo> {
  return infoOf(await readRemoteAdapter(id, options));
}

/**
 * Binds an adapter on the Hub to a base by its config and the header of its weights, as loading would:
 * a misfit is known before any weight is downloaded.
 * @throws what asking the Hub throws; a misfit is no error here
 */
export async function fitOfRemoteAdapter(
  id: string,
  base: MethodBase,
  options: Options = {},
): Promise<RemoteFit> {
  const remote = await readRemoteAdapter(id, options);
  const info = infoOf(remote);
  const none = { ...info, bound: 0, total: 0 };
  if (info.problem !== undefined) return { ...none, fits: false, reason: info.problem };
  if (expertSources(remote.config).length > 0) {
    const reason = t(
      "It is made of other adapters: whether it fits is known once it is downloaded.",
    );
    return { ...none, fits: null, reason };
  }
  try {
    const adapter = await remote.open();
    if (adapter === null) {
      const reason = t(
        "Its weights are a .bin file: whether it fits is known once it is downloaded.",
      );
      return { ...none, fits: null, reason };
    }
    const report = methodOf(adapter.config).bind(adapter, base);
    const counts = countsOf(report);
    try {
      checkReport(adapter, report, { base, allowPartial: true });
    } catch (error) {
      return { ...info, ...counts, fits: false, reason: asGraftError(error).message };
    }
    const partial = [...bindWarnings(report), ...bindReasons(adapter, report, base)].join(" ");
    return { ...info, ...counts, fits: true, ...(partial !== "" && { reason: partial }) };
  } catch (error) {
    throwIfAborted(options.signal);
    const { code, message } = asGraftError(error);
    if (!["misfit", "unsupported", "bad-file"].includes(code)) throw error;
    return { ...none, fits: false, reason: message };
  }
}

function countsOf({ bound, total }: BindReport): { bound: number; total: number } {
  return { bound: bound.length, total };
}

function infoOf({ id, commit, config, files, weights }: RemoteAdapter): RemoteAdapterInfo {
  const known = methods.find(({ peftType }) => peftType === config.peftType);
  const problem = problemOf(() => methodOf(config).check(config));
  return {
    id,
    commit,
    peftType: config.peftType,
    method: methodLabel(config),
    rank: problem === undefined ? (known?.rank(config) ?? null) : null,
    baseName: config.baseName,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    format: weights.path.endsWith(".bin") ? "bin" : "safetensors",
    ...(problem !== undefined && { problem }),
  };
}

function problemOf(check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return asGraftError(error).message;
  }
}
