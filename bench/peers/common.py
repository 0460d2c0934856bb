"""What the peer scripts share: loading a base the way QLoRA does, on the CPU, computing in float32."""
import os

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
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
            if module.in_features % module.weight.quant_state.blocksize:
                dequantize_flat_blocks()
    return model


def load_base(path, kind="nf4dq"):
    """kind: f32, nf4 or nf4dq, or 'stored' for a folder that is already quantized. A path that ends in .gguf is read by Transformers."""
    options = {"dtype": torch.float32, "device_map": {"": "cpu"}}
    if kind in ("nf4", "nf4dq"):
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=kind == "nf4dq",
            bnb_4bit_compute_dtype=torch.float32,
        )
    path = str(path)
    if path.endswith(".gguf"):
        options["gguf_file"] = os.path.basename(path)
        path = os.path.dirname(path) or "."
    return compute_as_specified(transformers.AutoModelForCausalLM.from_pretrained(path, **options))


def peak_rss_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
