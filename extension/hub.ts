import type * as vscode from "vscode";
import type { RequestOptions } from "./protocol/connection.ts";
import type { ProgressEvent } from "./protocol/engineContract.ts";
import type { HubAccess, HubAccount, HubContract } from "./protocol/hubContract.ts";
import type { Requester } from "./engineProcess.ts";

const tokenKey = "graft.huggingFaceToken";

/** What a caller says of a call; the token is added here. */
type Asked<M extends keyof HubContract> = Omit<HubContract[M]["params"], keyof HubAccess>;

type Work = RequestOptions<ProgressEvent>;

/** The Hub as this window sees it: the engine asks, the token is kept in the editor's secret storage. */
export class Hub {
  constructor(
    private readonly engine: Requester,
    private readonly secrets: vscode.SecretStorage,
  ) {}

  /** Any call of the Hub's contract, with the token that is kept here. */
  async ask<M extends keyof HubContract>(
    method: M,
    params: Asked<M>,
    work: Work = {},
  ): Promise<HubContract[M]["result"]> {
    const token = await this.secrets.get(tokenKey);
    const asked = { ...params, ...(token !== undefined && { token }) };
    return this.engine.request(method, asked as HubContract[M]["params"], work as object);
  }

  /** Keeps a token once the Hub has taken it. */
  async signIn(token: string): Promise<HubAccount> {
    const account = await this.engine.request("whoAmI", { token });
    await this.secrets.store(tokenKey, token);
    return account;
  }

  /** Forgets the token; true when there was one. */
  async signOut(): Promise<boolean> {
    const isKept = (await this.secrets.get(tokenKey)) !== undefined;
    if (isKept) await this.secrets.delete(tokenKey);
    return isKept;
  }
}
