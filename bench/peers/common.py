"""What the peer scripts share: loading a base the way QLoRA does, on the CPU, computing in float32.

usage: common.py MODEL.gguf DIR     makes a float32 Hugging Face folder of a GGUF file (a process of its own, so that
                                    reading the GGUF does not count as memory of what is measured)
"""
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import resource

import bitsandbytes
import peft
import torch
import transformers
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from bitsandbytes.backends.utils import _get_4bit_code
from bitsandbytes.nn import Linear4bit
from safetensors.torch import load_file, save_file

VERSIONS = {
    "bitsandbytes": bitsandbytes.__version__,
    "peft": peft.__version__,
    "transformers": transformers.__version__,
    "torch": torch.__version__.split("+")[0],
}


_library = torch.library.Library("bitsandbytes", "IMPL")
_flat = False


def dequantize_flat_blocks():
    """From here on, dequantize with bitsandbytes' own PyTorch fallback instead of its CPU kernel.

    Blocks run through the flattened tensor. The AVX-512 kernel of bitsandbytes 0.50 counts them per row instead,
    absmax[row * (columns // blocksize) + column // blocksize], so it is wrong wherever a block crosses rows. CUDA, NEON,
    the scalar kernel and the fallback are right.
    """
    global _flat
    if _flat:
        return
    _flat = True

    def dequantize_4bit(packed, absmax, blocksize, quant_type, shape, dtype):
        code = _get_4bit_code(quant_type, packed.device)
        return _dequantize_4bit_compute(packed.view(torch.uint8).reshape(-1), absmax.float(), code, blocksize, shape, dtype)

    _library.impl("dequantize_4bit", dequantize_4bit, "CPU", allow_override=True)


def compute_as_specified(model):
    """Float32 and flat blocks, on every CPU.

    Where the CPU has AVX512-BF16, bitsandbytes computes a Linear4bit in bfloat16, whatever compute_dtype says, as soon as
    the module is in eval mode and its input needs no gradient: everything under no_grad, and the first layer's q, k, v
    of a model that is trained without having been put in train mode.
    """
    for parameter in model.parameters():
        if parameter.dtype in (torch.bfloat16, torch.float16):  # what a 4-bit folder keeps in 16 bits stays so whatever dtype asks for
            parameter.data = parameter.data.float()
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
            if module.in_features % module.weight.quant_state.blocksize:
                dequantize_flat_blocks()
    return model


@contextlib.contextmanager
def as_folder(path):
    """The path itself, or for a GGUF file a temporary folder: Transformers does not quantize what it reads from a GGUF."""
    path = str(path)
    if not path.endswith(".gguf"):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, path, folder], check=True, stdout=sys.stderr)
        yield folder


def convert_gguf(file, folder):
    where = {"pretrained_model_name_or_path": os.path.dirname(file) or ".", "gguf_file": os.path.basename(file)}
    model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    model.hf_quantizer = None  # the weights are dense by now, but Transformers refuses to save what came from a GGUF
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(**where).save_pretrained(folder)


def is_quantized(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        return "quantization_config" in json.load(file)


def load_base(folder, kind="nf4dq"):
    """kind: f32, nf4 or nf4dq, or 'stored' for a folder that is already what it should be."""
    options = {"dtype": torch.float32, "device_map": {"": "cpu"}}
    if kind in ("nf4", "nf4dq"):
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=kind == "nf4dq",
            bnb_4bit_compute_dtype=torch.float32,
        )
    return compute_as_specified(transformers.AutoModelForCausalLM.from_pretrained(str(folder), **options))


def read_ids(source):
    """Token ids [batch, length]: JSON text, a .json file, or a .safetensors with input_ids (of 3 dimensions: the first batch)."""
    if source.endswith(".safetensors"):
        ids = load_file(source)["input_ids"].long()
        return ids[0] if ids.dim() == 3 else ids
    if source.endswith(".json"):
        source = open(source, encoding="utf-8").read()
    ids = torch.tensor(json.loads(source))
    return ids[None] if ids.dim() == 1 else ids


def write_logits(model, ids, file, last):
    """Logits of the last positions in float32, as a .safetensors ("logits") or a .json file; and a summary to print."""
    with torch.no_grad():
        result = model.eval()(input_ids=ids, labels=ids, use_cache=False)
    logits = result.logits[:, -last:].float().contiguous()
    if file and file.endswith(".json"):
        with open(file, "w") as out:
            json.dump({"input_ids": ids.tolist(), "logits": logits.tolist()}, out)
    elif file:
        save_file({"input_ids": ids.to(torch.int32), "logits": logits}, file)
    return {"loss": result.loss.item(), "logits_shape": list(logits.shape), "argmax": logits.argmax(-1).tolist()}


def peak_rss_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(name, prepare, round_ms=20, warm_ms=300):
    """A peer of run.mjs: serve.mjs says what it answers. prepare makes of a case a function that runs it once."""

    def timed(run, times):
        cpu, start = time.process_time(), time.perf_counter()
        for _ in range(times):
            run()
        return {"ms": (time.perf_counter() - start) * 1e3 / times, "cpu_ms": (time.process_time() - cpu) * 1e3 / times}

    def answer(request):
        if request["do"] == "memory":
            return {"peak_memory_bytes": peak_rss_bytes()}
        if request["do"] == "round":
            return timed(*prepared[request["id"]])
        run = prepare(request["case"])
        once, end = timed(run, 1)["ms"], time.perf_counter() + warm_ms / 1e3
        while time.perf_counter() < end and once < warm_ms:
            once = timed(run, 1)["ms"]
        prepared[request["id"]] = run, -int(-round_ms // once)
        return {"name": name}

    prepared = {}
    for line in sys.stdin:
        try:
            result = answer(json.loads(line))
        except Exception:
            result = {"error": traceback.format_exc()}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    convert_gguf(*sys.argv[1:])
