/*
 * attention and attention_quantize over KV pages, written once for all x86 classes.
 * NUMERICS.md "attention" states the operations; this file says how they are arranged.
 *
 * Unit = (block of adjacent query rows of one sequence, KV head). All query heads of the KV head
 * are taken together, so K and V are read once for them. The unit's query heads are its slots
 * (slot = row * ratio + head), cut into tiles of up to 6. Per leaf: scores of all tiles (lane =
 * position: one chain over d per score and no horizontal sums), softmax, then e * V (lane =
 * feature, one chain over positions), merged into the slots' sums from registers.
 *
 * Units with few slots (decode) read half-precision pages directly, two pages ahead prefetched
 * through the page table. Others (prefill) widen a block of some pages to f32 in L1, once for all
 * tiles. Both execute the same chains, so that choice changes no bit. Only pages that hold
 * positions of a row's window are touched.
 *
 * Included by attention__<class>.c only. Thread safety: a pure function of the call; scratch
 * belongs to the thread.
 */
#ifndef HASTEN_KERNELS_X86_ATTENTION_TMPL_H
#define HASTEN_KERNELS_X86_ATTENTION_TMPL_H

#include <string.h>

#include "kernels/kernel.h"
#include "kernels/x86/attention_tiles_tmpl.h"

enum {
    ATT_UNIT_SLOTS = 48,    /* query heads that a prefill unit aims at */
    ATT_DIRECT_SLOTS = 12,  /* up to here half-precision pages are read without widening */
    ATT_WIDE_BYTES = 16384, /* of widened K or V at a time (at least a page): a share of L1 */
    ATT_HEAD_DIM_MAX = 4096,
    ATT_RATIO_MAX = 1024
};

/* What all units of a call share. */
struct att_call {
    const struct kn_call *call;
    const struct kn_batch *batch;
    const struct op_attention_attrs *attrs;
    const struct kn_state *state;
    int ratio;                 /* query heads per KV head */
    int block_rows;            /* query rows of a unit */
    size_t dim_padded;         /* of the pages */
    size_t head_bytes;         /* K, or V, of one KV head in one page */
    size_t k_offset, v_offset; /* of the layer's streams in a page */
    bool f16;
};

/* What stands for a slot after some leaves (or one), beside its output vector. */
struct att_sum {
    float max, denominator;
    bool filled;
};

/* Some slots in the current leaf. */
struct att_tile {
    int slot, count;                /* slots slot..slot+count-1 */
    struct att_range own[ATT_TILE]; /* positions that each attends; may be empty */
    struct att_range all;           /* their union */
    struct att_merge merge[ATT_TILE];
};

struct att_scratch {
    float *queries;                /* [tile][head_dim][slots of the tile] */
    float *scores;                 /* [slot][ATT_SCORE_STRIDE] */
    float *wide;                   /* some pages of K or V in f32: [page][32 * dim_padded] */
    float *leaf_out;               /* [slot][dim_padded]: o of the current leaf so far, */
    float *group_out, *total_out;  /* of the current group's leaves, of all groups */
    struct att_sum *group, *total; /* [slot] */
    struct att_tile *tiles;
};

struct att_unit {
    const struct att_call *c;
    struct att_scratch scratch;
    int32_t kv_head;
    int32_t row, rows;    /* rows of the batch */
    int32_t position;     /* KV index of the first row; the others follow */
    const int32_t *table; /* the sequence's pages */
    int slots, tiles;
    int block_pages; /* pages that are handled at a time: the leaf, or what is widened */
    bool direct;     /* no widening */
};

/* The pages first..last of one leaf that the unit needs. */
struct att_leaf {
    int32_t base; /* first position of the leaf */
    int first, last;
    const uint8_t *k[ATT_LEAF_PAGES], *v[ATT_LEAF_PAGES];
    /* Block to prefetch while page i is read: two pages on in the order K pages, V pages, K pages
     * of the next leaf. */
    const uint8_t *k_ahead[ATT_LEAF_PAGES], *v_ahead[ATT_LEAF_PAGES];
};

