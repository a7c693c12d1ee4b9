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
 * Units with few slots (decode) read the pages directly, whatever their type, two pages ahead
 * prefetched through the page table. Others (prefill) widen a block of some pages to f32 in L1,
 * once for all tiles. Both execute the same chains, so that choice changes no bit. Only pages that
 * hold positions of a row's window are touched.
 *
 * Long sequences are cut further where blocks and KV heads alone are few: a unit is then one slice
 * of the sequence's positions, a leaf each (whole groups of leaves far from the end), whose partial
 * result goes to the workspace. Whoever finishes the last slice of a block and KV head (a counter
 * says so) joins them in the one order that NUMERICS.md knows, so slices change no bit either.
 *
 * Included by attention__<class>.c only. Thread safety: a pure function of the call; scratch
 * belongs to the thread.
 */
#ifndef HASTEN_KERNELS_X86_ATTENTION_TMPL_H
#define HASTEN_KERNELS_X86_ATTENTION_TMPL_H

#include <stdatomic.h>
#include <string.h>

#include "kernels/kernel.h"
#include "kernels/x86/attention_tiles_tmpl.h"

enum {
    ATT_UNIT_SLOTS = 48,    /* query heads that a prefill unit aims at */
    ATT_DIRECT_SLOTS = 12,  /* up to here pages are read without widening */
    ATT_WIDE_BYTES = 16384, /* of widened K or V at a time (at least a page): a share of L1 */
    ATT_HEAD_DIM_MAX = 4096,
    ATT_RATIO_MAX = 1024,
    ATT_SPLIT_LEAVES = 2, /* sequences of fewer leaves are not cut into slices, */
    ATT_SPLIT_PAIRS = 64, /* nor are calls of more (block, KV head), */
    ATT_SPLIT_ROWS = 16,  /* nor calls of many more rows: the workspace is for so many */
    ATT_SPLIT_GROUPS = 4  /* last groups of a sequence whose leaves are slices of their own */
};

/* How a call uses its workspace. */
struct att_split {
    bool on;
    int32_t pairs;        /* (block, KV head) of the call */
    int64_t units;        /* slices of all of them */
    size_t partial_bytes; /* of one slice */
    uint8_t *partials;    /* [unit] */
    atomic_int *finished; /* [pair]: slices done */
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
    size_t panel_bytes;        /* a K panel of 16 positions */
    size_t k_offset, v_offset; /* of the layer's streams in a page */
    enum att_format format;    /* of the pages */
    struct att_split split;
};

/* The rows of one sequence, and its slices: whole groups of leaves, then single leaves. */
struct att_sequence {
    int32_t row, rows, blocks;
    int32_t position;                  /* KV index of the first row */
    int32_t first_leaf, single_leaves; /* first of all, first that is a slice of its own */
    int slices, group_slices;
    const int32_t *table; /* its pages */
};

/* What stands for a slot after some leaves (or one), beside its output vector. */
struct att_sum {
    float max, denominator;
    bool filled;
};

/* What stands for all slots. */
struct att_sums {
    struct att_sum *sum; /* [slot] */
    float *out;          /* [slot][dim_padded] */
};

/* Some slots in the current leaf. */
struct att_tile {
    int slot, count;                /* slots slot..slot+count-1 */
    struct att_range own[ATT_TILE]; /* positions that each attends; may be empty */
    struct att_range all, common;   /* their union; what all attend (empty: begin == end) */
    struct att_merge merge[ATT_TILE];
};

struct att_scratch {
    float *queries;               /* [tile][head_dim][slots of the tile] */
    float *scores;                /* [slot][ATT_SCORE_STRIDE] */
    float *wide;                  /* some pages of K or V in f32: [page][32 * dim_padded] */
    float *leaf_out;              /* [slot][dim_padded]: o of the current leaf so far */
    struct att_sums group, total; /* the current group's leaves, all groups before it */
    struct att_tile *tiles;
};

