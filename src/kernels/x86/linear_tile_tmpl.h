/*
 * linear: what a tile function computes, and the tile functions of the float weight types.
 *
 * A tile is 32 output features (one panel) x a few tokens over the whole K, every accumulator in a
 * register; it is written as f32 [token][feature] and everything after that is the epilogue's.
 * Float types: one chain per output, acc = fma(w, x, acc), k ascending (NUMERICS.md). One v16 is a
 * half panel, so 2 halves x tokens chains run side by side and hide the latency of fma.
 *
 * Included once per machine class by linear__CLASS.c.
 */
#ifndef HASTEN_KERNELS_X86_LINEAR_TILE_TMPL_H
#define HASTEN_KERNELS_X86_LINEAR_TILE_TMPL_H

#include <string.h>

#include "kernels/x86/vec16_tmpl.h"
#include "tensor/layout.h"

/* Arrays of accumulators become registers only when their loops are unrolled completely. clang
 * does so by itself; a gcc build with sanitizers stays rolled, else it compiles for minutes. */
#if defined(__clang__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KN_UNROLL
#else
#define KN_UNROLL _Pragma("GCC unroll 16")
#endif

/* The body of a coded tile: a copy for every form and number of tokens, so that all of it is in
 * registers. Builds with sanitizers have one copy that reads both (dozens compile for minutes). */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KN_TILE_BODY static __attribute__((noinline))
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KN_TILE_BODY static __attribute__((noinline))
#endif
#ifndef KN_TILE_BODY
#define KN_TILE_BODY V16_INLINE
#endif

/* Tokens per chunk of the driver: a multiple of every class's group sizes (4, 6, 8, 12). */
#define LINEAR_CHUNK 48

struct linear_tile {
    const uint8_t *w;    /* one panel */
    int64_t cols;        /* K */
    const float *x;      /* float weights: [tokens][ld_x] */
    const int8_t *codes; /* coded weights: [tokens][ld_x] */
    int64_t ld_x;
    const float *scales;   /* [K/32][ld_scales] */
    const float *sums;     /* [K/32][ld_scales] */
    const int32_t *offset; /* [K/32][ld_scales]: -128 * sum of codes */
    /* Of groups of 16, for types that have such; [K/16][ld_scales]. */
    const int32_t *offset16;
    const float *sums16; /* scale * sum of codes */
    int64_t ld_scales;
    float *out; /* [tokens][ld_out], 32 features each */
    int64_t ld_out;
    /* Coded weights: memory that is read later, ahead_lines lines to prefetch per 32 k. NULL: the
     * panel itself, PREFETCH_BYTES further on. */
    const uint8_t *ahead;
    int ahead_lines;
};

typedef void (*linear_tile_fn)(const struct linear_tile *tile);

/* The tile function name_TOKENS: body(tile, what, tokens) with both as constants. */
#define TILE(name, body, what, tokens)                                                             \
    static void name##_##tokens(const struct linear_tile *tile)                                    \
    {                                                                                              \
        body(tile, what, tokens);                                                                  \
    }

#define PREFETCH_BYTES 4096

/* Prefetches lines; returns the place behind them. */
V16_INLINE const uint8_t *prefetch_lines(const uint8_t *p, int lines)
{
    for (int i = 0; i < lines; i++, p += 64)
        _mm_prefetch((const char *)p, _MM_HINT_T0);
    return p;
}

/* One block's share of prefetching: of *ahead, else of the panel; bytes is a constant. */
V16_INLINE void prefetch_block(const uint8_t **ahead, int ahead_lines, const uint8_t *block,
                               int bytes)
{
    if (*ahead) {
        *ahead = prefetch_lines(*ahead, ahead_lines);
        return;
    }
    KN_UNROLL
    for (int i = 0; i < bytes / 64; i++)
        _mm_prefetch((const char *)block + PREFETCH_BYTES + 64 * i, _MM_HINT_T0);
}

V16_INLINE v16 load_weight16(enum tn_dtype dtype, const uint8_t *p)
{
    if (dtype == TN_F16)
        return v16_load_f16((const uint16_t *)(const void *)p);
    if (dtype == TN_F32)
        return v16_load((const float *)(const void *)p);
    return v16_load_bf16((const uint16_t *)(const void *)p);
}

/* Halves first_half .. first_half + halves - 1 of the panel x tokens; both counts are constants. */
V16_INLINE void float_tile(const struct linear_tile *tile, enum tn_dtype dtype, int first_half,
                           int halves, int tokens)
{
    const int half_bytes = dtype == TN_F32 ? 64 : 32;
    const uint8_t *w = tile->w + first_half * half_bytes;
    /* Three rows per base pointer: [base], [base + ld], [base + 2 ld] are addressing modes. */
    const float *x[4] = {tile->x, tile->x + 3 * tile->ld_x, tile->x + 6 * tile->ld_x,
                         tile->x + 9 * tile->ld_x};
    const int64_t ld = tile->ld_x;
    v16 acc[12][2];
    KN_UNROLL
    for (int t = 0; t < tokens; t++) {
        KN_UNROLL
        for (int h = 0; h < halves; h++)
            acc[t][h] = v16_zero();
    }
    for (int64_t k = 0; k < tile->cols; k++, w += 2 * half_bytes) {
        v16 weight[2];
        _mm_prefetch((const char *)w + PREFETCH_BYTES, _MM_HINT_T0);
        KN_UNROLL
        for (int h = 0; h < halves; h++)
            weight[h] = load_weight16(dtype, w + h * half_bytes);
        KN_UNROLL
        for (int t = 0; t < tokens; t++) {
            v16 value = v16_set1(x[t / 3][t % 3 * ld]);
            KN_UNROLL
            for (int h = 0; h < halves; h++)
                acc[t][h] = v16_fma(weight[h], value, acc[t][h]);
        }
        KN_UNROLL
        for (int b = 0; b < (tokens + 2) / 3; b++)
            x[b]++;
    }
    KN_UNROLL
    for (int t = 0; t < tokens; t++) {
        KN_UNROLL
        for (int h = 0; h < halves; h++)
            v16_store(tile->out + t * tile->ld_out + 16 * (first_half + h), acc[t][h]);
    }
}

#endif
