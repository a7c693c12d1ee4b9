/*
 * Block decoders of all stored types, bit-equal to the gguf Python package: every product and every
 * sum is one f32 operation (never fused), in the order written here.
 *
 * Bit layouts: GGUF specification and ggml-common.h of ggml (facts only). Blocks hold 32 or 256
 * elements; a 256-element "super-block" has 8 or 16 sub-blocks with small integer scales that are
 * multiplied with the block's f16 scale first. Pure functions, any thread.
 */
#include "kernels/rows_codec.h"

#include <string.h>

static float load_f16(const uint8_t *bytes)
{
    return tn_f16_to_f32(kn_load_u16(bytes));
}

static void decode_f32(const uint8_t *block, float *out)
{
    memcpy(out, block, sizeof *out);
}

static void decode_f16(const uint8_t *block, float *out)
{
    *out = load_f16(block);
}

static void decode_bf16(const uint8_t *block, float *out)
{
    *out = tn_bf16_to_f32(kn_load_u16(block));
}

/* 32-element types of 4 bits: element i is the low nibble of byte i, element 16 + i the high. */

static void decode_q4_0(const uint8_t *block, float *out)
{
    float d = load_f16(block);
    const uint8_t *codes = block + 2;
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((codes[i] & 15) - 8);
        out[16 + i] = d * (float)((codes[i] >> 4) - 8);
    }
}

static void decode_q4_1(const uint8_t *block, float *out)
{
    float d = load_f16(block), m = load_f16(block + 2);
    const uint8_t *codes = block + 4;
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)(codes[i] & 15) + m;
        out[16 + i] = d * (float)(codes[i] >> 4) + m;
    }
}

/* 5-bit code of element i: nibble as in the 4-bit types, bit i of the 32-bit word `high` on top. */
static int code_5bit(const uint8_t *high, const uint8_t *nibbles, int i)
{
    int nibble = i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4;
    return nibble | (high[i / 8] >> (i % 8) & 1) << 4;
}

static void decode_q5_0(const uint8_t *block, float *out)
{
    float d = load_f16(block);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)(code_5bit(block + 2, block + 6, i) - 16);
}

static void decode_q5_1(const uint8_t *block, float *out)
{
    float d = load_f16(block), m = load_f16(block + 2);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)code_5bit(block + 4, block + 8, i) + m;
}

static void decode_q8_0(const uint8_t *block, float *out)
{
    float d = load_f16(block);
    for (int i = 0; i < 32; i++)
        out[i] = (float)(int8_t)block[2 + i] * d;
}

/* scales[16] (low nibble scale, high nibble minimum), codes[64], d, dmin. Codes of 128 elements lie
 * in 32 bytes: bits 0-1 elements 0..31, bits 2-3 elements 32..63, ... */
static void decode_q2_k(const uint8_t *block, float *out)
{
    const uint8_t *scales = block, *codes = block + 16;
    float d = load_f16(block + 80), dmin = load_f16(block + 82);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)(scales[i / 16] & 15);
        float minimum = dmin * (float)(scales[i / 16] >> 4);
        int code = codes[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        out[i] = scale * (float)code - minimum;
    }
}

/* high[32], codes[64] as in q2_k, 12 bytes of sixteen 6-bit scales, d. Bit i/32 of high[i%32] clear
 * means "minus 4". */
