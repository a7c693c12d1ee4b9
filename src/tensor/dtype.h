/*
 * Element types: plain and block-quantized, with the sizes of their row-major form (the form GGUF
 * files hold). The only place, with layout.h, that computes a size of tensor data.
 *
 * Block formats are those of the GGUF specification (ggml-common.h of ggml describes the bit
 * layout; the decoders in kernels/rows_decode.c are our statement of it).
 */
#ifndef HASTEN_TENSOR_DTYPE_H
#define HASTEN_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* id, name, number in GGUF files (-1: never in a file), elements per block, bytes per block */
#define TN_DTYPE_TABLE(X)                                                                          \
    X(TN_F32, "f32", 0, 1, 4)                                                                      \
    X(TN_F16, "f16", 1, 1, 2)                                                                      \
    X(TN_BF16, "bf16", 30, 1, 2)                                                                   \
    X(TN_F64, "f64", 28, 1, 8)                                                                     \
    X(TN_I8, "i8", 24, 1, 1)                                                                       \
    X(TN_I16, "i16", 25, 1, 2)                                                                     \
    X(TN_I32, "i32", 26, 1, 4)                                                                     \
    X(TN_I64, "i64", 27, 1, 8)                                                                     \
    X(TN_Q4_0, "q4_0", 2, 32, 18)                                                                  \
    X(TN_Q4_1, "q4_1", 3, 32, 20)                                                                  \
    X(TN_Q5_0, "q5_0", 6, 32, 22)                                                                  \
    X(TN_Q5_1, "q5_1", 7, 32, 24)                                                                  \
    X(TN_Q8_0, "q8_0", 8, 32, 34)                                                                  \
    X(TN_Q2_K, "q2_k", 10, 256, 84)                                                                \
    X(TN_Q3_K, "q3_k", 11, 256, 110)                                                               \
    X(TN_Q4_K, "q4_k", 12, 256, 144)                                                               \
    X(TN_Q5_K, "q5_k", 13, 256, 176)                                                               \
    X(TN_Q6_K, "q6_k", 14, 256, 210)                                                               \
    X(TN_IQ4_NL, "iq4_nl", 20, 32, 18)                                                             \
    X(TN_IQ4_XS, "iq4_xs", 23, 256, 136)                                                           \
    X(TN_MXFP4, "mxfp4", 39, 32, 17)                                                               \
    X(TN_A8, "a8", -1, 32, 40) /* activations: int8 codes + f32 scale, f32 scale*sum per 32 */

#define TN_DTYPE_ENUM(id, name, gguf, block, bytes) id,
enum tn_dtype { TN_DTYPE_TABLE(TN_DTYPE_ENUM) TN_DTYPE_COUNT };
#undef TN_DTYPE_ENUM

struct tn_dtype_info {
    const char *name;
    int gguf_id;     /* -1: never in a file */
    int block;       /* elements per block, along the innermost dimension */
    int block_bytes; /* bytes per block */
};

/* Facts of a type; dtype must be < TN_DTYPE_COUNT. */
const struct tn_dtype_info *tn_dtype_info(enum tn_dtype dtype);
/* Type of a GGUF type number; false when it is not in the table. */
bool tn_dtype_from_gguf(uint32_t gguf_id, enum tn_dtype *dtype_out);
bool tn_dtype_from_name(struct hs_str name, enum tn_dtype *dtype_out);
/* True for weights that are stored as integer codes with scales (Q*, IQ4*, MXFP4): their mat-mul
 * takes A8 activations. */
bool tn_dtype_is_quantized(enum tn_dtype dtype);
/* Bytes of a row of cols elements; false when cols is no multiple of the block or on overflow. */
bool tn_row_bytes(enum tn_dtype dtype, int64_t cols, size_t *bytes_out);

/* Half-precision conversions in plain integer code (clang 14 has no _Float16 without FP16 flags);
 * to f16 / bf16 rounds to nearest even, NaN stays NaN. */
float tn_f16_to_f32(uint16_t half);
uint16_t tn_f32_to_f16(float value);
static inline float tn_bf16_to_f32(uint16_t bits)
{
    union {
        uint32_t u;
        float f;
    } pun = {(uint32_t)bits << 16};
    return pun.f;
}
uint16_t tn_f32_to_bf16(float value);

#endif
