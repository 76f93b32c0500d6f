import type { TokenConstraint } from "../constraint.ts";
import type { Vocabulary } from "../vocabulary.ts";
import { JsonMachine, type Place } from "./machine.ts";
import { compileSchema } from "./schema.ts";
import { type OrderedTokens, type TokenOrder, tokenOrder } from "./tokenOrder.ts";

/** Masks of a vocabulary's size that are kept. */
const mostMasks = 64;

/** Keeps an answer to JSON that a schema allows. Ends of the text are allowed where the value may end. */
export class JsonConstraint implements TokenConstraint {
  private readonly machine: JsonMachine;
  private readonly order: TokenOrder;
  private readonly masks = new Map<Place, Uint8Array>();
  private place: Place;

  /**
   * @param schema true is any JSON
   * @throws unsupported for keywords that cannot be kept to; bad-request for a schema that is none
   */
  constructor(
    schema: unknown,
    vocabulary: Vocabulary,
    private readonly stopTokens: ReadonlySet<number>,
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
    if (after) this.place = after;
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

  private after(id: number): Place | null {
    const bytes = this.order.bytesOf(id);
    let place: Place | null = bytes.length === 0 ? null : this.place;
    for (let i = 0; place && i < bytes.length; i++) {
      place = this.machine.after(place, bytes[i] as number);
    }
    return place;
  }

  private makeMask(): Uint8Array {
    const { all, special, plainLength, size } = this.order;
    const { room, isText, canEnd } = this.place;
    const mask = new Uint8Array(size);
    // Inside text most tokens are plain: these need not be read byte by byte.
    if (room > 0) {
      for (let id = 0; id < size; id++) {
        const length = plainLength[id] as number;
        if (length > 0 && length <= room) mask[id] = 1;
      }
    }
    this.read(room > 0 && isText ? special : all, mask);
    for (const id of this.stopTokens) if (id < size) mask[id] = canEnd ? 1 : 0;
    return mask;
  }

  private read({ ids, shared }: OrderedTokens, mask: Uint8Array): void {
    const { bytesOf } = this.order;
    // Where the bytes of the token before led, one after another.
    const places: (Place | null)[] = [this.place];
    // Tokens that share more than so many bytes with the one before may not stand, as it may not.
    let dead = Infinity;
    for (let i = 0; i < ids.length; i++) {
      const common = shared[i] as number;
      if (common > dead) continue;
      const id = ids[i] as number;
      const bytes = bytesOf(id);
      let place = places[common] as Place | null;
      dead = Infinity;
      for (let at = common; at < bytes.length; at++) {
        place = this.machine.after(place as Place, bytes[at] as number);
        if (!place) {
          dead = at;
          break;
        }
        places[at + 1] = place;
      }
      if (place) mask[id] = 1;
    }
  }
}
