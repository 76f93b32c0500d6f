import type { AdapterComparison } from "../../extension/protocol/analysisContract.ts";
import type { CompareState } from "../../extension/protocol/picturesContract.ts";
import * as format from "../shared/format.ts";
import { cosineText, type PairLayout } from "./modules.ts";
import { text } from "./strings.ts";

/** What the two have in common and what not, in sentences; more of them once numbers are there. */
export function pairWords(
  state: CompareState,
  layout: PairLayout,
  comparison: AdapterComparison | null,
): string[] {
  const [a, b] = state.sides.map(({ report }) => report?.summary);
  if (!a || !b) return [];
  const said = [
    a.method === b.method ? text.sameMethod(a.method) : text.otherMethods(a.method, b.method),
  ];
  const bases = [a, b].map(({ baseName }) => baseName?.split(/[/\\]/).at(-1));
  if (bases[0] !== undefined && bases[1] !== undefined && bases[0] !== bases[1]) {
    said.push(text.bases(bases[0], bases[1]));
  }
  said.push(shared(layout));
  if (comparison) said.push(...strengths(comparison));
  return said.filter((sentence) => sentence !== "");
}

function shared({ modules }: PairLayout): string {
  if (modules.length === 0) return "";
  const of = (by: string): number => modules.filter(({ changedBy }) => changedBy === by).length;
  const both = of("both");
  if (both === modules.length) return text.sameModules(both);
  return both === 0 ? text.noShared : text.sharedModules(text.modules(both), of("a"), of("b"));
}

function strengths({ totals }: AdapterComparison): string[] {
  const { cosine, normA, normB, both } = totals;
  const said: string[] = [];
  if (both > 0 && cosine !== null) said.push(direction(cosine));
  if (normA !== null && normB !== null && normA > 0 && normB > 0) {
    const times = Math.max(normA / normB, normB / normA);
    const side = normA > normB ? text.sideA : text.sideB;
    said.push(times < 1.1 ? text.equallyStrong : text.stronger(side, times.toFixed(1)));
  }
  return said;
}

function direction(cosine: number): string {
  const shown = cosineText(cosine);
  if (cosine > 0.8) return text.cosines.same(shown);
  if (cosine > 0.2) return text.cosines.alike(shown);
  return cosine < -0.2 ? text.cosines.against(shown) : text.cosines.apart(shown);
}

/** What a sum of the two would keep, in sentences. */
export function mergeWords({ totals, modules }: AdapterComparison): string[] {
  const { kept, cosine, signConflicts, trimmedConflicts, both } = totals;
  if (both === 0) return [text.nothingShared];
  const said: string[] = [];
  if (kept !== null) {
    said.push(text.keptWords(format.percent(kept), text.modules(totals.modules)));
    const { agree, apart, cancel } = text.keptMeaning;
    // What is kept depends on how unlike the two are in size, too; the angle alone says how they meet.
    const angle = cosine ?? 0;
    said.push(angle > 0.2 ? agree : angle < -0.2 ? cancel : apart);
  }
  if (signConflicts !== null) said.push(text.conflictWords(format.percent(signConflicts)));
  const density = modules.find(({ merge }) => merge)?.merge?.density;
  if (trimmedConflicts !== null && density !== undefined) {
    said.push(text.trimmedWords(format.percent(trimmedConflicts), format.percent(density)));
  }
  return said;
}
