"""Stores made cases in less room, with all of what the runner compares: run it before committing.

    python compact.py [FOLDER]      (default: the fixtures beside this script)

Works over a folder's adapters/<arch>, exports/adapters/<arch>, multi and quant; run again, it changes
nothing. What it does, and truth.ts, mergeCheck.ts and roundTrip.py read:
- A tensor that several cases of one parent have is moved into the parent's shared.safetensors; a
  case's metadata then names it there: {"shared:NAME IN THE CASE": "NAME IN shared.safetensors"}.
- Logits of one case of multi within 1e-5 of others of it are named by those: {"same:NAME": "OTHER"}.
- merged_logits are left out where PEFT's merge is within 1e-5 of its own adapter_logits, a tenth of
  what the runner allows, or never compared (16-bit bases, merges that change more than the adapter).
- merged_weights keep one tensor of each shape and kind, in the smallest case of each set of options
  (numbers and lists of names aside); logits of what was merged are compared in every case.
- expected.json loses what nothing reads, and its indentation.
"""

import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np

near = 1e-5
unread = {"trainable_parameter_names", "scaling", "perturb_scale_tried", "active_adapters"}
unread |= {"merged_tensors_changed", "max_abs_diff_vs_base", "greedy_base_margin"}
unread |= {"greedy_adapter_margin", "max_abs_diff", "reload_max_abs_diff"}
kinds = ("embed", "lm_head", "expert", "norm", "bias", "conv", "score")
places = {"base_model_name_or_path", "target_modules", "exclude_modules", "layers_pattern", "task_type"}
places |= {"revision", "peft_version", "auto_mapping", "inference_mode"}
shared_name = "shared.safetensors"
reference = "shared:"

Tensor = tuple[str, list, bytes]


