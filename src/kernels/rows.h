/*
 * Row codecs: stored rows to f32 and back, and packing into panels. Bit-exact by definition:
 * decoding equals the reference implementation of GGUF (the gguf Python package) in every bit.
 */
#ifndef HASTEN_KERNELS_ROWS_H
#define HASTEN_KERNELS_ROWS_H

#include "tensor/layout.h"

/* True when kn_decode_row knows the type. */
bool kn_can_decode(enum tn_dtype dtype);
/* Decodes cols elements of a row-major row (cols a multiple of the type's block). */
void kn_decode_row(enum tn_dtype dtype, const void *row, int64_t cols, float *out);
/* True when kn_encode_row knows the type (F32 F16 BF16 Q8_0 Q4_0 Q4_1 so far). */
bool kn_can_encode(enum tn_dtype dtype);
/* Quantizes cols floats into a row-major row with the roundings of llama.cpp's reference quantizers
 * (bit-equal to the gguf package: f16 and bf16 nearest even, Q8_0 codes half away from zero). */
void kn_encode_row(enum tn_dtype dtype, const float *values, int64_t cols, void *row);

/* Random weights: mean about 0, standard deviation about `deviation`, a pure function of (seed,
 * stream), so rows can be made in any order: give every row its own stream. */
struct kn_random {
    uint64_t seed, stream;
    float deviation; /* > 0 */
};
/* Fills a row with random valid blocks of any type that kn_decode_row knows; false for other types
 * and cols that are no multiple of the block. */
bool kn_random_row(enum tn_dtype dtype, const struct kn_random *random, int64_t cols, void *row);

/* True when the type has a PANEL32 form. */
bool kn_can_pack(enum tn_dtype dtype);
/*
 * Packs panels [first, last) of a row-major rows x cols matrix; panel p holds rows 32p..32p+31,
 * missing rows are zero. source is the whole matrix, target the whole packed weight. Threads may
 * pack disjoint ranges at once. Panels can be packed by several threads.
 */
void kn_pack_panels(enum tn_dtype dtype, const void *source, int64_t rows, int64_t cols,
                    int64_t first, int64_t last, void *target);
/* Decodes row `row` of a PANEL32 weight (embedding rows out of a tied head). */
void kn_decode_panel_row(enum tn_dtype dtype, const void *packed, int64_t cols, int64_t row,
                         float *out);

/* Activation quantizer (A8): one row of cols floats -> codes, and scale/sum entries written with
 * stride `stride` floats. scale = amax/127, code = nearest even of x * (127/amax) (0 when amax is
 * below 2^-100), sum = scale * (float)sum of codes. This is the definition; fused kernels equal it.
 */
void kn_quantize_row_ref(const float *x, int64_t cols, int8_t *codes, float *scales, float *sums,
                         int64_t stride);

#endif
