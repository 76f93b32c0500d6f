/** A value of a table: numbers keep all their digits, null is an empty field. */
export type Field = string | number | null;

/** RFC 4180 with line feeds. A text that a spreadsheet would run as a formula is kept from being one. */
export function toCsv(headings: readonly string[], rows: readonly (readonly Field[])[]): string {
  return [headings, ...rows].map((row) => `${row.map(csvField).join(",")}\n`).join("");
}

function csvField(value: Field): string {
  if (value === null) return "";
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
