"""Checkpoints whose linear layers are stored quantized, with truths of transformers and PEFT on the
dequantized values. The packages that write such files do not install here, so the layouts are written
from their descriptions: GPTQ (AutoGPTQ, v1 and v2), AWQ (AutoAWQ's GEMM), bitsandbytes (NF4, FP4, int8).

    python test/golden/makeQuantized.py [GOLDEN] [OUT]
"""
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent
GOLDEN = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "fixtures"
OUT = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "fixtures/quantized"
GROUP = 32
rng = np.random.default_rng(20)


def grouped(weight, bits, group, sym, order=None):
    """Codes [out, in], zeros and fp16 scales [groups, out] of rounding to nearest, and the values."""
    out, columns = weight.shape
    group = columns if group == -1 else group
    top = 2**bits - 1
    index = np.arange(columns) // group if order is None else order
    groups = int(index.max()) + 1
    scales = np.zeros((groups, out), np.float16)
    zeros = np.zeros((groups, out), np.int64)
    codes = np.zeros((out, columns), np.int64)
    for g in range(groups):
        own = weight[:, index == g]
        if sym:
            scales[g] = np.maximum(2 * np.abs(own).max(1) / top, 1e-4)
            zeros[g] = 2 ** (bits - 1)
        else:
            low, high = np.minimum(own.min(1), 0), np.maximum(own.max(1), 0)
            scales[g] = np.maximum((high - low) / top, 1e-4)
            zeros[g] = np.clip(np.rint(-low / scales[g].astype(np.float32)), 1, top)
        step = scales[g].astype(np.float32)[:, None]
        codes[:, index == g] = np.clip(np.rint(own / step) + zeros[g][:, None], 0, top)
    step = scales.astype(np.float32)[index].T
    return codes, zeros, scales, index, (step * (codes - zeros[index].T)).astype(np.float32)