def read(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not file.exists():
        return {}, {}
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    start = 8 + length
    out = {}
    for name, at in header.items():
        begin, end = at["data_offsets"]
        out[name] = (at["dtype"], at["shape"], data[start + begin : start + end])
    return out, metadata


def write(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Widest types first, so that every tensor is aligned, then by name."""
    width = {"I64": 8, "F64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2}
    names = sorted(tensors, key=lambda name: (-width.get(tensors[name][0], 1), name))
    header = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for name in names:
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(tensors[name][2] for name in names)
    file.write_bytes(struct.pack("<Q", len(text)) + text + body)


def key_of(name: str, tensor: Tensor) -> str:
    dtype, shape, data = tensor
    digest = hashlib.sha256(f"{dtype} {shape} ".encode() + data).hexdigest()
    return f"{name.split('/')[-1]}.{digest[:8]}"


def share(files: list[Path], shared_file: Path) -> None:
    """Moves what several files have into one; smaller tensors than a reference stay."""
    shared, _ = read(shared_file)
    cases = {file: read(file) for file in files}
    digests = {}
    counts: dict[str, int] = {}
    for file, (tensors, _) in cases.items():
        for name, tensor in tensors.items():
            key = key_of("", tensor)
            digests[file, name] = key
            counts[key] = counts.get(key, 0) + 1
    named = {key_of("", tensor): name for name, tensor in shared.items()}
    for file, (tensors, metadata) in cases.items():
        moved = [name for name in tensors if len(tensors[name][2]) >= 96
                 and (counts[digests[file, name]] > 1 or digests[file, name] in named)]
        for name in moved:
            key = digests[file, name]
            if key not in named:
                named[key] = key_of(name, tensors[name])
                shared[named[key]] = tensors[name]
            metadata[f"{reference}{name}"] = named[key]
            del tensors[name]
        if moved:
            write(file, tensors, metadata)
    used = {name for _, metadata in cases.values()
            for key, name in metadata.items() if key.startswith(reference)}
    if shared:
        write(shared_file, {name: each for name, each in shared.items() if name in used}, {})


def floats(tensor: Tensor) -> np.ndarray:
    return np.frombuffer(tensor[2], "<f4")


def drop_merged(folder: Path) -> None:
    """Leaves out what of a merge the runner does not read or finds in adapter_logits."""
    expected = json_of(folder / "expected.json")
    file, weights = folder / "expected.safetensors", folder / "merged_weights.safetensors"
    tensors, metadata = read(file)
    is_compared = (
        expected.get("merge") == "ok"
        and expected["base_dtype"] == "torch.float32"
        and (expected.get("merged_vs_adapter") or 0) < 1e-3
    )
    merged, adapter = tensors.get("merged_logits"), tensors.get("adapter_logits")
    if merged and (not is_compared or np.abs(floats(merged) - floats(adapter)).max() <= near):
        del tensors["merged_logits"]
        write(file, tensors, metadata)
    if not weights.exists():
        return
    if not is_compared:
        weights.unlink()
        return
    kept, about = read(weights)
    first: dict[str, str] = {}
    for name in sorted(kept):
        kind = [each for each in kinds if each in name]
        first.setdefault(f"{kind} {kept[name][1]}", name)
    if len(first) < len(kept):
        write(weights, {name: kept[name] for name in first.values()}, about)


def join_near(file: Path) -> None:
    """Orders that do not matter, merges and the like: a tenth of the runner's tolerance apart."""
    tensors, metadata = read(file)
    kept: list[str] = []
    for name in sorted(name for name in tensors if name.endswith("_logits")):
        values = floats(tensors[name])
        for other in kept:
            like = floats(tensors[other])
            if tensors[name][1] == tensors[other][1] and np.abs(values - like).max() <= near:
                metadata[f"same:{name}"] = other
                del tensors[name]
                break
        else:
            kept.append(name)
    if any(key.startswith("same:") for key in metadata):
        write(file, tensors, metadata)


def keep_smallest(root: Path) -> None:
    """Of cases whose configs say the same in words and switches, one keeps its merged weights."""
    groups: dict[str, list[Path]] = {}
    for weights in sorted(root.glob("adapters/*/*/merged_weights.safetensors")):
        configs = [*weights.parent.glob("adapter_config.json"), *weights.parent.glob("*/adapter_config.json")]
        fields = json_of(configs[0])
        options = {key: fields[key] for key in sorted(fields.keys() - places)
                   if isinstance(fields[key], (bool, str))}
        found = [each for each in kinds if any(each in name for name in read(weights)[0])]
        groups.setdefault(f"{options} {found}", []).append(weights)
    for group in groups.values():
        smallest = min(group, key=lambda file: file.stat().st_size)
        for weights in group:
            if weights != smallest:
                weights.unlink()


def json_of(file: Path) -> dict:
    return json.loads(file.read_text())


def compact_json(file: Path) -> None:
    expected = {key: value for key, value in json_of(file).items() if key not in unread}
    if "config_passed" in expected:
        passed = expected.pop("config_passed") or {}
        if isinstance(passed, dict) and "r" in passed:
            expected["config_passed"] = {"r": passed["r"]}
    # No type means the usual one.
    for saved in expected.get("saved_tensors", {}).values():
        if saved.get("dtype") == "float32":
            del saved["dtype"]
    text = json.dumps(expected, separators=(",", ":"), ensure_ascii=False)
    file.write_text(text + "\n")


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "fixtures")
    for expected in sorted(root.glob("adapters/*/*/expected.json")):
        drop_merged(expected.parent)
    keep_smallest(root)
    for pattern in ("adapters/*/*", "multi/*", "exports/*", "exports/adapters/*/*"):
        for expected in sorted(root.glob(f"{pattern}/expected.json")):
            compact_json(expected)
    status = root / "status.json"
    if status.exists():
        status.write_text(json.dumps(json_of(status), separators=(",", ":")) + "\n")
    for file in sorted(root.glob("multi/*/expected.safetensors")):
        join_near(file)
    parents = [*root.glob("adapters/*"), *root.glob("exports/adapters/*"), root / "multi"]
    for parent in sorted(parents):
        share(sorted(parent.glob("*/expected.safetensors")), parent / shared_name)
    share(sorted(root.glob("quant/*.safetensors")), root / shared_name)


main()
