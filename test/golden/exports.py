"""Makes ONNX exports of tiny random models, adapters for them, and what Python PEFT computes.

    python exports.py OUT [--builder FOLDER] [--only PATTERN]

OUT/adapters/<arch>/<case> holds an adapter with truths of base and adapted model (fp32, eager, fixed
seeds); OUT/<name> an export: config.json, the .onnx files and expected.json, which names the adapters.
Exports with rounded weights have truths of their own, computed by PyTorch on the rounded values.
FOLDER is src/python/py/models of onnxruntime-genai; without it its exports are left as they are.
Needs torch, transformers, peft, onnx, onnxscript, onnxruntime.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import peft
import torch
import transformers
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
from onnxruntime.quantization.quant_utils import QuantFormat
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.cache_utils import DynamicCache

greedy_tokens = 8
versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
versions |= {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}


# --- models and adapters ---------------------------------------------------------------------------

llama_like = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64,
    "initializer_range": 0.2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip

configs = {
    "llama": lambda: AutoConfig.for_model("llama", **llama_like),
    "qwen2": lambda: AutoConfig.for_model("qwen2", **llama_like, tie_word_embeddings=True),
    "gpt2": lambda: AutoConfig.for_model(
        "gpt2", vocab_size=64, n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.2,
        bos_token_id=1, eos_token_id=2,
    ),
}  # fmt: skip

every_linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
adapters = {
    "llama": {
        "lora": lambda: peft.LoraConfig(r=4, lora_alpha=8, target_modules=every_linear + ["lm_head"]),
        "lora_qv": lambda: peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"]),
        "dora": lambda: peft.LoraConfig(r=4, use_dora=True, target_modules=every_linear),
        "ia3": lambda: peft.IA3Config(
            target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]
        ),
        "loha": lambda: peft.LoHaConfig(r=2, alpha=4, target_modules=["q_proj", "up_proj"]),
        "lora_embed": lambda: peft.LoraConfig(r=3, target_modules=["embed_tokens", "k_proj"]),
        "norms": lambda: peft.LNTuningConfig(target_modules=["input_layernorm", "norm"], task_type="CAUSAL_LM"),
        "prefix": lambda: peft.PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
        "prompt": lambda: peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
    },
    "qwen2": {
        "lora": lambda: peft.LoraConfig(r=4, target_modules=every_linear),
        "dora": lambda: peft.LoraConfig(r=4, use_dora=True, target_modules=["q_proj", "v_proj", "down_proj"]),
    },
    "gpt2": {
        "lora": lambda: peft.LoraConfig(
            r=4, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True, task_type="CAUSAL_LM"
        ),
    },
}  # fmt: skip


def base_model(arch: str):
    torch.manual_seed(zlib.crc32(arch.encode()))
    config = configs[arch]()
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for name, parameter in model.named_parameters():
        # Fresh norms are ones and biases zeros, which would hide mistakes.
        if parameter.ndim == 1:
            noise = torch.randn_like(parameter) * 0.2
            parameter.data += noise
    return model.eval()


def batch(padded=True):
    """Row 1 is padded in front, as generate pads; PEFT's prompt methods count padding in positions."""
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(3, 64, (2, 10), generator=generator)
    mask = torch.ones_like(ids)
    if padded:
        mask[1, :4] = 0
    return ids, mask


def logits_of(model, ids, mask):
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits


def greedy(model, ids):
    row = ids[:1]
    for _ in range(greedy_tokens):
        out = model(input_ids=row, attention_mask=torch.ones_like(row), use_cache=False).logits
        row = torch.cat([row, out[:, -1:].argmax(-1)], dim=1)
    return row[0, ids.shape[1] :].contiguous()


@torch.no_grad()
def truths(model, ids, mask, name):
    return {f"{name}_logits": logits_of(model, ids, mask).contiguous(), f"greedy_{name}": greedy(model, ids)}


