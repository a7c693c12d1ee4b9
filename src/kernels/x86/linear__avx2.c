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

#define TILE(name, body, tokens, ...)                                                              \
    static void name##_##tokens(const struct linear_tile *tile)                                    \
    {                                                                                              \
        body(tile, __VA_ARGS__);                                                                   \
    }
#define CODE_TILES(name, form)                                                                     \
    TILE(name, code_tile, 1, form, 1) TILE(name, code_tile, 2, form, 2)                            \
    TILE(name, code_tile, 3, form, 3) TILE(name, code_tile, 4, form, 4)                            \
    static const linear_tile_fn name[TOKENS_MAX] = {name##_1, name##_2, name##_3, name##_4};
CODE_TILES(tile_q8_0, &form_q8_0)
CODE_TILES(tile_q4_0, &form_q4_0)
CODE_TILES(tile_q4_1, &form_q4_1)
CODE_TILES(tile_q5_0, &form_q5_0)
CODE_TILES(tile_q5_1, &form_q5_1)
CODE_TILES(tile_iq4_nl, &form_iq4_nl)
CODE_TILES(tile_mxfp4, &form_mxfp4)
CODE_TILES(tile_q2_k, &form_q2_k)
CODE_TILES(tile_q3_k, &form_q3_k)
CODE_TILES(tile_q4_k, &form_q4_k)
CODE_TILES(tile_q5_k, &form_q5_k)
CODE_TILES(tile_q6_k, &form_q6_k)
CODE_TILES(tile_iq4_xs, &form_iq4_xs)
CODE_TILES(tile_unpacked_4_32, &unpacked_4_32)
CODE_TILES(tile_unpacked_4_32_min, &unpacked_4_32_min)
CODE_TILES(tile_unpacked_2_16_min, &unpacked_2_16_min)
CODE_TILES(tile_unpacked_3_16, &unpacked_3_16)
CODE_TILES(tile_unpacked_5_32, &unpacked_5_32)
CODE_TILES(tile_unpacked_5_32_min, &unpacked_5_32_min)
CODE_TILES(tile_unpacked_6_16, &unpacked_6_16)
CODE_TILES(tile_unpacked_8_32, &unpacked_8_32)

#define UNPACK(type, to)                                                                           \
    static void unpack_##type(const uint8_t *w, int64_t cols, uint8_t *out)                        \
    {                                                                                              \
        unpack_codes(&form_##type, &to, w, cols, out);                                             \
    }
UNPACK(q4_0, unpacked_4_32)
UNPACK(q4_1, unpacked_4_32_min)
UNPACK(q5_0, unpacked_5_32)
UNPACK(q5_1, unpacked_5_32_min)
UNPACK(iq4_nl, unpacked_8_32)
UNPACK(mxfp4, unpacked_8_32)
UNPACK(q2_k, unpacked_2_16_min)
UNPACK(q3_k, unpacked_3_16)
UNPACK(q4_k, unpacked_4_32_min)
UNPACK(q5_k, unpacked_5_32_min)
UNPACK(q6_k, unpacked_6_16)
UNPACK(iq4_xs, unpacked_8_32)

/* Tiles of a coded type, [tokens - 1]. */
struct code_kernel {
    const linear_tile_fn *tiles;
    const linear_tile_fn *unpacked_tiles; /* NULL: never unpacked */
    int unpacked_block;                   /* bytes per block of 32 k */
    void (*unpack)(const uint8_t *w, int64_t cols, uint8_t *out);
};
static const struct code_kernel code_kernels[TN_DTYPE_COUNT] = {
    [TN_Q8_0] = {tile_q8_0, NULL, 0, NULL},
    [TN_Q4_0] = {tile_q4_0, tile_unpacked_4_32, 1152, unpack_q4_0},
    [TN_Q4_1] = {tile_q4_1, tile_unpacked_4_32_min, 1280, unpack_q4_1},
    [TN_Q5_0] = {tile_q5_0, tile_unpacked_5_32, 1152, unpack_q5_0},
    [TN_Q5_1] = {tile_q5_1, tile_unpacked_5_32_min, 1280, unpack_q5_1},
    [TN_IQ4_NL] = {tile_iq4_nl, tile_unpacked_8_32, 1152, unpack_iq4_nl},
    [TN_MXFP4] = {tile_mxfp4, tile_unpacked_8_32, 1152, unpack_mxfp4},
    [TN_Q2_K] = {tile_q2_k, tile_unpacked_2_16_min, 1536, unpack_q2_k},
    [TN_Q3_K] = {tile_q3_k, tile_unpacked_3_16, 1280, unpack_q3_k},
    [TN_Q4_K] = {tile_q4_k, tile_unpacked_4_32_min, 1280, unpack_q4_k},
    [TN_Q5_K] = {tile_q5_k, tile_unpacked_5_32_min, 1280, unpack_q5_k},
    [TN_Q6_K] = {tile_q6_k, tile_unpacked_6_16, 1280, unpack_q6_k},
    [TN_IQ4_XS] = {tile_iq4_xs, tile_unpacked_8_32, 1152, unpack_iq4_xs},
};

#define FLOAT_TILES(name, dtype)                                                                   \
    TILE(name, float_panel, 1, dtype, 1) TILE(name, float_panel, 2, dtype, 2)                      \
    TILE(name, float_panel, 3, dtype, 3) TILE(name, float_panel, 4, dtype, 4)                      \
    TILE(name, float_panel, 5, dtype, 5) TILE(name, float_panel, 6, dtype, 6)                      \
    static const linear_tile_fn name[6] = {name##_1, name##_2, name##_3,                           \
                                           name##_4, name##_5, name##_6};
FLOAT_TILES(tile_f32, TN_F32)
FLOAT_TILES(tile_f16, TN_F16)
FLOAT_TILES(tile_bf16, TN_BF16)
/* clang-format on */

#define FLOAT_TOKENS_MAX 6

static int tile_tokens_max(enum tn_dtype dtype, bool unpacked, int64_t tokens)
{
    (void)unpacked, (void)tokens;
    return code_kernels[dtype].tiles ? TOKENS_MAX : FLOAT_TOKENS_MAX;
}

/* Masks, shifts and the products of scales, once for all token groups. */
static bool unpack_pays(enum tn_dtype dtype, int64_t tokens)
{
    return code_kernels[dtype].unpack && tokens >= 16;
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

const struct kn_kernel kn_linear__avx2 = {.name = "linear__avx2",
                                          .op = OP_LINEAR,
                                          .cpu_class = HS_CPU_CLASS_AVX2,
                                          .accepts = linear_accepts,
                                          .units = linear_units,
                                          .run = linear_run,
                                          .scratch_bytes = linear_scratch_bytes};
