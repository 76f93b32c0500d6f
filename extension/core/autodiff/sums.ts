import type { Value } from "../onnx/graph.ts";

/**
 * A sum whose terms come one by one: each is added to a sum of as many, so that rounding grows with the
 * logarithm of their number and no more terms than that wait at a time.
 */
export class Sum {
  private readonly parts: { value: Value; terms: number }[] = [];

  constructor(private readonly add: (a: Value, b: Value) => Value) {}

  take(term: Value): void {
    let next = { value: term, terms: 1 };
    for (let last = this.parts.at(-1); last?.terms === next.terms; last = this.parts.at(-1)) {
      this.parts.pop();
      next = { value: this.add(last.value, next.value), terms: last.terms + next.terms };
    }
    this.parts.push(next);
  }

  total(): Value {
    for (let last = this.parts.pop(); last; last = this.parts.pop()) {
      const before = this.parts.pop();
      if (!before) {
        this.parts.push(last);
        return last.value;
      }
      const value = this.add(before.value, last.value);
      this.parts.push({ value, terms: before.terms + last.terms });
    }
    throw new Error("a sum of nothing");
  }
}