def make_adapter(out: Path, arch: str, case: str, config) -> None:
    folder = out / "adapters" / arch / case
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(zlib.crc32(f"{arch}/{case}".encode()))
    model = peft.get_peft_model(base_model(arch), config()).eval()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn_like(parameter) * 0.3
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    for each in folder.glob("adapter_config.json"):
        written = json.loads(each.read_text())
        written["base_model_name_or_path"] = arch
        each.write_text(json.dumps(written, indent=1, sort_keys=True))
    save_truths(folder / "expected.safetensors", folder, lambda: base_model(arch))


def save_truths(file: Path, adapter: Path, make_base) -> None:
    """What a base says, and what it says with the adapter on it."""
    model = peft.PeftModel.from_pretrained(make_base(), adapter).eval()
    ids, mask = batch(padded=case_is_padded(model))
    tensors = {"input_ids": ids, "attention_mask": mask} | truths(make_base(), ids, mask, "base")
    tensors |= truths(model, ids, mask, "adapter")
    file.parent.mkdir(exist_ok=True)
    save_file(tensors, file)


def case_is_padded(model) -> bool:
    return not next(iter(model.peft_config.values())).is_prompt_learning


# --- exporters -------------------------------------------------------------------------------------


class Wrapped(torch.nn.Module):
    """The signature of optimum's exports: past keys and values one by one."""

    def __init__(self, model, uses_positions=True):
        super().__init__()
        self.inner = model
        self.uses_positions = uses_positions

    def forward(self, input_ids, attention_mask, position_ids, *past):
        cache = DynamicCache(config=self.inner.config)
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        # A mask of four dimensions is taken as it is: building it is what tracing fails at.
        total, new = attention_mask.shape[1], input_ids.shape[1]
        seen = torch.arange(total)[None, :] <= torch.arange(new)[:, None] + (total - new)
        seen = seen[None, None] & (attention_mask[:, None, None, :] > 0)
        additive = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
        out = self.inner(
            input_ids=input_ids, attention_mask=additive, position_ids=position_ids,
            past_key_values=cache, use_cache=True,
        )  # fmt: skip
        flat = [out.logits]
        for layer in out.past_key_values.layers:
            flat += [layer.keys, layer.values]
        return tuple(flat)


def sizes(config):
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return config.num_hidden_layers, heads, config.hidden_size // config.num_attention_heads


def example(config):
    layers, heads, dim = sizes(config)
    past = [torch.randn(2, heads, 5, dim) for _ in range(2 * layers)]
    ids = torch.randint(3, 60, (2, 3))
    return (ids, torch.ones(2, 8, dtype=torch.int64), torch.arange(5, 8).repeat(2, 1), *past)


def names(config):
    layers, _, _ = sizes(config)
    past = [f"past_key_values.{i}.{kind}" for i in range(layers) for kind in ("key", "value")]
    present = [f"present.{i}.{kind}" for i in range(layers) for kind in ("key", "value")]
    return ["input_ids", "attention_mask", "position_ids", *past], ["logits", *present]


def torchscript(arch: str, file: Path) -> None:
    model = base_model(arch)
    inputs, outputs = names(model.config)
    axes = {name: {0: "batch_size", 1: "sequence_length"} for name in ("input_ids", "position_ids", "logits")}
    axes["attention_mask"] = {0: "batch_size", 1: "total_sequence_length"}
    axes |= {name: {0: "batch_size", 2: "past_sequence_length"} for name in inputs[3:]}
    axes |= {name: {0: "batch_size", 2: "total_sequence_length"} for name in outputs[1:]}
    wrapped = Wrapped(model)
    with torch.no_grad():
        torch.onnx.export(
            wrapped, example(model.config), str(file), dynamo=False, opset_version=17,
            input_names=inputs, output_names=outputs, dynamic_axes=axes, do_constant_folding=True,
        )  # fmt: skip
    unwrap(file)