struct att_unit {
    const struct att_call *c;
    struct att_scratch scratch;
    int32_t kv_head;
    int32_t row, rows;    /* rows of the batch */
    int32_t position;     /* KV index of the first row; the others follow */
    int32_t low, high;    /* positions that some row attends */
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
    enum att_format format;
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
           tn_kv_dtype_valid(a->kv_dtype);
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
    const size_t dim = (size_t)tn_kv_head_dim_padded((enum tn_dtype)a->kv_dtype, a->head_dim);
    const size_t wide = (size_t)att_wide_pages(dim) * TN_PAGE_POSITIONS * dim;
    const size_t sums = slots * dim;
    size_t used = 0;
    out->scores = att_take(block, &used, slots * ATT_SCORE_STRIDE, sizeof(float));
    out->queries = att_take(block, &used, sums, sizeof(float));
    out->wide = att_take(block, &used, a->kv_dtype != TN_F32 ? wide : 0, sizeof(float));
    out->leaf_out = att_take(block, &used, sums, sizeof(float));
    out->group.out = att_take(block, &used, sums, sizeof(float));
    out->total.out = att_take(block, &used, sums, sizeof(float));
    out->group.sum = att_take(block, &used, slots, sizeof(struct att_sum));
    out->total.sum = att_take(block, &used, slots, sizeof(struct att_sum));
    out->tiles = att_take(block, &used, (slots + ATT_TILE - 1) / ATT_TILE, sizeof *out->tiles);
    return used;
}

static size_t att_scratch_bytes(const void *attributes)
{
    struct att_scratch unused;
    return att_cut_scratch(attributes, NULL, &unused);
}

/* ---- slices ---- */

/* Bytes of a partial result of that many slots. */
static size_t att_partial_bytes(size_t slots, size_t dim_padded)
{
    size_t used = 0;
    (void)att_take(NULL, &used, slots * dim_padded, sizeof(float));
    (void)att_take(NULL, &used, slots, sizeof(struct att_sum));
    return used;
}

static size_t att_finished_bytes(size_t pairs)
{
    return (pairs * sizeof(atomic_int) + 63) / 64 * 64;
}

/* Most slices of a sequence of that many leaves. */
static int64_t att_slices_max(int64_t leaves)
{
    const int64_t single = ATT_SPLIT_GROUPS * TN_LEAVES_PER_GROUP;
    return leaves <= single ? leaves : single + leaves / TN_LEAVES_PER_GROUP + 1;
}

static size_t att_workspace_bytes(const void *attributes, const struct kn_bounds *bounds)
{
    const struct op_attention_attrs *a = attributes;
    const int64_t rows = bounds->rows < ATT_SPLIT_ROWS ? bounds->rows : ATT_SPLIT_ROWS;
    int64_t span = bounds->positions;
    if (a->window && a->window + rows < span)
        span = a->window + rows;
    const size_t slices = (size_t)att_slices_max(span / ATT_LEAF + 2);
    const size_t pairs = (size_t)rows * (size_t)a->kv_heads;
    const size_t dim = (size_t)tn_kv_head_dim_padded((enum tn_dtype)a->kv_dtype, a->head_dim);
    return att_finished_bytes(pairs) +
           pairs * slices * att_partial_bytes((size_t)(a->heads / a->kv_heads), dim);
}

static struct att_sequence att_open_sequence(const struct att_call *c, int32_t s)
{
    const struct kn_batch *b = c->batch;
    const int32_t rows = b->row_start[s + 1] - b->row_start[s], window = c->attrs->window;
    struct att_sequence q = {.row = b->row_start[s],
                             .rows = rows,
                             .blocks = (rows + c->block_rows - 1) / c->block_rows,
                             .position = b->kv_len[s] - rows,
                             .slices = 1};
    q.table = b->group[c->state->group].table + (size_t)s * (size_t)b->table_stride;
    const int32_t last = (b->kv_len[s] - 1) / ATT_LEAF;
    q.first_leaf = window ? att_max(0, q.position - window + 1) / ATT_LEAF : 0;
    if (!c->split.on || last - q.first_leaf + 1 < ATT_SPLIT_LEAVES)
        return q;
    const int32_t group = att_max(q.first_leaf / TN_LEAVES_PER_GROUP,
                                  last / TN_LEAVES_PER_GROUP - ATT_SPLIT_GROUPS + 1);
    q.single_leaves = att_max(q.first_leaf, group * TN_LEAVES_PER_GROUP);
    q.group_slices = group - q.first_leaf / TN_LEAVES_PER_GROUP;
    q.slices = q.group_slices + last - q.single_leaves + 1;
    return q;
}

