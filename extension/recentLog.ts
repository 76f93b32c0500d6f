import type * as vscode from "vscode";

const levels = ["trace", "debug", "info", "warn", "error"] as const;

/** As many lines of the log are kept for a report. */
const mostKept = 200;

/** The output channel, and what was last written to it: a report can show that. */
export class RecentLog {
  private readonly kept: string[] = [];
  /** Writes to the channel and remembers; its level decides about both. */
  readonly channel: vscode.LogOutputChannel;

  constructor(channel: vscode.LogOutputChannel) {
    // Over an object of its own: the channel's is frozen.
    this.channel = new Proxy({} as vscode.LogOutputChannel, {
      get: (_, key) => {
        const level = levels.find((each) => each === key);
        if (level === undefined) return Reflect.get(channel, key) as unknown;
        return (message: string | Error, ...more: unknown[]) => {
          // LogLevel counts from 1 for trace; 0 is off.
          const isShown = channel.logLevel > 0 && channel.logLevel <= levels.indexOf(level) + 1;
          if (isShown) this.keep(level, message);
          (channel[level] as (text: string | Error, ...rest: unknown[]) => void)(message, ...more);
        };
      },
    });
  }

  lines(): readonly string[] {
    return this.kept;
  }

  private keep(level: string, message: string | Error): void {
    const text = message instanceof Error ? message.message : message;
    const time = new Date().toISOString().slice(11, 19);
    this.kept.push(`${time} [${level}] ${text.replace(/\s*\n\s*/g, " ⏎ ")}`);
    if (this.kept.length > mostKept) this.kept.shift();
  }
}