def unwrap(file: Path) -> None:
    """Takes the wrapper's own level out of all names, as if the model itself had been exported."""
    model = onnx.load(file)
    rename = lambda name: name.replace("/inner/", "/").replace("inner.", "", 1) if "inner" in name else name
    graph = model.graph
    for node in graph.node:
        node.name = rename(node.name)
        node.input[:] = [rename(each) for each in node.input]
        node.output[:] = [rename(each) for each in node.output]
    for each in [*graph.initializer, *graph.value_info]:
        each.name = rename(each.name)
    onnx.save(model, file)


def dynamo(arch: str, file: Path, optimize: bool) -> None:
    model = base_model(arch)
    inputs, outputs = names(model.config)
    batch_size, new = torch.export.Dim("batch_size"), torch.export.Dim("sequence_length")
    past, total = torch.export.Dim("past_sequence_length"), torch.export.Dim("total_sequence_length")
    two = {0: batch_size, 1: new}
    kv = [{0: batch_size, 2: past} for _ in inputs[3:]]
    with torch.no_grad():
        program = torch.onnx.export(
            Wrapped(model), example(model.config), dynamo=True, optimize=optimize, input_names=inputs,
            output_names=outputs, dynamic_shapes=(two, {0: batch_size, 1: total}, two, tuple(kv)),
        )  # fmt: skip
    program.save(str(file), external_data=optimize)
    drop_traces(file)


def drop_traces(file: Path) -> None:
    """Stack traces and types of PyTorch's own graph only make the fixtures large."""
    model = onnx.load(file, load_external_data=False)
    for holder in [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input,
                   *model.graph.initializer, *model.functions, *model.graph.output]:  # fmt: skip
        kept = [each for each in holder.metadata_props if each.key == "pkg.torch.onnx.name_scopes"]
        del holder.metadata_props[:]
        holder.metadata_props.extend(kept)
    del model.graph.value_info[:]
    onnx.save(model, file)


def builder(arch: str, folder: Path, precision: str, source: Path, *options: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        base_model(arch).save_pretrained(temporary)
        words = WordLevel({f"t{i}": i for i in range(64)}, unk_token="t0")
        PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), unk_token="t0").save_pretrained(temporary)
        extra = ["--extra_options", *options] if options else []
        command = [sys.executable, "builder.py", "-i", temporary, "-o", str(folder), "-p", precision]
        subprocess.run([*command, "-e", "cpu", "-c", f"{temporary}/cache", *extra], cwd=source, check=True)
    for each in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        (folder / each).unlink(missing_ok=True)


# --- rounded variants ------------------------------------------------------------------------------


def four_bits(source: Path, target: Path, *, qdq=False, bits=4, symmetric=True) -> None:
    config = DefaultWeightOnlyQuantConfig(
        block_size=16, is_symmetric=symmetric, accuracy_level=1, bits=bits,
        quant_format=QuantFormat.QDQ if qdq else QuantFormat.QOperator,
    )  # fmt: skip
    quantizer = MatMulNBitsQuantizer(onnx.load(source), algo_config=config)
    quantizer.process()
    quantizer.model.save_model_to_file(str(target), use_external_data_format=False)


