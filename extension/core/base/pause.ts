import { throwIfAborted } from "./errors.ts";

/**
 * Lets the rest of the process have its turn between the steps of long computing, so that progress
 * is sent and a wish to stop is heard.
 * @throws cancelled once the signal has fired
 */
export async function pause(signal?: AbortSignal): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  throwIfAborted(signal);
}
