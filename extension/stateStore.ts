import { emptyState, type State } from "./state.ts";

/** Holds what the host knows, and tells of every change. */
export class StateStore {
  private current: State = emptyState;
  private readonly listeners = new Set<(state: State) => void>();

  get state(): State {
    return this.current;
  }

  onDidChange(listener: (state: State) => void): { dispose(): void } {
    this.listeners.add(listener);
    return { dispose: () => void this.listeners.delete(listener) };
  }

  set(change: Partial<State>): void {
    this.current = { ...this.current, ...change };
    for (const listener of [...this.listeners]) listener(this.current);
  }
}
