/*
 * rope on the heads of one row, for rope_apply and for the rope step of linear: NUMERICS.md "rope",
 * sixteen features or pairs at a time, what is left pair by pair. In place. Included once per
 * machine class by those two.
 */
#ifndef HASTEN_KERNELS_X86_ROPE_TMPL_H
#define HASTEN_KERNELS_X86_ROPE_TMPL_H

#include "kernels/x86/vec16_tmpl.h"
#include "ops/op_attrs.h"

/* Heads that stand one behind the other; of each, the first dims features (even) are rotated. */
struct rope_heads {
    int heads, head_dim, dims;
};

/* Inlined into a loop over rows, the strides of both styles would be worked out ahead of it, which
 * takes longer than a row is worth. */
#define ROPE_NOINLINE __attribute__((noinline))

/* table: c0 s0 c1 s1 ..., here of this pair. */
static void rope_pair(float *x0, float *x1, const float *table)
{
    const float a = *x0, b = *x1;
    *x0 = __builtin_fmaf(a, table[0], -(b * table[1]));
    *x1 = __builtin_fmaf(a, table[1], b * table[0]);
}

/* Pairs (2i, 2i+1). */
static ROPE_NOINLINE void rope_adjacent(const struct rope_heads *of, float *row, const float *table)
{
    int i = 0;
    for (; i + 16 <= of->dims; i += 16) {
        const v16 cos_sin = v16_load(table + i), sin_cos = v16_swap_pairs(cos_sin);
        float *x = row + i;
        for (int h = 0; h < of->heads; h++, x += of->head_dim) {
            v16 pairs = v16_load(x);
            v16 product = v16_mul(v16_dup_odd(pairs), sin_cos); /* x1 s, x1 c */
            v16_store(x, v16_fma_sub_add(v16_dup_even(pairs), cos_sin, product));
        }
    }
    for (; i < of->dims; i += 2) {
        for (int h = 0; h < of->heads; h++) {
            float *x = row + (int64_t)h * of->head_dim + i;
            rope_pair(x, x + 1, table + i);
        }
    }
}

/* Pairs (i, i + dims/2). */
static ROPE_NOINLINE void rope_halves(const struct rope_heads *of, float *row, const float *table)
{
    const int half = of->dims / 2;
    int i = 0;
    for (; i + 16 <= half; i += 16) {
        v16 c, s;
        v16_load_split(table + 2 * i, &c, &s);
        float *x = row + i;
        for (int h = 0; h < of->heads; h++, x += of->head_dim) {
            v16 x0 = v16_load(x), x1 = v16_load(x + half);
            v16_store(x, v16_fma(x0, c, v16_neg(v16_mul(x1, s))));
            v16_store(x + half, v16_fma(x0, s, v16_mul(x1, c)));
        }
    }
    for (; i < half; i++) {
        for (int h = 0; h < of->heads; h++) {
            float *x = row + (int64_t)h * of->head_dim + i;
            rope_pair(x, x + half, table + 2 * i);
        }
    }
}

static void rotate_heads(const struct rope_heads *of, int style, float *row, const float *table)
{
    if (style == OP_ROPE_ADJACENT)
        rope_adjacent(of, row, table);
    else
        rope_halves(of, row, table);
}

#endif
