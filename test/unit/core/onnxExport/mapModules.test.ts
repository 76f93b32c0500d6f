import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModuleInfo } from "../../../../extension/core/checkpoint/modules.ts";
import type { Graph } from "../../../../extension/core/onnx/graph.ts";
import { ExportTensors } from "../../../../extension/core/onnxExport/exportTensors.ts";
import { GraphIndex } from "../../../../extension/core/onnxExport/graphIndex.ts";
import { type ExportMap, mapModules } from "../../../../extension/core/onnxExport/mapModules.ts";
import { Drawing, int } from "./drawing.ts";

const layer = "model.layers.0.self_attn.q_proj";

function linear(path: string, hasBias = false, [inputs, out] = [2, 4]): ModuleInfo {
  return { kind: "linear", path, in: inputs as number, out: out as number, hasBias };
}

type Linear = Extract<ModuleInfo, { kind: "linear" }>;

function map(graph: Graph, modules: readonly ModuleInfo[]): ExportMap {
  const linears = modules.filter((each): each is Linear => each.kind === "linear");
  const groups = linears.map((each) => ({ name: each.path, modules: [each] }));
  return mapModules(new GraphIndex(graph), { tree: { modules, outputEmbedding: null }, groups });
}

const microsoft = "com.microsoft";
const named = { name: "/model/layers.0/self_attn/q_proj/MatMul" };

/** A product by each rule that tells its module. */
const rules: Record<string, (d: Drawing) => void> = {
  scopes: (d) =>
    d.node("MatMul", [["x", d.constant("val_7", [2, 4])], ["y"]], {
      scopes: `['', 'model', "model.layers.0", '${layer}', 'linear']`,
    }),
  "node name": (d) => d.node("MatMul", [["x", d.constant("onnx::MatMul_9", [2, 4])], ["y"]], named),
  "weight name": (d) =>
    d
      .node("Transpose", [[d.constant(`${layer}.weight`, [4, 2])], ["w"]])
      .node("MatMul", [["x", "w"], ["y"]], { name: "MatMul_12" }),
  order: (d) => d.node("MatMul", [["x", d.constant("w", [2, 4])], ["y"]], { name: "n" }),
};

for (const [rule, draw] of Object.entries(rules)) {
  test(`a product is known by ${rule}`, () => {
    const d = new Drawing();
    draw(d);
    const { linears, missing } = map(d.build(), [linear(layer)]);
    assert.deepEqual(missing, []);
    assert.equal(linears[0]?.rule, rule);
    assert.equal(linears[0].modules[0]?.path, layer);
  });
}

for (const name of [
  `/model/layers.0/attn/q_proj/MatMul_Q4`,
  `/wrapper/model/layers.0/self_attn/q_proj/base_layer/MatMul`,
  `/layers.0/self_attn/q_proj/MatMul_quant`,
  `/model/layers.0/self_attn/q_proj/MatMulNBits`,
]) {
  test(`${name} means ${layer}`, () => {
    const d = new Drawing().node("Abs", [["x"], ["z"]]);
    d.node("MatMul", [["z", d.constant("w", [2, 4])], ["y"]], { name });
    d.node("MatMul", [["y", d.constant("v", [4, 2])], ["other"]], { name: "MatMul_3" });
    assert.equal(map(d.build(), [linear(layer)]).linears[0]?.modules[0]?.path, layer);
  });
}

