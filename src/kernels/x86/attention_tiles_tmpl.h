/*
 * Register tiles of attention on v16: scores (q times K panels), the softmax of a leaf, and output
 * (e times V, merged into a group's sums). attention_tmpl.h arranges them; NUMERICS.md "attention"
 * states the operations. Each tile exists for 1..6 query heads and for every type of pages; all
 * widen what they read to f32 exactly, so they execute one chain.
 */
#ifndef HASTEN_KERNELS_X86_ATTENTION_TILES_TMPL_H
#define HASTEN_KERNELS_X86_ATTENTION_TILES_TMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/x86/vec_math_tmpl.h"
#include "tensor/layout.h"

enum {
    ATT_TILE = 6,       /* query heads of a tile */
    ATT_PANEL = 16,     /* positions of a K panel */
    ATT_PANELS_MAX = 8, /* K panels of a score tile */
    ATT_LEAF = TN_LEAF_POSITIONS,
    ATT_LEAF_PAGES = ATT_LEAF / TN_PAGE_POSITIONS,
    ATT_LEAF_PANELS = ATT_LEAF / ATT_PANEL,
    ATT_SCORE_STRIDE = ATT_LEAF + ATT_PANEL /* no power of two: rows fall into different sets */
};

/* X(query heads, K panels of the score tile), X(query heads, 16-feature vectors of the output
 * tile): as many accumulators as the registers hold, for few heads at least about 8 chains. */
#ifdef __AVX512F__
#define ATT_QK_LIST(X) X(1, 8) X(2, 4) X(3, 4) X(4, 2) X(5, 2) X(6, 2)
#define ATT_PV_LIST(X)                                                                             \
    X(1, 4)                                                                                        \
    X(2, 4)                                                                                        \
    X(3, 4)                                                                                        \
    X(4, 4)                                                                                        \
    X(5, 4)                                                                                        \
    X(6, 4)                                                                                        \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1)
#else
#define ATT_QK_LIST(X) X(1, 4) X(2, 2) X(3, 2) X(4, 1) X(5, 1) X(6, 1)
#define ATT_PV_LIST(X)                                                                             \
    X(1, 4) X(1, 2) X(2, 2) X(3, 2) X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1)
#endif

/* How a tile reads K and V. */
enum att_format { ATT_F32, ATT_F16, ATT_BF16, ATT_Q8, ATT_FORMATS };

enum {
    ATT_Q8_SCALES = 2 * ATT_PANEL,                /* bytes of scales in front of the codes */
    ATT_Q8_BLOCK = ATT_Q8_SCALES + 32 * ATT_PANEL /* of 32 features of a K panel */
};

/* 16 elements of float pages. */
V16_INLINE v16 att_load(const uint8_t *p, size_t element, const enum att_format format)
{
    const uint16_t *half = (const uint16_t *)(const void *)p + element;
    if (format == ATT_F16)
        return v16_load_f16(half);
    if (format == ATT_BF16)
        return v16_load_bf16(half);
    return v16_load((const float *)(const void *)p + element);
}

/* 16 elements of a Q8_0 page: the product is exact (8 + 11 bits). */
V16_INLINE v16 att_load_q8(const uint8_t *codes, v16 scale)
{
    return v16_mul(v16_load_i8((const int8_t *)codes), scale);
}

/* ---- scores ---- */

struct att_qk {
    const uint8_t *panel[ATT_PANELS_MAX];     /* [head_dim][16] each */
    const uint8_t *ahead[ATT_PANELS_MAX / 2]; /* per two panels: block to prefetch meanwhile, */
    size_t ahead_step;                        /* its bytes per d */
    const float *queries;                     /* [head_dim][nq] */
    float *scores;                            /* [nq][ATT_SCORE_STRIDE], at the first panel */
    int head_dim;
    float scale;
};

/* K of feature d of panel p of Q8_0 pages; `scale` follows the blocks of 32 features. */
V16_INLINE v16 att_k_q8(const uint8_t *panel, size_t d, v16 *scale)
{
    const uint8_t *block = panel + d / 32 * ATT_Q8_BLOCK;
    if (d % 32 == 0)
        *scale = v16_load_f16((const uint16_t *)(const void *)block);
    return att_load_q8(block + ATT_Q8_SCALES + d % 32 * ATT_PANEL, *scale);
}

