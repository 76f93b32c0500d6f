import { t } from "./l10n.ts";

/** 75 → "75 s", 600 → "10 min": seconds below two minutes, hours above two. */
export function duration(seconds: number): string {
  if (seconds < 120) return t("{0} s", Math.max(1, Math.round(seconds)));
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return t("{0} min", minutes);
  return t("{0} h {1} min", Math.floor(minutes / 60), minutes % 60);
}