/* Pages first..last of a leaf's K or V as the tiles read them. */
struct att_block {
    int first, last;
    bool f16;
    /* By page of the leaf: where it is, what to prefetch meanwhile (in the type of the pages). */
    const uint8_t *page[ATT_LEAF_PAGES], *ahead[ATT_LEAF_PAGES];
};

static int att_min(int a, int b)
{
    return a < b ? a : b;
}

static int att_max(int a, int b)
{
    return a > b ? a : b;
}

static int att_block_rows(const struct op_attention_attrs *attrs)
{
    return att_max(1, ATT_UNIT_SLOTS / (attrs->heads / attrs->kv_heads));
}

/* ---- the contract's functions ---- */

static bool att_accepts(const void *attributes)
{
    const struct op_attention_attrs *a = attributes;
    return a->kv_heads > 0 && a->heads > 0 && a->heads % a->kv_heads == 0 &&
           a->heads / a->kv_heads <= ATT_RATIO_MAX && a->head_dim > 0 &&
           a->head_dim <= ATT_HEAD_DIM_MAX && a->window >= 0 && a->causal == 1 &&
           (a->kv_dtype == TN_F32 || a->kv_dtype == TN_F16);
}

static bool att_quantize_accepts(const void *attributes)
{
    const struct op_attention_attrs *a = attributes;
    return att_accepts(a) && a->head_dim % TN_QUANT_BLOCK == 0;
}

static int att_wide_pages(size_t dim_padded)
{
    int pages = (int)(ATT_WIDE_BYTES / (TN_PAGE_POSITIONS * dim_padded * sizeof(float)));
    return att_min(att_max(pages, 1), ATT_LEAF_PAGES);
}

/* Takes count * size bytes, rounded up to a cache line, off the scratch block (which may be NULL
 * to count only). */
static void *att_take(uint8_t *block, size_t *used, size_t count, size_t size)
{
    void *part = block ? block + *used : NULL;
    *used += (count * size + 63) / 64 * 64;
    return part;
}

/* Cuts the scratch block into its arrays; returns its size in bytes. */
static size_t att_cut_scratch(const struct op_attention_attrs *a, void *block,
                              struct att_scratch *out)
{
    const size_t slots = (size_t)att_block_rows(a) * (size_t)(a->heads / a->kv_heads);
    const size_t dim = ((size_t)a->head_dim + 15) / 16 * 16;
    const size_t wide = (size_t)att_wide_pages(dim) * TN_PAGE_POSITIONS * dim;
    const size_t sums = slots * dim;
    size_t used = 0;
    out->scores = att_take(block, &used, slots * ATT_SCORE_STRIDE, sizeof(float));
    out->queries = att_take(block, &used, sums, sizeof(float));
    out->wide = att_take(block, &used, a->kv_dtype == TN_F16 ? wide : 0, sizeof(float));
    out->leaf_out = att_take(block, &used, sums, sizeof(float));
    out->group_out = att_take(block, &used, sums, sizeof(float));
    out->total_out = att_take(block, &used, sums, sizeof(float));
    out->group = att_take(block, &used, slots, sizeof *out->group);
    out->total = att_take(block, &used, slots, sizeof *out->total);
    out->tiles = att_take(block, &used, (slots + ATT_TILE - 1) / ATT_TILE, sizeof *out->tiles);
    return used;
}

static size_t att_scratch_bytes(const void *attributes)
{
    struct att_scratch unused;
    return att_cut_scratch(attributes, NULL, &unused);
}

static int64_t att_units(const struct kn_call *call)
{
    const struct kn_batch *batch = call->batch;
    const struct op_attention_attrs *attrs = call->attrs;
    const int rows = att_block_rows(attrs);
    int64_t blocks = 0;
    for (int32_t s = 0; s < batch->sequences; s++)
        blocks += (batch->row_start[s + 1] - batch->row_start[s] + rows - 1) / rows;
    return blocks * attrs->kv_heads;
}

