import { t } from "@vscode/l10n";
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
} from "yaml";
import type { Problem, Span } from "./problem.ts";

/** A key of a mapping with its value and where both stand. */
export interface Entry {
  readonly key: string;
  readonly keySpan: Span;
  readonly value: Node | null;
}

/** A file is read by people and edited by hand; one that is longer is something else. */
const longestFile = 4_000_000;

/** Walks a YAML file, remembers what is wrong and where, and goes on. */
export class YamlReader {
  readonly problems: Problem[] = [];
  private readonly document: Document.Parsed;

  constructor(readonly text: string) {
    const isLong = text.length > longestFile;
    const lineCounter = new LineCounter();
    const options = { prettyErrors: false, lineCounter, uniqueKeys: true };
    this.document = parseDocument(isLong ? "" : text, options);
    if (isLong) {
      this.report(t("The file is longer than 4 MB: it cannot be a prompt file."), null, "error");
    }
    for (const { message, pos } of this.document.errors) {
      this.problems.push({ message, span: this.clip(pos[0], pos[1]), severity: "error" });
    }
  }

  get root(): Node | null {
    return this.document.contents;
  }

  report(message: string, at: Node | Span | null, severity: Problem["severity"]): void {
    const span = at === null ? this.clip(0, 0) : "start" in at ? at : this.spanOf(at);
    this.problems.push({ message, span, severity });
  }

  spanOf(node: Node | null): Span {
    const [start = 0, end = start] = node?.range ?? [];
    // A block text ends with the line break that belongs to it.
    const trimmed = this.text.slice(start, end).trimEnd().length;
    return this.clip(start, start + Math.max(1, trimmed));
  }

  /** The entries of a mapping; none, with a problem, where it is something else. */
  entries(node: Node | null, what: string): Entry[] {
    const own = this.resolve(node);
    if (own === null || (isScalar(own) && own.value === null)) return [];
    if (!isMap(own)) {
      this.report(t("{0} has to be a mapping of keys to values.", what), node, "error");
      return [];
    }
    return own.items.map(({ key, value }) => {
      const keyNode = key as Node;
      const name = isScalar(keyNode) ? String(keyNode.value) : "";
      return { key: name, keySpan: this.spanOf(keyNode), value: value as Node | null };
    });
  }

  items(node: Node | null, what: string): Node[] {
    const own = this.resolve(node);
    if (own === null || (isScalar(own) && own.value === null)) return [];
    if (isSeq(own)) return own.items as Node[];
    this.report(t("{0} has to be a list: lines that begin with “- ”.", what), node, "error");
    return [];
  }

  isList(node: Node | null): boolean {
    return isSeq(this.resolve(node));
  }

  isMapping(node: Node | null): boolean {
    return isMap(this.resolve(node));
  }

  string(node: Node | null, what: string): string | undefined {
    const value = this.plain(node);
    if (typeof value === "string") return value;
    if (typeof value === "number" || typeof value === "boolean") return String(value);
    this.report(t("{0} has to be a text.", what), node, "error");
    return undefined;
  }

  number(
    node: Node | null,
    what: string,
    { least, most, whole }: { least: number; most: number; whole?: boolean },
  ): number | undefined {
    const value = this.plain(node);
    const isNumber = typeof value === "number" && Number.isFinite(value);
    if (isNumber && value >= least && value <= most && !(whole && !Number.isInteger(value))) {
      return value;
    }
    const text =
      most === Infinity
        ? t("{0} has to be a number of at least {1}.", what, least)
        : t("{0} has to be a number from {1} to {2}.", what, least, most);
    this.report(text, node, "error");
    return undefined;
  }

  /** Plain data, whatever it is. Aliases are followed a bounded number of times. */
  plain(node: Node | null): unknown {
    if (node === null) return null;
    try {
      return node.toJS(this.document, { maxAliasCount: 100 }) as unknown;
    } catch (error) {
      this.report((error as Error).message, node, "error");
      return null;
    }
  }

  private resolve(node: Node | null): Node | null {
    return isAlias(node) ? (node.resolve(this.document) ?? null) : node;
  }

  private clip(start: number, end: number): Span {
    const most = this.text.length;
    const from = Math.min(start, most);
    return { start: from, end: Math.min(Math.max(end, from), most) };
  }
}