def half(source: Path, target: Path) -> None:
    """Weights, caches and logits in fp16; what is computed in between is fp16 as well."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(onnx.load(source), keep_io_types=False, disable_shape_infer=True)
    onnx.save(model, target)


def dynamic(source: Path, target: Path) -> None:
    quantize_dynamic(str(source), str(target), weight_type=QuantType.QUInt8, per_channel=False)


def unpacked(codes: np.ndarray, bits: int) -> np.ndarray:
    """Integers of `bits` bits that share bytes, low bits first."""
    each = 8 // bits
    parts = [(codes >> (bits * i)) & (2**bits - 1) for i in range(each)]
    return np.stack(parts, axis=-1).reshape(*codes.shape[:-1], -1)


def rounded_weights(file: Path):
    """Weights [out, in] that the products of a rounded export stand for, in the graph's order."""
    model = onnx.load(file)
    arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    out = {}
    for node in model.graph.node:
        given = [arrays.get(name) for name in node.input]
        attributes = {each.name: each.i for each in node.attribute}
        if node.op_type == "MatMulNBits":
            bits, block, rows = (attributes[key] for key in ("bits", "block_size", "N"))
            codes = unpacked(given[1], bits).reshape(rows, -1, block).astype(np.float32)
            scales = given[2].reshape(rows, -1, 1)
            zeros = 2 ** (bits - 1)
            if len(given) > 3 and given[3] is not None:
                zeros = unpacked(given[3].reshape(rows, -1), bits)[:, : scales.shape[1], None]
            out[node.name] = ((codes - zeros) * scales).reshape(rows, -1)[:, : attributes["K"]]
        elif node.op_type == "MatMulInteger" and given[1] is not None:
            scale = arrays[node.input[1].replace("_quantized", "_scale")]
            out[node.name] = ((given[1].astype(np.float32) - given[3]) * scale).T
        elif node.op_type == "MatMul" and given[1] is not None and given[1].ndim == 2:
            out[node.name] = given[1].astype(np.float32).T
        elif node.op_type == "MatMul" and makers.get(node.input[1], node).op_type == "DequantizeLinear":
            source = makers[node.input[1]]
            codes, scales, zeros = (arrays[name].astype(np.float32) for name in source.input)
            repeat = codes.shape[0] // scales.shape[0]
            out[node.name] = ((codes - zeros.repeat(repeat, 0)) * scales.repeat(repeat, 0)).T
    return out, arrays


def rounded_model(arch: str, file: Path):
    """The model with the numbers that a rounded export has; its products in the order of the layers."""
    model = base_model(arch)
    weights, arrays = rounded_weights(file)
    order = [f"model.layers.{layer}.{part}" for layer in range(2) for part in (
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
    )] + ["lm_head"]  # fmt: skip
    parameters = dict(model.named_parameters())
    values = []
    # The builder writes its head where it comes to it.
    for name, value in sorted(weights.items(), key=lambda item: "lm_head" in item[0]):
        packed = "qkv_proj" in name
        values += np.split(value, [32, 48]) if packed else [value]
    for path, value in zip(order, values, strict=True):
        parameters[f"{path}.weight"].data = torch.from_numpy(np.ascontiguousarray(value))
    for name, array in arrays.items():
        if name in parameters and array.dtype == np.float16:
            parameters[name].data = torch.from_numpy(array.astype(np.float32))
        if name == "model.embed_tokens.weight_quantized":
            scale, zero = (arrays[f"model.embed_tokens.weight_{end}"] for end in ("scale", "zero_point"))
            parameters["model.embed_tokens.weight"].data = torch.from_numpy((array.astype(np.float32) - zero) * scale)
    return model


# --- the exports -----------------------------------------------------------------------------------

every = {"llama": ["lora", "lora_qv", "dora", "ia3", "loha", "lora_embed", "norms", "prefix", "prompt"]}