/* Adds feature d to all scores. */
V16_INLINE void att_qk_feature(const int nq, const int np, const enum att_format format,
                               const uint8_t *const *panel, size_t d, const float *q, v16 *scale,
                               v16 (*acc)[ATT_PANELS_MAX])
{
    v16 k[ATT_PANELS_MAX];
    V16_UNROLL
    for (int p = 0; p < np; p++)
        k[p] = format == ATT_Q8 ? att_k_q8(panel[p], d, &scale[p])
                                : att_load(panel[p], d * ATT_PANEL, format);
    V16_UNROLL
    for (int r = 0; r < nq; r++) {
        v16 query = v16_set1(q[r]);
        V16_UNROLL
        for (int p = 0; p < np; p++)
            acc[r][p] = v16_fma(query, k[p], acc[r][p]);
    }
}

V16_INLINE void att_qk_tile(const int nq, const int np, const enum att_format format,
                            const struct att_qk *a)
{
    const uint8_t *panel[ATT_PANELS_MAX], *ahead[ATT_PANELS_MAX / 2];
    v16 acc[ATT_TILE][ATT_PANELS_MAX], block_scale[ATT_PANELS_MAX];
    const float *q = a->queries;
    V16_UNROLL
    for (int p = 0; p < np; p++) {
        panel[p] = a->panel[p];
        ahead[p / 2] = a->ahead[p / 2];
        block_scale[p] = v16_zero();
        V16_UNROLL
        for (int r = 0; r < nq; r++)
            acc[r][p] = v16_zero();
    }
    for (size_t d = 0; d < (size_t)a->head_dim; d++, q += nq) {
        V16_UNROLL
        for (int p = 0; p < np; p += 2) {
            _mm_prefetch((const char *)ahead[p / 2], _MM_HINT_T0);
            if (format == ATT_F32) /* the block may be f32: two lines */
                _mm_prefetch((const char *)ahead[p / 2] + a->ahead_step / 2, _MM_HINT_T0);
            ahead[p / 2] += a->ahead_step;
        }
        att_qk_feature(nq, np, format, panel, d, q, block_scale, acc);
    }
    const v16 scale = v16_set1(a->scale);
    V16_UNROLL
    for (int r = 0; r < nq; r++) {
        V16_UNROLL
        for (int p = 0; p < np; p++)
            v16_store(a->scores + r * ATT_SCORE_STRIDE + p * ATT_PANEL, v16_mul(acc[r][p], scale));
    }
}

#define ATT_QK_DEFINE_AS(nq, np, suffix, format)                                                   \
    static void att_qk_##nq##_##suffix(const struct att_qk *a)                                     \
    {                                                                                              \
        att_qk_tile(nq, np, format, a);                                                            \
    }
#define ATT_QK_DEFINE(nq, np)                                                                      \
    ATT_QK_DEFINE_AS(nq, np, f32, ATT_F32)                                                         \
    ATT_QK_DEFINE_AS(nq, np, f16, ATT_F16)                                                         \
    ATT_QK_DEFINE_AS(nq, np, bf16, ATT_BF16)                                                       \
    ATT_QK_DEFINE_AS(nq, np, q8, ATT_Q8)
ATT_QK_LIST(ATT_QK_DEFINE)

#define ATT_QK_PANELS(nq, np) [nq] = np,
#define ATT_QK_F32(nq, np)    [nq] = att_qk_##nq##_f32,
#define ATT_QK_F16(nq, np)    [nq] = att_qk_##nq##_f16,
#define ATT_QK_BF16(nq, np)   [nq] = att_qk_##nq##_bf16,
#define ATT_QK_Q8(nq, np)     [nq] = att_qk_##nq##_q8,
/* [query heads] */
static const int8_t att_qk_panels[ATT_TILE + 1] = {ATT_QK_LIST(ATT_QK_PANELS)};
static void (*const att_qk_run[ATT_FORMATS][ATT_TILE + 1])(const struct att_qk *) = {
    [ATT_F32] = {ATT_QK_LIST(ATT_QK_F32)},
    [ATT_F16] = {ATT_QK_LIST(ATT_QK_F16)},
    [ATT_BF16] = {ATT_QK_LIST(ATT_QK_BF16)},
    [ATT_Q8] = {ATT_QK_LIST(ATT_QK_Q8)}};

/* ---- softmax of a leaf ---- */

/* Positions of a leaf, relative to it. */
struct att_range {
    int begin, end;
};

/*
 * Scores are handled in pairs of vectors (virtual lanes 0..15 and 16..31), so whole 32-position
 * blocks around `own` (not empty) are rewritten; what they held outside it has no influence.
 */