/* ---- one leaf ---- */

static const uint8_t *att_block(const struct att_unit *u, int32_t page, size_t offset)
{
    const struct att_call *c = u->c;
    return c->state->pool + (size_t)u->table[page] * c->state->page_bytes + offset +
           (size_t)u->kv_head * c->head_bytes;
}

/* Finds the pages of leaf `index` that hold positions low..high. */
static void att_open_leaf(const struct att_unit *u, int32_t index, int32_t low, int32_t high,
                          struct att_leaf *leaf)
{
    const struct att_call *c = u->c;
    const int32_t page0 = index * ATT_LEAF_PAGES;
    leaf->base = index * ATT_LEAF;
    leaf->first = att_max(low / TN_PAGE_POSITIONS - page0, 0);
    leaf->last = att_min(high / TN_PAGE_POSITIONS - page0, ATT_LEAF_PAGES - 1);
    const int count = leaf->last - leaf->first + 1;
    const uint8_t *stream[2 * ATT_LEAF_PAGES + 2];
    for (int i = 0; i < count; i++) {
        stream[i] = att_block(u, page0 + leaf->first + i, c->k_offset);
        stream[count + i] = att_block(u, page0 + leaf->first + i, c->v_offset);
    }
    for (int i = 0; i < 2; i++) {
        int32_t page = page0 + ATT_LEAF_PAGES + i;
        bool exists = page <= high / TN_PAGE_POSITIONS;
        stream[2 * count + i] = exists ? att_block(u, page, c->k_offset) : stream[2 * count - 1];
    }
    for (int i = leaf->first; i <= leaf->last; i++) {
        leaf->k[i] = stream[i - leaf->first];
        leaf->v[i] = stream[count + i - leaf->first];
        leaf->k_ahead[i] = stream[i - leaf->first + 2];
        leaf->v_ahead[i] = stream[count + i - leaf->first + 2];
    }
}

/* Widens one page's block of 32 * dim_padded halves. */
static void att_widen(const uint8_t *source, size_t count, float *target)
{
    const uint16_t *half = (const void *)source;
    for (size_t i = 0; i < count; i += 32) {
        v16_store(target + i, v16_load_f16(half + i));
        v16_store(target + i + 16, v16_load_f16(half + i + 16));
    }
}

/* Makes the pages from `first` on, of K or V, readable for the tiles. */
static void att_open_block(const struct att_unit *u, const struct att_leaf *leaf, bool of_v,
                           int first, struct att_block *block)
{
    const uint8_t *const *page = of_v ? leaf->v : leaf->k;
    const uint8_t *const *ahead = of_v ? leaf->v_ahead : leaf->k_ahead;
    const size_t elements = TN_PAGE_POSITIONS * u->c->dim_padded;
    block->first = first;
    block->last = att_min(first + u->block_pages - 1, leaf->last);
    block->f16 = u->direct && u->c->f16;
    for (int i = first; i <= block->last; i++) {
        block->page[i] = page[i];
        block->ahead[i] = ahead[i];
        if (!u->direct) {
            float *wide = u->scratch.wide + (size_t)(i - first) * elements;
            att_widen(page[i], elements, wide);
            block->page[i] = (const uint8_t *)wide;
        }
    }
}

/* The part of a tile's positions that lies in the pages of a block. */
static struct att_range att_in_block(const struct att_tile *tile, const struct att_block *block)
{
    return (struct att_range){att_max(tile->all.begin, block->first * TN_PAGE_POSITIONS),
                              att_min(tile->all.end, (block->last + 1) * TN_PAGE_POSITIONS)};
}

