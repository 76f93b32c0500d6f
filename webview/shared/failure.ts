/** What a page reads from a request that failed; it decides by code, never by message. */
export function failureOf(thrown: unknown): { code: string; message: string } {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const isCoded = thrown instanceof Error && "code" in thrown && typeof thrown.code === "string";
  return { code: isCoded ? String(thrown.code) : "internal", message };
}
