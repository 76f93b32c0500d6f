/** Layer × module: where a module stands in the pictures of an adapter. */

export interface GridPlace {
  /** "layers.3"; "" for what is in no layer. */
  row: string;
  column: string;
}

/**
 * "model.layers.3.mlp.up_proj" → row "layers.3", column "up_proj"; the two halves of a model that has
 * an encoder and a decoder keep their names: "encoder.block.0".
 */
export function placeInGrid(module: string): GridPlace {
  const half = /^((?:encoder|decoder)\.\w+\.\d+)\.(.+)$/.exec(module);
  const match = half ?? /^(?:.*?\.)??([A-Za-z_]\w*\.\d+)\.(.+)$/.exec(module);
  return {
    row: match?.[1] ?? "",
    column: (match?.[2] ?? module).split(".").at(-1) as string,
  };
}

/** Rows and columns in the order in which they are shown. */
export function gridOf(places: readonly GridPlace[]): { rows: string[]; columns: string[] } {
  return {
    rows: [...new Set(places.map(({ row }) => row))].sort(byLayer),
    columns: [...new Set(places.map(({ column }) => column))].sort(byUsualOrder),
  };
}

function byLayer(a: string, b: string): number {
  const isLater = (row: string): number => Number(row.startsWith("decoder."));
  return isLater(a) - isLater(b) || a.localeCompare(b, "en", { numeric: true });
}

/** The order in which a decoder layer computes; others follow by name. */
const usualOrder = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

function byUsualOrder(a: string, b: string): number {
  const place = (name: string): number => usualOrder.indexOf(name) + 1 || usualOrder.length + 1;
  return place(a) - place(b) || a.localeCompare(b);
}
