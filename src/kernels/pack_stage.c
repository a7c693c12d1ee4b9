/*
 * From file blocks to panel codes, per type.
 *
 * Four codes at a time, as the bytes of a dword: panels hold dwords of four consecutive codes, and
 * the block formats (see rows_decode.c, which states them element by element) keep the codes of
 * consecutive k in consecutive bytes, so masks and shifts of dwords do all of it. Pure functions.
 */
#include "kernels/pack_stage.h"

#include <string.h>

#define EACH(byte) ((byte)*0x01010101u)

static uint32_t load4(const uint8_t *bytes)
{
    uint32_t four;
    memcpy(&four, bytes, sizeof four);
    return four;
}

/* Bit i of the low 4 bits -> bit 0 of byte i. */
static uint32_t spread_bits(uint32_t four)
{
    return four * 0x00204081u & EACH(1);
}

/* 8 dwords of nibbles -> 4 of pairs: low nibble k, high nibble 16 + k. */
static void pair_nibbles(const uint32_t codes[8], uint32_t out[8])
{
    for (int j = 0; j < 4; j++)
        out[j] = codes[j] | codes[4 + j] << 4;
}

/* q4_0, iq4_nl: f16 d, then 16 bytes whose nibbles are paired as in a panel. */
static void stage_q4_0(const uint8_t *block, int sub, struct kn_staged *out)
{
    (void)sub;
    memcpy(out->scales, block, 2);
    memcpy(out->dwords, block + 2, 16);
}

static void stage_q4_1(const uint8_t *block, int sub, struct kn_staged *out)
{
    (void)sub;
    memcpy(out->scales, block, 4);
    memcpy(out->dwords, block + 4, 16);
}

/* The f32 2^(e - 128), subnormal for e < 2. */
static void stage_mxfp4(const uint8_t *block, int sub, struct kn_staged *out)
{
    (void)sub;
    uint32_t e = block[0], bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
    memcpy(out->scales, &bits, 4);
    memcpy(out->dwords, block + 1, 16);
}

/* 5-bit codes: nibbles as in q4_0, bit i of the word `high` on top of code i. */
static void stage_5bit(const uint8_t *high, const uint8_t *nibbles, struct kn_staged *out)
{
    const uint32_t bits = load4(high);
    for (int j = 0; j < 8; j++) {
        uint32_t low = load4(nibbles + j % 4 * 4) >> (j / 4 * 4) & EACH(15);
        out->dwords[j] = low | spread_bits(bits >> (4 * j) & 15) << 4;
    }
}

static void stage_q5_0(const uint8_t *block, int sub, struct kn_staged *out)
{
    (void)sub;
    memcpy(out->scales, block, 2);
    stage_5bit(block + 2, block + 6, out);
    for (int j = 0; j < 8; j++)
        out->dwords[j] += EACH(128 - 16);
}

static void stage_q5_1(const uint8_t *block, int sub, struct kn_staged *out)
{
    (void)sub;
    memcpy(out->scales, block, 4);
    stage_5bit(block + 4, block + 8, out);
    for (int j = 0; j < 8; j++)
        out->dwords[j] |= EACH(128);
}

static void stage_q8_0(const uint8_t *block, int sub, struct kn_staged *out)
{
    (void)sub;
    memcpy(out->scales, block, 2);
    for (int j = 0; j < 8; j++)
        out->dwords[j] = load4(block + 2 + 4 * j) ^ EACH(128); /* q + 128 */
}

/* Dword j of the 2-bit codes of q2_k and q3_k. */
static uint32_t codes_2bit(const uint8_t *codes, int sub, int j)
{
    return load4(codes + sub / 4 * 32 + 4 * j) >> (sub % 4 * 2) & EACH(3);
}

static void stage_q2_k(const uint8_t *block, int sub, struct kn_staged *out)
{
    uint32_t codes[8];
    memcpy(out->header, block + 80, 4);
    for (int g = 0; g < 2; g++) {
        out->scales[g] = block[2 * sub + g] & 15;
        out->scales[2 + g] = block[2 * sub + g] >> 4;
    }
    for (int j = 0; j < 8; j++)
        codes[j] = codes_2bit(block + 16, sub, j);
    pair_nibbles(codes, out->dwords);
}

