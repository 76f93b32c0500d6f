import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { deviceFor, threadsFor } from "../../../../extension/core/session/deviceProbe.ts";
import {
  chooseDevice,
  type Device,
  type DeviceProbe,
  devices,
  type DeviceWish,
  fallback,
  reasonOf,
} from "../../../../extension/core/session/devices.ts";
import { machineOf } from "../base/machines.ts";
import { failure, fixtures } from "../support.ts";

/** A machine whose devices take so many seconds or fail so. */
function probe(
  platform: NodeJS.Platform,
  times: Partial<Record<Device, number | string>>,
  arch = "x64",
): DeviceProbe {
  const all: Partial<Record<Device, number | string>> = { cpu: 1, ...times };
  return {
    platform,
    arch,
    built: Object.keys(all),
    time: (device) => {
      const time = all[device];
      return typeof time === "number" ? Promise.resolve(time) : Promise.reject(new Error(time));
    },
  };
}

interface Choice {
  readonly what: string;
  readonly of: DeviceProbe;
  readonly asked?: DeviceWish;
  readonly used: Device;
  readonly says?: readonly string[];
}

// prettier-ignore
const choices: readonly Choice[] = [
  { what: "CUDA on Linux", of: probe("linux", { cuda: 0.1, webgpu: 0.1 }), used: "cuda" },
  { what: "WebGPU where CUDA is broken", of: probe("linux", { cuda: "no driver", webgpu: 0.5 }), used: "webgpu" },
  { what: "DirectML on Windows", of: probe("win32", { dml: 0.2, webgpu: 0.1 }), used: "dml" },
  { what: "Core ML on macOS", of: probe("darwin", { coreml: 0.2, webgpu: 0.3 }, "arm64"), used: "coreml" },
  { what: "nothing of another platform", of: probe("linux", { dml: 0.1, coreml: 0.1 }), used: "cpu", says: ["no other device"] },
  { what: "no CUDA on ARM", of: probe("linux", { cuda: 0.1 }, "arm64"), used: "cpu", says: ["no other device"] },
  { what: "the CPU before a software renderer", of: probe("linux", { webgpu: 3 }), used: "cpu", says: ["WebGPU is slower than the CPU"] },
  { what: "the CPU where all else fails, saying why", of: probe("linux", { cuda: "no driver", webgpu: "no adapter" }), used: "cpu", says: ["CUDA does not work here (no driver)", "WebGPU", "no adapter"] },
  { what: "the CPU as asked, without a word", of: probe("linux", { cuda: 0.1 }), asked: "cpu", used: "cpu", says: [] },
  { what: "a slow device as asked", of: probe("linux", { webgpu: 3 }), asked: "webgpu", used: "webgpu" },
];

for (const { what, of, asked = "auto", used, says = [] } of choices) {
  test(`a model gets ${what}`, async () => {
    const report = await chooseDevice(asked, of);
    assert.deepEqual([report.used, report.asked], [used, asked]);
    for (const part of says) assert(report.note.includes(part), report.note);
    if (says.length === 0) assert.equal(report.note, "");
  });
}

test("a device that was asked for and does not work is refused with the reason", async () => {
  const broken = chooseDevice("cuda", probe("linux", { cuda: "no driver" }));
  await assert.rejects(broken, failure("unsupported", "CUDA does not work here: no driver", "cpu"));
  const absent = chooseDevice("dml", probe("linux", {}));
  await assert.rejects(absent, failure("unsupported", "no DirectML on linux x64"));
});

test("a device that refuses a model leaves it to the CPU and says so", () => {
  const report = fallback({ used: "cuda", asked: "auto", note: "" }, new Error("out of memory"));
  assert.deepEqual(report, {
    used: "cpu",
    asked: "auto",
    note: "Runs on the CPU: CUDA refused the model (out of memory).",
  });
});

test("reasons are what ONNX Runtime states, without its source lines", () => {
  const webgpu =
    "/ort/webgpu_context.cc:136 onnxruntime::Init(const Config&)::<lambda()> status == Success was false. Failed to get a WebGPU adapter: No supported adapters\n";
  assert.equal(
    reasonOf(new Error(webgpu)),
    "Failed to get a WebGPU adapter: No supported adapters",
  );
  const cuda = "OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library";
  assert.equal(reasonOf(new Error(cuda)), "Failed to load shared library");
});

test("this machine gets a device that runs a model", async (t) => {
  const report = await deviceFor("auto");
  assert(devices.includes(report.used));
  assert.equal(await deviceFor("auto"), report, "tried once");
  const base = await loadBaseModel(path.join(fixtures, "models/llama"), { device: "auto" });
  t.after(() => base.session.dispose());
  assert.equal(base.device.used, report.used);
  assert.equal(base.session.device.asked, "auto");
});

const wishes: [asked: number | undefined, parallelism: number, cores: number, threads: number][] = [
  [3, 8, 8, 3],
  [undefined, 8, 8, 0],
  [0, 2, 8, 2],
];

for (const [asked, parallelism, cores, threads] of wishes) {
  test(`${parallelism} of ${cores} cores, asked for ${asked ?? "none"}: ${threads} threads`, async () => {
    assert.equal(await threadsFor(asked, machineOf({ parallelism, cores })), threads);
  });
}