def bit_stream(values, bits):
    """[n, ...] small integers as [n * bits / 32, ...] words, the first in the lowest bits."""
    n = values.shape[0]
    planes = np.stack([(values >> b) & 1 for b in range(bits)], 1).reshape(n * bits, *values.shape[1:])
    words = planes.reshape(n * bits // 32, 32, *values.shape[1:]).astype(np.uint64)
    shifts = np.arange(32, dtype=np.uint64).reshape(1, 32, *[1] * (values.ndim - 1))
    return (words << shifts).sum(1).astype(np.uint32).view(np.int32)


def gptq(weight, path, c):
    order = None
    if c["desc_act"]:
        order = rng.permutation(weight.shape[1]) // c["group_size"]
    codes, zeros, scales, index, values = grouped(weight, c["bits"], c["group_size"], c["sym"], order)
    stored = zeros - 1 if c["checkpoint_format"] == "gptq" else zeros
    return values, {
        f"{path}.qweight": bit_stream(codes.T.copy(), c["bits"]),
        f"{path}.qzeros": np.ascontiguousarray(bit_stream(stored.T.copy(), c["bits"]).T),
        f"{path}.scales": scales,
        f"{path}.g_idx": index.astype(np.int32),
    }


def awq_words(values):
    """[rows, 8 n] as [rows, n]; a word's fields are columns 0, 2, 4, 6, 1, 3, 5, 7."""
    fields = values.reshape(values.shape[0], -1, 8)[:, :, [0, 2, 4, 6, 1, 3, 5, 7]].astype(np.uint64)
    return (fields << (4 * np.arange(8, dtype=np.uint64))).sum(2).astype(np.uint32).view(np.int32)


def awq(weight, path, c):
    codes, zeros, scales, _, values = grouped(weight, 4, c["group_size"], False)
    return values, {
        f"{path}.qweight": awq_words(codes.T),
        f"{path}.qzeros": awq_words(zeros),
        f"{path}.scales": scales,
    }


NF4 = np.array([-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
                -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
                0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
                0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1], np.float32)
FP4 = np.array([0, 0.0625, 8, 12, 4, 6, 2, 3, -0.0, -0.0625, -8, -12, -4, -6, -2, -3], np.float32) / 12


def four_bit(weight, path, c):
    code = NF4 if c["bnb_4bit_quant_type"] == "nf4" else FP4
    blocks = weight.reshape(-1, 64)
    absmax = np.abs(blocks).max(1).astype(np.float32)
    codes = np.abs((blocks / absmax[:, None])[:, :, None] - code).argmin(2)
    state = {"quant_type": c["bnb_4bit_quant_type"], "blocksize": 64, "dtype": "float32",
             "shape": list(weight.shape)}
    parts = {"absmax": absmax, "quant_map": code}
    used = absmax
    if c["bnb_4bit_use_double_quant"]:
        # Any table of 256 values will do: the file brings its own.
        table = np.sort(np.concatenate([np.linspace(-1, 1, 255), [0]])).astype(np.float32)
        offset = np.float32(absmax.mean())
        centred = (absmax - offset).reshape(1, -1)
        most = np.abs(centred).max(1).astype(np.float32)
        indices = np.abs((centred / most[:, None])[:, :, None] - table).argmin(2).ravel()
        used = (table[indices] * most[0]).astype(np.float32) + offset
        parts = {"absmax": indices.astype(np.uint8), "quant_map": code, "nested_absmax": most,
                 "nested_quant_map": table}
        state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": float(offset)}
    flat = codes.ravel()
    packed = ((flat[0::2] << 4) | flat[1::2]).astype(np.uint8)[:, None]
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    values = (code[codes] * used[:, None]).reshape(weight.shape).astype(np.float32)
    name = f"{path}.weight"
    return values, {name: packed, **{f"{name}.{k}": v for k, v in parts.items()},
                    f"{name}.quant_state.bitsandbytes__{c['bnb_4bit_quant_type']}": text}


def int8(weight, path, _c):
    most = np.abs(weight).max(1).astype(np.float32)
    codes = np.rint(weight * (127 / most)[:, None]).astype(np.int8)
    values = (codes.astype(np.float32) * most[:, None] / np.float32(127)).astype(np.float32)
    return values, {f"{path}.weight": codes, f"{path}.SCB": most,
                    f"{path}.weight_format": np.array(0, np.uint8)}


def gptq_config(bits, group, **more):
    return {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": False, "sym": False,
            "checkpoint_format": "gptq", **more}


def bnb_config(kind, double):
    return {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind,
            "bnb_4bit_use_double_quant": double, "llm_int8_skip_modules": ["lm_head"]}


CASES = {
    "gptq4_sym": (gptq, gptq_config(4, GROUP, sym=True)),
    "gptq4_act_v2": (gptq, gptq_config(4, GROUP, desc_act=True, checkpoint_format="gptq_v2")),
    "gptq2": (gptq, gptq_config(2, 16)),
    "gptq3": (gptq, gptq_config(3, GROUP)),
    "gptq8": (gptq, gptq_config(8, -1)),
    "awq": (awq, {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm",
                  "zero_point": True, "modules_to_not_convert": ["o_proj"]}),
    "bnb_nf4_double": (four_bit, bnb_config("nf4", True)),
    "bnb_fp4": (four_bit, bnb_config("fp4", False)),
    "bnb_int8": (int8, {"quant_method": "bitsandbytes", "load_in_8bit": True}),
}


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    source = GOLDEN / "models/llama"
    ids = torch.tensor([[1, 5, 9, 33, 2, 7, 11, 40]])
    for name, (quantize, config) in CASES.items():
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
        skip = config.get("modules_to_not_convert", []) + ["lm_head"]
        # Tables in 16 bits keep the fixtures small.
        tables = [model.model.embed_tokens, model.lm_head]
        for table in tables:
            table.weight.copy_(table.weight.half().float())
        tensors = {key: value.numpy() for key, value in model.state_dict().items()}
        for key in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[key] = tensors[key].astype(np.float16)
        for path, module in model.named_modules():
            if not isinstance(module, torch.nn.Linear) or any(path.endswith(each) for each in skip):
                continue
            weight = tensors.pop(f"{path}.weight")
            values, parts = quantize(weight, path, config)
            tensors |= parts
            module.weight.copy_(torch.from_numpy(values))
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        raw = json.loads((source / "config.json").read_text())
        raw["quantization_config"] = config
        (folder / "config.json").write_text(json.dumps(raw, indent=1) + "\n")
        base = model(ids).logits.numpy()
        tuned = PeftModel.from_pretrained(model, GOLDEN / "adapters/llama/lora_default")
        for key in tensors:
            tensors[key] = np.ascontiguousarray(tensors[key])
        save_file(tensors, folder / "model.safetensors")
        save_file({"input_ids": ids.numpy(), "base_logits": base, "adapter_logits": tuned(ids).logits.numpy()},
                  folder / "expected.safetensors")


main()
