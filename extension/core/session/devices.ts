import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";

/** Where a model can run; names of ONNX Runtime's execution providers. */
export const devices = ["cpu", "cuda", "dml", "coreml", "webgpu"] as const;

export type Device = (typeof devices)[number];

/** What a user may ask for: a device, or the best one that works. */
export type DeviceWish = Device | "auto";

/** Names for people. */
export const deviceLabels: Readonly<Record<Device, string>> = {
  cpu: "CPU",
  cuda: "CUDA",
  dml: "DirectML",
  coreml: "Core ML",
  webgpu: "WebGPU",
};

/** Where a model runs, what was asked for, and why it is not what one might expect. */
export interface DeviceReport {
  readonly used: Device;
  readonly asked: DeviceWish;
  /** A sentence, or "" where there is nothing to say. */
  readonly note: string;
}

/** What the choice needs to know of this machine; tests put other machines in. */
export interface DeviceProbe {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  /** Execution providers that ONNX Runtime was built with here. */
  readonly built: readonly string[];
  /** Runs a small graph; seconds of a warm run. @throws when the device does not work or is wrong */
  time(device: Device): Promise<number>;
}

/** Best first; what a platform has not is not tried. */
const candidates: Readonly<Partial<Record<NodeJS.Platform, readonly Device[]>>> = {
  linux: ["cuda", "webgpu"],
  win32: ["dml", "webgpu"],
  darwin: ["coreml", "webgpu"],
};

/**
 * Chooses where to run. `auto` takes the first device of this platform that computes a small graph
 * rightly and faster than the CPU (a software renderer also answers as a GPU), else the CPU.
 * @throws unsupported, with the reason, when a device that was asked for by name does not work
 */
export async function chooseDevice(asked: DeviceWish, probe: DeviceProbe): Promise<DeviceReport> {
  if (asked === "cpu") return { used: "cpu", asked, note: "" };
  if (asked !== "auto") return chooseNamed(asked, probe);
  const reasons: string[] = [];
  let cpu: number | null = null;
  for (const device of candidates[probe.platform] ?? []) {
    if (!isBuilt(device, probe)) continue;
    try {
      const seconds = await probe.time(device);
      cpu ??= await probe.time("cpu");
      if (seconds < cpu) return { used: device, asked, note: "" };
      reasons.push(t("{0} is slower than the CPU here", deviceLabels[device]));
    } catch (error) {
      reasons.push(t("{0} does not work here ({1})", deviceLabels[device], reasonOf(error)));
    }
  }
  const why = reasons.length > 0 ? reasons.join(", ") : t("ONNX Runtime has no other device here");
  return { used: "cpu", asked, note: t("Runs on the CPU: {0}.", why) };
}

async function chooseNamed(asked: Device, probe: DeviceProbe): Promise<DeviceReport> {
  const remedy = t('Choose "auto" or "cpu".');
  if (!isBuilt(asked, probe)) {
    const place = `${probe.platform} ${probe.arch}`;
    throw unsupported(t("ONNX Runtime has no {0} on {1}", deviceLabels[asked], place), remedy);
  }
  try {
    await probe.time(asked);
    return { used: asked, asked, note: "" };
  } catch (error) {
    throw unsupported(
      t("{0} does not work here: {1}", deviceLabels[asked], reasonOf(error)),
      remedy,
    );
  }
}

function isBuilt(device: Device, { built, platform, arch }: DeviceProbe): boolean {
  // The package's CUDA libraries are for x64 alone.
  if (device === "cuda" && platform === "linux" && arch !== "x64") return false;
  return built.includes(device);
}

/** The report of a model that a device refused and the CPU took. */
export function fallback({ used, asked }: DeviceReport, error: unknown): DeviceReport {
  const note = t(
    "Runs on the CPU: {0} refused the model ({1}).",
    deviceLabels[used],
    reasonOf(error),
  );
  return { used: "cpu", asked, note };
}

/** The statement in ONNX Runtime's message: without file positions, function names and the rest. */
export function reasonOf(error: unknown): string {
  const [line = ""] = (error instanceof Error ? error.message : String(error)).trim().split("\n");
  const plain = line
    .replace(/^\S+:\d+ .*? was false\. /, "")
    .replace(/^\[ONNXRuntimeError\] : \d+ : \w+ : /, "")
    .replace(/^OrtSessionOptionsAppendExecutionProvider_\w+: /, "")
    .replace(/\.$/, "");
  return plain.length > 160 ? `${plain.slice(0, 157)}...` : plain;
}
