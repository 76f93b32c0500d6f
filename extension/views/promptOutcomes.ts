import type * as vscode from "vscode";

/** How a row under a column went when it ran last. */
export interface Outcome {
  readonly row: number;
  readonly column: string;
  readonly passed: boolean;
  /** Of a run before the window was reloaded only how it went is known; its output is in the Testing view. */
  readonly output: string;
}

const storageKey = "graft.promptOutcomes";
/** Files whose outcomes outlive the window: those that ran last. */
const mostKept = 50;

/** How tests went, by file; kept when the window reloads. */
export class PromptOutcomes {
  private readonly byFile = new Map<string, Map<string, Outcome>>();

  constructor(private readonly storage: vscode.Memento) {
    const kept = storage.get<Record<string, Outcome[]>>(storageKey, {});
    for (const [uri, outcomes] of Object.entries(kept)) {
      this.byFile.set(uri, new Map(outcomes.map((each) => [keyOf(each), each])));
    }
  }

  of(uri: vscode.Uri): Outcome[] {
    return [...(this.byFile.get(uri.toString())?.values() ?? [])];
  }

  remember(uri: vscode.Uri, outcome: Outcome): void {
    const key = uri.toString();
    const own = this.byFile.get(key) ?? new Map<string, Outcome>();
    own.set(keyOf(outcome), outcome);
    // The file that ran last stands last.
    this.byFile.delete(key);
    this.byFile.set(key, own);
  }

  keep(): void {
    const latest = [...this.byFile].slice(-mostKept).map(([uri, outcomes]) => {
      const bare = [...outcomes.values()].map((each) => ({ ...each, output: "" }));
      return [uri, bare] as const;
    });
    void this.storage.update(storageKey, Object.fromEntries(latest));
  }
}

function keyOf({ row, column }: Pick<Outcome, "row" | "column">): string {
  return `${row} ${column}`;
}