/* Counts the units, with slices where that is worth it and the workspace holds them. */
static void att_open_split(struct att_call *c)
{
    struct att_split *split = &c->split;
    int32_t rows = 1;
    *split = (struct att_split){.on = c->call->workspace != NULL};
    for (int32_t s = 0; s < c->batch->sequences; s++) {
        const struct att_sequence q = att_open_sequence(c, s);
        split->pairs += q.blocks * c->attrs->kv_heads;
        split->units += (int64_t)q.blocks * c->attrs->kv_heads * q.slices;
        rows = att_max(rows, att_min(q.rows, c->block_rows));
    }
    const size_t finished = att_finished_bytes((size_t)split->pairs);
    split->partial_bytes = att_partial_bytes((size_t)(rows * c->ratio), c->dim_padded);
    if (split->units == split->pairs || split->pairs > ATT_SPLIT_PAIRS ||
        finished + (size_t)split->units * split->partial_bytes > c->call->workspace_bytes) {
        split->on = false;
        split->units = split->pairs;
        return;
    }
    split->finished = c->call->workspace;
    split->partials = (uint8_t *)c->call->workspace + finished;
}

static void att_open_call(const struct kn_call *call, struct att_call *c)
{
    c->call = call;
    c->batch = call->batch;
    c->attrs = call->attrs;
    c->state = call->operand[1];
    c->ratio = c->attrs->heads / c->attrs->kv_heads;
    c->block_rows = att_block_rows(c->attrs);
    c->format = c->attrs->kv_dtype == TN_F32    ? ATT_F32
                : c->attrs->kv_dtype == TN_F16  ? ATT_F16
                : c->attrs->kv_dtype == TN_BF16 ? ATT_BF16
                                                : ATT_Q8;
    c->dim_padded = (size_t)c->state->layout.head_dim_padded;
    c->head_bytes = c->state->layout.head_bytes;
    c->panel_bytes = c->head_bytes / (TN_PAGE_POSITIONS / ATT_PANEL);
    c->k_offset = (size_t)c->attrs->kv_layer * c->state->layout.layer_bytes;
    c->v_offset = c->k_offset + c->state->layout.k_bytes;
    att_open_split(c);
}

static int64_t att_units(const struct kn_call *call)
{
    struct att_call c;
    att_open_call(call, &c);
    return c.split.units;
}