/* Scores of one tile for the positions of a block (whole panels). */
static void att_scores(const struct att_unit *u, const struct att_tile *tile,
                       const struct att_block *block)
{
    const struct att_call *c = u->c;
    const int np = att_qk_panels[tile->count];
    const struct att_range range = att_in_block(tile, block);
    const size_t panel_bytes = ATT_PANEL * c->dim_padded * (block->f16 ? 2 : 4);
    float *scores = u->scratch.scores + (size_t)tile->slot * ATT_SCORE_STRIDE;
    struct att_qk qk = {.queries =
                            u->scratch.queries + (size_t)tile->slot * (size_t)c->attrs->head_dim,
                        .head_dim = c->attrs->head_dim,
                        .scale = c->attrs->scale,
                        .ahead_step = c->f16 ? 64 : 128};
    const int stop = (range.end + ATT_PANEL - 1) / ATT_PANEL;
    if (range.begin >= range.end)
        return;
    for (int first = range.begin / ATT_PANEL / np * np; first < stop; first += np) {
        for (int p = 0; p < np; p++) {
            /* tiles may stick out of the needed pages: repeat the nearest, nobody looks at it */
            int page = att_min(att_max((first + p) / 2, block->first), block->last);
            qk.panel[p] = block->page[page] + (size_t)((first + p) % 2) * panel_bytes;
            /* the first tile prefetches for all */
            qk.ahead[p / 2] = tile->slot == 0 ? block->ahead[page] : block->page[page];
        }
        qk.scores = scores + first * ATT_PANEL;
        att_qk_run[block->f16][tile->count](&qk);
    }
}

/* Adds (max, denominator) of `count` later sums to what stands and finds the factors for o. */
static void att_merge_sums(struct att_sum *stands, const struct att_sum *comes, int count,
                           struct att_merge *merge)
{
    float shift[16] = {0}, factor[16];
    for (int r = 0; r < count; r++) {
        merge[r].mode = !comes[r].filled ? ATT_SKIP : stands[r].filled ? ATT_MERGE : ATT_COPY;
        if (merge[r].mode == ATT_MERGE) {
            float max = stands[r].max > comes[r].max ? stands[r].max : comes[r].max;
            shift[r] = stands[r].max - max;
            shift[8 + r] = comes[r].max - max;
            stands[r].max = max;
        } else if (merge[r].mode == ATT_COPY) {
            stands[r] = comes[r];
        }
    }
    v16_store(factor, v16_exp(v16_load(shift)));
    for (int r = 0; r < count; r++) {
        merge[r].keep = factor[r];
        merge[r].add = factor[8 + r];
        if (merge[r].mode == ATT_MERGE)
            stands[r].denominator = __builtin_fmaf(stands[r].denominator, factor[r],
                                                   comes[r].denominator * factor[8 + r]);
    }
}

/* Softmax of one tile: scores become e, the sums enter the group's. */
static void att_softmax(const struct att_unit *u, struct att_tile *tile)
{
    float *scores = u->scratch.scores + (size_t)tile->slot * ATT_SCORE_STRIDE;
    struct att_sum sum[ATT_TILE];
    for (int r = 0; r < tile->count; r++) {
        sum[r].filled = tile->own[r].begin < tile->own[r].end;
        if (sum[r].filled)
            sum[r].max =
                att_softmax_max(scores + r * ATT_SCORE_STRIDE, tile->own[r], u->c->attrs->softcap);
    }
    for (int r = 0; r < tile->count; r++) {
        float *row = scores + r * ATT_SCORE_STRIDE;
        if (sum[r].filled)
            sum[r].denominator = att_softmax_exp(row, tile->own[r], tile->all, sum[r].max);
        else
            memset(row, 0, ATT_LEAF * sizeof(float));
    }
    att_merge_sums(u->scratch.group + tile->slot, sum, tile->count, tile->merge);
}