/** A product by each operator, and its weight [4, 2] as a Linear holds it: counted from 1 as stored. */
const turned = [1, 5, 2, 6, 3, 7, 4, 8];
const stored = [1, 2, 3, 4, 5, 6, 7, 8];
const operators: [string, (d: Drawing) => void, expected: number[], hasBias?: boolean][] = [
  ["MatMul", (d) => d.node("MatMul", [["x", d.constant("w", [2, 4])], ["y"]], named), turned],
  [
    "MatMul of Transpose of Cast",
    (d) =>
      d
        .node("Cast", [[d.constant("w", [4, 2])], ["f"]])
        .node("Transpose", [["f"], ["t"]])
        .node("MatMul", [["x", "t"], ["y"]], named),
    stored,
  ],
  [
    "MatMul + Add",
    (d) =>
      d
        .node("MatMul", [["x", d.constant("w", [2, 4])], ["m"]], named)
        .node("Add", [[d.constant("b", [4]), "m"], ["y"]]),
    turned,
    true,
  ],
  [
    "Gemm",
    (d) =>
      d.node("Gemm", [["x", d.constant("w", [4, 2]), d.constant("b", [4])], ["y"]], {
        name: "/model/layers.0/self_attn/q_proj/Gemm",
        attributes: { transB: int(1) },
      }),
    stored,
    true,
  ],
  [
    "FusedMatMul",
    (d) =>
      d.node("FusedMatMul", [["x", d.constant("w", [4, 2])], ["y"]], {
        ...named,
        ...{ domain: microsoft, attributes: { transB: int(1) } },
      }),
    stored,
  ],
  [
    "DequantizeLinear + MatMul, a scale for each column",
    (d) =>
      d
        .node("DequantizeLinear", [
          [d.constant("q", [2, 4], "uint8"), d.constant("s", [4]), d.constant("z", [4], "uint8")],
          ["w"],
        ])
        .node("MatMul", [["x", "w"], ["y"]], named),
    // (value − zero) · scale, both counted from 1.
    [0, 4, 0, 8, 0, 12, 0, 16],
  ],
  [
    "MatMulNBits",
    (d) =>
      d.node(
        "MatMulNBits",
        [["x", d.constant("q", [4, 1, 2], "uint8"), d.constant("s", [4])], ["y"]],
        {
          ...named,
          domain: microsoft,
          attributes: { bits: int(8), block_size: int(2), N: int(4), K: int(2) },
        },
      ),
    // (value − 128) · scale of its row
    [-127, -126, -250, -248, -369, -366, -484, -480],
  ],
  [
    "MatMulInteger",
    (d) => {
      const outputs = ["q", "scale", "zero"];
      d.node("DynamicQuantizeLinear", [["x"], outputs])
        .node("Mul", [["scale", d.constant("s", [])], ["factor"]])
        .node(
          "MatMulInteger",
          [["q", d.constant("w", [2, 4], "uint8"), "zero", d.constant("z", [], "uint8")], ["sum"]],
          { name: "/model/layers.0/self_attn/q_proj/MatMul_quant" },
        )
        .node("Cast", [["sum"], ["float"]])
        .node("Mul", [["float", "factor"], ["y"]]);
    },
    [0, 4, 1, 5, 2, 6, 3, 7],
  ],
  [
    "DynamicQuantizeMatMul",
    (d) =>
      d.node(
        "DynamicQuantizeMatMul",
        [["x", d.constant("w", [2, 4], "uint8"), d.constant("s", [1])], ["y"]],
        { ...named, domain: microsoft },
      ),
    turned,
  ],
];

for (const [operator, draw, expected, hasBias = false] of operators) {
  test(`${operator} is a layer, and its weight is read`, async () => {
    const d = new Drawing();
    draw(d);
    const graph = d.build();
    const found = map(graph, [linear(layer, hasBias)]);
    assert.deepEqual(found.missing, []);
    assert.equal(found.linears[0]?.site.y, "y");
    const tensors = new ExportTensors(new GraphIndex(graph), found);
    assert.deepEqual([...((await tensors.read(`${layer}.weight`)) ?? [])], expected);
    const bias = await tensors.read(`${layer}.bias`);
    assert.deepEqual(bias && [...bias], hasBias ? [1, 2, 3, 4] : null);
  });
}

