/*
 * Packing, first half: from file blocks to codes and scales, per type.
 *
 * Four codes at a time, as the bytes of a dword: panels hold dwords of four consecutive codes, and
 * the block formats (see rows_decode.c, which states them element by element) keep the codes of
 * consecutive k in consecutive bytes, so masks and shifts of dwords do all of it. The loops over
 * dwords are written so that compilers turn them into one or two vectors.
 *
 * Included by pack_tmpl.h, once per machine class. Pure functions.
 */
#ifndef HASTEN_KERNELS_PACK_STAGE_TMPL_H
#define HASTEN_KERNELS_PACK_STAGE_TMPL_H

#include <string.h>

#include "tensor/layout.h"

#define EACH(byte) ((byte)*0x01010101u)

/* A block of 32 k of the 32 rows of a panel. */
struct staged {
    uint32_t headers[TN_PANEL_ROWS]; /* f16 d | f16 dmin << 16 of the 256 k (TN_SCALE_SUPER) */
    /* f16 d | f16 m << 16; or f32 d; or bytes: scale of group 0, 1, minimum of group 0, 1 */
    uint32_t scales[TN_PANEL_ROWS];
    /* Stored codes (code + zero), one per byte; or 4 dwords of pairs of nibbles, as panels have
     * them and most files too: k in the low one, 16 + k in the high. */
    uint32_t codes[TN_PANEL_ROWS][8];
    uint32_t highs[TN_PANEL_ROWS]; /* 5 bits, paired: bit i on top of code i */
};

/* Stages block `sub` of 32 k inside the file's block for `rows` rows, row_bytes apart. */
typedef void (*stager)(const uint8_t *block, size_t row_bytes, int rows, int sub,
                       struct staged *out);

static inline uint32_t load2(const uint8_t *bytes)
{
    uint16_t two;
    memcpy(&two, bytes, sizeof two);
    return two;
}

static inline uint32_t load4(const uint8_t *bytes)
{
    uint32_t four;
    memcpy(&four, bytes, sizeof four);
    return four;
}

/* q4_0, iq4_nl: f16 d, then 16 bytes whose nibbles are paired as in a panel. */
static inline void stage_q4_0(const uint8_t *block, int sub, int r, struct staged *out)
{
    (void)sub;
    out->scales[r] = load2(block);
    memcpy(out->codes[r], block + 2, 16);
}

static inline void stage_q4_1(const uint8_t *block, int sub, int r, struct staged *out)
{
    (void)sub;
    out->scales[r] = load4(block);
    memcpy(out->codes[r], block + 4, 16);
}

/* The f32 2^(e - 128), subnormal for e < 2. */
static inline void stage_mxfp4(const uint8_t *block, int sub, int r, struct staged *out)
{
    (void)sub;
    const uint32_t e = block[0];
    out->scales[r] = e < 2 ? 0x00200000u << e : (e - 1) << 23;
    memcpy(out->codes[r], block + 1, 16);
}

/* 5-bit codes: a dword of high bits, nibbles as in q4_0. */
static inline void stage_q5_0(const uint8_t *block, int sub, int r, struct staged *out)
{
    (void)sub;
    out->scales[r] = load2(block);
    out->highs[r] = load4(block + 2);
    memcpy(out->codes[r], block + 6, 16);
}

static inline void stage_q5_1(const uint8_t *block, int sub, int r, struct staged *out)
{
    (void)sub;
    out->scales[r] = load4(block);
    out->highs[r] = load4(block + 4);
    memcpy(out->codes[r], block + 8, 16);
}

static inline void stage_q8_0(const uint8_t *block, int sub, int r, struct staged *out)
{
    (void)sub;
    out->scales[r] = load2(block);
    for (int j = 0; j < 8; j++)
        out->codes[r][j] = load4(block + 2 + 4 * j) ^ EACH(128); /* q + 128 */
}

static inline void stage_q2_k(const uint8_t *block, int sub, int r, struct staged *out)
{
    const uint8_t *codes = block + 16 + sub / 4 * 32;
    const uint32_t two = load2(block + 2 * sub); /* per group of 16: scale, minimum << 4 */
    out->headers[r] = load4(block + 80);
    out->scales[r] = (two & 0x0f0f) | (two >> 4 & 0x0f0f) << 16;
    for (int j = 0; j < 8; j++)
        out->codes[r][j] = load4(codes + 4 * j) >> (sub % 4 * 2) & EACH(3);
}

/* Codes -4..3, stored + 4: the high bit means "not minus 4". */
static inline void stage_q3_k(const uint8_t *block, int sub, int r, struct staged *out)
{
    const uint8_t *scales = block + 96, *codes = block + 32 + sub / 4 * 32;
    out->headers[r] = load2(block + 108);
    out->scales[r] = 0;
    for (int g = 0; g < 2; g++) {
        const int s = 2 * sub + g, low = scales[s % 8] >> (s / 8 * 4) & 15;
        const int high = scales[8 + s % 4] >> (s / 4 * 2) & 3;
        out->scales[r] |= (uint32_t)(uint8_t)((low | high << 4) - 32) << (8 * g);
    }
    for (int j = 0; j < 8; j++)
        out->codes[r][j] = (load4(codes + 4 * j) >> (sub % 4 * 2) & EACH(3)) |
                           (load4(block + 4 * j) >> sub & EACH(1)) << 2;
}

