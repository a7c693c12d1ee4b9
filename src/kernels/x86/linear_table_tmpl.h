/*
 * linear: the tile functions of every weight type, and what coded types are unpacked to.
 *
 * Included once per machine class by linear_driver_tmpl.h, after linear_codes_CLASS_tmpl.h (which
 * has code_tile, load_scales16 and spread_codes). linear__CLASS.c defines before:
 *   CODE_TILES(name, form): a tile function for each number of tokens, and `name`, the array of
 *     them, [tokens - 1]; FLOAT_TILES(name, dtype) likewise; FLOAT_TOKENS_MAX
 *   code_tokens_max(unpacked, tokens): most tokens of a coded tile, for a call of `tokens`
 *   UNPACKED_TYPES(X): X(dtype, type, form) for each coded type that is unpacked, to that form
 *   unpack_tokens(group): from so many tokens on that pays, for types of groups of 32 or 16
 */
#ifndef HASTEN_KERNELS_X86_LINEAR_TABLE_TMPL_H
#define HASTEN_KERNELS_X86_LINEAR_TABLE_TMPL_H

#include "kernels/x86/linear_forms_tmpl.h"
#include "kernels/x86/linear_tile_tmpl.h"

struct code_kernel {
    const linear_tile_fn *tiles; /* of the packed form; NULL: not a coded type */
    const linear_tile_fn *unpacked_tiles;
    const struct code_form *unpacked_form; /* NULL: never unpacked */
    void (*unpack)(const uint8_t *w, int64_t cols, uint8_t *out);
};

/* A packed panel -> its unpacked form `to_form`: scales as f32, codes as bytes. */
KN_TILE_BODY void unpack_codes(const struct code_form *form, const struct code_form *to_form,
                               const uint8_t *w, int64_t cols, uint8_t *to)
{
    const int groups = 32 / form->group;
    for (int64_t k = 0; k < cols; k += form->k_block) {
        const uint8_t *header = w;
        w += form->header_bytes;
        for (int b = 0; b < form->k_block; b += TN_QUANT_BLOCK) {
            (void)prefetch_lines(w + PREFETCH_BYTES, form->block_bytes / 64);
            for (int i = 0; i < (form->minimum ? 4 : 2) * groups; i++) {
                const int field = i / (2 * groups);
                v16 s = load_scales16(form, header, w, field, i / 2 % groups, i % 2);
                if (field && form->scale == TN_SCALE_SUPER)
                    s = v16_neg(s);
                v16_store((float *)(void *)to + 16 * i, s);
            }
            spread_codes(form, to_form, w + form->codes_at, to + to_form->codes_at);
            w += form->block_bytes;
            to += to_form->block_bytes;
        }
    }
}

/* clang-format off */
#define CODED_TILES(dtype, type, to) CODE_TILES(tile_##type, form_##type)
#define UNPACK(dtype, type, to)                                                                    \
    static void unpack_##type(const uint8_t *w, int64_t cols, uint8_t *out)                        \
    {                                                                                              \
        unpack_codes(&form_##type, &to, w, cols, out);                                             \
    }
#define KERNEL(dtype, type, to) [dtype] = {tile_##type, tile_##to, &to, unpack_##type},

CODE_TILES(tile_q8_0, form_q8_0)
UNPACKED_TYPES(CODED_TILES)
UNPACKED_TYPES(UNPACK)
static const struct code_kernel code_kernels[TN_DTYPE_COUNT] = {
    [TN_Q8_0] = {.tiles = tile_q8_0},
    UNPACKED_TYPES(KERNEL)
};
FLOAT_TILES(tile_f32, TN_F32)
FLOAT_TILES(tile_f16, TN_F16)
FLOAT_TILES(tile_bf16, TN_BF16)
/* clang-format on */

/* Of a panel, unpacked or not. */
static linear_tile_fn tile_function(enum tn_dtype dtype, bool unpacked, int tokens)
{
    const struct code_kernel *kernel = &code_kernels[dtype];
    if (kernel->tiles)
        return (unpacked ? kernel->unpacked_tiles : kernel->tiles)[tokens - 1];
    switch (dtype) {
    case TN_F16:
        return tile_f16[tokens - 1];
    case TN_BF16:
        return tile_bf16[tokens - 1];
    default:
        return tile_f32[tokens - 1];
    }
}

/* Most tokens of a tile, for a call of that many tokens. */
static int tile_tokens_max(enum tn_dtype dtype, bool unpacked, int64_t tokens)
{
    return code_kernels[dtype].tiles ? code_tokens_max(unpacked, tokens) : FLOAT_TOKENS_MAX;
}

static bool unpack_pays(enum tn_dtype dtype, int64_t tokens)
{
    const struct code_form *form = code_kernels[dtype].unpacked_form;
    return form && tokens >= unpack_tokens(form->group);
}

/* Bytes of the unpacked form of a panel; 0 when it has none. */
static size_t unpack_bytes(enum tn_dtype dtype, int64_t cols)
{
    const struct code_form *form = code_kernels[dtype].unpacked_form;
    return form ? (size_t)(cols / TN_QUANT_BLOCK) * (size_t)form->block_bytes : 0;
}

#endif
