import { t } from "@vscode/l10n";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { badRequest, unauthorized } from "./base/errors.ts";
import { isFolder } from "./base/files.ts";
import type { OnProgress } from "./base/progress.ts";
import type { BaseModel } from "./baseModel.ts";
import type { AdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { localCandidates } from "./checkpoint/findBase.ts";
import type { ModuleTree } from "./checkpoint/modules.ts";
import { whoAmI } from "./hub/account.ts";
import { isRepoId } from "./hub/cache.ts";
import { readRemoteText } from "./hub/remoteFile.ts";
import type { RemoteRepo } from "./hub/repo.ts";
import { type HubOptions, hubSettings } from "./hub/settings.ts";
import { findRemote, type Uploaded, uploadFiles, visibilityOf } from "./hub/upload.ts";
import type { LoadedAdapters } from "./loadedAdapters.ts";
import { saveAdapters, type SaveOptions } from "./savePretrained.ts";

/** PEFT's arguments of push_to_hub; a repository that is made for it is private unless said otherwise. */
export interface PushOptions
  extends
    HubOptions,
    Pick<
      SaveOptions,
      "safeSerialization" | "saveEmbeddingLayers" | "pathInitialModelForWeightConversion"
    > {
  /** Visibility of a repository that is made; one that is there keeps its own. True when absent. */
  readonly private?: boolean | undefined;
  readonly commitMessage?: string | undefined;
  readonly commitDescription?: string | undefined;
  /** Branch; "main" when absent, made when it is not there. */
  readonly revision?: string | undefined;
  /** Open a pull request in place of changing the branch. */
  readonly createPr?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What would leave this machine, and where it would go. */
export interface PushPlan {
  /** "owner/name": the token's account owns it where no owner was given. */
  readonly repoId: string;
  readonly endpoint: string;
  readonly account: string;
  readonly exists: boolean;
  readonly visibility: "private" | "public";
  readonly revision: string;
  readonly createPr: boolean;
  readonly commitMessage: string;
  readonly files: readonly {
    readonly path: string;
    readonly size: number;
    readonly change: "added" | "replaced" | "unchanged";
  }[];
  readonly bytes: number;
  /** Of all names and bytes: pushing with it makes sure that nothing else leaves. */
  readonly digest: string;
  /** Sentences. */
  readonly warnings: readonly string[];
}

export interface PushResult extends Uploaded {
  readonly repoId: string;
  readonly url: string;
  readonly visibility: "private" | "public";
}

/** Adapters to push and the base that they are saved with; "default" goes into the root. */
export interface PushSource {
  readonly adapters: readonly { name: string; checkpoint: AdapterCheckpoint }[];
  readonly base: { readonly checkpoint: BaseCheckpoint; readonly tree: ModuleTree };
}

/**
 * Loaded adapters as PEFT's push_to_hub lays them out; one that is named alone goes into the
 * repository's root, whatever its name.
 * @param selected names; all when absent
 */
export function pushSource(
  loaded: LoadedAdapters,
  { checkpoint, adaptable }: BaseModel,
  selected?: readonly string[],
): PushSource {
  const names = [...new Set(selected ?? loaded.names)];
  const isAlone = selected !== undefined && names.length === 1;
  const adapters = names.map((name) => ({
    name: isAlone ? "default" : name,
    checkpoint: loaded.require(name).checkpoint,
  }));
  return { adapters, base: { checkpoint, tree: adaptable.tree } };
}

/** Prepares a push and tells what it would upload; nothing leaves this machine. */
export async function planPush(
  source: PushSource,
  repoId: string,
  options: PushOptions = {},
): Promise<PushPlan> {
  return withPrepared(source, { repoId, ...options }, ({ plan }) => Promise.resolve(plan));
}

/**
 * Uploads adapters and their card in one commit (PEFT: push_to_hub).
 * @param options `digest`: of the plan that was agreed to
 * @throws bad-request when what would be uploaded is no longer what was agreed to
 */
export async function pushToHub(
  source: PushSource,
  repoId: string,
  { digest, ...options }: PushOptions & { digest?: string | undefined } = {},
): Promise<PushResult> {
  return withPrepared(source, { repoId, ...options }, async ({ plan, folder }) => {
    if (digest !== undefined && digest !== plan.digest) {
      throw badRequest(
        t("The adapter or its card has changed since the upload was agreed to. Look again."),
      );
    }
    const { repoId: repo, revision, createPr, commitMessage: title } = plan;
    const uploaded = await uploadFiles(await hubSettings(options), {
      repo,
      revision,
      createPr,
      title,
      description: options.commitDescription,
      isPrivate: plan.visibility === "private",
      files: plan.files.map((each) => ({ ...each, file: path.join(folder, each.path) })),
      onProgress: options.onProgress,
      signal: options.signal,
    });
    const url = `${plan.endpoint}/${repo}`;
    return { ...uploaded, repoId: repo, url, visibility: plan.visibility };
  });
}

interface Prepared {
  readonly plan: PushPlan;
  /** Holds the files of the plan. */
  readonly folder: string;
}

/** Writes what would be uploaded into a scratch folder that is gone afterwards. */
async function withPrepared<T>(
  source: PushSource,
  options: PushOptions & { repoId: string },
  use: (prepared: Prepared) => Promise<T>,
): Promise<T> {
  const { revision = "main", signal, onProgress } = options;
  const settings = await hubSettings(options);
  const account = await whoAmI(options, signal);
  const repoId = fullId(options.repoId, account.name);
  if (!account.canWrite) {
    const where = `${settings.endpoint}/settings/tokens`;
    throw unauthorized(
      t("The token of {0} may only read. Make one that may write at {1}.", account.name, where),
      {},
    );
  }
  onProgress?.({ step: t("Preparing {0}", repoId) });
  const visible = await visibilityOf(settings, repoId, signal);
  // A branch that is not there is made from main.
  const at = async (branch: string): Promise<RemoteRepo | null> =>
    visible === null ? null : findRemote(settings, repoId, { revision: branch, signal });
  const remote = (await at(revision)) ?? (await at("main"));
  const scratch = await mkdtemp(path.join(tmpdir(), "graft-push-"));
  try {
    // A new card is called by its folder's name.
    const folder = path.join(scratch, repoId.split("/").at(-1) as string);
    await mkdir(folder);
    const card = remote?.files.find(({ path: name }) => name === "README.md");
    if (remote && card) {
      const text = await readRemoteText(settings, { repo: remote, file: card }, signal);
      await writeFile(path.join(folder, "README.md"), text);
    }
    const warnings = await sourceWarnings(source);
    const onWarning = (warning: string): void => void warnings.push(warning);
    const written = await saveAdapters(source.adapters, folder, {
      ...options,
      ...source.base,
      onWarning,
    });
    const files = await describeFiles(written, folder, remote);
    const plan = {
      repoId,
      endpoint: settings.endpoint,
      account: account.name,
      exists: visible !== null,
      visibility: visible ?? ((options.private ?? true) ? "private" : "public"),
      revision,
      createPr: options.createPr ?? false,
      commitMessage: options.commitMessage ?? "Upload model",
      files: files.map(({ path: name, size, change }) => ({ path: name, size, change })),
      bytes: files.reduce((sum, { size }) => sum + size, 0),
      digest: digestOf(files),
      warnings,
    } as const;
    return await use({ plan, folder });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function fullId(id: string, account: string): string {
  const full = id.includes("/") ? id : `${account}/${id}`;
  if (isRepoId(full)) return full;
  throw badRequest(t('"{0}" cannot be a repository\'s id. Write owner/name.', id));
}

/** What others cannot follow: a base that is named by its place on this machine. */
async function sourceWarnings({ adapters }: PushSource): Promise<string[]> {
  const warnings: string[] = [];
  for (const { checkpoint } of adapters) {
    const { baseName } = checkpoint.config;
    if (baseName === null) continue;
    const isId = isRepoId(baseName) && baseName.includes("/");
    const places = await Promise.all(localCandidates(checkpoint.dir, baseName).map(isFolder));
    if (isId && !places.includes(true)) continue;
    warnings.push(
      t(
        'Config and card name the base as "{0}", a folder of this machine: others cannot find it, and all can read it.',
        baseName,
      ),
    );
  }
  return warnings;
}

interface Described {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly change: "added" | "replaced" | "unchanged";
}

async function describeFiles(
  files: readonly string[],
  folder: string,
  remote: RemoteRepo | null,
): Promise<Described[]> {
  const described: Described[] = [];
  for (const file of files) {
    const name = path.relative(folder, file).split(path.sep).join("/");
    const { size } = await stat(file);
    const [lfs, git] = [createHash("sha256"), createHash("sha1").update(`blob ${size}\0`)];
    for await (const part of createReadStream(file)) {
      lfs.update(part as Buffer);
      git.update(part as Buffer);
    }
    const [sha256, sha1] = [lfs.digest("hex"), git.digest("hex")];
    const there = remote?.files.find((each) => each.path === name)?.etag;
    const isSame = there === sha256 || there === sha1;
    const change = there === undefined ? "added" : isSame ? "unchanged" : "replaced";
    described.push({ path: name, size, sha256, change });
  }
  return described;
}

function digestOf(files: readonly Described[]): string {
  const lines = files.map(({ path: name, sha256 }) => `${sha256} ${name}`);
  return createHash("sha256").update(lines.join("\n")).digest("hex");
}
