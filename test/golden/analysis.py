"""Truths of the analysis of adapters: numpy alone, by PEFT's formulas, in double precision.

Run: python test/golden/analysis.py (writes test/golden/fixtures/analysis.json)
"""

import json
import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SAMPLE = HERE.parent.parent / "media" / "sample"
FIXTURES = HERE / "fixtures"
TOP_K, DENSITY = 10, 0.2


def read(file):
    """Tensors of a safetensors file of F32, in fp64."""
    data = file.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    out = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", name
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + size + begin : 8 + size + end], np.float32)
        out[name] = values.reshape(entry["shape"]).astype(np.float64)
    return out


class Adapter:
    def __init__(self, folder, base):
        self.config = json.loads((folder / "adapter_config.json").read_text())
        stored = read(folder / "adapter_model.safetensors")
        self.tensors = {k.removeprefix("base_model.model."): v for k, v in stored.items()}
        self.base = base

    def of(self, module, suffix):
        return self.tensors.get(f"{module}.{suffix}")

    def setting(self, pattern, default, module):
        """PEFT's get_pattern_key for plain names."""
        for key, value in (self.config.get(pattern) or {}).items():
            if module.endswith(f".{key}"):
                return value
        return self.config.get(default)

    def delta(self, module):
        return METHODS[self.config["peft_type"]](self, module, self.base[f"{module}.weight"])


def lora(adapter, module, weight):
    a, b = adapter.of(module, "lora_A.weight"), adapter.of(module, "lora_B.weight")
    rank = a.shape[0]
    alpha = adapter.setting("alpha_pattern", "lora_alpha", module)
    scaling = alpha / (np.sqrt(rank) if adapter.config.get("use_rslora") else rank)
    update = scaling * b @ a
    if adapter.config.get("use_dora"):
        total = weight + update
        scale = adapter.of(module, "lora_magnitude_vector") / np.linalg.norm(total, axis=1)
        return scale[:, None] * total - weight
    return update


def loha(adapter, module, _weight):
    first = adapter.of(module, "hada_w1_a") @ adapter.of(module, "hada_w1_b")
    second = adapter.of(module, "hada_w2_a") @ adapter.of(module, "hada_w2_b")
    rank = adapter.of(module, "hada_w1_b").shape[0]
    return first * second * adapter.setting("alpha_pattern", "alpha", module) / rank


def lokr(adapter, module, _weight):
    rank = adapter.setting("rank_pattern", "r", module)

    def side(name):
        whole = adapter.of(module, f"lokr_{name}")
        if whole is not None:
            return whole
        return adapter.of(module, f"lokr_{name}_a") @ adapter.of(module, f"lokr_{name}_b")

    return np.kron(side("w1"), side("w2")) * adapter.setting("alpha_pattern", "alpha", module) / rank


def ia3(adapter, module, weight):
    # [out, 1] scales outputs, [1, in] inputs: both broadcast.
    return weight * adapter.of(module, "ia3_l") - weight


def oft(adapter, module, weight):
    stored = adapter.of(module, "oft_R.weight")
    size = int((1 + np.sqrt(1 + 8 * stored.shape[1])) / 2)
    turn = np.zeros((weight.shape[1],) * 2)
    for i, row in enumerate(stored):
        q = np.zeros((size, size))
        q[np.triu_indices(size, 1)] = row
        q -= q.T
        block = (np.eye(size) - q) @ np.linalg.inv(np.eye(size) + q)
        turn[i * size : (i + 1) * size, i * size : (i + 1) * size] = block
    return (turn @ weight.T).T - weight


METHODS = {"LORA": lora, "LOHA": loha, "LOKR": lokr, "IA3": ia3, "OFT": oft}


def rounded(value):
    if isinstance(value, (list, np.ndarray)):
        return [rounded(each) for each in value]
    return float(f"{float(value):.9g}")


def numbers(adapter, module, most):
    update, weight = adapter.delta(module), adapter.base[f"{module}.weight"]
    values = np.linalg.svd(update, compute_uv=False)
    shares = values / values.sum()
    shares = shares[shares > 0]
    # What has a lower rank has rounding for the rest, which has no entropy to speak of.
    return {
        "module": module,
        "norm": rounded(np.linalg.norm(update)),
        "baseNorm": rounded(np.linalg.norm(weight)),
        "relative": rounded(np.linalg.norm(update) / np.linalg.norm(weight)),
        "effectiveRank": rounded(np.exp(-np.sum(shares * np.log(shares)))),
        "stableRank": rounded(np.sum(values**2) / values[0] ** 2),
        "values": rounded(values[:most]),
        "energy": rounded((np.cumsum(values**2) / np.sum(values**2))[:most]),
    }


