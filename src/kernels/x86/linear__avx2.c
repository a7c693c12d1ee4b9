/*
 * linear for AVX2 (no VNNI): coded weights up to 4 tokens (linear_codes_avx2_tmpl.h), float types
 * up to 6 tokens per tile.
 */
#include "kernels/kernel_table.h"

#include "kernels/x86/linear_codes_avx2_tmpl.h"

/* Up to 2 tokens the whole panel at once, else half by half: 12 accumulators of 16 registers. */
V16_INLINE void float_panel(const struct linear_tile *tile, enum tn_dtype dtype, int tokens)
{
    float_tile(tile, dtype, 0, tokens <= 2 ? 2 : 1, tokens);
    if (tokens > 2)
        float_tile(tile, dtype, 1, 1, tokens);
}

/* clang-format off */
static const struct code_form
    unpacked_4_32     = SPREAD(32, false, 4, 8,   128),
    unpacked_4_32_min = SPREAD(32, true,  4, 0,   256),
    unpacked_2_16_min = SPREAD(16, true,  2, 0,   512),
    unpacked_3_16     = SPREAD(16, false, 3, 4,   256),
    unpacked_5_32     = SPREAD(32, false, 5, 16,  128),
    unpacked_5_32_min = SPREAD(32, true,  5, 0,   256),
    unpacked_6_16     = SPREAD(16, false, 6, 32,  256),
    unpacked_8_32     = SPREAD(32, false, 8, 128, 128);

#define CODE_TILES(name, form)                                                                     \
    TILE(name, code_tile, &form, 1) TILE(name, code_tile, &form, 2)                                \
    TILE(name, code_tile, &form, 3) TILE(name, code_tile, &form, 4)                                \
    static const linear_tile_fn name[TOKENS_MAX] = {name##_1, name##_2, name##_3, name##_4};
CODE_TILES(tile_unpacked_4_32, unpacked_4_32)
CODE_TILES(tile_unpacked_4_32_min, unpacked_4_32_min)
CODE_TILES(tile_unpacked_2_16_min, unpacked_2_16_min)
CODE_TILES(tile_unpacked_3_16, unpacked_3_16)
CODE_TILES(tile_unpacked_5_32, unpacked_5_32)
CODE_TILES(tile_unpacked_5_32_min, unpacked_5_32_min)
CODE_TILES(tile_unpacked_6_16, unpacked_6_16)
CODE_TILES(tile_unpacked_8_32, unpacked_8_32)

#define UNPACKED_TYPES(X)                                                                          \
    X(TN_Q4_0,   q4_0,   unpacked_4_32)                                                            \
    X(TN_Q4_1,   q4_1,   unpacked_4_32_min)                                                        \
    X(TN_Q5_0,   q5_0,   unpacked_5_32)                                                            \
    X(TN_Q5_1,   q5_1,   unpacked_5_32_min)                                                        \
    X(TN_IQ4_NL, iq4_nl, unpacked_8_32)                                                            \
    X(TN_MXFP4,  mxfp4,  unpacked_8_32)                                                            \
    X(TN_Q2_K,   q2_k,   unpacked_2_16_min)                                                        \
    X(TN_Q3_K,   q3_k,   unpacked_3_16)                                                            \
    X(TN_Q4_K,   q4_k,   unpacked_4_32_min)                                                        \
    X(TN_Q5_K,   q5_k,   unpacked_5_32_min)                                                        \
    X(TN_Q6_K,   q6_k,   unpacked_6_16)                                                            \
    X(TN_IQ4_XS, iq4_xs, unpacked_8_32)

#define FLOAT_TOKENS_MAX 6
#define FLOAT_TILES(name, dtype)                                                                   \
    TILE(name, float_panel, dtype, 1) TILE(name, float_panel, dtype, 2)                            \
    TILE(name, float_panel, dtype, 3) TILE(name, float_panel, dtype, 4)                            \
    TILE(name, float_panel, dtype, 5) TILE(name, float_panel, dtype, 6)                            \
    static const linear_tile_fn name[FLOAT_TOKENS_MAX] = {name##_1, name##_2, name##_3,            \
                                                          name##_4, name##_5, name##_6};
/* clang-format on */

static int code_tokens_max(bool unpacked, int64_t tokens)
{
    (void)unpacked, (void)tokens;
    return TOKENS_MAX;
}

/* Masks, shifts and the products of scales, once for all token groups. */
static int unpack_tokens(int group)
{
    (void)group;
    return 16;
}

/* Bytes and tables are multiplied as signed numbers. */
static bool wants_offsets(const struct tn_panel_form *form)
{
    return form->code_bits != 8 && form->zero != 0;
}

/* -128 * sums of the 16-k groups of one block of up to 4 rows: two groups x 4 rows. */
V16_INLINE __m256i block_offsets(const int8_t *const row[4], int64_t k)
{
    __m256i part[4];
    for (int i = 0; i < 4; i++) {
        const __m256i codes = load_codes((const uint8_t *)row[i] + k);
        part[i] = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), codes),
                                    _mm256_set1_epi16(-128));
    }
    return _mm256_hadd_epi32(_mm256_hadd_epi32(part[0], part[1]),
                             _mm256_hadd_epi32(part[2], part[3]));
}

/* Rows t..t+3 of codes; beyond the last the last. */
static int offset_rows(const int8_t *codes, int64_t cols, int t, int tokens, const int8_t *row[4])
{
    const int count = tokens - t < 4 ? tokens - t : 4;
    for (int i = 0; i < 4; i++)
        row[i] = codes + (t + (i < count ? i : count - 1)) * cols;
    return count;
}

static void code_offsets(const int8_t *codes, int64_t cols, int tokens, int32_t *out)
{
    const int8_t *row[4];
    for (int t = 0; t < tokens; t += 4) {
        const int count = offset_rows(codes, cols, t, tokens, row);
        for (int64_t k = 0; k < cols; k += 32) {
            const __m256i both = block_offsets(row, k);
            int32_t sums[4];
            _mm_storeu_si128(
                (__m128i *)(void *)sums,
                _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1)));
            memcpy(out + k / 32 * tokens + t, sums, (size_t)count * sizeof *sums);
        }
    }
}

static void code_offsets16(const int8_t *codes, int64_t cols, int tokens, int32_t *out)
{
    const int8_t *row[4];
    for (int t = 0; t < tokens; t += 4) {
        const int count = offset_rows(codes, cols, t, tokens, row);
        for (int64_t k = 0; k < cols; k += 32) {
            int32_t sums[8];
            _mm256_storeu_si256((__m256i *)(void *)sums, block_offsets(row, k));
            for (int g = 0; g < 2; g++)
                memcpy(out + (k / 16 + g) * tokens + t, sums + 4 * g, (size_t)count * sizeof *sums);
        }
    }
}

#include "kernels/x86/linear_driver_tmpl.h"
