"""Exports a GGUF file as a folder for transformers: `export_hf.py SOURCE TARGET`. Prints lines "progress 0.5"."""

from __future__ import annotations

import os
import sys


def export(source: str, target: str) -> None:
    """Dequantise every weight to bf16 and save model, tokenizer and chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, name = os.path.split(source)
    print("progress 0.2", flush=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    print("progress 0.4", flush=True)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.bfloat16)
    print("progress 0.8", flush=True)
    # The weights are not quantised any more; save_pretrained refuses them if the config says so.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    print("progress 1.0", flush=True)


if __name__ == "__main__":
    export(sys.argv[1], sys.argv[2])
