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

#include "kernels/x86/linear_driver_tmpl.h"
