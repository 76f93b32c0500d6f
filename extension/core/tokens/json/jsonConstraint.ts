import type { TokenConstraint } from "../constraint.ts";
import type { Vocabulary } from "../vocabulary.ts";
import type { ByteTree } from "./byteTree.ts";
import { foresee } from "./foresee.ts";
import { JsonMachine, type Place } from "./machine.ts";
import { compileSchema } from "./schema.ts";
import { type TokenOrder, tokenOrder } from "./tokenOrder.ts";

/** Masks of a vocabulary's size that are kept. */
const mostMasks = 64;
/** Bytes of a text that tell how it is spaced. */
const mostOpening = 2000;
/** Tokens before a place that decide how what follows is cut into tokens. */
const tailLength = 4;

/** Keeps an answer to JSON that a schema allows. Ends of the text are allowed where the value may end. */
export class JsonConstraint implements TokenConstraint {
  private readonly machine: JsonMachine;
  private readonly order: TokenOrder;
  private readonly masks = new Map<Place, Uint8Array>();
  private place: Place;
  /** How the text begins, a character for each byte. */
  private opening = "";
  private tail: readonly number[] = [];

  /**
   * @param schema true is any JSON
   * @param encode makes tokens of a text without special ones; without it nothing is foreseen
   * @throws unsupported for keywords that cannot be kept to; bad-request for a schema that is none
   */
  constructor(
    schema: unknown,
    vocabulary: Vocabulary,
    private readonly stopTokens: ReadonlySet<number>,
    private readonly options: { encode?: (text: string) => number[] } = {},
  ) {
    this.machine = new JsonMachine(compileSchema(schema));
    this.order = tokenOrder(vocabulary);
    this.place = this.machine.start;
  }

  get isFinal(): boolean {
    return this.place.canEnd && this.place.stacks.length === 0;
  }

  allows(id: number): boolean {
    return this.stopTokens.has(id) ? this.place.canEnd : this.after(id) !== null;
  }

  take(id: number): void {
    const after = this.stopTokens.has(id) ? null : this.after(id);
    if (!after) return;
    this.place = after;
    this.tail = [...this.tail.slice(1 - tailLength), id];
    if (this.opening.length < mostOpening) this.opening += this.textOf([id]);
  }

  foresee(): readonly number[] {
    const { encode } = this.options;
    const next = encode ? foresee(this.machine, this.place, this.opening) : [];
    if (!encode || next.length === 0) return [];
    const text = String.fromCharCode(...next);
    const tail = this.textOf(this.tail);
    const cut = (whole: string, from: number): readonly number[] | null =>
      this.behind(encode(utf8(whole)), whole.length, from);
    return cut(tail + text, tail.length) ?? cut(text, 0) ?? [];
  }

  /** Shares what is known of places, and goes on from this one. */
  copy(): JsonConstraint {
    return Object.assign(Object.create(JsonConstraint.prototype) as JsonConstraint, this);
  }

  mask(): Uint8Array {
    const known = this.masks.get(this.place);
    if (known) return known;
    const mask = this.makeMask();
    if (this.masks.size >= mostMasks) {
      for (const oldest of this.masks.keys()) {
        this.masks.delete(oldest);
        break;
      }
    }
    this.masks.set(this.place, mask);
    return mask;
  }

  /** Tokens of a text behind a place; null where one lies across it. */
  private behind(ids: readonly number[], length: number, from: number): readonly number[] | null {
    // Some tokenizers put a blank before each text.
    let left = from + this.textOf(ids).length - length;
    let count = 0;
    while (left > 0 && count < ids.length) {
      left -= this.textOf([ids[count++] as number]).length;
    }
    return left === 0 ? ids.slice(count) : null;
  }

  private textOf(ids: readonly number[]): string {
    const { bytes, starts } = this.order.tokens;
    const own = ids.flatMap((id) => [...bytes.subarray(starts[id], starts[id + 1])]);
    return String.fromCharCode(...own);
  }

  private after(id: number): Place | null {
    const { bytes, starts } = this.order.tokens;
    const [start = 0, end = 0] = [starts[id], starts[id + 1]];
    let place: Place | null = start < end ? this.place : null;
    for (let i = start; place && i < end; i++) {
      place = this.machine.after(place, bytes[i] as number);
    }
    return place;
  }

  private makeMask(): Uint8Array {
    const { all, special, plainLength, plain, size } = this.order;
    const { room, canEnd, rest } = this.place;
    const mask = room === Infinity ? plain.slice() : new Uint8Array(size);
    if (room > 0 && room < Infinity) {
      for (let id = 0; id < size; id++) {
        const length = plainLength[id] as number;
        if (length > 0 && length <= room) mask[id] = 1;
      }
    }
    // Where there is room, that has said all about plain tokens but what stands beside free text.
    this.read(room > 0 ? special : all, this.place, mask);
    if (room > 0 && room < Infinity && rest) this.read(all, rest, mask);
    for (const id of this.stopTokens) if (id < size) mask[id] = canEnd ? 1 : 0;
    return mask;
  }

  /** Allows the tokens that may stand here; what begins with bytes that may not is never looked at. */
  private read(
    { bytes, depths, ends, ids, firsts }: ByteTree,
    from: Place,
    mask: Uint8Array,
  ): void {
    // Where the bytes that lead to a node led, one after another.
    const places: Place[] = [from];
    for (let node = 0; node < bytes.length;) {
      const depth = depths[node] as number;
      const place = this.machine.after(places[depth - 1] as Place, bytes[node] as number);
      if (!place) {
        node = ends[node] as number;
        continue;
      }
      places[depth] = place;
      const end = firsts[++node] as number;
      for (let i = firsts[node - 1] as number; i < end; i++) mask[ids[i] as number] = 1;
    }
  }
}

function utf8(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString();
}
