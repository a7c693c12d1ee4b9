/*
 * linear for AVX-512 with VNNI: tiles of 32 features x up to 6 tokens, 12 int32 and 12 f32
 * accumulators in registers (linear_codes_avx512_tmpl.h); float types: up to 12 tokens.
 *
 * Why 32 x 6: the multiply pipes bound the tile (16 vpdpbusd and 6-8 float operations per block,
 * token and panel), weights loads and unpacking are shared by the tokens, and 12 chains hide the
 * latency of vpdpbusd. One token: memory bound, the panel is one forward stream.
 */
#include "kernels/kernel_table.h"

#include "kernels/x86/linear_codes_avx512_tmpl.h"

V16_INLINE void float_panel(const struct linear_tile *tile, enum tn_dtype dtype, int tokens)
{
    float_tile(tile, dtype, 0, 2, tokens);
}

/* clang-format off */
static const struct code_form
    unpacked_32     = SPREAD(32, false, 8, 128, 128),
    unpacked_32_min = SPREAD(32, true,  8, 0,   256),
    unpacked_16     = SPREAD(16, false, 8, 128, 256),
    unpacked_16_min = SPREAD(16, true,  8, 0,   512);

#define CODE_TILES(name, form)                                                                     \
    TILE(name, code_tile, &form, 1) TILE(name, code_tile, &form, 2)                                \
    TILE(name, code_tile, &form, 3) TILE(name, code_tile, &form, 4)                                \
    TILE(name, code_tile, &form, 5) TILE(name, code_tile, &form, 6)                                \
    TILE(name, code_tile, &form, 7) TILE(name, code_tile, &form, 8)                                \
    static const linear_tile_fn name[TOKENS_MAX] = {name##_1, name##_2, name##_3, name##_4,        \
                                                    name##_5, name##_6, name##_7, name##_8};
CODE_TILES(tile_unpacked_32, unpacked_32)
CODE_TILES(tile_unpacked_32_min, unpacked_32_min)
CODE_TILES(tile_unpacked_16, unpacked_16)
CODE_TILES(tile_unpacked_16_min, unpacked_16_min)

#define UNPACKED_TYPES(X)                                                                          \
    X(TN_Q4_0,   q4_0,   unpacked_32)                                                              \
    X(TN_Q4_1,   q4_1,   unpacked_32_min)                                                          \
    X(TN_Q5_0,   q5_0,   unpacked_32)                                                              \
    X(TN_Q5_1,   q5_1,   unpacked_32_min)                                                          \
    X(TN_IQ4_NL, iq4_nl, unpacked_32)                                                              \
    X(TN_MXFP4,  mxfp4,  unpacked_32)                                                              \
    X(TN_Q2_K,   q2_k,   unpacked_16_min)                                                          \
    X(TN_Q3_K,   q3_k,   unpacked_16)                                                              \
    X(TN_Q4_K,   q4_k,   unpacked_32_min)                                                          \
    X(TN_Q5_K,   q5_k,   unpacked_32_min)                                                          \
    X(TN_Q6_K,   q6_k,   unpacked_16)                                                              \
    X(TN_IQ4_XS, iq4_xs, unpacked_32)

#define FLOAT_TOKENS_MAX 12
#define FLOAT_TILES(name, dtype)                                                                   \
    TILE(name, float_panel, dtype, 1)  TILE(name, float_panel, dtype, 2)                           \
    TILE(name, float_panel, dtype, 3)  TILE(name, float_panel, dtype, 4)                           \
    TILE(name, float_panel, dtype, 5)  TILE(name, float_panel, dtype, 6)                           \
    TILE(name, float_panel, dtype, 7)  TILE(name, float_panel, dtype, 8)                           \
    TILE(name, float_panel, dtype, 9)  TILE(name, float_panel, dtype, 10)                          \
    TILE(name, float_panel, dtype, 11) TILE(name, float_panel, dtype, 12)                          \
    static const linear_tile_fn name[FLOAT_TOKENS_MAX] = {                                         \
        name##_1, name##_2, name##_3, name##_4,  name##_5,  name##_6,                              \
        name##_7, name##_8, name##_9, name##_10, name##_11, name##_12};
/* clang-format on */

/* Unpacked panels and bytes gain nothing from 7 and 8 tokens. */
static int code_tokens_max(bool unpacked, int64_t tokens)
{
    return unpacked || tokens > 4 * TOKENS_MAX ? REGISTER_TOKENS : TOKENS_MAX;
}

/* Nibbles cost 3 operations per vector and group of tokens on the ports that also multiply (where
 * 512-bit operations have two ports in all), scales of K types some more; from some groups on it is
 * cheaper to unpack once. */
static int unpack_tokens(int group)
{
    return group == 16 ? 12 : 24;
}

static bool wants_offsets(const struct tn_panel_form *form)
{
    return form->zero != 0 || form->values;
}

/* Lanes 0..3 of each 128-bit part: the part's sums of a, b, c, d. */
V16_INLINE __m512i add_parts(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* -128 * sum of two blocks (64 bytes; with `one` only the first) of 8 rows: 8 rows' first block,
 * then 8 rows' second block. */
V16_INLINE __m512i sum_blocks(const int8_t *const row[8], int64_t k, bool one)
{
    const __m512i order = _mm512_setr_epi32(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15);
    const __mmask16 mask = one ? 0x00ff : 0xffff;
    __m512i part[8];
    KN_UNROLL
    for (int i = 0; i < 8; i++)
        part[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1),
                                      _mm512_maskz_loadu_epi32(mask, row[i] + k));
    __m512i p = add_parts(part[0], part[1], part[2], part[3]);
    __m512i q = add_parts(part[4], part[5], part[6], part[7]);
    __m512i sum =
        _mm512_add_epi32(_mm512_shuffle_i32x4(p, q, 0x88), _mm512_shuffle_i32x4(p, q, 0xDD));
    sum = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sum, 7));
    return _mm512_permutexvar_epi32(order, sum);
}