/* Largest score of the positions `own`, after the soft cap; the others become -inf. */
V16_INLINE float att_softmax_max(float *scores, struct att_range own, float softcap)
{
    const int first = own.begin / 32 * 32, last = (own.end + 31) / 32 * 32;
    const v16 minus_infinity = v16_set1(-__builtin_inff());
    if (softcap != 0.0f) {
        const v16 cap = v16_set1(softcap);
        for (int j = first; j < last; j += 16)
            v16_store(scores + j, v16_softcap(v16_load(scores + j), cap));
    }
    /* only the first and the last block have positions outside */
    for (int j = first; j < last; j = j + 32 < last ? last - 32 : last) {
        for (int i = j; i < j + 32; i += 16) {
            v16m inside = v16_lanes(own.begin - i, own.end - i);
            v16_store(scores + i, v16_select(inside, v16_load(scores + i), minus_infinity));
        }
    }
    v16 max0 = minus_infinity, max1 = minus_infinity;
    for (int j = first; j < last; j += 32) {
        max0 = v16_max(max0, v16_load(scores + j));
        max1 = v16_max(max1, v16_load(scores + j + 16));
    }
    return v16_max_lane(v16_max(max0, max1));
}

/* Scores become e = exp(s - max), exactly +0 for the positions of `all` outside `own`; returns the
 * denominator. Needs att_softmax_max's -inf. */
V16_INLINE float att_softmax_exp(float *scores, struct att_range own, struct att_range all,
                                 float max)
{
    const int first = own.begin / 32 * 32, last = (own.end + 31) / 32 * 32;
    const v16 shift = v16_set1(max);
    v16 lanes0 = v16_zero(), lanes1 = v16_zero();
    for (int j = first; j < last; j += 32) {
        v16 e0 = v16_exp_nonpositive(v16_sub(v16_load(scores + j), shift));
        v16 e1 = v16_exp_nonpositive(v16_sub(v16_load(scores + j + 16), shift));
        v16_store(scores + j, e0);
        v16_store(scores + j + 16, e1);
        lanes0 = v16_add(lanes0, e0);
        lanes1 = v16_add(lanes1, e1);
    }
    for (int j = all.begin / 32 * 32; j < first; j += 16)
        v16_store(scores + j, v16_zero());
    for (int j = last; j < all.end; j += 16)
        v16_store(scores + j, v16_zero());
    return v16_sum32(lanes0, lanes1);
}

/* ---- output ---- */

enum att_mode { ATT_SKIP, ATT_COPY, ATT_MERGE };

/* How a leaf's o enters what stands: not at all, as it is, or o1 * keep + o * add. */
struct att_merge {
    float keep, add;
    int mode; /* enum att_mode */
};

struct att_pv {
    enum att_format format;
    const uint8_t *const *v;     /* [page of the leaf]: a KV head's V each */
    const uint8_t *const *ahead; /* [page of the leaf]: block to prefetch meanwhile, */
    size_t ahead_bytes;          /* bytes of its elements */
    const float *e;              /* [nq][ATT_SCORE_STRIDE] */
    int begin, end;              /* positions, relative to the leaf */
    size_t dim;                  /* first feature of the tile */
    size_t dim_padded;
    float *leaf_out;               /* [nq][dim_padded]: o of the leaf between two calls */
    float *group_out;              /* [nq][dim_padded]: what stands */
    bool resume;                   /* start from leaf_out, not from +0 */
    bool finish;                   /* merge into group_out, do not keep in leaf_out */
    const struct att_merge *merge; /* [nq] */
};

/* Puts nd finished vectors of one query head where they belong. */
V16_INLINE void att_pv_finish(const int nd, const v16 *acc, float *out,
                              const struct att_merge *merge)
{
    const v16 keep = v16_set1(merge->keep), add = v16_set1(merge->add);
    if (merge->mode == ATT_SKIP)
        return;
    V16_UNROLL
    for (int i = 0; i < nd; i++) {
        v16 sum = acc[i];
        if (merge->mode == ATT_MERGE)
            sum = v16_fma(v16_load(out + i * 16), keep, v16_mul(sum, add));
        v16_store(out + i * 16, sum);
    }
}

