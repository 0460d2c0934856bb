#!/usr/bin/env python3
"""Makes odd/: a random Llama none of whose sizes is comfortable, and what Transformers, bitsandbytes and PEFT compute on it.

Hidden 96 (so NF4 blocks of 64 cross rows), 4 heads of 32 over 2 key/value heads (128 != 96), intermediate 160, biases
everywhere, an own head, vocabulary 259, llama3 rope scaling whose three ranges of frequencies all occur.

model/                  the model, float32
model-nf4-dq/           the same as Transformers + bitsandbytes save it: NF4, double-quantized
odd-init/               a PEFT adapter: r 4, alpha 8, all-linear, B random
odd-golden.safetensors  input_ids [2, 48], rope.inv_freq, and for KIND = f32 (the model) and nf4dq (its quantized form):
                        KIND.base.logits, KIND.adapter.logits (last 8 positions), KIND.*.token_losses [2, 47] and
                        KIND.grad.<PEFT key>: the gradient of the mean loss. All computed in float32.
losses.json, versions.json

usage: make-odd.py [--output DIR]          (Python packages: bench/peers/requirements.txt)
"""
import argparse
import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "bench" / "peers"))

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from common import VERSIONS, load_base

SEED = 20
BATCH, LENGTH, LAST = 2, 48, 8

CONFIG = dict(
    vocab_size=259,
    hidden_size=96,
    intermediate_size=160,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    attention_bias=True,
    mlp_bias=True,
    tie_word_embeddings=False,
    max_position_embeddings=256,
    rms_norm_eps=1e-6,
    rope_parameters={
        "rope_type": "llama3",
        "rope_theta": 1000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 40,
    },
    bos_token_id=0,
    eos_token_id=1,
    pad_token_id=1,
)


def fill(model, random):
    """Weights about as large and as uneven as a trained model's, so that no logit, gate or attention is flat."""
    normal = lambda shape: torch.randn(shape, generator=random)
    for name, p in sorted(model.named_parameters()):
        kind = name.split(".")[-2]
        if p.dim() == 1:
            p.data = 1 + 0.2 * normal(p.shape) if "norm" in name else 0.1 * normal(p.shape)
            continue
        gain = {"embed_tokens": 0.5 * p.shape[1] ** 0.5, "lm_head": 1.5, "q_proj": 1.2, "k_proj": 1.2}.get(kind, 1.0)
        uneven = torch.exp(0.3 * normal((1, p.shape[1]))) * torch.exp(0.2 * normal((p.shape[0], 1)))
        p.data = gain * p.shape[1] ** -0.5 * uneven * normal(p.shape)


def make_adapter(folder, model_folder, random):
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(load_base(model_folder, "f32"), config)
    for name, p in sorted(model.named_parameters()):
        if "lora_A" in name:
            p.data = (2 * torch.rand(p.shape, generator=random) - 1) * p.shape[1] ** -0.5
        elif "lora_B" in name:
            p.data = 0.05 * torch.randn(p.shape, generator=random)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    scrub(folder / "adapter_config.json")


def scrub(file):
    """No path of the machine that made it, and lists that PEFT keeps as sets in a fixed order."""
    config = json.loads(file.read_text())
    if "base_model_name_or_path" in config:
        config["base_model_name_or_path"] = "odd"
        config["target_modules"] = sorted(config["target_modules"])
    config.pop("_name_or_path", None)
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def token_losses(logits, ids):
    return torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")


def measure(kind, model_folder, adapter_folder, ids, out, losses):
    """Logits and losses of the bare base and with the adapter, and the adapter's gradients, all in float32."""
    base = load_base(model_folder, kind)
    with torch.no_grad():
        result = base(input_ids=ids, labels=ids)
    losses[f"{kind}.base"] = result.loss.item()
    out[f"{kind}.base.logits"] = result.logits[:, -LAST:]
    out[f"{kind}.base.token_losses"] = token_losses(result.logits, ids)

    model = PeftModel.from_pretrained(base, adapter_folder, is_trainable=True).train()
    result = model(input_ids=ids, labels=ids)
    result.loss.backward()
    losses[f"{kind}.adapter"] = result.loss.item()
    out[f"{kind}.adapter.logits"] = result.logits.detach()[:, -LAST:]
    out[f"{kind}.adapter.token_losses"] = token_losses(result.logits.detach(), ids)
    for name, p in model.named_parameters():
        if p.requires_grad:
            out[f"{kind}.grad." + name.replace(".default", "")] = p.grad


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--output", type=Path, default=HERE / "odd")
    output = args.parse_args().output

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    random = torch.Generator().manual_seed(SEED)
    shutil.rmtree(output, ignore_errors=True)
    model_folder, quantized_folder, adapter_folder = output / "model", output / "model-nf4-dq", output / "odd-init"

    model = LlamaForCausalLM(LlamaConfig(**CONFIG, dtype="float32"))
    fill(model, random)
    model.save_pretrained(model_folder)
    load_base(model_folder, "nf4dq").save_pretrained(quantized_folder)
    make_adapter(adapter_folder, model_folder, random)
    for folder in (model_folder, quantized_folder):
        scrub(folder / "config.json")
        (folder / "generation_config.json").unlink(missing_ok=True)

    ids = torch.randint(2, CONFIG["vocab_size"], (BATCH, LENGTH), generator=random)
    out, losses = {"input_ids": ids.to(torch.int32)}, {}
    for kind in ("f32", "nf4dq"):
        measure(kind, model_folder, adapter_folder, ids, out, losses)
    rotary = model.model.rotary_emb
    out["rope.inv_freq"] = rotary.inv_freq
    save_file({k: v.contiguous() for k, v in out.items()}, output / "odd-golden.safetensors", {"seed": str(SEED)})
    (output / "versions.json").write_text(json.dumps(VERSIONS, indent=2) + "\n")
    (output / "losses.json").write_text(json.dumps(losses, indent=2) + "\n")
    for file in output.rglob("*.safetensors"):
        file.chmod(0o644)
    print(json.dumps({"losses": losses, "bytes": sum(f.stat().st_size for f in output.rglob("*") if f.is_file())}))


if __name__ == "__main__":
    main()