/* out [K/32][tokens]: what Q8_0 sums start at. 8 tokens x 2 blocks at a time; rows beyond the last
 * token are read as the last and not stored. */
static void code_offsets(const int8_t *codes, int64_t cols, int tokens, int32_t *out)
{
    for (int t = 0; t < tokens; t += 8) {
        const int count = tokens - t < 8 ? tokens - t : 8;
        const __mmask8 stored = (__mmask8)((1u << count) - 1u);
        const int8_t *row[8];
        for (int i = 0; i < 8; i++)
            row[i] = codes + (t + (i < count ? i : count - 1)) * cols;
        for (int64_t k = 0; k < cols; k += 2 * TN_QUANT_BLOCK) {
            const bool one = k + TN_QUANT_BLOCK == cols;
            int32_t *to = out + k / TN_QUANT_BLOCK * tokens + t;
            __m512i sum = sum_blocks(row, k, one);
            _mm256_mask_storeu_epi32(to, stored, _mm512_castsi512_si256(sum));
            if (!one)
                _mm256_mask_storeu_epi32(to + tokens, stored, _mm512_extracti32x8_epi32(sum, 1));
        }
    }
}

/* out [K/16][tokens]: -128 * sum of 16 codes. 8 tokens x 4 groups at a time. */
static void code_offsets16(const int8_t *codes, int64_t cols, int tokens, int32_t *out)
{
    for (int t = 0; t < tokens; t += 8) {
        const int count = tokens - t < 8 ? tokens - t : 8;
        const __mmask8 stored = (__mmask8)((1u << count) - 1u);
        const int8_t *row[8];
        for (int i = 0; i < 8; i++)
            row[i] = codes + (t + (i < count ? i : count - 1)) * cols;
        for (int64_t k = 0; k < cols; k += 2 * TN_QUANT_BLOCK) {
            int32_t *to = out + k / 16 * tokens + t;
            __m512i part[8];
            KN_UNROLL
            for (int i = 0; i < 8; i++)
                part[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8((char)128),
                                              load_codes((const uint8_t *)row[i] + k));
            const __m512i p = add_parts(part[0], part[1], part[2], part[3]); /* [group][token] */
            const __m512i q = add_parts(part[4], part[5], part[6], part[7]);
            __m512i sum[2] = {
                _mm512_permutex2var_epi64(p, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), q),
                _mm512_permutex2var_epi64(p, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), q)};
            KN_UNROLL
            for (int i = 0; i < 2; i++) {
                sum[i] = _mm512_sub_epi32(_mm512_setzero_si512(), sum[i]);
                _mm256_mask_storeu_epi32(to + 2 * i * tokens, stored,
                                         _mm512_castsi512_si256(sum[i]));
                _mm256_mask_storeu_epi32(to + (2 * i + 1) * tokens, stored,
                                         _mm512_extracti32x8_epi32(sum[i], 1));
            }
        }
    }
}

#include "kernels/x86/linear_driver_tmpl.h"
