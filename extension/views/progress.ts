import * as vscode from "vscode";
import type { ProgressEvent } from "../protocol/engineContract.ts";
import { formatProgress } from "./format.ts";

/** Work that is over before this shows no notification: nothing flickers. */
const quietMs = 600;

export interface Work {
  signal: AbortSignal;
  onEvent(event: ProgressEvent): void;
}

/** Runs work that may take long; once it does, shows what happens now, with a Cancel button. */
export async function withProgress<T>(title: string, run: (work: Work) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let latest: ProgressEvent | undefined;
  let report: ((event: ProgressEvent) => void) | undefined;
  const result = run({
    signal: controller.signal,
    onEvent(event) {
      latest = event;
      report?.(event);
    },
  });
  if (await settlesWithin(result, quietMs)) return result;
  const location = vscode.ProgressLocation.Notification;
  await vscode.window.withProgress({ location, title, cancellable: true }, async (bar, token) => {
    let before = 0;
    token.onCancellationRequested(() => controller.abort());
    report = (event) => {
      const percent = event.total ? ((event.done ?? 0) / event.total) * 100 : 0;
      bar.report({ message: formatProgress(event), increment: Math.max(0, percent - before) });
      before = Math.max(before, percent);
    };
    if (latest) report(latest);
    await result.catch(() => undefined);
  });
  return result;
}

async function settlesWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const settled = work.then(
    () => true,
    () => true,
  );
  return Promise.race([settled, late]).finally(() => clearTimeout(timer));
}
