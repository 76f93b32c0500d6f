import { t } from "@vscode/l10n";
/** What long work is doing, for a progress bar. */
export type OnProgress = (progress: {
  step: string;
  done?: number;
  total?: number;
  unit?: "bytes" | "items";
  /** How long this step will take from now on, once that can be said. */
  secondsLeft?: number;
}) => void;

/** Bytes as people write them: "12 bytes", "3.4 MB"; decimal units, as the Hub shows them. */
export function showBytes(bytes: number): string {
  if (bytes < 1000) return t("{0} bytes", bytes);
  const units = ["kB", "MB", "GB", "TB"];
  let [value, unit] = [bytes / 1000, 0];
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