/* e times V of one tile for the positions of a block. */
static void att_outputs(const struct att_unit *u, const struct att_tile *tile,
                        const struct att_block *block)
{
    static const int8_t widths[] = {4, 2, 1};
    const size_t first = (size_t)tile->slot * u->c->dim_padded;
    const struct att_range range = att_in_block(tile, block);
    struct att_pv pv = {.v = block->page,
                        .ahead = tile->slot == 0 ? block->ahead : block->page,
                        .ahead_bytes = u->c->f16 ? 2 : 4,
                        .e = u->scratch.scores + (size_t)tile->slot * ATT_SCORE_STRIDE,
                        .begin = range.begin,
                        .end = range.end,
                        .dim_padded = u->c->dim_padded,
                        .leaf_out = u->scratch.leaf_out + first,
                        .group_out = u->scratch.group_out + first,
                        .resume = range.begin > tile->all.begin,
                        .finish = range.end == tile->all.end,
                        .merge = tile->merge};
    if (range.begin >= range.end)
        return;
    for (size_t i = 0; i < sizeof widths; i++) {
        void (*run)(const struct att_pv *) = att_pv_run[block->f16][tile->count][widths[i]];
        const size_t width = (size_t)widths[i] * 16;
        for (; run && pv.dim + width <= pv.dim_padded; pv.dim += width)
            run(&pv);
    }
}

/* Finds the positions of leaf `base` that the tile's slots attend. */
static void att_open_tile(const struct att_unit *u, int32_t base, struct att_tile *tile)
{
    const int32_t window = u->c->attrs->window;
    tile->all = (struct att_range){ATT_LEAF, 0};
    for (int r = 0; r < tile->count; r++) {
        const int32_t high = u->position + (tile->slot + r) / u->c->ratio;
        const int32_t low = window ? att_max(0, high - window + 1) : 0;
        struct att_range *own = &tile->own[r];
        own->begin = att_max(low - base, 0);
        own->end = att_min(high + 1 - base, ATT_LEAF);
        if (own->begin < own->end) {
            tile->all.begin = att_min(tile->all.begin, own->begin);
            tile->all.end = att_max(tile->all.end, own->end);
        }
    }
}

static void att_run_leaf(const struct att_unit *u, const struct att_leaf *leaf)
{
    struct att_tile *tiles = u->scratch.tiles;
    struct att_block block;
    for (int t = 0; t < u->tiles; t++)
        att_open_tile(u, leaf->base, &tiles[t]);
    for (int i = leaf->first; i <= leaf->last; i += u->block_pages) {
        att_open_block(u, leaf, false, i, &block);
        for (int t = 0; t < u->tiles; t++)
            att_scores(u, &tiles[t], &block);
    }
    for (int t = 0; t < u->tiles; t++) {
        if (tiles[t].all.begin < tiles[t].all.end)
            att_softmax(u, &tiles[t]);
    }
    for (int i = leaf->first; i <= leaf->last; i += u->block_pages) {
        att_open_block(u, leaf, true, i, &block);
        for (int t = 0; t < u->tiles; t++)
            att_outputs(u, &tiles[t], &block);
    }
}

/* ---- one unit ---- */

/* Cuts the slots into tiles of nearly equal size. */
static void att_cut_tiles(struct att_unit *u)
{
    u->slots = u->rows * u->c->ratio;
    u->tiles = (u->slots + ATT_TILE - 1) / ATT_TILE;
    for (int t = 0; t < u->tiles; t++) {
        int slot = (int)((int64_t)u->slots * t / u->tiles);
        u->scratch.tiles[t].slot = slot;
        u->scratch.tiles[t].count = (int)((int64_t)u->slots * (t + 1) / u->tiles) - slot;
    }
    for (int s = 0; s < u->slots; s++)
        u->scratch.group[s].filled = u->scratch.total[s].filled = false;
    u->direct = !u->c->f16 || u->slots <= ATT_DIRECT_SLOTS;
    u->block_pages = u->direct ? ATT_LEAF_PAGES : att_wide_pages(u->c->dim_padded);
}

