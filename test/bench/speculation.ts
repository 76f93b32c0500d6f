// What reading ahead saves: `npm run bench:speculation -- [qwen2.5-0.5b] [int4] [1,0.8,0]`. Weights are random, so
// that nothing repeats by itself: a share of the tokens is made to be those of the prompt, as a model
// does that copies it, and the rest are others. Plain and read-ahead answers take turns.
import { loadBaseModel, type LoadBaseModelOptions } from "../../extension/core/baseModel.ts";
import { PeftModel } from "../../extension/core/peftModel.ts";
import type { DecodingSession } from "../../extension/core/session/decodingSession.ts";
import { generate } from "../../extension/core/tokens/generate.ts";
import type { Speculation } from "../../extension/core/tokens/draft/speculation.ts";
import { greedy } from "../../extension/core/tokens/sampler.ts";
import { makeRandomModel } from "./makeRandomModel.ts";

const [name = "qwen2.5-0.5b", precision = "int4", list = "1,0.8,0"] = process.argv.slice(2);
const shares = list.split(",").map(Number);
const [rounds, answer] = [2, 64];

/** Tokens without pattern; the text of a prompt that is to be copied. */
const prompt = Array.from({ length: 192 }, (_, i) => 10 + ((i * i * 7919 + i * 31) % 997));

const base = await loadBaseModel(await makeRandomModel(name, "bf16"), {
  precision: precision as NonNullable<LoadBaseModelOptions["precision"]>,
});
const model = new PeftModel(base);
const inputs = model.inputsOf([]);
await base.session.with(inputs, async (session) => {
  for (const share of shares) {
    const copy = copying(session, share);
    const speeds: Record<string, number[]> = { off: [], auto: [] };
    let counts = "";
    for (let round = 0; round <= rounds; round++) {
      for (const speculation of ["off", "auto"] as const) {
        const { tokensPerSecond, speculation: drafts } = await say(copy, speculation);
        // The first of each warms up.
        if (round > 0) speeds[speculation]?.push(tokensPerSecond);
        counts = `${drafts.accepted} of ${drafts.drafted} drafted tokens taken`;
      }
    }
    const [plain, ahead] = [median(speeds["off"] ?? []), median(speeds["auto"] ?? [])];
    const gain = (ahead / plain).toFixed(2);
    const words = `${name} ${precision}, ${100 * share} % as the prompt has it`;
    console.log(`${words}: ${plain.toFixed(1)} → ${ahead.toFixed(1)} tok/s, ×${gain}; ${counts}`);
  }
});
await model.dispose();

function say(session: DecodingSession, speculation: Speculation): ReturnType<typeof generate> {
  return generate(
    session,
    { prompt, adapters: inputs },
    {
      ...{ sampling: greedy, maxNewTokens: answer, stopTokens: new Set<number>(), speculation },
    },
  );
}

/** The session with the logits of a model that copies its prompt at a share of the places. */
function copying(session: DecodingSession, share: number): DecodingSession {
  const after = new Map(
    prompt.map((id, place) => [id, prompt[(place + 1) % prompt.length] as number]),
  );
  return Object.assign(Object.create(session) as DecodingSession, {
    forward: (async (state, tokens, options) => {
      const logits = await session.forward(state, tokens, options);
      const [row = []] = tokens;
      const [, , vocabulary] = logits.shape;
      (options?.logitsRows ?? [row.length - 1]).forEach((place, i) => {
        const id = row[place] as number;
        const isCopied = (id * 2654435761) % 1000 < 1000 * share;
        const next = after.get(id) ?? (prompt[id % prompt.length] as number);
        // Never said before.
        const other = 1000 + state.cache.length - row.length + place;
        logits.data[i * vocabulary + (isCopied ? next : other)] = 1e4;
      });
      return logits;
    }) satisfies DecodingSession["forward"],
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}
