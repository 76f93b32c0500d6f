import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Answer, Ask } from "./protocol.ts";

/** A party's process, asked one thing at a time. */
export class Peer {
  private readonly waiting: ((answer: Answer) => void)[] = [];
  private said = "";

  private constructor(private readonly child: ChildProcess) {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      // Libraries may print, too.
      if (line.startsWith("{")) this.waiting.shift()?.(JSON.parse(line) as Answer);
    });
    child.stderr?.on("data", (text: Buffer) => (this.said = (this.said + text).slice(-2000)));
    child.on("exit", (code, signal) =>
      this.fail(`The process has ended (${signal ?? code}). ${this.said}`),
    );
    child.on("error", (error) => this.fail(error.message));
  }

  static open(command: string, args: readonly string[]): Peer {
    const environment = { ...process.env, HF_HUB_OFFLINE: "1", PYTHONWARNINGS: "ignore" };
    return new Peer(spawn(command, args, { stdio: "pipe", env: environment }));
  }

  /** What it answers; an error is thrown. */
  async ask(ask: Ask): Promise<Answer> {
    const answer = await new Promise<Answer>((done) => {
      if (this.isGone) {
        done({ samples: [], error: `The process has ended. ${this.said}` });
        return;
      }
      this.waiting.push(done);
      this.child.stdin?.write(`${JSON.stringify(ask)}\n`);
    });
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }

  /** Ends the process; resolves when it is gone. */
  async end(): Promise<void> {
    if (this.isGone) return;
    const gone = new Promise((done) => this.child.once("exit", done));
    this.child.stdin?.end(`${JSON.stringify({ do: "end" } satisfies Ask)}\n`);
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 5000);
    await gone;
    clearTimeout(timer);
  }

  private get isGone(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  private fail(error: string): void {
    for (const done of this.waiting.splice(0)) done({ samples: [], error });
  }
}
