export const englishPath: string;
export function collectTexts(files?: string[]): {
  texts: Map<string, string>;
  unreadable: string[];
};
export function collectLiterals(): string[];
export function languages(): string[];
export function translation(language: string): {
  code: Record<string, string>;
  manifest: Record<string, string>;
};
export function placeholders(text: string): string[];
export function englishBundle(texts: Map<string, string>): string;
