// What a draft model saves: `npm run bench:draft-model -- [TARGET] [precision] [DRAFT] [shares] [threads]`, as
// qwen2.5-0.5b int4 smollm2-135m 0.9,0.8,0.6 2. Weights are random, so that two models never agree: both really
// run, and the logits say a text of their own that the draft knows at a share of the places. Nothing in it
// repeats, so that only the draft model can propose. Plain answers and such with drafts take turns.
import { existsSync } from "node:fs";
import * as path from "node:path";
import { loadBaseModel, type BaseModel } from "../../extension/core/baseModel.ts";
import type { DecodingSession } from "../../extension/core/session/decodingSession.ts";
import { generate, type GenerateOptions } from "../../extension/core/tokens/generate.ts";
import { greedy } from "../../extension/core/tokens/sampler.ts";
import { root } from "../unit/core/support.ts";
import { defaultFolder, makeRandomModel } from "./makeRandomModel.ts";
import { quantile } from "./statistics.ts";

const [name = "qwen2.5-0.5b", precision = "int4", draftName = "smollm2-135m"] =
  process.argv.slice(2);
const [list = "0.9,0.8,0.6", threads] = process.argv.slice(5);
const quantized = path.join(root, ".cache/bench/quantized");
const [rounds, answer] = [3, 48];
/** First tokens of what is said, and of what a draft says that is wrong. */
const [said, wrong] = [2000, 30_000];

const prompt = Array.from({ length: 128 }, (_, i) => 10 + ((i * i * 7919 + i * 31) % 997));
const base = await load(name, precision);
const draft = await load(
  draftName,
  "int4",
  threads === undefined ? {} : { threads: Number(threads) },
);
const [inputs, adapters] = [base.session.inputs([]), draft.session.inputs([])];
await base.session.with(inputs, (session) =>
  draft.session.with(adapters, async (own) => {
    for (const share of list.split(",").map(Number)) {
      const judge = saying(session, () => true);
      const drafter = { session: saying(own, (place) => hash(place) < share), adapters };
      const ways: Record<string, Pick<GenerateOptions, "speculation" | "draft">> = {
        plain: { speculation: "off" },
        auto: { draft: drafter },
        "2 at once": { speculation: { maxDraft: 2, source: "model" }, draft: drafter },
        "3 at once": { speculation: { maxDraft: 3, source: "model" }, draft: drafter },
      };
      const took: Record<string, number[]> = {};
      const counts: Record<string, string> = {};
      for (let round = 0; round <= rounds; round++) {
        for (const [way, options] of Object.entries(ways)) {
          const { tokensPerSecond, speculation } = await say(judge, options);
          // The first of each warms up.
          if (round > 0) (took[way] ??= []).push(1000 / tokensPerSecond);
          counts[way] = `${speculation.accepted} of ${speculation.drafted} taken`;
        }
      }
      for (const way of Object.keys(ways)) report(share, way, { took, counts });
    }
  }),
);
await Promise.all([base, draft].map((each) => each.session.dispose()));

function report(
  share: number,
  way: string,
  { took, counts }: { took: Record<string, number[]>; counts: Record<string, string> },
): void {
  const of = (which: string, at: number): number => quantile(took[which] ?? [], at);
  const gains = [0.5, 0].map((at) => (of("plain", at) / of(way, at)).toFixed(2));
  const ms = `${of(way, 0.5).toFixed(1)} (${of(way, 0).toFixed(1)}) ms a token`;
  const who = `${name} ${precision}, ${draftName} right in ${100 * share} %`;
  console.log(`${who}, ${way}: ${ms}, ×${gains[0]} (${gains[1]}); ${counts[way]}`);
}

async function load(
  own: string,
  how: string,
  options: { threads?: number } = {},
): Promise<BaseModel> {
  const made = existsSync(defaultFolder(own, "fp32")) ? "fp32" : "bf16";
  const folder = await makeRandomModel(own, made);
  const precision = how as "int4" | "int8" | "fp32";
  return loadBaseModel(folder, { precision, quantCacheDir: quantized, ...options });
}

function say(
  session: DecodingSession,
  options: Pick<GenerateOptions, "speculation" | "draft">,
): ReturnType<typeof generate> {
  const stopTokens = new Set<number>();
  return generate(
    session,
    { prompt, adapters: inputs },
    { sampling: greedy, maxNewTokens: answer, stopTokens, reuse: false, ...options },
  );
}

/** The session with logits of one text, at places that are known, and of others where they are not. */
function saying(session: DecodingSession, isKnown: (place: number) => boolean): DecodingSession {
  return Object.assign(Object.create(session) as DecodingSession, {
    forward: (async (state, tokens, options) => {
      const logits = await session.forward(state, tokens, options);
      const [row = []] = tokens;
      const [, , vocabulary] = logits.shape;
      const first = state.cache.length - row.length;
      (options?.logitsRows ?? [row.length - 1]).forEach((place, i) => {
        const at = first + place;
        logits.data[i * vocabulary + at + (isKnown(at) ? said : wrong)] = 1e4;
      });
      return logits;
    }) satisfies DecodingSession["forward"],
  });
}

/** A number of [0, 1) that places share with nothing. */
function hash(place: number): number {
  return ((place * 2654435761) % 4294967296) / 4294967296;
}
