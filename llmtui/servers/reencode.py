"""Re-encodes a GGUF file to Q8_0: `reencode.py SOURCE TARGET`. Prints lines "progress 0.25"."""

from __future__ import annotations

import sys

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

MOSTLY_Q8_0 = 7
QUANTIZATION_VERSION = 2
BLOCK = 32
FILE_TYPE = "general.file_type"
#: Keys that the writer sets itself, or that are replaced.
OWN_KEYS = frozenset({"general.architecture", FILE_TYPE, "general.quantization_version"})
ROWS = 4096


def reencode(source: str, target: str) -> None:
    """Convert every weight matrix to Q8_0 and vectors (norms, biases) to F32; copy all metadata."""
    reader = gguf.GGUFReader(source)
    architecture = reader.get_field("general.architecture")
    writer = gguf.GGUFWriter(target, architecture.contents() if architecture else "llama")
    for field in reader.fields.values():
        if field.name in OWN_KEYS or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        item = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=item)
    writer.add_file_type(MOSTLY_Q8_0)
    writer.add_quantization_version(QUANTIZATION_VERSION)

    kinds = [target_type(tensor) for tensor in reader.tensors]
    for tensor, kind in zip(reader.tensors, kinds, strict=True):
        shape = [int(n) for n in reversed(tensor.shape)]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        count = int(np.prod(shape))
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.float32), count // block * size, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    total = sum(int(tensor.n_elements) for tensor in reader.tensors) or 1
    done = 0
    for tensor, kind in zip(reader.tensors, kinds, strict=True):
        writer.write_tensor_data(encode(tensor, kind))
        done += int(tensor.n_elements)
        print(f"progress {done / total:.3f}", flush=True)
    writer.close()


def target_type(tensor: gguf.ReaderTensor) -> gguf.GGMLQuantizationType:
    """Return Q8_0 for a matrix whose rows divide into blocks, otherwise F32."""
    if len(tensor.shape) >= 2 and int(tensor.shape[0]) % BLOCK == 0:
        return gguf.GGMLQuantizationType.Q8_0
    return gguf.GGMLQuantizationType.F32


def encode(tensor: gguf.ReaderTensor, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    """Return the tensor's bytes in the target type, converted in batches of rows to save memory."""
    if tensor.tensor_type == kind:
        return np.asarray(tensor.data)
    rows = tensor.data.reshape(-1, tensor.data.shape[-1])
    parts = []
    for first in range(0, len(rows), ROWS):
        values = dequantize(np.ascontiguousarray(rows[first : first + ROWS]), tensor.tensor_type)
        values = values.astype(np.float32, copy=False)
        parts.append(values if kind == gguf.GGMLQuantizationType.F32 else quantize(values, kind))
    return np.concatenate(parts)


if __name__ == "__main__":
    reencode(sys.argv[1], sys.argv[2])
