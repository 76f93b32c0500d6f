"""Writes what PEFT, ONNX Runtime and llama.cpp's gguf package make of golden adapters.

Run with peft 0.21, transformers, onnxruntime and gguf installed; convert.test.ts compares with it.
"""

from pathlib import Path

import gguf
import numpy as np
import onnxruntime as ort
from peft import PeftModel
from peft.tuners.lora.conversion import convert_to_lora
from peft.tuners.lora.intruders import reduce_intruder_dimension
from safetensors.numpy import load_file as load_numpy
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

here = Path(__file__).parent
fixtures = here.parents[4] / "golden" / "fixtures"


def load(case):
    base = AutoModelForCausalLM.from_pretrained(fixtures / "models" / "llama")
    return PeftModel.from_pretrained(base, fixtures / "adapters" / "llama" / case)


def save(name, tensors):
    save_file({k: v.detach().float().contiguous() for k, v in tensors.items()}, here / name)


for name, case, rank in [
    ("loha_rank4", "loha", 4),
    ("loha_energy80", "loha_patterns", 0.8),
    ("miss_rank4", "miss", 4),
    ("vera_energy90", "vera", 0.9),
]:
    save(f"{name}.safetensors", convert_to_lora(load(case), rank)[1])

model = load("lora_all_linear")
reduce_intruder_dimension(
    model, top_k=20, threshold_epsilon=0.6, mitigation_lambda=0.3, logging_sink=None
)
factors = {k: v for k, v in model.state_dict().items() if k.endswith(".intruder_reduced.weight")}
save("intruders.safetensors", {k.replace(".intruder_reduced", ""): v for k, v in factors.items()})

stored = load_numpy(fixtures / "adapters" / "llama" / "lora_default" / "adapter_model.safetensors")
transposed = {k: np.ascontiguousarray(v.T) for k, v in stored.items()}
adapter = ort.AdapterFormat()
adapter.set_adapter_version(3)
adapter.set_model_version(5)
adapter.set_parameters(
    {
        k.replace("base_model.model.", "").replace(".weight", ".MatMul.weight").replace(
            "self_attn", "attn"
        ): ort.OrtValue.ortvalue_from_numpy(v)
        for k, v in transposed.items()
    }
)
adapter.export_adapter(str(here / "ort.onnx_adapter"))

writer = gguf.GGUFWriter(here / "llama.gguf", "llama")
writer.add_type("adapter")
writer.add_string("adapter.type", "lora")
writer.add_float32("adapter.lora.alpha", 8.0)
writer.add_array("general.tags", ["a", "b"])
heads = {"q_proj": 4, "v_proj": None}
for k, v in stored.items():
    _, _, _, _, layer, _, module, factor, _ = k.split(".")
    name = f"blk.{layer}.attn_{module[0]}.weight.lora_{factor[-1].lower()}"
    if factor == "lora_B" and heads[module]:
        count = heads[module]
        v = v.reshape(count, 2, v.shape[0] // count // 2, v.shape[1]).swapaxes(1, 2).reshape(v.shape)
    writer.add_tensor(name, np.ascontiguousarray(v))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