def pair(a, b, module, directions):
    x, y = a.delta(module), b.delta(module)
    (ua, _, va), (ub, _, vb) = np.linalg.svd(x), np.linalg.svd(y)
    ks = range(1, directions + 1)
    phi = lambda p, q, k: np.linalg.norm(p[:, :k].T @ q[:, :k]) ** 2 / k
    out = {
        "module": module,
        "cosine": rounded(np.sum(x * y) / (np.linalg.norm(x) * np.linalg.norm(y))),
        "left": rounded([phi(ua, ub, k) for k in ks]),
        "right": rounded([phi(va.T, vb.T, k) for k in ks]),
        "sum": rounded(np.linalg.norm(x + y)),
        "kept": rounded(np.linalg.norm(x + y) / (np.linalg.norm(x) + np.linalg.norm(y))),
    }
    if x.size <= 4096:  # Graft looks at every entry then.
        opposite = np.sign(x) != np.sign(y)

        def kept(z):
            sizes = np.sort(np.abs(z).ravel())
            return np.abs(z) >= sizes[int(np.floor((1 - DENSITY) * sizes.size))]

        both = kept(x) & kept(y)
        out["signConflicts"] = rounded(np.mean(opposite))
        out["trimmedConflicts"] = rounded(np.sum(opposite & both) / np.sum(both))
    return out


def likeness(adapter, module):
    weight = adapter.base[f"{module}.weight"]
    known = np.linalg.svd(weight, full_matrices=False)[0]
    merged = np.linalg.svd(weight + adapter.delta(module), full_matrices=False)[0]
    return rounded(np.max(np.abs(known.T @ merged[:, :TOP_K]), axis=0))


def main():
    sample, llama = (
        read(SAMPLE / "base" / "model.safetensors"),
        read(FIXTURES / "models" / "llama" / "model.safetensors"),
    )
    attention = "model.layers.1.self_attn"
    q, v, down = f"{attention}.q_proj", f"{attention}.v_proj", "model.layers.1.mlp.down_proj"

    def of_sample(name):
        return Adapter(SAMPLE / "adapters" / name, sample)

    def of_llama(name):
        return Adapter(FIXTURES / "adapters" / "llama" / name, llama)

    cases = []
    for name, modules, most in [
        ("lora-pirate", [q, down], 8),
        ("dora-shout", [v], 24),
        ("ia3-butler", [v, down], 24),
    ]:
        adapter = of_sample(name)
        cases.append({"sample": name, "modules": [numbers(adapter, m, most) for m in modules]})
    for name, modules, most in [
        ("lora_rslora_pattern", [q, v], 4),
        ("loha", [q, v], 16),
        ("lokr", [v], 24),
        ("lokr_factor4", [down], 16),
        ("oft_exact_cayley", [q], 24),
        ("dora_all_linear", [down], 24),
    ]:
        adapter = of_llama(name)
        cases.append({"llama": name, "modules": [numbers(adapter, m, most) for m in modules]})
    pairs = [
        {"sample": names, **pair(*[of_sample(n) for n in names], module, most)}
        for names, module, most in [
            (["lora-pirate", "lora-json"], down, 8),
            (["lora-pirate", "lora-sentiment"], q, 4),
            (["lora-pirate", "dora-shout"], v, 4),
        ]
    ] + [
        {"llama": names, **pair(*[of_llama(n) for n in names], v, most)}
        for names, most in [(["lora_default", "lora_rslora"], 8), (["loha", "oft_exact_cayley"], 4)]
    ]
    intruders = [
        {"sample": name, "module": m, "likeness": likeness(of_sample(name), m)}
        for name, m in [("lora-sentiment", q), ("lora-sentiment", v), ("dora-shout", v)]
    ]
    table = {"numpy": np.__version__, "cases": cases, "pairs": pairs, "intruders": intruders}
    text = json.dumps(table, separators=(",", ":"))
    (FIXTURES / "analysis.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
