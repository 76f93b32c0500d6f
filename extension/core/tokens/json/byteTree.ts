/** All tokens' bytes, one behind the other: an object for each would take twenty times the memory. */
export interface FlatBytes {
  readonly bytes: Uint8Array;
  /** Where each begins; one more than there are tokens. */
  readonly starts: Int32Array;
}

/** Tokens as a tree of their bytes; behind a node come at once all that begin with its bytes. */
export interface ByteTree {
  /** Of each node its last byte, and how many bytes lead to it. */
  readonly bytes: Uint8Array;
  readonly depths: Uint16Array;
  /** Of each node the first one behind it that does not begin with its bytes. */
  readonly ends: Int32Array;
  /** Tokens in the nodes' order; a node's own are those from its first up to the next node's. */
  readonly ids: Int32Array;
  readonly firsts: Int32Array;
}

/** @param ids of tokens that have bytes, fewer than 65,536 each */
export function byteTree(ids: Int32Array, tokens: FlatBytes): ByteTree {
  return flattened(grown(ids, tokens), ids.length);
}

/** Nodes by number; 0 is the root, and none in the other arrays. */
interface Nodes {
  readonly count: number;
  readonly bytes: Uint8Array;
  readonly parents: Int32Array;
  readonly children: Int32Array;
  readonly siblings: Int32Array;
  /** One more than the last token of each node, and than the one before of each token. */
  readonly tokens: Int32Array;
  readonly before: Int32Array;
}

function grown(ids: Int32Array, { bytes: all, starts }: FlatBytes): Nodes {
  const most = ids.reduce(
    (sum, id) => sum + (starts[id + 1] as number) - (starts[id] as number),
    1,
  );
  const [bytes, parents] = [new Uint8Array(most), new Int32Array(most)];
  const [children, siblings] = [new Int32Array(most), new Int32Array(most)];
  const [tokens, before] = [new Int32Array(most), new Int32Array(starts.length)];
  // Nodes by parent and byte: a table with open addresses, at most half full.
  const table = new Int32Array(2 ** Math.ceil(Math.log2(2 * most)));
  let count = 1;
  for (const id of ids) {
    let at = 0;
    for (let i = starts[id] as number; i < (starts[id + 1] as number); i++) {
      const byte = all[i] as number;
      let slot = (Math.imul(at * 256 + byte, 0x9e3779b1) >>> 7) & (table.length - 1);
      let node = table[slot] as number;
      while (node !== 0 && (parents[node] !== at || bytes[node] !== byte)) {
        slot = (slot + 1) & (table.length - 1);
        node = table[slot] as number;
      }
      if (node === 0) {
        table[slot] = node = count++;
        bytes[node] = byte;
        parents[node] = at;
        siblings[node] = children[at] as number;
        children[at] = node;
      }
      at = node;
    }
    before[id] = tokens[at] as number;
    tokens[at] = id + 1;
  }
  return { count, bytes, parents, children, siblings, tokens, before };
}

function flattened(nodes: Nodes, size: number): ByteTree {
  const { parents, children, siblings, tokens, before } = nodes;
  const count = nodes.count - 1;
  const [bytes, depths] = [new Uint8Array(count), new Uint16Array(count)];
  const [ends, firsts, ids] = [
    new Int32Array(count),
    new Int32Array(count + 1),
    new Int32Array(size),
  ];
  const places = new Int32Array(nodes.count);
  let [place, listed, depth] = [0, 0, 0];
  const leave = (node: number): void => void (ends[places[node] as number] = place);
  for (let at = children[0] as number, isBelow = true; at !== 0;) {
    if (isBelow) {
      places[at] = place;
      bytes[place] = nodes.bytes[at] as number;
      depths[place] = ++depth;
      firsts[place++] = listed;
      for (let id = tokens[at] as number; id !== 0; id = before[id - 1] as number)
        ids[listed++] = id - 1;
    }
    const next = isBelow ? (children[at] as number) : 0;
    if (next !== 0) at = next;
    else {
      leave(at);
      depth--;
      isBelow = siblings[at] !== 0;
      at = (isBelow ? siblings[at] : parents[at]) as number;
    }
  }
  firsts[count] = listed;
  return { bytes, depths, ends, ids, firsts };
}