/* Adds positions j..stop-1, all of one page, to the sums. */
V16_INLINE void att_pv_page(const int nq, const int nd, const enum att_format format,
                            const struct att_pv *a, int j, int stop, v16 (*acc)[4])
{
    const int page = j / TN_PAGE_POSITIONS, first = page * TN_PAGE_POSITIONS;
    const int line = format == ATT_F32 ? 1 : format == ATT_Q8 ? 4 : 2; /* vectors of a line */
    const size_t ahead_bytes = a->ahead_bytes;
    const uint8_t *v = a->v[page], *ahead = a->ahead[page];
    size_t at = (size_t)(j - first) * a->dim_padded + a->dim;
    float scales[2][TN_PAGE_POSITIONS]; /* Q8_0: of the blocks of 32 features that we touch */
    if (format == ATT_Q8) {
        const uint16_t *half = (const uint16_t *)(const void *)v + a->dim / 32 * TN_PAGE_POSITIONS;
        for (int i = 0; i < (nd + 1) / 2 * TN_PAGE_POSITIONS; i += 16)
            v16_store(scales[0] + i, v16_load_f16(half + i));
        v += a->dim_padded / 32 * TN_PAGE_POSITIONS * sizeof *half;
    }
    for (; j < stop; j++, at += a->dim_padded) {
        v16 value[4];
        V16_UNROLL
        for (int i = 0; i < nd; i++) {
            value[i] = format == ATT_Q8
                           ? att_load_q8(v + at + i * 16, v16_set1(scales[i / 2][j - first]))
                           : att_load(v, at + (size_t)i * 16, format);
            if (i % line == 0)
                _mm_prefetch((const char *)ahead + (at + (size_t)i * 16) * ahead_bytes,
                             _MM_HINT_T0);
        }
        V16_UNROLL
        for (int r = 0; r < nq; r++) {
            v16 e = v16_set1(a->e[r * ATT_SCORE_STRIDE + j]);
            V16_UNROLL
            for (int i = 0; i < nd; i++)
                acc[r][i] = v16_fma(e, value[i], acc[r][i]);
        }
    }
}

V16_INLINE void att_pv_tile(const int nq, const int nd, const enum att_format format,
                            const struct att_pv *a)
{
    float *const leaf_out = a->leaf_out + a->dim, *const group_out = a->group_out + a->dim;
    v16 acc[ATT_TILE][4];
    V16_UNROLL
    for (int r = 0; r < nq; r++) {
        V16_UNROLL
        for (int i = 0; i < nd; i++)
            acc[r][i] = v16_zero();
    }
    if (a->resume) {
        V16_UNROLL
        for (int r = 0; r < nq; r++) {
            V16_UNROLL
            for (int i = 0; i < nd; i++)
                acc[r][i] = v16_load(leaf_out + (size_t)r * a->dim_padded + i * 16);
        }
    }
    for (int j = a->begin; j < a->end;) {
        const int border = (j / TN_PAGE_POSITIONS + 1) * TN_PAGE_POSITIONS;
        const int stop = a->end < border ? a->end : border;
        att_pv_page(nq, nd, format, a, j, stop, acc);
        j = stop;
    }
    if (a->finish) {
        V16_UNROLL
        for (int r = 0; r < nq; r++)
            att_pv_finish(nd, acc[r], group_out + (size_t)r * a->dim_padded, &a->merge[r]);
        return;
    }
    V16_UNROLL
    for (int r = 0; r < nq; r++) {
        V16_UNROLL
        for (int i = 0; i < nd; i++)
            v16_store(leaf_out + (size_t)r * a->dim_padded + i * 16, acc[r][i]);
    }
}

#define ATT_PV_DEFINE_AS(nq, nd, suffix, format)                                                   \
    static void att_pv_##nq##_##nd##_##suffix(const struct att_pv *a)                              \
    {                                                                                              \
        att_pv_tile(nq, nd, format, a);                                                            \
    }
#define ATT_PV_DEFINE(nq, nd)                                                                      \
    ATT_PV_DEFINE_AS(nq, nd, f32, ATT_F32)                                                         \
    ATT_PV_DEFINE_AS(nq, nd, f16, ATT_F16)                                                         \
    ATT_PV_DEFINE_AS(nq, nd, bf16, ATT_BF16)                                                       \
    ATT_PV_DEFINE_AS(nq, nd, q8, ATT_Q8)
ATT_PV_LIST(ATT_PV_DEFINE)

#define ATT_PV_F32(nq, nd)  [nq][nd] = att_pv_##nq##_##nd##_f32,
#define ATT_PV_F16(nq, nd)  [nq][nd] = att_pv_##nq##_##nd##_f16,
#define ATT_PV_BF16(nq, nd) [nq][nd] = att_pv_##nq##_##nd##_bf16,
#define ATT_PV_Q8(nq, nd)   [nq][nd] = att_pv_##nq##_##nd##_q8,
/* [format][query heads][vectors]; NULL where the class has no such tile */
static void (*const att_pv_run[ATT_FORMATS][ATT_TILE + 1][5])(const struct att_pv *) = {
    [ATT_F32] = {ATT_PV_LIST(ATT_PV_F32)},
    [ATT_F16] = {ATT_PV_LIST(ATT_PV_F16)},
    [ATT_BF16] = {ATT_PV_LIST(ATT_PV_BF16)},
    [ATT_Q8] = {ATT_PV_LIST(ATT_PV_Q8)}};

#endif