test("a packed product is its layers side by side", async () => {
  const d = new Drawing();
  const name = "/model/layers.0/attn/qkv_proj/MatMul";
  const graph = d.node("MatMul", [["x", d.constant("w", [2, 4])], ["y"]], { name }).build();
  const paths = ["q", "k", "v"].map((each) => `model.layers.0.self_attn.${each}_proj`);
  const sizes = [2, 1, 1];
  const modules = paths.map((path, i) => linear(path, false, [2, sizes[i] as number]));
  const found = map(graph, modules);
  assert.deepEqual(
    found.linears[0]?.modules.map(({ path }) => path),
    paths,
  );
  const tensors = new ExportTensors(new GraphIndex(graph), found);
  const rows = await Promise.all(paths.map((path) => tensors.read(`${path}.weight`)));
  assert.deepEqual(
    rows.map((each) => [...(each ?? [])]),
    [
      [1, 5, 2, 6],
      [3, 7],
      [4, 8],
    ],
  );
});

test("a tied head is found by its table's name", () => {
  const d = new Drawing();
  const graph = d
    .node("Transpose", [[d.constant("model.embed_tokens.weight", [4, 2])], ["w"]])
    .node("MatMul", [["x", "w"], ["logits"]], { name: "MatMul_99" })
    .build();
  const head = { ...linear("lm_head"), weight: "model.embed_tokens.weight" } as ModuleInfo;
  assert.equal(map(graph, [head]).linears[0]?.modules[0]?.path, "lm_head");
});

test("look-ups and norms are known by the names of their constants", () => {
  const d = new Drawing();
  const graph = d
    .node("Gather", [[d.constant("model.embed_tokens.weight", [8, 2]), "ids"], ["rows"]])
    .node("Mul", [["rows", d.constant("model.layers.0.input_layernorm.weight", [2])], ["a"]])
    .node("Mul", [["a", d.constant("model.norm.weight", [2])], ["y"]])
    .build();
  const modules: ModuleInfo[] = [
    { kind: "embedding", path: "model.embed_tokens", in: 8, out: 2 },
    { kind: "norm", path: "model.layers.0.input_layernorm", out: 2 },
    { kind: "norm", path: "model.norm", out: 2 },
  ] as ModuleInfo[];
  const found = map(graph, modules);
  assert.deepEqual(found.missing, []);
  assert.equal(found.embeddings[0]?.y, "rows");
  assert.equal(found.norms.length, 2);
});

const refused: [string, (d: Drawing) => void, ModuleInfo[], RegExp][] = [
  [
    "another shape than config.json says",
    (d) => d.node("MatMul", [["x", d.constant("w", [2, 5])], ["y"]], named),
    [linear(layer)],
    /\[2, 5\], config.json asks for \[2, 4\]/,
  ],
  [
    "a bias that another operator adds",
    (d) => d.node("MatMul", [["x", d.constant("w", [2, 4])], ["y"]], named),
    [linear(layer, true)],
    /the bias behind its product/,
  ],
  [
    "two products of one name",
    (d) => {
      const w = d.constant("w", [2, 4]);
      d.node("MatMul", [["x", w], ["y"]], named).node("MatMul", [["x", w], ["z"]], named);
    },
    [linear(layer)],
    /both compute it/,
  ],
  [
    "a factor that is computed",
    (d) => d.node("MatMul", [["x", "x"], ["y"]], named),
    [linear(layer)],
    /no product with a constant matrix/,
  ],
  [
    "products out of order without names",
    (d) =>
      d
        .node("MatMul", [["x", d.constant("w", [2, 4])], ["y"]], { name: "a" })
        .node("MatMul", [["y", d.constant("v", [4, 2])], ["z"]], { name: "b" }),
    [linear("model.layers.0.a", false, [4, 2]), linear("model.layers.0.b", false, [2, 4])],
    /no product with a constant matrix/,
  ],
];

for (const [what, draw, modules, reason] of refused) {
  test(`not taken for a layer: ${what}`, () => {
    const d = new Drawing();
    draw(d);
    const { linears, missing } = map(d.build(), modules);
    assert.deepEqual(linears, []);
    assert.equal(missing.length, modules.length);
    assert.match(missing[0]?.reason ?? "", reason);
  });
}
