"""The golden QLoRA runs once more, in float32 throughout: bitsandbytes and PEFT themselves wrote these files.

The runs of the golden folder were made with the model in eval mode on a CPU with AVX512-BF16, where bitsandbytes
computes linears whose input needs no gradient (layer 0's q, k, v) in bfloat16. In train mode it does not.
usage: make-f32.py MODEL GOLDEN OUT   (the demo model, the folder with curves.json, the folder to write)
"""
import json, os, sys
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

model_folder, golden, out = sys.argv[1:]
torch.set_num_threads(1)
curves = json.load(open(f"{golden}/curves.json"))["runs"]
ids = load_file(f"{golden}/batches.safetensors")["input_ids"].long()


def base(kind):
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=kind == "nf4dq", bnb_4bit_compute_dtype=torch.float32)
    return AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32, quantization_config=config)


result = {}
os.makedirs(out, exist_ok=True)
for name, run in curves.items():
    if run["kind"] == "f32":
        continue  # no 4-bit linear, nothing in bfloat16
    model = PeftModel.from_pretrained(base(run["kind"]), f"{golden}/{name}-init", is_trainable=True)
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=run["lr"], betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    curve = {**run, "loss": [], "grad_norm": []}
    for step in range(len(run["loss"])):
        labels = ids[step].clone()
        if run["completion_only"]:
            labels[:, : labels.shape[1] // 2] = -100
        optimizer.zero_grad()
        output = model(input_ids=ids[step], labels=labels)
        output.loss.backward()
        if step == 0 and name == "qlora-nf4dq":
            gradients = {n.replace(".default", ""): p.grad.clone().contiguous() for n, p in model.named_parameters() if p.requires_grad}
            save_file(gradients, f"{out}/{name}-grads0.safetensors")
            save_file({"logits": output.logits[:2, -8:].detach().contiguous()}, f"{out}/{name}-logits0.safetensors")
        curve["grad_norm"].append(torch.nn.utils.clip_grad_norm_(parameters, 1.0).item())
        optimizer.step()
        curve["loss"].append(output.loss.item())
    result[name] = curve
json.dump({"runs": result}, open(f"{out}/curves.json", "w"), indent=1)
