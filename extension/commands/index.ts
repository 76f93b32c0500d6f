import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { presentError } from "../views/errors.ts";
import { activateAdapter } from "./activateAdapter.ts";
import { addFolder } from "./addFolder.ts";
import { bulkRun } from "./bulkRun.ts";
import { askEdited } from "./askEdited.ts";
import { cancelEdit } from "./cancelEdit.ts";
import { chooseTask } from "./chooseTask.ts";
import { clearQuantizedWeights } from "./clearQuantizedWeights.ts";
import { clearAdapterFilter } from "./clearAdapterFilter.ts";
import { closeThread } from "./closeThread.ts";
import { combineAdapters } from "./combineAdapters.ts";
import { compareAdapters } from "./compareAdapters.ts";
import { compareAnswers } from "./compareAnswers.ts";
import { compareSelection } from "./compareSelection.ts";
import { compareStatus } from "./compareStatus.ts";
import { convertAdapter } from "./convertAdapter.ts";
import { copyAnswer } from "./copyAnswer.ts";
import { deactivateAdapter } from "./deactivateAdapter.ts";
import { deactivateAdapters } from "./deactivateAdapters.ts";
import { deleteAdapter } from "./deleteAdapter.ts";
import { exportBulkResults } from "./exportBulkResults.ts";
import { editQuestion } from "./editQuestion.ts";
import { exportOnnx } from "./exportOnnx.ts";
import { filterAdapters } from "./filterAdapters.ts";
import { groupCommands } from "./groupAdapters.ts";
import { importAdapter } from "./importAdapter.ts";
import { insertAnswer } from "./insertAnswer.ts";
import { loadAdapter } from "./loadAdapter.ts";
import { loadAdaptersOnto } from "./loadAdaptersOnto.ts";
import { loadBaseModel } from "./loadBaseModel.ts";
import { loadBaseModelWith } from "./loadBaseModelWith.ts";
import { loadFromHub } from "./loadFromHub.ts";
import { loadItsBase } from "./loadItsBase.ts";
import { measureEffect } from "./measureEffect.ts";
import { measurePerplexity } from "./measurePerplexity.ts";
import { mergeIntoBase } from "./mergeIntoBase.ts";
import { mixAdapters } from "./mixAdapters.ts";
import { openAdapterConfig } from "./openAdapterConfig.ts";
import { openInspector } from "./openInspector.ts";
import { openWalkthrough } from "./openWalkthrough.ts";
import { openLink } from "./openLink.ts";
import { openPlayground } from "./openPlayground.ts";
import { openSampleWorkspace } from "./openSampleWorkspace.ts";
import { openTensors } from "./openTensors.ts";
import { pushToHub } from "./pushToHub.ts";
import { refresh } from "./refresh.ts";
import { regenerateAnswer } from "./regenerateAnswer.ts";
import { renameAdapter } from "./renameAdapter.ts";
import { replaceWithAnswer } from "./replaceWithAnswer.ts";
import { replyInThread } from "./replyInThread.ts";
import { rerunTestPrompt } from "./rerunTestPrompt.ts";
import { reportIssue } from "./reportIssue.ts";
import { restartEngine } from "./restartEngine.ts";
import { runPromptFile } from "./runPromptFile.ts";
import { runSelectionAsPrompt } from "./runSelectionAsPrompt.ts";
import { runTestPrompt } from "./runTestPrompt.ts";
import { saveAdapterAs } from "./saveAdapterAs.ts";
import { searchHub } from "./searchHub.ts";
import { setAdapterWeight } from "./setAdapterWeight.ts";
import { showLog } from "./showLog.ts";
import { showMenu } from "./showMenu.ts";
import { signIn } from "./signIn.ts";
import { signOut } from "./signOut.ts";
import { sortCommands } from "./sortAdapters.ts";
import { stopAnswer } from "./stopAnswer.ts";
import { stopTestPrompt } from "./stopTestPrompt.ts";
import { trainingCommands } from "./training.ts";
import { unloadAdapter } from "./unloadAdapter.ts";
import { unloadBaseModel } from "./unloadBaseModel.ts";

/** Every command of Graft; a test holds this list against package.json. */
export const commands: readonly Command[] = [
  loadBaseModel,
  loadBaseModelWith,
  clearQuantizedWeights,
  unloadBaseModel,
  loadAdapter,
  loadAdaptersOnto,
  mixAdapters,
  openLink,
  activateAdapter,
  setAdapterWeight,
  deactivateAdapter,
  deactivateAdapters,
  unloadAdapter,
  renameAdapter,
  saveAdapterAs,
  combineAdapters,
  convertAdapter,
  importAdapter,
  mergeIntoBase,
  searchHub,
  loadFromHub,
  pushToHub,
  signIn,
  signOut,
  exportOnnx,
  deleteAdapter,
  compareAdapters,
  compareStatus,
  chooseTask,
  measureEffect,
  loadItsBase,
  runTestPrompt,
  rerunTestPrompt,
  stopTestPrompt,
  runPromptFile,
  bulkRun,
  exportBulkResults,
  measurePerplexity,
  runSelectionAsPrompt,
  compareSelection,
  replyInThread,
  stopAnswer,
  regenerateAnswer,
  compareAnswers,
  editQuestion,
  askEdited,
  cancelEdit,
  insertAnswer,
  replaceWithAnswer,
  copyAnswer,
  closeThread,
  openInspector,
  openPlayground,
  openAdapterConfig,
  openTensors,
  openSampleWorkspace,
  filterAdapters,
  clearAdapterFilter,
  ...groupCommands,
  ...sortCommands,
  addFolder,
  refresh,
  restartEngine,
  showLog,
  reportIssue,
  openWalkthrough,
  showMenu,
  ...trainingCommands,
];

export function registerCommands(graft: Graft): vscode.Disposable {
  return vscode.Disposable.from(
    ...commands.map(({ id, run }) =>
      vscode.commands.registerCommand(id, async (argument?: unknown, selected?: unknown) => {
        try {
          return await run(graft, argument, selected);
        } catch (thrown) {
          // Not awaited: whoever called is done, whether or not the message is read.
          void presentError(graft, thrown);
          return undefined;
        }
      }),
    ),
  );
}
