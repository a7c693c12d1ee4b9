#!/usr/bin/env python3
"""Makes tests/data/row_vectors.bin: row codec vectors computed by the gguf Python package.

Needs gguf (with MXFP4: the package in llama.cpp's gguf-py, or a release that has it) and numpy:
    PYTHONPATH=.../llama.cpp/gguf-py python3 make_row_vectors.py ../data/row_vectors.bin

File, little endian: "HROW", u32 records; a record: u32 GGUF type number, u32 direction (0 decode:
bytes -> floats, 1 encode: floats -> bytes), u32 elements, u32 bytes, the bytes, the floats.
"""
import struct
import sys

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

# Byte offsets of f16 fields: random bytes there must not become inf or NaN.
HALF_FIELDS = {
    Type.F16: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
    Type.Q8_0: [0], Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2],
    Type.Q6_K: [208], Type.IQ4_NL: [0], Type.IQ4_XS: [0], Type.MXFP4: [],
}


def random_blocks(rng, kind, count):
    block_bytes = GGML_QUANT_SIZES[kind][1]
    blocks = rng.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    if kind == Type.BF16:
        blocks[:, 1] &= 0xBF  # exponent below 128: finite
    for at in HALF_FIELDS.get(kind, []):
        high = blocks[:, at + 1]
        blocks[:, at + 1] = np.where((high & 0x7C) == 0x7C, high & 0xBF, high)
    if kind == Type.MXFP4:
        blocks[:4, 0] = [0, 1, 2, 255][:count]
    return blocks


def random_values(rng, elements):
    values = rng.standard_normal(elements).astype(np.float32)
    blocks = values.reshape(-1, 32)
    blocks *= np.float32(10.0) ** rng.integers(-6, 4, (len(blocks), 1)).astype(np.float32)
    blocks[0] = 0
    blocks[1] = np.arange(32) * 0.5 - 8  # ties
    blocks[2] = np.abs(blocks[2])
    blocks[3, 5:] = 0
    return values


def decode_record(rng, kind):
    block, _ = GGML_QUANT_SIZES[kind]
    count = {1: 64, 32: 5, 256: 2}[block]
    blocks = random_blocks(rng, kind, count)
    floats = dequantize(blocks.reshape(1, -1), kind).astype(np.float32).ravel()
    return kind, 0, blocks.tobytes(), floats


def encode_record(rng, kind):
    floats = random_values(rng, 32 * 12)
    data = quantize(floats.reshape(1, -1), kind)
    return kind, 1, data.tobytes(), floats


def main():
    rng = np.random.default_rng(1)
    records = [decode_record(rng, kind) for kind in [Type.BF16, *HALF_FIELDS]]
    encoded = [Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1]
    records += [encode_record(rng, kind) for kind in encoded]
    with open(sys.argv[1], "wb") as out:
        out.write(b"HROW" + struct.pack("<I", len(records)))
        for kind, direction, data, floats in records:
            out.write(struct.pack("<IIII", int(kind), direction, len(floats), len(data)))
            out.write(data + floats.tobytes())


if __name__ == "__main__":
    main()
