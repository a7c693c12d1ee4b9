/*
 * Writing K and V into pages (tensor/layout.h, "KV pages"), for kv_append and for the append
 * epilogue of linear: floats are rounded to the pages' type, or quantized in blocks of 32 features
 * (NUMERICS.md "KV pages"). Included once per machine class by those two.
 */
#ifndef HASTEN_KERNELS_X86_KV_WRITE_TMPL_H
#define HASTEN_KERNELS_X86_KV_WRITE_TMPL_H

#include <string.h>

#include "kernels/x86/vec_math_tmpl.h"
#include "tensor/layout.h"

/* One head's (or part of a head's) features first .. first + count - 1 at one position. A part
 * that ends its head also writes the padding. Q8_0 pages: first is a multiple of 32, and a part
 * that does not end its head has a multiple of 32 features. */
struct kv_part {
    const float *x;
    int head, first, count;
    int position; /* inside the page */
};

/* Zeros behind the part: the head's padding, if the part ends it. */
static int kv_padding(const struct tn_kv_layout *layout, struct kv_part part)
{
    return part.first + part.count == layout->head_dim ? layout->head_dim_padded - layout->head_dim
                                                       : 0;
}

/* The 16 features from i on (fewer at the end: zeros behind). */
V16_INLINE v16 kv_features(struct kv_part part, int i)
{
    const int left = part.count - i;
    if (left >= 16)
        return v16_load(part.x + i);
    return left > 0 ? v16_load_part(part.x + i, left) : v16_zero();
}

V16_INLINE void kv_store_half(enum tn_dtype dtype, uint16_t *to, v16 x)
{
    if (dtype == TN_BF16)
        v16_store_bf16(to, x);
    else
        v16_store_f16(to, x);
}

/* Block of 32 features from i on: its codes and f16 scale. */
V16_INLINE uint16_t kv_quantize(struct kv_part part, int i, int8_t codes[32])
{
    float scale, sum;
    v16_quantize32(kv_features(part, i), kv_features(part, i + 16), codes, &scale, &sum);
    return (uint16_t)_cvtss_sh(scale, V16_NEAREST);
}

/* K of Q8_0 pages: panels [head_dim_padded/32] of 16 scales | [32][16] codes. */
static void kv_write_k_q8(const struct tn_kv_layout *layout, uint8_t *stream, struct kv_part part)
{
    const size_t block_bytes = 16 * (2 + 32), lane = (size_t)part.position % 16;
    const size_t blocks = (size_t)layout->head_dim_padded / 32;
    uint8_t *panel = stream + (size_t)part.head * layout->head_bytes +
                     (size_t)part.position / 16 * blocks * block_bytes;
    for (int i = 0; i < part.count; i += 32) {
        uint8_t *block = panel + (size_t)(part.first + i) / 32 * block_bytes;
        int8_t codes[32];
        const uint16_t scale = kv_quantize(part, i, codes);
        memcpy(block + 2 * lane, &scale, 2);
        for (int j = 0; j < 32; j++)
            block[32 + 16 * (size_t)j + lane] = (uint8_t)codes[j];
    }
}

/* V of Q8_0 pages: [head_dim_padded/32][32 positions] scales | [position][head_dim_padded] codes */
static void kv_write_v_q8(const struct tn_kv_layout *layout, uint8_t *stream, struct kv_part part)
{
    const size_t padded = (size_t)layout->head_dim_padded, position = (size_t)part.position;
    uint8_t *scales = stream + (size_t)part.head * layout->head_bytes;
    uint8_t *codes = scales + 2 * TN_PAGE_POSITIONS * (padded / 32) + position * padded;
    for (int i = 0; i < part.count; i += 32) {
        const size_t feature = (size_t)(part.first + i);
        const uint16_t scale = kv_quantize(part, i, (int8_t *)codes + feature);
        memcpy(scales + 2 * (feature / 32 * TN_PAGE_POSITIONS + position), &scale, 2);
    }
}

/* Writes features of K: [kv_head][position/16][head_dim_padded][16]. */
static void kv_write_k(const struct tn_kv_layout *layout, uint8_t *stream, struct kv_part part)
{
    const size_t panel = (size_t)part.head * (TN_PAGE_POSITIONS / 16) + (size_t)part.position / 16;
    const size_t at = (panel * (size_t)layout->head_dim_padded + (size_t)part.first) * 16 +
                      (size_t)part.position % 16;
    const int count = part.count + kv_padding(layout, part);
    if (layout->dtype == TN_Q8_0) {
        kv_write_k_q8(layout, stream, part);
        return;
    }
    if (layout->dtype == TN_F32) {
        float *to = (float *)(void *)stream + at;
        for (int i = 0; i < count; i++, to += 16)
            *to = i < part.count ? part.x[i] : 0.0f;
        return;
    }
    uint16_t *to = (uint16_t *)(void *)stream + at, half[16];
    for (int i = 0; i < count; i += 16) {
        const int lanes = count - i < 16 ? count - i : 16;
        kv_store_half(layout->dtype, half, kv_features(part, i));
        for (int j = 0; j < lanes; j++, to += 16)
            *to = half[j];
    }
}

/* The same for V: [kv_head][position][head_dim_padded]. */
static void kv_write_v(const struct tn_kv_layout *layout, uint8_t *stream, struct kv_part part)
{
    const size_t row = (size_t)part.head * TN_PAGE_POSITIONS + (size_t)part.position;
    const size_t at = row * (size_t)layout->head_dim_padded + (size_t)part.first;
    const int count = part.count + kv_padding(layout, part);
    if (layout->dtype == TN_Q8_0) {
        kv_write_v_q8(layout, stream, part);
        return;
    }
    if (layout->dtype == TN_F32) {
        float *to = (float *)(void *)stream + at;
        memcpy(to, part.x, (size_t)part.count * sizeof *to);
        memset(to + part.count, 0, (size_t)(count - part.count) * sizeof *to);
        return;
    }
    uint16_t *to = (uint16_t *)(void *)stream + at;
    int i = 0;
    for (; i + 16 <= count; i += 16)
        kv_store_half(layout->dtype, to + i, kv_features(part, i));
    if (i < count) {
        uint16_t half[16];
        kv_store_half(layout->dtype, half, kv_features(part, i));
        memcpy(to + i, half, (size_t)(count - i) * sizeof *to);
    }
}

#endif