static void decode_q3_k(const uint8_t *block, float *out)
{
    const uint8_t *high = block, *codes = block + 32, *scales = block + 96;
    float d = load_f16(block + 108);
    for (int i = 0; i < 256; i++) {
        int sub = i / 16;
        int low = scales[sub % 8] >> (sub / 8 * 4) & 15;
        int scale = (low | (scales[8 + sub % 4] >> (sub / 4 * 2) & 3) << 4) - 32;
        int code = codes[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        int offset = high[i % 32] >> (i / 32) & 1 ? 0 : 4;
        out[i] = d * (float)scale * (float)(code - offset);
    }
}

/* Eight 6-bit scales and minimums of q4_k and q5_k, packed in 12 bytes: the first four of each lie
 * in the low 6 bits of bytes 0..3 and 4..7; of the others the low nibbles are in bytes 8..11 and
 * the two high bits on top of bytes 0..7. */
static void unpack_scales_k4(const uint8_t *packed, int sub, int *scale_out, int *minimum_out)
{
    if (sub < 4) {
        *scale_out = packed[sub] & 63;
        *minimum_out = packed[4 + sub] & 63;
        return;
    }
    *scale_out = (packed[4 + sub] & 15) | (packed[sub - 4] >> 6) << 4;
    *minimum_out = packed[4 + sub] >> 4 | (packed[sub] >> 6) << 4;
}

/* d, dmin, scales[12], codes[128]: 64 elements in 32 bytes, low nibbles first. */
static void decode_q4_k(const uint8_t *block, float *out)
{
    float d = load_f16(block), dmin = load_f16(block + 2);
    const uint8_t *codes = block + 16;
    for (int sub = 0; sub < 8; sub++) {
        int scale_code, minimum_code;
        unpack_scales_k4(block + 4, sub, &scale_code, &minimum_code);
        float scale = d * (float)scale_code, minimum = dmin * (float)minimum_code;
        for (int i = 0; i < 32; i++) {
            int code = codes[sub / 2 * 32 + i] >> (sub % 2 * 4) & 15;
            out[sub * 32 + i] = scale * (float)code - minimum;
        }
    }
}

/* As q4_k with high[32] before the codes: bit `sub` of high[i] is bit 4 of the code. */
static void decode_q5_k(const uint8_t *block, float *out)
{
    float d = load_f16(block), dmin = load_f16(block + 2);
    const uint8_t *high = block + 16, *codes = block + 48;
    for (int sub = 0; sub < 8; sub++) {
        int scale_code, minimum_code;
        unpack_scales_k4(block + 4, sub, &scale_code, &minimum_code);
        float scale = d * (float)scale_code, minimum = dmin * (float)minimum_code;
        for (int i = 0; i < 32; i++) {
            int code = codes[sub / 2 * 32 + i] >> (sub % 2 * 4) & 15;
            code |= (high[i] >> sub & 1) << 4;
            out[sub * 32 + i] = scale * (float)code - minimum;
        }
    }
}

/* low[128], high[64], int8 scales[16], d. Per 128 elements: low nibbles of 64 bytes hold elements
 * 0..63, high nibbles 64..127; 32 bytes of `high` hold two bits of elements 0..31, 32..63, ... */
static void decode_q6_k(const uint8_t *block, float *out)
{
    const uint8_t *low = block, *high = block + 128, *scales = block + 192;
    float d = load_f16(block + 208);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, in_half = i % 128;
        int code = low[half * 64 + in_half % 64] >> (in_half / 64 * 4) & 15;
        code |= (high[half * 32 + i % 32] >> (in_half / 32 * 2) & 3) << 4;
        out[i] = d * (float)(int8_t)scales[i / 16] * (float)(code - 32);
    }
}

/* The 16 values of the "non-linear" 4-bit types. */
static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

static void decode_iq4_nl(const uint8_t *block, float *out)
{
    float d = load_f16(block);
    const uint8_t *codes = block + 2;
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)iq4_values[codes[i] & 15];
        out[16 + i] = d * (float)iq4_values[codes[i] >> 4];
    }
}

/* d, u16 high scale bits (2 per sub-block), 4 bytes of low scale nibbles, codes[128]: sub-block s
 * (32 elements) in 16 bytes, low nibbles first. */
static void decode_iq4_xs(const uint8_t *block, float *out)
{
    float d = load_f16(block);
    int high = kn_load_u16(block + 2);
    for (int sub = 0; sub < 8; sub++) {
        int low = block[4 + sub / 2] >> (sub % 2 * 4) & 15;
        float scale = d * (float)((low | (high >> (2 * sub) & 3) << 4) - 32);
        const uint8_t *codes = block + 8 + 16 * sub;
        for (int i = 0; i < 16; i++) {
            out[sub * 32 + i] = scale * (float)iq4_values[codes[i] & 15];
            out[sub * 32 + 16 + i] = scale * (float)iq4_values[codes[i] >> 4];
        }
    }
}

/* Microscaling: one exponent byte e, 2^(e - 127), and E2M1 codes. The table holds the code's value
 * doubled, so the scale is half: 2^(e - 128), subnormal for e < 2. */
static void decode_mxfp4(const uint8_t *block, float *out)
{
    static const int8_t values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    uint32_t e = block[0];
    uint32_t bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
    float d;
    memcpy(&d, &bits, sizeof d);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)values[block[1 + i] & 15];
        out[16 + i] = d * (float)values[block[1 + i] >> 4];
    }
}

kn_block_decoder kn_block_decoder_of(enum tn_dtype dtype)
{
    static const kn_block_decoder decoders[TN_DTYPE_COUNT] = {
        [TN_F32] = decode_f32,     [TN_F16] = decode_f16,       [TN_BF16] = decode_bf16,
        [TN_Q4_0] = decode_q4_0,   [TN_Q4_1] = decode_q4_1,     [TN_Q5_0] = decode_q5_0,
        [TN_Q5_1] = decode_q5_1,   [TN_Q8_0] = decode_q8_0,     [TN_Q2_K] = decode_q2_k,
        [TN_Q3_K] = decode_q3_k,   [TN_Q4_K] = decode_q4_k,     [TN_Q5_K] = decode_q5_k,
        [TN_Q6_K] = decode_q6_k,   [TN_IQ4_NL] = decode_iq4_nl, [TN_IQ4_XS] = decode_iq4_xs,
        [TN_MXFP4] = decode_mxfp4,
    };
    return dtype < TN_DTYPE_COUNT ? decoders[dtype] : NULL;
}