static void att_begin(const struct kn_call *call)
{
    struct att_call c;
    att_open_call(call, &c);
    for (int32_t i = 0; c.split.on && i < c.split.pairs; i++)
        atomic_init(&c.split.finished[i], 0);
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

/* Widens one page's block of 32 * dim_padded elements of K or V. */
V16_INLINE void att_widen_floats(const uint8_t *source, size_t count, const enum att_format format,
                                 float *target)
{
    for (size_t i = 0; i < count; i += 32) {
        v16_store(target + i, att_load(source, i, format));
        v16_store(target + i + 16, att_load(source, i + 16, format));
    }
}

static void att_widen_k_q8(const uint8_t *source, size_t dim_padded, float *target)
{
    const uint8_t *block = source, *end = source + 2 * (dim_padded / 32) * ATT_Q8_BLOCK;
    for (; block < end; block += ATT_Q8_BLOCK, target += 32 * ATT_PANEL) {
        const v16 scale = v16_load_f16((const uint16_t *)(const void *)block);
        for (int d = 0; d < 32; d++)
            v16_store(target + d * ATT_PANEL,
                      att_load_q8(block + ATT_Q8_SCALES + d * ATT_PANEL, scale));
    }
}

static void att_widen_v_q8(const uint8_t *source, size_t dim_padded, float *target)
{
    const uint16_t *scales = (const void *)source;
    const uint8_t *codes = source + dim_padded / 32 * TN_PAGE_POSITIONS * sizeof *scales;
    for (size_t d = 0; d < dim_padded; d += 32) {
        float scale[TN_PAGE_POSITIONS];
        for (int j = 0; j < TN_PAGE_POSITIONS; j += 16)
            v16_store(scale + j, v16_load_f16(scales + d + j));
        for (size_t j = 0; j < TN_PAGE_POSITIONS; j++) {
            const size_t at = j * dim_padded + d;
            v16_store(target + at, att_load_q8(codes + at, v16_set1(scale[j])));
            v16_store(target + at + 16, att_load_q8(codes + at + 16, v16_set1(scale[j])));
        }
    }
}

static void att_widen(const struct att_call *c, const uint8_t *source, bool of_v, float *target)
{
    const size_t count = TN_PAGE_POSITIONS * c->dim_padded;
    if (c->format == ATT_F16)
        att_widen_floats(source, count, ATT_F16, target);
    else if (c->format == ATT_BF16)
        att_widen_floats(source, count, ATT_BF16, target);
    else
        (of_v ? att_widen_v_q8 : att_widen_k_q8)(source, c->dim_padded, target);
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
    block->format = u->direct ? u->c->format : ATT_F32;
    for (int i = first; i <= block->last; i++) {
        block->page[i] = page[i];
        block->ahead[i] = ahead[i];
        if (!u->direct) {
            float *wide = u->scratch.wide + (size_t)(i - first) * elements;
            att_widen(u->c, page[i], of_v, wide);
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
    const size_t panel_bytes =
        u->direct ? c->panel_bytes : ATT_PANEL * c->dim_padded * sizeof(float);
    float *scores = u->scratch.scores + (size_t)tile->slot * ATT_SCORE_STRIDE;
    struct att_qk qk = {.queries =
                            u->scratch.queries + (size_t)tile->slot * (size_t)c->attrs->head_dim,
                        .head_dim = c->attrs->head_dim,
                        .scale = c->attrs->scale,
                        .ahead_step = c->head_bytes / c->dim_padded};
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
        att_qk_run[block->format][tile->count](&qk);
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
    att_merge_sums(u->scratch.group.sum + tile->slot, sum, tile->count, tile->merge);
}

/* e times V of slots r..r+count-1 of a tile for positions of a block. Fills in what pv lacks. */
static void att_output_part(const struct att_unit *u, const struct att_tile *tile, int r, int count,
                            struct att_pv *pv)
{
    static const int8_t widths[] = {4, 2, 1};
    const size_t slot = (size_t)(tile->slot + r), first = slot * u->c->dim_padded;
    pv->e = u->scratch.scores + slot * ATT_SCORE_STRIDE;
    pv->leaf_out = u->scratch.leaf_out + first;
    pv->group_out = u->scratch.group.out + first;
    pv->merge = tile->merge + r;
    pv->dim = 0;
    for (size_t i = 0; i < sizeof widths; i++) {
        void (*run)(const struct att_pv *) = att_pv_run[pv->format][count][widths[i]];
        const size_t width = (size_t)widths[i] * 16;
        for (; run && pv->dim + width <= pv->dim_padded; pv->dim += width)
            run(pv);
    }
}

/* What some slots attend and others do not, at one end of the common positions: the slots of a row
 * together. */
static void att_output_end(const struct att_unit *u, const struct att_tile *tile,
                           const struct att_pv *block, struct att_range end)
{
    struct att_pv pv = *block;
    for (int r = 0, same; r < tile->count; r += same) {
        const struct att_range own = tile->own[r];
        same = 1;
        while (r + same < tile->count && tile->own[r + same].end == own.end &&
               tile->own[r + same].begin == own.begin)
            same++;
        pv.begin = att_max(att_max(own.begin, end.begin), block->begin);
        pv.end = att_min(att_min(own.end, end.end), block->end);
        if (pv.begin < pv.end)
            att_output_part(u, tile, r, same, &pv);
    }
}

/* The same for a block in which the slots attend different positions (at the end of the rows'
 * positions, at the start of their windows): what only some attend is done row by row, since
 * 0 * V is not 0 when a later row's V is inf or NaN. */
static void att_outputs_ragged(const struct att_unit *u, const struct att_tile *tile,
                               struct att_pv *pv)
{
    const size_t dim = pv->dim_padded, floats = (size_t)tile->count * dim;
    float *leaf_out = u->scratch.leaf_out + (size_t)tile->slot * dim;
    float *group_out = u->scratch.group.out + (size_t)tile->slot * dim;
    const bool starts = pv->begin < tile->common.begin, finish = pv->finish;
    struct att_pv common = *pv;
    common.begin = att_max(pv->begin, tile->common.begin);
    common.end = att_min(pv->end, tile->common.end);
    const bool only_ends = common.begin >= common.end;
    if (!pv->resume && (starts || only_ends)) {
        memset(leaf_out, 0, floats * sizeof(float));
        common.resume = true;
    }
    pv->resume = true;
    pv->finish = common.finish = false;
    if (starts)
        att_output_end(u, tile, pv, (struct att_range){0, tile->common.begin});
    if (!only_ends)
        att_output_part(u, tile, 0, tile->count, &common);
    att_output_end(u, tile, pv, (struct att_range){tile->common.end, ATT_LEAF});
    for (size_t d = 0; finish && d < floats; d += 16) {
        const v16 sum = v16_load(leaf_out + d);
        att_pv_finish(1, &sum, group_out + d, &tile->merge[d / dim]);
    }
}

/* e times V of one tile for the positions of a block. */
static void att_outputs(const struct att_unit *u, const struct att_tile *tile,
                        const struct att_block *block)
{
    const struct att_range range = att_in_block(tile, block);
    struct att_pv pv = {.format = block->format,
                        .v = block->page,
                        .ahead = tile->slot == 0 ? block->ahead : block->page,
                        .ahead_bytes = u->c->head_bytes / TN_PAGE_POSITIONS / u->c->dim_padded,
                        .begin = range.begin,
                        .end = range.end,
                        .dim_padded = u->c->dim_padded,
                        .resume = range.begin > tile->all.begin,
                        .finish = range.end == tile->all.end};
    if (range.begin >= range.end)
        return;
    if (range.begin >= tile->common.begin && range.end <= tile->common.end)
        att_output_part(u, tile, 0, tile->count, &pv);
    else
        att_outputs_ragged(u, tile, &pv);
}

/* Finds the positions of leaf `base` that the tile's slots attend. */
static void att_open_tile(const struct att_unit *u, int32_t base, struct att_tile *tile)
{
    const int32_t window = u->c->attrs->window;
    tile->all = (struct att_range){ATT_LEAF, 0};
    tile->common = (struct att_range){0, ATT_LEAF};
    for (int r = 0; r < tile->count; r++) {
        const int32_t high = u->position + (tile->slot + r) / u->c->ratio;
        const int32_t low = window ? att_max(0, high - window + 1) : 0;
        struct att_range *own = &tile->own[r];
        own->begin = att_min(att_max(low - base, 0), ATT_LEAF);
        own->end = att_max(att_min(high + 1 - base, ATT_LEAF), 0);
        if (own->begin < own->end) {
            tile->all.begin = att_min(tile->all.begin, own->begin);
            tile->all.end = att_max(tile->all.end, own->end);
        }
        tile->common.begin = att_max(tile->common.begin, own->begin);
        tile->common.end = att_min(tile->common.end, own->end);
    }
    tile->common.end = att_max(tile->common.begin, tile->common.end);
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

static void att_empty(const struct att_unit *u, const struct att_sums *sums)
{
    for (int s = 0; s < u->slots; s++)
        sums->sum[s].filled = false;
}

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
    att_empty(u, &u->scratch.group);
    att_empty(u, &u->scratch.total);
    u->direct = u->c->format == ATT_F32 || u->slots <= ATT_DIRECT_SLOTS;
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

/* Adds later sums of all slots to what stands. */
static void att_add_sums(const struct att_unit *u, const struct att_sums *comes,
                         const struct att_sums *stands)
{
    const size_t dim = u->c->dim_padded;
    for (int t = 0; t < u->tiles; t++) {
        const int slot = u->scratch.tiles[t].slot, count = u->scratch.tiles[t].count;
        struct att_merge merge[ATT_TILE];
        att_merge_sums(stands->sum + slot, comes->sum + slot, count, merge);
        for (int r = 0; r < count; r++) {
            const size_t first = (size_t)(slot + r) * dim;
            for (size_t d = first; d < first + dim; d += 16) {
                v16 sum = v16_load(comes->out + d);
                att_pv_finish(1, &sum, stands->out + d, &merge[r]);
            }
        }
    }
}

/* Adds the finished group to the totals of all slots and empties it. */
static void att_close_group(const struct att_unit *u)
{
    att_add_sums(u, &u->scratch.group, &u->scratch.total);
    att_empty(u, &u->scratch.group);
}

/* out * (1 / l) of one slot, in place. */
static float *att_result(const struct att_unit *u, int slot)
{
    float *out = u->scratch.total.out + (size_t)slot * u->c->dim_padded;
    const v16 inverse = v16_set1(1.0f / u->scratch.total.sum[slot].denominator);
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

/* Leaves first..last as far as the unit's rows attend them; finished groups go to the totals. */
static void att_run_leaves(const struct att_unit *u, int32_t first, int32_t last, bool close_groups)
{
    first = att_max(first, u->low / ATT_LEAF);
    last = att_min(last, u->high / ATT_LEAF);
    for (int32_t index = first; index <= last; index++) {
        struct att_leaf leaf;
        att_open_leaf(u, index, u->low, u->high, &leaf);
        att_run_leaf(u, &leaf);
        if (close_groups && (index == last || (index + 1) % TN_LEAVES_PER_GROUP == 0))
            att_close_group(u);
    }
}

/* ---- one slice ---- */

static struct att_sums att_partial(const struct att_unit *u, uint8_t *partials, int slice)
{
    const struct att_split *split = &u->c->split;
    const size_t sum_bytes = att_partial_bytes((size_t)u->slots, 0);
    uint8_t *partial = partials + (size_t)slice * split->partial_bytes;
    return (struct att_sums){(struct att_sum *)(void *)partial,
                             (float *)(void *)(partial + sum_bytes)};
}

/* Runs a slice; its sums are built where they stay. */
static void att_run_slice(const struct att_unit *whole, const struct att_sequence *q, int slice,
                          uint8_t *partials)
{
    struct att_unit u = *whole;
    u.scratch.group = att_partial(whole, partials, slice);
    att_empty(&u, &u.scratch.group);
    if (slice < q->group_slices) {
        const int32_t group = q->first_leaf / TN_LEAVES_PER_GROUP + slice;
        att_run_leaves(&u, group * TN_LEAVES_PER_GROUP, (group + 1) * TN_LEAVES_PER_GROUP - 1,
                       false);
    } else {
        const int32_t leaf = q->single_leaves + slice - q->group_slices;
        att_run_leaves(&u, leaf, leaf, false);
    }
}

/* All slices are there: their sums, in the order of the leaves, become the totals. */
static void att_join(const struct att_unit *u, const struct att_sequence *q, uint8_t *partials)
{
    for (int slice = 0; slice < q->slices; slice++) {
        const struct att_sums partial = att_partial(u, partials, slice);
        if (slice < q->group_slices) {
            att_add_sums(u, &partial, &u->scratch.total);
            continue;
        }
        const int32_t leaf = q->single_leaves + slice - q->group_slices;
        att_add_sums(u, &partial, &u->scratch.group);
        if (slice == q->slices - 1 || (leaf + 1) % TN_LEAVES_PER_GROUP == 0)
            att_close_group(u);
    }
}

/* ---- walking the units of a range ---- */

/* Opens pair `pair` of a sequence; pair = block * kv_heads + kv_head, blocks in row order. */
static void att_open_unit(const struct att_sequence *q, int64_t pair, struct att_unit *u)
{
    const struct att_call *c = u->c;
    const int32_t skipped = (int32_t)(pair / c->attrs->kv_heads) * c->block_rows;
    const int32_t window = c->attrs->window;
    u->table = q->table;
    u->kv_head = (int32_t)(pair % c->attrs->kv_heads);
    u->row = q->row + skipped;
    u->rows = att_min(c->block_rows, q->rows - skipped);
    u->position = q->position + skipped;
    u->high = u->position + u->rows - 1;
    u->low = window ? att_max(0, u->position - window + 1) : 0;
    att_cut_tiles(u);
    att_load_queries(u);
}

/* Slices first..first+count-1 of the opened unit, which is pair `pair` of the call and whose slices
 * start at unit `unit`. True: the totals are complete. */
static bool att_run_slices(struct att_unit *u, const struct att_sequence *q, int first, int count,
                           const int64_t pair_and_unit[2])
{
    const struct att_split *split = &u->c->split;
    if (count == q->slices) {
        att_run_leaves(u, 0, INT32_MAX, true);
        return true;
    }
    uint8_t *partials = split->partials + (size_t)pair_and_unit[1] * split->partial_bytes;
    for (int slice = first; slice < first + count; slice++)
        att_run_slice(u, q, slice, partials);
    /* releases our slices, acquires those of the others */
    const int before =
        atomic_fetch_add_explicit(&split->finished[pair_and_unit[0]], count, memory_order_acq_rel);
    if (before + count < q->slices)
        return false;
    att_join(u, q, partials);
    return true;
}

/* Runs units [first, last); unit = (sequence, pair, slice), the slice innermost. */
V16_INLINE void att_run(const struct kn_call *call, int64_t first, int64_t last, void *scratch,
                        const bool quantize)
{
    struct att_call c;
    att_open_call(call, &c);
    struct att_unit u = {.c = &c};
    att_cut_scratch(c.attrs, scratch, &u.scratch);
    int64_t pairs_before = 0, units_before = 0;
    for (int32_t s = 0; s < c.batch->sequences && first < last; s++) {
        const struct att_sequence q = att_open_sequence(&c, s);
        const int64_t pairs = (int64_t)q.blocks * c.attrs->kv_heads;
        while (first < last && first < units_before + pairs * q.slices) {
            const int64_t pair = (first - units_before) / q.slices;
            const int slice = (int)((first - units_before) % q.slices);
            const int count =
                (int)(last - first < q.slices - slice ? last - first : q.slices - slice);
            const int64_t pair_and_unit[2] = {pairs_before + pair, first - slice};
            att_open_unit(&q, pair, &u);
            if (att_run_slices(&u, &q, slice, count, pair_and_unit))
                (quantize ? att_store_a8 : att_store)(&u);
            first += count;
        }
        pairs_before += pairs;
        units_before += pairs * q.slices;
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
    .workspace_bytes = att_workspace_bytes,
    .begin = att_begin,
};

const struct kn_kernel KN_ISA(kn_attention_quantize) = {
    .name = "attention_quantize" KN_ISA_SUFFIX,
    .op = OP_ATTENTION_QUANTIZE,
    .cpu_class = KN_ISA_CLASS,
    .accepts = att_quantize_accepts,
    .units = att_units,
    .run = att_run_a8,
    .scratch_bytes = att_scratch_bytes,
    .workspace_bytes = att_workspace_bytes,
    .begin = att_begin,
};

#endif