/* Scales and minimums of q4_k and q5_k: 6 bits each, packed in 12 bytes (see rows_decode.c). */
static inline void stage_scales_k4(const uint8_t *block, int sub, int r, struct staged *out)
{
    const uint8_t *packed = block + 4;
    int scale, minimum;
    if (sub < 4) {
        scale = packed[sub] & 63;
        minimum = packed[4 + sub] & 63;
    } else {
        scale = (packed[4 + sub] & 15) | packed[sub - 4] >> 6 << 4;
        minimum = packed[4 + sub] >> 4 | packed[sub] >> 6 << 4;
    }
    out->headers[r] = load4(block);
    out->scales[r] = (uint32_t)scale | (uint32_t)minimum << 16;
}

static inline void stage_q4_k(const uint8_t *block, int sub, int r, struct staged *out)
{
    const uint8_t *codes = block + 16 + sub / 2 * 32;
    const int shift = sub % 2 * 4;
    stage_scales_k4(block, sub, r, out);
    for (int j = 0; j < 4; j++) /* paired here: half as many dwords to transpose */
        out->codes[r][j] = (load4(codes + 4 * j) >> shift & EACH(15)) |
                           (load4(codes + 16 + 4 * j) >> shift & EACH(15)) << 4;
}

static inline void stage_q5_k(const uint8_t *block, int sub, int r, struct staged *out)
{
    const uint8_t *codes = block + 48 + sub / 2 * 32;
    stage_scales_k4(block, sub, r, out);
    for (int j = 0; j < 8; j++)
        out->codes[r][j] = (load4(codes + 4 * j) >> (sub % 2 * 4) & EACH(15)) |
                           (load4(block + 16 + 4 * j) >> sub & EACH(1)) << 4;
}

static inline void stage_q6_k(const uint8_t *block, int sub, int r, struct staged *out)
{
    const uint8_t *low = block + sub / 4 * 64 + sub % 2 * 32;
    const uint8_t *high = block + 128 + sub / 4 * 32;
    out->headers[r] = load2(block + 208);
    out->scales[r] = load2(block + 192 + 2 * sub);
    for (int j = 0; j < 8; j++)
        out->codes[r][j] = (load4(low + 4 * j) >> (sub % 4 / 2 * 4) & EACH(15)) |
                           (load4(high + 4 * j) >> (sub % 4 * 2) & EACH(3)) << 4;
}

static inline void stage_iq4_xs(const uint8_t *block, int sub, int r, struct staged *out)
{
    const int low = block[4 + sub / 2] >> (sub % 2 * 4) & 15;
    const int high = block[2 + sub / 4] >> (sub % 4 * 2) & 3;
    out->headers[r] = load2(block);
    out->scales[r] = (uint8_t)((low | high << 4) - 32);
    memcpy(out->codes[r], block + 8 + 16 * sub, 16);
}

#define STAGE_ROWS(type)                                                                           \
    static void stage_##type##_rows(const uint8_t *block, size_t row_bytes, int rows, int sub,     \
                                    struct staged *out)                                            \
    {                                                                                              \
        for (int r = 0; r < rows; r++)                                                             \
            stage_##type(block + (size_t)r * row_bytes, sub, r, out);                              \
    }
STAGE_ROWS(q4_0)
STAGE_ROWS(q4_1)
STAGE_ROWS(q5_0)
STAGE_ROWS(q5_1)
STAGE_ROWS(q8_0)
STAGE_ROWS(q2_k)
STAGE_ROWS(q3_k)
STAGE_ROWS(q4_k)
STAGE_ROWS(q5_k)
STAGE_ROWS(q6_k)
STAGE_ROWS(iq4_xs)
STAGE_ROWS(mxfp4)

struct staging {
    stager stage;
    bool paired; /* codes are staged as pairs of nibbles */
};

static const struct staging stagings[TN_DTYPE_COUNT] = {
    [TN_Q4_0] = {stage_q4_0_rows, true},   [TN_Q4_1] = {stage_q4_1_rows, true},
    [TN_Q5_0] = {stage_q5_0_rows, true},   [TN_Q5_1] = {stage_q5_1_rows, true},
    [TN_Q8_0] = {stage_q8_0_rows, false},  [TN_Q2_K] = {stage_q2_k_rows, false},
    [TN_Q3_K] = {stage_q3_k_rows, false},  [TN_Q4_K] = {stage_q4_k_rows, true},
    [TN_Q5_K] = {stage_q5_k_rows, false},  [TN_Q6_K] = {stage_q6_k_rows, false},
    [TN_IQ4_NL] = {stage_q4_0_rows, true}, [TN_IQ4_XS] = {stage_iq4_xs_rows, true},
    [TN_MXFP4] = {stage_mxfp4_rows, true},
};

#endif
