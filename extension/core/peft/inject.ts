import type { LayerHook, LinearGroup } from "../onnx/layerHook.ts";
import { type ActiveLora, lora, loraSlots } from "./lora.ts";
import type { SlotTensor } from "./method.ts";

/** What a session is built with: slots for every method that needs no graph of its own. */
export const sessionHook: LayerHook = lora.hook;

/** The inputs of all slots for a set of active adapters; an empty set is the bare base. */
export function adapterInputs(
  groups: readonly LinearGroup[],
  active: readonly ActiveLora[],
): SlotTensor[] {
  return groups.flatMap((group) => loraSlots(group, active));
}
