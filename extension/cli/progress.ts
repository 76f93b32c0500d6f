import { type OnProgress, showBytes } from "../core/base/progress.ts";

/**
 * Shows how much has been downloaded or uploaded on stderr: a line that changes on a terminal, else
 * one line at the start and one at the end of each step. Other steps are passed over.
 */
export function showTransfers(): OnProgress {
  let shown = "";
  return ({ step, done = 0, total, unit }) => {
    if (unit !== "bytes" || total === undefined || !/^(Down|Up|Wait)/.test(step)) return;
    const isEnd = done >= total;
    const line = `${step}: ${showBytes(done)} of ${showBytes(total)}`;
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}${isEnd ? "\n" : ""}`);
    else if (isEnd || step !== shown) process.stderr.write(`${line}\n`);
    shown = isEnd ? "" : step;
  };
}