def exports(source: Path | None):
    """[name, arch, adapters, make(folder)]; transformers.js keeps its files in onnx/."""

    def variants(folder: Path) -> None:
        whole = folder / "onnx" / "model.onnx"
        torchscript("llama", whole)
        four_bits(whole, folder / "onnx" / "model_q4.onnx")
        half(whole, folder / "onnx" / "model_fp16.onnx")
        dynamic(whole, folder / "onnx" / "model_quantized.onnx")

    def rounded_dynamo(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            dynamo("llama", Path(temporary) / "model.onnx", True)
            four_bits(Path(temporary) / "model.onnx", folder / "model.onnx", bits=8, symmetric=False)
            four_bits(Path(temporary) / "model.onnx", folder / "model_qdq.onnx", qdq=True, symmetric=False)

    yield "llama-torchscript", "llama", every["llama"], variants
    yield "llama-dynamo", "llama", every["llama"], lambda folder: dynamo("llama", folder / "model.onnx", True)
    yield "llama-dynamo-raw", "llama", ["lora"], lambda folder: dynamo("llama", folder / "model.onnx", False)
    yield "llama-dynamo-q8", "llama", ["lora"], rounded_dynamo
    yield "qwen2-torchscript", "qwen2", ["lora", "dora"], lambda folder: torchscript("qwen2", folder / "model.onnx")
    yield "qwen2-dynamo", "qwen2", ["lora", "dora"], lambda folder: dynamo("qwen2", folder / "model.onnx", True)
    yield "gpt2-torchscript", "gpt2", ["lora"], lambda folder: torchscript("gpt2", folder / "model.onnx")
    if source is None:
        return
    yield "llama-genai", "llama", every["llama"], lambda folder: builder("llama", folder, "fp32", source)
    yield "qwen2-genai", "qwen2", ["lora", "dora"], lambda folder: builder("qwen2", folder, "fp32", source)
    four = ("int4_block_size=16", "int4_accuracy_level=1")
    yield "llama-genai-int4", "llama", ["lora"], lambda folder: builder("llama", folder, "int4", source, *four)
    unpacked = (*four, "disable_qkv_fusion=true")
    yield "llama-genai-int4-split", "llama", ["lora"], lambda folder: builder(
        "llama", folder, "int4", source, *unpacked
    )


# What a variant's arithmetic may differ by from fp32 on the same numbers: fp16 throughout, or 8-bit inputs
# (ONNX Runtime runs DequantizeLinear + MatMul as MatMulNBits of accuracy level 4).
tolerances = {"model_fp16": 0.05, "model_quantized": 1.0, "model_qdq": 1.0}


def runtime_logits(file: Path) -> torch.Tensor:
    """What Python's ONNX Runtime makes of the same file: arithmetic in 8 bits included."""
    ids, mask = batch()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    feeds = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
    feeds = {name: value.numpy() for name, value in feeds.items()}
    for each in session.get_inputs():
        if each.name not in feeds:
            feeds[each.name] = np.zeros((len(ids), each.shape[1], 0, each.shape[3]), np.float32)
    return torch.from_numpy(session.run(["logits"], feeds)[0])


def add_runtime_logits(truths_file: Path, file: Path) -> None:
    save_file(load_file(truths_file) | {"runtime_logits": runtime_logits(file)}, truths_file)


def variant(out: Path, folder: Path, arch: str, file: Path) -> dict:
    """Truths of a variant's own where its weights are rounded."""
    operators = {node.op_type for node in onnx.load(file, load_external_data=False).graph.node}
    is_rounded = operators & {"MatMulNBits", "MatMulInteger", "DequantizeLinear"} or "fp16" in file.stem
    if not is_rounded:
        return {}
    case = "lora"
    truths_folder = folder / f"truths_{file.stem}"
    save_truths(truths_folder / f"{case}.safetensors", out / "adapters" / arch / case, lambda: rounded_model(arch, file))
    if tolerances.get(file.stem, 0) >= 0.5:
        # Those limits are wide: the base is also held against the same file in Python's runtime.
        add_runtime_logits(truths_folder / f"{case}.safetensors", file)
    return {"truths": truths_folder.name, "adapters": [f"{arch}/{case}"], "tolerance": tolerances.get(file.stem, 1e-3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--builder", type=Path)
    parser.add_argument("--only", default="", help="regular expression on the names")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for arch, cases in adapters.items():
        for case, config in cases.items():
            if re.search(options.only, f"adapters/{arch}/{case}"):
                make_adapter(options.out, arch, case, config)
    for name, arch, cases, make in exports(options.builder):
        if not re.search(options.only, name):
            continue
        folder = options.out / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "onnx").mkdir(parents=True)
        base_model(arch).config.save_pretrained(folder)
        make(folder)
        if not any((folder / "onnx").iterdir()):
            (folder / "onnx").rmdir()
        expected = {"adapters": [f"{arch}/{case}" for case in cases], "versions": versions}
        expected["variants"] = {
            file.stem: variant(options.out, folder, arch, file) for file in sorted(folder.rglob("*.onnx"))
        }
        (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
        print(name, sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()), flush=True)


if __name__ == "__main__":
    main()