/* Queries, transposed tile by tile so that a tile reads one stream. */
static void att_load_queries(const struct att_unit *u)
{
    const struct att_call *c = u->c;
    const size_t head_dim = (size_t)c->attrs->head_dim;
    const size_t row_floats = (size_t)c->attrs->heads * head_dim;
    const float *q = c->call->operand[0];
    q += (size_t)u->row * row_floats + (size_t)u->kv_head * (size_t)c->ratio * head_dim;
    for (int t = 0; t < u->tiles; t++) {
        const size_t slot = (size_t)u->scratch.tiles[t].slot;
        const size_t count = (size_t)u->scratch.tiles[t].count, ratio = (size_t)c->ratio;
        float *target = u->scratch.queries + slot * head_dim;
        for (size_t r = 0; r < count; r++) {
            const size_t s = slot + r;
            const float *source = q + s / ratio * row_floats + s % ratio * head_dim;
            float *column = target + r;
            size_t d = 0;
            for (; d + 4 <= head_dim; d += 4, column += 4 * count) {
                column[0] = source[d];
                column[count] = source[d + 1];
                column[2 * count] = source[d + 2];
                column[3 * count] = source[d + 3];
            }
            for (; d < head_dim; d++, column += count)
                *column = source[d];
        }
    }
}

/* Adds the finished group to the totals of all slots and empties it. */
static void att_close_group(const struct att_unit *u)
{
    const size_t dim = u->c->dim_padded;
    for (int s = 0; s < u->slots; s++) {
        struct att_sum *group = u->scratch.group + s, *total = u->scratch.total + s;
        const float *in = u->scratch.group_out + (size_t)s * dim;
        float *out = u->scratch.total_out + (size_t)s * dim;
        struct att_merge merge;
        if (!group->filled)
            continue;
        att_merge_sums(total, group, 1, &merge);
        for (size_t d = 0; d < dim; d += 16) {
            v16 sum = v16_load(in + d);
            att_pv_finish(1, &sum, out + d, &merge);
        }
        group->filled = false;
    }
}

/* out * (1 / l) of one slot, in place. */
static float *att_result(const struct att_unit *u, int slot)
{
    float *out = u->scratch.total_out + (size_t)slot * u->c->dim_padded;
    const v16 inverse = v16_set1(1.0f / u->scratch.total[slot].denominator);
    for (size_t d = 0; d < u->c->dim_padded; d += 16)
        v16_store(out + d, v16_mul(v16_load(out + d), inverse));
    return out;
}

static void att_store(const struct att_unit *u)
{
    const struct att_call *c = u->c;
    const size_t head_dim = (size_t)c->attrs->head_dim;
    float *out = c->call->operand[c->call->inputs];
    for (int s = 0; s < u->slots; s++) {
        const size_t row = (size_t)(u->row + s / c->ratio);
        const size_t head = (size_t)(u->kv_head * c->ratio + s % c->ratio);
        float *target = out + (row * (size_t)c->attrs->heads + head) * head_dim;
        const float *result = att_result(u, s);
        size_t d = 0;
        for (; d + 16 <= head_dim; d += 16)
            v16_store(target + d, v16_load(result + d));
        if (d < head_dim)
            v16_store_part(target + d, v16_load(result + d), (int)(head_dim - d));
    }
}

static void att_store_a8(const struct att_unit *u)
{
    const struct att_call *c = u->c;
    const size_t head_dim = (size_t)c->attrs->head_dim, rows = (size_t)c->call->rows;
    const size_t cols = (size_t)c->attrs->heads * head_dim;
    const struct tn_a8 a8 =
        tn_a8_view(c->call->operand[c->call->inputs], c->call->rows, (int64_t)cols);
    for (int s = 0; s < u->slots; s++) {
        const size_t row = (size_t)(u->row + s / c->ratio);
        const size_t first = (size_t)(u->kv_head * c->ratio + s % c->ratio) * head_dim;
        const float *result = att_result(u, s);
        for (size_t d = 0; d < head_dim; d += TN_QUANT_BLOCK) {
            const size_t entry = (first + d) / TN_QUANT_BLOCK * rows + row;
            v16_quantize32(v16_load(result + d), v16_load(result + d + 16),
                           a8.codes + row * cols + first + d, a8.scales + entry, a8.sums + entry);
        }
    }
}

