import * as vscode from "vscode";
import { conversationOf, type GivenMessage } from "../chat/chatMessages.ts";
import { type ChatModel, chatModels } from "../chat/chatModels.ts";
import { samplingSettings } from "../config.ts";
import type { Graft } from "../context.ts";
import { failureOf } from "../failure.ts";
import type { Sampling } from "../protocol/generationContract.ts";
import type { Prompt, ToolDefinition } from "../protocol/generationContract.ts";

type Information = vscode.LanguageModelChatInformation & { readonly model: ChatModel };

/** What is said of a model's context before it is loaded. */
const unknownContext = 2048;

/** Base and adapters in VS Code's chat, and for other extensions through `vscode.lm`. */
export class ChatProvider
  implements vscode.LanguageModelChatProvider<Information>, vscode.Disposable
{
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChangeLanguageModelChatInformation = this.changed.event;
  private readonly registered: vscode.Disposable[];
  private shown = "";

  constructor(private readonly graft: Pick<Graft, "session" | "engine">) {
    this.registered = [
      vscode.lm.registerLanguageModelChatProvider("graft", this),
      graft.session.onDidChange((state) => {
        const now = JSON.stringify(chatModels(state));
        if (now === this.shown) return;
        this.shown = now;
        this.changed.fire();
      }),
    ];
  }

  /** From what is known already: nothing is started or loaded because a picker asks. */
  async provideLanguageModelChatInformation(): Promise<Information[]> {
    const models = chatModels(this.graft.session.state);
    const hasTools = models.some(({ isLoaded }) => isLoaded) && (await this.knowsTools());
    return models.map((model) => describe(model, hasTools));
  }

  async provideLanguageModelChatResponse(
    { model }: Information,
    messages: readonly vscode.LanguageModelChatRequestMessage[],
    options: vscode.ProvideLanguageModelChatResponseOptions,
    progress: vscode.Progress<vscode.LanguageModelResponsePart>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    const aborter = new AbortController();
    const stop = token.onCancellationRequested(() => aborter.abort());
    try {
      const adapters = await this.ready(model);
      let told = 0;
      const tell = (text: string): void => {
        if (text.length <= told) return;
        progress.report(new vscode.LanguageModelTextPart(text.slice(told)));
        told = text.length;
      };
      const prompt = promptOf(messages, options);
      const sampling = samplingOf(options.modelOptions ?? {});
      const answer = await this.graft.session.generate(
        { prompt, adapters, sampling },
        { onEvent: ({ text }) => tell(text), signal: aborter.signal },
      );
      tell(answer.text);
      for (const { id, name, arguments: input } of answer.toolCalls ?? []) {
        progress.report(new vscode.LanguageModelToolCallPart(id, name, input));
      }
    } catch (thrown) {
      throw asChatError(thrown);
    } finally {
      stop.dispose();
    }
  }

  async provideTokenCount(
    { model }: Information,
    text: string | vscode.LanguageModelChatRequestMessage,
  ): Promise<number> {
    // A model that is not loaded has no tokenizer yet: about four characters a token.
    if (!model.isLoaded || !this.graft.session.state.base) {
      return Math.ceil(plainText(text).length / 4);
    }
    const prompt: Prompt =
      typeof text === "string" ? { kind: "text", text } : promptOf([text], undefined);
    const params = { base: model.base, prompt, adapters: model.adapters ?? [] };
    return (await this.graft.engine.request("countTokens", params)).count;
  }

  dispose(): void {
    for (const each of this.registered) each.dispose();
    this.changed.dispose();
  }

  /** The adapters that answer, once the base is loaded; one that is not is loaded now. */
  private async ready(model: ChatModel): Promise<ChatModel["adapters"] & object> {
    const { session } = this.graft;
    if (!session.state.base && !model.isLoaded) await session.loadBase(model.base);
    const { base, active } = session.state;
    if (base?.path !== model.base) {
      throw vscode.LanguageModelError.NotFound(
        vscode.l10n.t(
          "{0} is not loaded any more. Load its base model in the Graft view, or choose another model.",
          model.name,
        ),
      );
    }
    return model.adapters ?? [...active];
  }

  private async knowsTools(): Promise<boolean> {
    const base = this.graft.session.state.base?.path;
    if (base === undefined) return false;
    const prompt: Prompt = { kind: "chat", messages: [{ role: "user", content: "?" }] };
    const asked = this.graft.engine.request("renderPrompt", { base, prompt, adapters: [] });
    // What cannot be rendered takes no tools either; the answer itself says why it fails.
    return asked.then(
      ({ toolFormat }) => toolFormat !== null,
      () => false,
    );
  }
}

