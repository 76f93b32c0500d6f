import type { Row } from "./rows.ts";

/** Remembers how rows were drawn last: one that looks as before need not be drawn again. */
export class DrawnRows<T> {
  private readonly drawn = new Map<string, { node: T; look: string }>();
  private shape = "";

  /** Called with every row that a tree asks for. */
  draw(node: T, row: Row): void {
    this.drawn.set(row.id, { node, look: JSON.stringify(row) });
  }

  /**
   * The rows to draw again; undefined when others came, went or moved, so that the whole tree is. A tree
   * that is drawn as a whole knows none of its rows for a moment, and a button that is clicked just
   * then comes without its row: what changes in place should.
   * @param shape ids of all rows in their order, with their groups
   * @param rows all rows, with `look`, how one looks now (asked of those that were drawn alone), and
   *   `renew`, which puts what is known now into a node
   */
  changed(
    shape: unknown,
    rows: readonly { id: string; look(): Row; renew(node: T): void }[],
  ): T[] | undefined {
    const before = this.shape;
    this.shape = JSON.stringify(shape);
    if (this.shape !== before) return undefined;
    const stale: T[] = [];
    for (const { id, look, renew } of rows) {
      const known = this.drawn.get(id);
      if (!known) continue;
      renew(known.node);
      if (known.look !== JSON.stringify(look())) stale.push(known.node);
    }
    return stale;
  }
}
