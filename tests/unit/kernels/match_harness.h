/*
 * "kcheck": runs a kernel and the reference on the same operands and compares bytes.
 *
 * Everything a kernel must not depend on is random: unit ranges and their order, page order, what
 * lies in scratch, unused outputs and in positions outside the attended ones (NaN). Guard bytes
 * stand around outputs, scratch and page pools.
 */
#ifndef HASTEN_TESTS_MATCH_HARNESS_H
#define HASTEN_TESTS_MATCH_HARNESS_H

#include "base/memory.h"
#include "harness/test.h"
#include "kernels/kernel.h"
#include "kernels/rows.h"

/* Random numbers: splitmix64. */

static uint64_t mt_state = 1;

static inline uint64_t mt_u64(void)
{
    uint64_t z = mt_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Uniform in [0, n). */
static inline int mt_below(int n)
{
    return (int)(mt_u64() % (uint64_t)n);
}

static inline float mt_float(float magnitude)
{
    return (float)((double)(mt_u64() >> 11) * 0x1p-52 - 1.0) * magnitude;
}

#define MT_PICK(array) ((array)[mt_below((int)(sizeof(array) / sizeof((array)[0])))])

/* Guarded blocks. */

#define MT_GUARD 64

struct mt_block {
    uint8_t *raw, *data; /* data is 64-byte aligned */
    size_t bytes;
};

static struct mt_block mt_blocks[64]; /* freed by mt_free_all, also after a failed check */
static int mt_block_count;

static inline uint8_t *mt_alloc(size_t bytes, uint8_t fill)
{
    CHECK(mt_block_count < 64);
    struct mt_block block = {.bytes = bytes};
    block.raw = hs_alloc(bytes + 2 * MT_GUARD + 64);
    CHECK(block.raw != NULL);
    block.data = block.raw + MT_GUARD + (64 - (uintptr_t)block.raw % 64) % 64;
    memset(block.data - MT_GUARD, 0x5a, MT_GUARD);
    memset(block.data, fill, bytes);
    memset(block.data + bytes, 0x5a, MT_GUARD);
    mt_blocks[mt_block_count++] = block;
    return block.data;
}

static inline float *mt_floats(int64_t count, float magnitude)
{
    float *values = (float *)(void *)mt_alloc((size_t)count * sizeof(float), 0);
    for (int64_t i = 0; i < count; i++)
        values[i] = mt_float(magnitude);
    return values;
}

/* True when every guard byte still stands. */
static inline bool mt_guards_intact(void)
{
    for (int b = 0; b < mt_block_count; b++) {
        for (int i = 0; i < MT_GUARD; i++) {
            if (mt_blocks[b].data[-1 - i] != 0x5a ||
                mt_blocks[b].data[mt_blocks[b].bytes + i] != 0x5a)
                return false;
        }
    }
    return true;
}

static inline void mt_free_to(int count)
{
    while (mt_block_count > count)
        hs_free(mt_blocks[--mt_block_count].raw);
}

/* Weights. */

static const enum tn_dtype mt_plain_types[] = {TN_F32, TN_F16, TN_BF16};
static const enum tn_dtype mt_coded_types[] = {TN_Q8_0,   TN_Q4_1,  TN_Q4_0,  TN_Q5_0, TN_Q5_1,
                                               TN_IQ4_NL, TN_MXFP4, TN_Q2_K,  TN_Q3_K, TN_Q4_K,
                                               TN_Q5_K,   TN_Q6_K,  TN_IQ4_XS};
#define MT_PLAIN_TYPES 3
#define MT_CODED_TYPES 13

/* cols, rounded up to whole blocks of the type. */
static inline int64_t mt_whole_blocks(enum tn_dtype dtype, int64_t cols)
{
    int64_t block = tn_dtype_info(dtype)->block;
    return (cols + block - 1) / block * block;
}

/* A type that a segment of that many columns can have. */
static inline enum tn_dtype mt_pick_type(bool coded, int64_t cols)
{
    enum tn_dtype dtype;
    do
        dtype = coded ? MT_PICK(mt_coded_types) : MT_PICK(mt_plain_types);
    while (cols % tn_dtype_info(dtype)->block != 0);
    return dtype;
}

/* A random weight in a layout. */
static inline uint8_t *mt_weight(enum tn_dtype dtype, enum tn_layout layout, int64_t rows,
                                 int64_t cols)
{
    size_t file_bytes, row_bytes, bytes;
    CHECK(tn_row_bytes(dtype, cols, &row_bytes));
    CHECK(tn_weight_bytes(dtype, TN_LAYOUT_ROWS, rows, cols, &file_bytes));
    CHECK(tn_weight_bytes(dtype, layout, rows, cols, &bytes));
    uint8_t *weight = mt_alloc(bytes, 0xff);
    int mark = mt_block_count;
    uint8_t *file = layout == TN_LAYOUT_ROWS ? weight : mt_alloc(file_bytes, 0);
    struct kn_random random = {.seed = mt_u64(), .deviation = 0.1f};
    for (int64_t r = 0; r < rows; r++, random.stream++)
        CHECK(kn_random_row(dtype, &random, cols, file + (size_t)r * row_bytes));
    if (layout == TN_LAYOUT_PANEL32)
        kn_pack_panels(dtype, file, rows, cols, 0, (rows + 31) / 32, weight);
    mt_free_to(mark);
    return weight;
}

/* An activation of random values, f32 or A8. */
static inline void *mt_activation(bool a8, int64_t rows, int64_t cols)
{
    float *x = mt_floats(rows * cols, 2);
    size_t bytes;
    if (!a8)
        return x;
    CHECK(tn_a8_bytes(rows, cols, &bytes));
    void *base = mt_alloc(bytes, 0);
    struct tn_a8 view = tn_a8_view(base, rows, cols);
    for (int64_t t = 0; t < rows; t++)
        kn_quantize_row_ref(x + t * cols, cols, view.codes + t * cols, view.scales + t,
                            view.sums + t, rows);
    return base;
}

/* A batch with its pages. */

#define MT_SEQUENCES 8
#define MT_ROWS      64
#define MT_PAGES     640

struct mt_batch {
    struct kn_batch batch;
    struct kn_state state;
    size_t pool_bytes;
    int layers;
    int32_t row_start[MT_SEQUENCES + 1], kv_len[MT_SEQUENCES], first[MT_SEQUENCES];
    int32_t seq_of_row[MT_ROWS], position[MT_ROWS], rows[MT_ROWS];
    int32_t table[MT_PAGES];
};

/* What a batch should hold; written rows: KV already holds the step's own rows. */
struct mt_batch_shape {
    int sequences;
    int rows[MT_SEQUENCES];   /* rows of the step, >= 1 */
    int kv_len[MT_SEQUENCES]; /* >= rows */
    int window;
    bool written;
    enum tn_dtype dtype;
    int kv_heads, head_dim;
};

static inline void mt_store_kv(enum tn_dtype dtype, uint8_t *stream, size_t index, float value)
{
    if (dtype == TN_F32) {
        memcpy(stream + 4 * index, &value, 4);
    } else {
        uint16_t half = dtype == TN_BF16 ? tn_f32_to_bf16(value) : tn_f32_to_f16(value);
        memcpy(stream + 2 * index, &half, 2);
    }
}

/* Random codes and scales of one head at one position of a Q8_0 page (tensor/layout.h). */
static inline void mt_fill_q8(const struct tn_kv_layout *layout, uint8_t *k, uint8_t *v, int head,
                              int in_page)
{
    const int blocks = layout->head_dim_padded / 32;
    uint8_t *k_head = k + (size_t)head * layout->head_bytes;
    uint8_t *v_head = v + (size_t)head * layout->head_bytes;
    for (int b = 0; b < blocks; b++) {
        uint8_t *panel = k_head + (size_t)(in_page / 16 * blocks + b) * (16 * 34);
        uint8_t *row = v_head + (size_t)blocks * 64 + (size_t)(in_page * blocks + b) * 32;
        uint16_t k_scale = tn_f32_to_f16(0.001f + (float)mt_below(16) * 0.001f);
        uint16_t v_scale = tn_f32_to_f16(0.001f + (float)mt_below(16) * 0.001f);
        memcpy(panel + 2 * (in_page % 16), &k_scale, 2);
        memcpy(v_head + 64 * b + 2 * in_page, &v_scale, 2);
        for (int i = 0; i < 32; i++) {
            bool real = 32 * b + i < layout->head_dim;
            panel[32 + 16 * i + in_page % 16] = (uint8_t)(real ? mt_below(255) - 127 : 0);
            row[i] = (uint8_t)(real ? mt_below(255) - 127 : 0);
        }
    }
}

/* A random type of pages. */
static inline enum tn_dtype mt_kv_dtype(void)
{
    static const enum tn_dtype types[] = {TN_F32, TN_F16, TN_BF16, TN_Q8_0};
    return MT_PICK(types);
}

/* Random K and V of one position of one sequence, all layers. */
static inline void mt_fill_position(struct mt_batch *mt, int32_t page, int in_page)
{
    const struct tn_kv_layout *layout = &mt->state.layout;
    for (int layer = 0; layer < mt->layers; layer++) {
        uint8_t *k = mt->state.pool + (size_t)page * mt->state.page_bytes +
                     (size_t)layer * layout->layer_bytes;
        uint8_t *v = k + layout->k_bytes;
        for (int h = 0; h < layout->kv_heads; h++) {
            if (layout->dtype == TN_Q8_0)
                mt_fill_q8(layout, k, v, h, in_page);
            for (int d = 0; d < layout->head_dim_padded && layout->dtype != TN_Q8_0; d++) {
                int pad = layout->head_dim_padded;
                size_t k_at = (size_t)(((h * 2 + in_page / 16) * pad + d) * 16 + in_page % 16);
                size_t v_at = (size_t)((h * TN_PAGE_POSITIONS + in_page) * pad + d);
                bool real = d < layout->head_dim;
                mt_store_kv(layout->dtype, k, k_at, real ? mt_float(2) : 0);
                mt_store_kv(layout->dtype, v, v_at, real ? mt_float(2) : 0);
            }
        }
    }
}

static inline void mt_fill_sequence(struct mt_batch *mt, const struct mt_batch_shape *shape, int s)
{
    int filled = shape->written ? shape->kv_len[s] : shape->kv_len[s] - shape->rows[s];
    for (int p = mt->first[s] * TN_PAGE_POSITIONS; p < filled; p++)
        mt_fill_position(mt, mt->table[s * mt->batch.table_stride + p / TN_PAGE_POSITIONS],
                         p % TN_PAGE_POSITIONS);
}

/* Deals pages in random order; returns their number. */
static inline int mt_deal_pages(struct mt_batch *mt, const struct mt_batch_shape *shape)
{
    int32_t order[MT_PAGES];
    int total = MT_PAGES, needed = 0;
    int stride = mt->batch.table_stride;
    for (int s = 0; s < shape->sequences; s++)
        needed += (shape->kv_len[s] + TN_PAGE_POSITIONS - 1) / TN_PAGE_POSITIONS;
    total = needed + 3;
    CHECK(total <= MT_PAGES && stride * shape->sequences <= MT_PAGES);
    for (int i = 0; i < total; i++)
        order[i] = i;
    for (int i = total - 1; i > 0; i--) {
        int j = mt_below(i + 1);
        int32_t keep = order[i];
        order[i] = order[j], order[j] = keep;
    }
    int next = 0;
    for (int s = 0; s < shape->sequences; s++) {
        for (int i = 0; i < stride; i++) {
            bool live = i >= mt->first[s] && i * TN_PAGE_POSITIONS < shape->kv_len[s];
            mt->table[s * stride + i] = live ? order[next++] : -1; /* -1: must not be read */
        }
    }
    return total;
}

static inline void mt_fill_rows(struct mt_batch *mt, const struct mt_batch_shape *shape)
{
    int row = 0, wanted = 0, stride = 0;
    for (int s = 0; s < shape->sequences; s++) {
        int first_index = shape->kv_len[s] - shape->rows[s];
        int low = shape->window > 0 ? first_index - shape->window + 1 : 0;
        int pages = (shape->kv_len[s] + TN_PAGE_POSITIONS - 1) / TN_PAGE_POSITIONS;
        mt->row_start[s] = row;
        mt->kv_len[s] = shape->kv_len[s];
        mt->first[s] = low > 0 ? low / TN_PAGE_POSITIONS : 0;
        stride = pages > stride ? pages : stride;
        for (int i = 0; i < shape->rows[s]; i++, row++) {
            mt->seq_of_row[row] = s;
            mt->position[row] = first_index + i + 3; /* differs from the KV index on purpose */
            if (i + 1 == shape->rows[s] || mt_below(3) == 0)
                mt->rows[wanted++] = row;
        }
    }
    mt->row_start[shape->sequences] = row;
    mt->batch.tokens = row;
    mt->batch.sequences = shape->sequences;
    mt->batch.wanted_rows = wanted;
    mt->batch.groups = KN_PAGE_GROUPS;
    mt->batch.table_stride =
        stride + (shape->sequences * (stride + 2) <= MT_PAGES ? mt_below(3) : 0);
}

/* Builds batch, tables and a pool of 3 layers in a random group. */
static inline void mt_make_batch(struct mt_batch *mt, const struct mt_batch_shape *shape)
{
    memset(mt, 0, sizeof *mt);
    CHECK_INT(
        tn_kv_layout_init(shape->dtype, shape->kv_heads, shape->head_dim, NULL, &mt->state.layout),
        HASTEN_OK);
    mt->layers = 3;
    mt_fill_rows(mt, shape);
    int pages = mt_deal_pages(mt, shape);
    mt->state.group = mt_below(KN_PAGE_GROUPS);
    mt->state.page_bytes = (size_t)mt->layers * mt->state.layout.layer_bytes;
    mt->pool_bytes = (size_t)pages * mt->state.page_bytes;
    mt->state.pool = mt_alloc(mt->pool_bytes, 0x7f); /* 0x7f7f.. is huge, made NaN below */
    memset(mt->state.pool, 0xff, mt->pool_bytes);    /* NaN in all types, scales of Q8_0 too */
    for (int s = 0; s < shape->sequences; s++)
        mt_fill_sequence(mt, shape, s);
    mt->batch.row_start = mt->row_start;
    mt->batch.kv_len = mt->kv_len;
    mt->batch.seq_of_row = mt->seq_of_row;
    mt->batch.position = mt->position;
    mt->batch.rows = mt->rows;
    mt->batch.group[mt->state.group].first = mt->first;
    mt->batch.group[mt->state.group].table = mt->table;
}

/* One comparison. */

struct mt_case {
    enum op_id op;
    const void *attrs;
    struct kn_call call;          /* inputs, rows and batch filled; outputs are made here */
    size_t output_bytes[8];       /* 0: a state, repeats input state_input */
    int state_input;              /* -1: none */
    const struct mt_batch *pages; /* of the state */
    bool in_place;                /* output 0 overwrites input 0 */
    bool any_nan;                 /* outputs are floats, of a NaN only the fact is compared */
};

struct mt_result {
    uint8_t *output[8];
    uint8_t *pool;
};

#define MT_KERNELS 256
static int mt_cases_of[MT_KERNELS]; /* cases run per kernel of the table */

/* Gives the call a workspace: none, or as large as a plan would reserve for it. */
static inline void mt_add_workspace(const struct kn_kernel *kernel, struct kn_call *call)
{
    struct kn_bounds bounds = {.rows = call->rows, .positions = 1};
    if (!kernel->workspace_bytes || !call->batch || mt_below(4) == 0)
        return;
    for (int s = 0; s < call->batch->sequences; s++)
        if (call->batch->kv_len[s] > bounds.positions)
            bounds.positions = call->batch->kv_len[s];
    call->workspace_bytes = kernel->workspace_bytes(call->attrs, &bounds);
    call->workspace = mt_alloc(call->workspace_bytes, 0xff);
}

/* Runs all units in random ranges, in random order. */
static inline void mt_run_units(const struct kn_kernel *kernel, struct kn_call *call)
{
    int mark = mt_block_count;
    mt_add_workspace(kernel, call);
    size_t scratch_bytes = kernel->scratch_bytes ? kernel->scratch_bytes(call->attrs) : 0;
    int64_t units = kernel->units(call), cut[9] = {0};
    int cuts = 1 + mt_below(8);
    for (int i = 1; i < cuts; i++)
        cut[i] = units > 0 ? (int64_t)(mt_u64() % (uint64_t)(units + 1)) : 0;
    cut[cuts] = units;
    for (int i = 1; i < cuts; i++) { /* insertion sort */
        for (int j = i; j > 0 && cut[j] < cut[j - 1]; j--) {
            int64_t keep = cut[j];
            cut[j] = cut[j - 1], cut[j - 1] = keep;
        }
    }
    uint8_t *scratch = mt_alloc(scratch_bytes, 0xff);
    if (kernel->begin)
        kernel->begin(call);
    int offset = mt_below(cuts);
    for (int i = 0; i < cuts; i++) {
        int piece = (i + offset) % cuts;
        enum hasten_status status = kernel->run(call, cut[piece], cut[piece + 1], scratch);
        if (status != HASTEN_OK)
            TEST_FAIL("%s returned %s", kernel->name, hs_status_name(status));
    }
    if (!mt_guards_intact())
        TEST_FAIL("%s wrote outside its outputs or scratch", kernel->name);
    mt_free_to(mark);
}

/* Runs the case into fresh outputs and a fresh copy of the pool. */
static inline void mt_run(const struct kn_kernel *kernel, const struct mt_case *test,
                          struct mt_result *result)
{
    struct kn_call call = test->call;
    struct kn_state state = {0};
    memset(result, 0, sizeof *result);
    call.attrs = test->attrs;
    if (test->state_input >= 0) {
        state = test->pages->state;
        result->pool = mt_alloc(test->pages->pool_bytes, 0);
        memcpy(result->pool, test->pages->state.pool, test->pages->pool_bytes);
        state.pool = result->pool;
        call.operand[test->state_input] = &state;
    }
    for (int j = 0; j < call.outputs; j++) {
        if (test->output_bytes[j] == 0) {
            call.operand[call.inputs + j] = call.operand[test->state_input];
            continue;
        }
        result->output[j] = mt_alloc(test->output_bytes[j], 0xa5);
        call.operand[call.inputs + j] = result->output[j];
    }
    if (test->in_place) {
        memcpy(result->output[0], call.operand[0], test->output_bytes[0]);
        call.operand[0] = result->output[0];
    }
    mt_run_units(kernel, &call);
}

static inline void mt_compare(const char *kernel, const char *what, const uint8_t *actual,
                              const uint8_t *expected, size_t bytes)
{
    for (size_t i = 0; i + 4 <= bytes; i += 4) {
        if (memcmp(actual + i, expected + i, 4) != 0) {
            float a, e;
            memcpy(&a, actual + i, 4);
            memcpy(&e, expected + i, 4);
            TEST_FAIL("%s: %s differs from the reference at byte %zu of %zu: %a, expected %a",
                      kernel, what, i, bytes, (double)a, (double)e);
        }
    }
    if (memcmp(actual, expected, bytes) != 0)
        TEST_FAIL("%s: %s differs in its last bytes", kernel, what);
}

/* Makes every NaN of `floats` the one that stands in `like` at its place, if that is one too. */
static inline void mt_same_nans(uint8_t *floats, const uint8_t *like, size_t bytes)
{
    for (size_t i = 0; i + 4 <= bytes; i += 4) {
        float a, b;
        memcpy(&a, floats + i, 4);
        memcpy(&b, like + i, 4);
        if (isnan(a) && isnan(b))
            memcpy(floats + i, like + i, 4);
    }
}

static inline const struct kn_kernel *mt_reference(enum op_id op)
{
    for (int i = 0; i < kn_count(); i++) {
        if (kn_at(i)->op == op && kn_at(i)->cpu_class == HS_CPU_CLASS_REF)
            return kn_at(i);
    }
    TEST_FAIL("no reference kernel of %s", op_info(op)->name);
}

/* Runs the reference and every kernel that this machine supports and that accepts the attributes.
 * The reference itself runs twice, with other ranges. */
static inline void mt_check(const struct mt_case *test)
{
    int mark = mt_block_count;
    const struct kn_kernel *reference = mt_reference(test->op);
    if (!reference->accepts(test->attrs))
        TEST_FAIL("%s does not accept the case", reference->name);
    struct mt_result expected, actual;
    mt_run(reference, test, &expected);
    for (int i = 0; i < kn_count(); i++) {
        const struct kn_kernel *kernel = kn_at(i);
        if (kernel->op != test->op || kernel->cpu_class > hs_cpu_get()->best ||
            !kernel->accepts(test->attrs))
            continue;
        int inner = mt_block_count;
        mt_run(kernel, test, &actual);
        for (int j = 0; j < test->call.outputs; j++) {
            if (test->any_nan)
                mt_same_nans(actual.output[j], expected.output[j], test->output_bytes[j]);
            if (actual.output[j])
                mt_compare(kernel->name, "output", actual.output[j], expected.output[j],
                           test->output_bytes[j]);
        }
        if (actual.pool)
            mt_compare(kernel->name, "page pool", actual.pool, expected.pool,
                       test->pages->pool_bytes);
        mt_cases_of[i]++;
        mt_free_to(inner);
    }
    mt_free_to(mark);
}

#endif