function describe(model: ChatModel, hasTools: boolean): Information {
  const context = model.contextLength || unknownContext;
  const maxOutputTokens = Math.min(samplingSettings().maxNewTokens, Math.floor(context / 2));
  const detail = model.isLoaded
    ? (model.method ?? vscode.l10n.t("on this machine"))
    : vscode.l10n.t("loads on first use");
  return {
    ...{ model, id: model.id, name: model.name, family: model.family, detail, version: "1" },
    tooltip: model.isLoaded
      ? vscode.l10n.t(
          "{0}, answered by Graft on this machine; context of {1} tokens",
          model.name,
          context,
        )
      : vscode.l10n.t("{0}, loaded by Graft when it is first asked", model.name),
    maxInputTokens: context - maxOutputTokens,
    maxOutputTokens,
    capabilities: { imageInput: false, toolCalling: model.isLoaded && hasTools },
  };
}

function promptOf(
  messages: readonly vscode.LanguageModelChatRequestMessage[],
  options: vscode.ProvideLanguageModelChatResponseOptions | undefined,
): Prompt {
  const turns = conversationOf(messages as readonly GivenMessage[], () => {
    throw new Error(vscode.l10n.t("This model reads text alone. Leave images and data out."));
  });
  if (options?.toolMode === vscode.LanguageModelChatToolMode.Required) {
    throw new Error(
      vscode.l10n.t("Graft cannot make a model call a tool. Ask without toolMode Required."),
    );
  }
  const tools = (options?.tools ?? []).map(
    ({ name, description, inputSchema }): ToolDefinition => ({
      ...{ name, description },
      ...(inputSchema !== undefined && { parameters: inputSchema as Record<string, unknown> }),
    }),
  );
  return { kind: "chat", messages: turns, ...(tools.length > 0 && { tools }) };
}

/** The user's settings, and what the caller asks for by the names of other providers. */
function samplingOf(asked: Readonly<Record<string, unknown>>): Sampling {
  const own = samplingSettings();
  const number = (names: string[], otherwise: number): number => {
    const value = names.map((name) => asked[name]).find((each) => typeof each === "number");
    return typeof value === "number" ? value : otherwise;
  };
  const { stop } = asked;
  const stops = (Array.isArray(stop) ? stop : [stop]).filter((each) => typeof each === "string");
  return {
    ...own,
    temperature: number(["temperature"], own.temperature),
    topP: number(["top_p", "topP"], own.topP),
    topK: number(["top_k", "topK"], own.topK),
    maxNewTokens: number(["max_tokens", "maxTokens", "maxNewTokens"], own.maxNewTokens),
    seed: typeof asked["seed"] === "number" ? asked["seed"] : own.seed,
    ...(stops.length > 0 && { stop: stops }),
  };
}

function plainText(text: string | vscode.LanguageModelChatRequestMessage): string {
  if (typeof text === "string") return text;
  const turns = conversationOf([text as GivenMessage], () => undefined);
  return turns.map(({ content }) => content).join("");
}

function asChatError(thrown: unknown): Error {
  if (thrown instanceof vscode.LanguageModelError) return thrown;
  const { code, message } = failureOf(thrown);
  return code === "not-found" ? vscode.LanguageModelError.NotFound(message) : new Error(message);
}
