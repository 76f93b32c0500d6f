import * as vscode from "vscode";

/** Runs a command for a page, which is told when it has ended. */
export async function runCommand(command: string, ...args: unknown[]): Promise<null> {
  await vscode.commands.executeCommand(command, ...args);
  return null;
}
