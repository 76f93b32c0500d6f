import { t } from "@vscode/l10n";
import { readFile } from "node:fs/promises";
import * as path from "node:path";
import { badRequest, unauthorized } from "../base/errors.ts";
import { expandPath, hubCacheFolder, hubHome } from "./cache.ts";

/** How the Hub is asked and where its files are kept; what is absent is up to the environment. */
export interface HubOptions {
  /** Address of the Hub; `HF_ENDPOINT`, or https://huggingface.co. */
  readonly endpoint?: string | undefined;
  /** A token, true for the one that this machine keeps (an error without), false for none. */
  readonly token?: string | boolean | undefined;
  /** Folder of the cache; `HF_HUB_CACHE` or `HF_HOME` say which when absent. */
  readonly cacheDir?: string | undefined;
  /** Ask nobody: what is not in the cache is not there. `HF_HUB_OFFLINE` when absent. */
  readonly offline?: boolean | undefined;
  readonly fetch?: typeof fetch | undefined;
  /** How often a request is repeated that failed for no fault of its own; 4. */
  readonly retries?: number | undefined;
  /** Milliseconds before the first repetition; each waits twice as long as the one before. */
  readonly retryDelay?: number | undefined;
  /** Milliseconds without a byte after which a server counts as fallen silent. */
  readonly stallTimeout?: number | undefined;
}

/** Options with every gap filled. */
export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly token: string | null;
  readonly cacheDir: string;
  readonly offline: boolean;
  readonly fetch: typeof fetch;
  readonly retries: number;
  readonly retryDelay: number;
  readonly stallTimeout: number;
}

/** Fills the gaps from the environment, as huggingface_hub reads it (its constants.py). */
export async function hubSettings(
  options: HubOptions = {},
  env: NodeJS.ProcessEnv = process.env,
): Promise<HubSettings> {
  return {
    endpoint: readEndpoint(options.endpoint ?? (env["HF_ENDPOINT"] || defaultEndpoint)),
    token: await chooseToken(options.token, env),
    cacheDir: options.cacheDir ?? hubCacheFolder(env),
    offline: options.offline ?? isTrue(env["HF_HUB_OFFLINE"] || env["TRANSFORMERS_OFFLINE"]),
    fetch: options.fetch ?? fetch,
    retries: options.retries ?? 4,
    retryDelay: options.retryDelay ?? 500,
    stallTimeout: options.stallTimeout ?? 30_000,
  };
}

const defaultEndpoint = "https://huggingface.co";

function readEndpoint(text: string): string {
  const trimmed = text.trim().replace(/\/+$/, "");
  const url = URL.canParse(trimmed) ? new URL(trimmed) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw badRequest(t('The Hub\'s address "{0}" is no http address. Mend HF_ENDPOINT.', text));
  }
  if (url.username !== "" || url.password !== "") {
    throw badRequest(t("The Hub's address holds a password. Use HF_TOKEN for a token instead."));
  }
  return trimmed;
}

function isTrue(text: string | undefined): boolean {
  return ["1", "ON", "YES", "TRUE"].includes((text ?? "").toUpperCase());
}

async function chooseToken(
  wish: string | boolean | undefined,
  env: NodeJS.ProcessEnv,
): Promise<string | null> {
  if (wish === false) return null;
  if (typeof wish === "string") return cleanToken(wish);
  if (wish === undefined && isTrue(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])) return null;
  const kept = await tokenOfMachine(env);
  if (wish === true && kept === null) {
    throw unauthorized(
      t("No Hugging Face token is kept on this machine. Sign in or set HF_TOKEN."),
      {},
    );
  }
  return kept;
}

/** `HF_TOKEN`, or the file that `hf auth login` writes. */
async function tokenOfMachine(env: NodeJS.ProcessEnv): Promise<string | null> {
  const own = cleanToken(env["HF_TOKEN"] || env["HUGGING_FACE_HUB_TOKEN"] || "");
  if (own !== null) return own;
  const named = env["HF_TOKEN_PATH"];
  const file = named ? expandPath(named, env) : path.join(hubHome(env), "token");
  return cleanToken(await readFile(file, "utf8").catch(() => ""));
}

/** Line breaks that came along are dropped; what cannot stand in a header is refused, unseen. */
function cleanToken(text: string): string | null {
  const token = text.replace(/[\r\n]/g, "").trim();
  if (!/^[\x21-\x7e]*$/.test(token)) {
    throw badRequest(t("The Hugging Face token has characters that no token has. Copy it again."));
  }
  return token === "" ? null : token;
}