/* Codes -4..3, stored + 4: the high bit means "not minus 4". */
static void stage_q3_k(const uint8_t *block, int sub, struct kn_staged *out)
{
    const uint8_t *scales = block + 96;
    uint32_t codes[8];
    memcpy(out->header, block + 108, 2);
    for (int g = 0; g < 2; g++) {
        int s = 2 * sub + g, low = scales[s % 8] >> (s / 8 * 4) & 15;
        int high = scales[8 + s % 4] >> (s / 4 * 2) & 3;
        out->scales[g] = (uint8_t)((low | high << 4) - 32);
    }
    for (int j = 0; j < 8; j++)
        codes[j] = codes_2bit(block + 32, sub, j) | (load4(block + 4 * j) >> sub & EACH(1)) << 2;
    pair_nibbles(codes, out->dwords);
}

/* Scales and minimums of q4_k and q5_k: 6 bits each, packed in 12 bytes (see rows_decode.c). */
static void stage_scales_k4(const uint8_t *block, int sub, struct kn_staged *out)
{
    const uint8_t *packed = block + 4;
    memcpy(out->header, block, 4);
    if (sub < 4) {
        out->scales[0] = packed[sub] & 63;
        out->scales[2] = packed[4 + sub] & 63;
    } else {
        out->scales[0] = (uint8_t)((packed[4 + sub] & 15) | packed[sub - 4] >> 6 << 4);
        out->scales[2] = (uint8_t)(packed[4 + sub] >> 4 | packed[sub] >> 6 << 4);
    }
}

/* Dword j of block `sub`: the low nibbles of 32 bytes, then the high ones. */
static uint32_t codes_k4(const uint8_t *codes, int sub, int j)
{
    return load4(codes + sub / 2 * 32 + 4 * j) >> (sub % 2 * 4) & EACH(15);
}

static void stage_q4_k(const uint8_t *block, int sub, struct kn_staged *out)
{
    uint32_t codes[8];
    stage_scales_k4(block, sub, out);
    for (int j = 0; j < 8; j++)
        codes[j] = codes_k4(block + 16, sub, j);
    pair_nibbles(codes, out->dwords);
}

static void stage_q5_k(const uint8_t *block, int sub, struct kn_staged *out)
{
    stage_scales_k4(block, sub, out);
    for (int j = 0; j < 8; j++) {
        uint32_t high = load4(block + 16 + 4 * j) >> sub & EACH(1);
        out->dwords[j] = codes_k4(block + 48, sub, j) | high << 4 | EACH(128);
    }
}

static void stage_q6_k(const uint8_t *block, int sub, struct kn_staged *out)
{
    const uint8_t *low = block + sub / 4 * 64 + sub % 2 * 32;
    const uint8_t *high = block + 128 + sub / 4 * 32;
    memcpy(out->header, block + 208, 2);
    memcpy(out->scales, block + 192 + 2 * sub, 2);
    for (int j = 0; j < 8; j++) {
        uint32_t four = load4(low + 4 * j) >> (sub % 4 / 2 * 4) & EACH(15);
        four |= (load4(high + 4 * j) >> (sub % 4 * 2) & EACH(3)) << 4;
        out->dwords[j] = four + EACH(128 - 32);
    }
}

static void stage_iq4_xs(const uint8_t *block, int sub, struct kn_staged *out)
{
    int low = block[4 + sub / 2] >> (sub % 2 * 4) & 15;
    int high = block[2 + sub / 4] >> (sub % 4 * 2) & 3;
    memcpy(out->header, block, 2);
    out->scales[0] = (uint8_t)((low | high << 4) - 32);
    memcpy(out->dwords, block + 8 + 16 * sub, 16);
}

kn_stager kn_stager_of(enum tn_dtype dtype)
{
    static const kn_stager stagers[TN_DTYPE_COUNT] = {
        [TN_Q4_0] = stage_q4_0,   [TN_Q4_1] = stage_q4_1,   [TN_Q5_0] = stage_q5_0,
        [TN_Q5_1] = stage_q5_1,   [TN_Q8_0] = stage_q8_0,   [TN_Q2_K] = stage_q2_k,
        [TN_Q3_K] = stage_q3_k,   [TN_Q4_K] = stage_q4_k,   [TN_Q5_K] = stage_q5_k,
        [TN_Q6_K] = stage_q6_k,   [TN_IQ4_NL] = stage_q4_0, [TN_IQ4_XS] = stage_iq4_xs,
        [TN_MXFP4] = stage_mxfp4,
    };
    return dtype < TN_DTYPE_COUNT ? stagers[dtype] : NULL;
}
