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

#include "kernels/x86/linear_driver_tmpl.h"