static void att_run_unit(struct att_unit *u)
{
    const struct att_call *c = u->c;
    const int32_t window = c->attrs->window, high = u->position + u->rows - 1;
    const int32_t low = window ? att_max(0, u->position - window + 1) : 0;
    att_cut_tiles(u);
    att_load_queries(u);
    for (int32_t index = low / ATT_LEAF; index <= high / ATT_LEAF; index++) {
        struct att_leaf leaf;
        att_open_leaf(u, index, low, high, &leaf);
        att_run_leaf(u, &leaf);
        if (index % TN_LEAVES_PER_GROUP == TN_LEAVES_PER_GROUP - 1)
            att_close_group(u);
    }
    att_close_group(u);
}

/* ---- walking the units of a range ---- */

static void att_open_call(const struct kn_call *call, struct att_call *c)
{
    c->call = call;
    c->batch = call->batch;
    c->attrs = call->attrs;
    c->state = call->operand[1];
    c->ratio = c->attrs->heads / c->attrs->kv_heads;
    c->block_rows = att_block_rows(c->attrs);
    c->f16 = c->attrs->kv_dtype == TN_F16;
    c->dim_padded = (size_t)c->state->layout.head_dim_padded;
    c->head_bytes = TN_PAGE_POSITIONS * c->dim_padded * (c->f16 ? 2 : 4);
    c->k_offset = (size_t)c->attrs->kv_layer * c->state->layout.layer_bytes;
    c->v_offset = c->k_offset + c->state->layout.k_bytes;
}

/* Runs units [first, last); unit = block * kv_heads + kv_head, blocks in row order. */
V16_INLINE void att_run(const struct kn_call *call, int64_t first, int64_t last, void *scratch,
                        const bool quantize)
{
    struct att_call c;
    att_open_call(call, &c);
    struct att_unit u = {.c = &c};
    att_cut_scratch(c.attrs, scratch, &u.scratch);
    const struct kn_batch *b = c.batch;
    const int64_t heads = c.attrs->kv_heads;
    int64_t blocks_before = 0;
    for (int32_t s = 0; s < b->sequences && first < last; s++) {
        const int32_t rows = b->row_start[s + 1] - b->row_start[s];
        const int64_t blocks = (rows + c.block_rows - 1) / c.block_rows;
        const int32_t group = c.state->group;
        u.table = b->group[group].table + (size_t)s * (size_t)b->table_stride;
        for (; first < last && first / heads < blocks_before + blocks; first++) {
            const int32_t skipped = (int32_t)(first / heads - blocks_before) * c.block_rows;
            u.kv_head = (int32_t)(first % heads);
            u.row = b->row_start[s] + skipped;
            u.rows = att_min(c.block_rows, rows - skipped);
            u.position = b->kv_len[s] - rows + skipped;
            att_run_unit(&u);
            if (quantize)
                att_store_a8(&u);
            else
                att_store(&u);
        }
        blocks_before += blocks;
    }
}

static enum hasten_status att_run_f32(const struct kn_call *call, int64_t first, int64_t last,
                                      void *scratch)
{
    att_run(call, first, last, scratch, false);
    return HASTEN_OK;
}

static enum hasten_status att_run_a8(const struct kn_call *call, int64_t first, int64_t last,
                                     void *scratch)
{
    att_run(call, first, last, scratch, true);
    return HASTEN_OK;
}

const struct kn_kernel KN_ISA(kn_attention) = {
    .name = "attention" KN_ISA_SUFFIX,
    .op = OP_ATTENTION,
    .cpu_class = KN_ISA_CLASS,
    .accepts = att_accepts,
    .units = att_units,
    .run = att_run_f32,
    .scratch_bytes = att_scratch_bytes,
};

const struct kn_kernel KN_ISA(kn_attention_quantize) = {
    .name = "attention_quantize" KN_ISA_SUFFIX,
    .op = OP_ATTENTION_QUANTIZE,
    .cpu_class = KN_ISA_CLASS,
    .accepts = att_quantize_accepts,
    .units = att_units,
    .run = att_run_a8,
    .scratch_bytes = att_scratch_bytes,
};

#endif
