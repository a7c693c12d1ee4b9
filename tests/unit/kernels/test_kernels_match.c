/*
 * Every kernel of the table that this machine can run against the reference, with ==, over random
 * cases (see match_harness.h). HASTEN_TEST_SEED gives other cases.
 */
#include "unit/kernels/match_harness.h"

static const int row_counts[] = {1, 2, 3, 5, 8, 17, 33};
static const int feature_counts[] = {32, 64, 96, 576, 1536};

/* Runs `body` for all row and feature counts above. */
#define FOR_SIZES(t, n)                                                                            \
    for (int t##_i = 0, t = 1; t##_i < 7 && (t = row_counts[t##_i], 1); t##_i++)                   \
        for (int n##_i = 0, n = 1; n##_i < 5 && (n = feature_counts[n##_i], 1); n##_i++)

static void seed_test(uint64_t stream)
{
    uint64_t seed = test_seed(20240607);
    mt_free_to(0);
    mt_state = seed * 1000003u + stream;
    printf("  seed %llu\n", (unsigned long long)seed);
}

static struct mt_case row_case(enum op_id op, const void *attrs, int rows)
{
    struct mt_case test = {.op = op, .attrs = attrs, .state_input = -1};
    test.call.rows = rows;
    test.call.outputs = 1;
    return test;
}

static size_t a8_bytes(int64_t rows, int64_t cols)
{
    size_t bytes = 0;
    CHECK(tn_a8_bytes(rows, cols, &bytes));
    return bytes;
}

static void check_elementwise(enum op_id op, const void *attrs, int t, int n, float magnitude)
{
    struct mt_case test = row_case(op, attrs, t);
    test.call.inputs = op_info(op)->inputs;
    test.call.operand[0] = mt_floats((int64_t)t * n, magnitude);
    if (test.call.inputs == 2)
        test.call.operand[1] = mt_floats((int64_t)t * n, magnitude);
    test.output_bytes[0] = (size_t)t * (size_t)n * 4;
    mt_check(&test);
    test.in_place = true;
    mt_check(&test);
    mt_free_to(0);
}

TEST(elementwise)
{
    static const float magnitudes[] = {0.1f, 3, 20, 300};
    seed_test(1);
    FOR_SIZES(t, n)
    {
        n += mt_below(2) * 7; /* also widths that are no multiple of a vector */
        struct op_row_attrs row = {n};
        struct op_scale_attrs scale = {n, 0.5f + mt_float(0.4f), 0};
        struct op_scale_attrs cap = {n, 30.0f, 0};
        float magnitude = MT_PICK(magnitudes);
        check_elementwise(OP_ADD, &row, t, n, magnitude);
        check_elementwise(OP_MUL, &row, t, n, magnitude);
        check_elementwise(OP_SILU, &row, t, n, magnitude);
        check_elementwise(OP_GELU_TANH, &row, t, n, magnitude);
        check_elementwise(OP_SCALE, &scale, t, n, magnitude);
        check_elementwise(OP_SOFTCAP, &cap, t, n, magnitude);
    }
}

static void check_norm(const struct op_norm_attrs *attrs, int t, int n)
{
    struct mt_case test = row_case(OP_RMSNORM, attrs, t);
    test.call.inputs = 2;
    test.call.operand[0] = mt_floats((int64_t)t * n, 4);
    test.call.operand[1] = mt_floats(attrs->group ? attrs->group : n, 2);
    test.output_bytes[0] = (size_t)t * (size_t)n * 4;
    mt_check(&test);
    if (n % 32 == 0) {
        test.op = OP_RMSNORM_QUANTIZE;
        test.output_bytes[0] = a8_bytes(t, n);
        mt_check(&test);
    }
    mt_free_to(0);
}

TEST(norms)
{
    static const int groups[] = {16, 32, 64, 96, 128, 256, 80};
    seed_test(2);
    FOR_SIZES(t, n)
    {
        struct op_norm_attrs attrs = {n, mt_below(2) ? 1e-5f : 1e-6f, 0};
        check_norm(&attrs, t, n);
        for (int g = 0; g < 7; g++) {
            struct op_norm_attrs grouped = {n, 1e-6f, groups[g]};
            if (n % groups[g] == 0)
                check_norm(&grouped, t, n);
        }
    }
    struct op_norm_attrs odd = {100, 1e-5f, 0}, heads = {3 * 80, 1e-6f, 80};
    check_norm(&odd, 3, 100);
    check_norm(&heads, 5, 3 * 80);
}

TEST(quantize)
{
    seed_test(3);
    FOR_SIZES(t, n)
    {
        struct op_row_attrs attrs = {n};
        struct mt_case test = row_case(OP_QUANTIZE, &attrs, t);
        float *x = mt_floats((int64_t)t * n, 10);
        memset(x, 0, 32 * sizeof *x); /* a block of zeros, and one too small for a reciprocal */
        for (int i = 0; i < 32; i++)
            x[n * t - 1 - i] *= mt_below(2) ? 1e-39f : 1e-32f;
        for (int i = 0; i < 8; i++) /* ties: 127 * (k + 0.5) / 127 */
            x[mt_below(t * n)] = (float)mt_below(254) * 0.5f - 63.5f;
        test.call.inputs = 1;
        test.call.operand[0] = x;
        test.output_bytes[0] = a8_bytes(t, n);
        mt_check(&test);
        mt_free_to(0);
    }
}

#define PANEL_TYPES (MT_PLAIN_TYPES + MT_CODED_TYPES)

static enum tn_dtype panel_type(int i)
{
    return i < MT_PLAIN_TYPES ? mt_plain_types[i] : mt_coded_types[i - MT_PLAIN_TYPES];
}

static void check_embed(enum tn_dtype dtype, enum tn_layout layout, int t, int n)
{
    n = (int)mt_whole_blocks(dtype, n);
    struct op_embed_attrs attrs = {
        .rows = 70, .cols = n, .dtype = (int32_t)dtype, .layout = (int32_t)layout, .scale = 1};
    if (mt_below(2))
        attrs.scale = 1.5f;
    int32_t ids[64];
    for (int i = 0; i < t; i++)
        ids[i] = mt_below(70);
    struct mt_case test = row_case(OP_EMBED, &attrs, t);
    test.call.inputs = 2;
    test.call.operand[0] = ids;
    test.call.operand[1] = mt_weight(dtype, layout, 70, n);
    test.output_bytes[0] = (size_t)t * (size_t)n * 4;
    mt_check(&test);
    mt_free_to(0);
}

TEST(embed)
{
    seed_test(4);
    for (int i = 0; i < PANEL_TYPES; i++) {
        check_embed(panel_type(i), TN_LAYOUT_ROWS, MT_PICK(row_counts), MT_PICK(feature_counts));
        check_embed(panel_type(i), TN_LAYOUT_PANEL32, MT_PICK(row_counts), MT_PICK(feature_counts));
    }
}

/* Batches. */

/* Deals `rows` rows to random sequences, each with a random past of up to `past` positions. */
static struct mt_batch_shape random_shape(int rows, int past)
{
    struct mt_batch_shape shape = {.dtype = mt_kv_dtype(), .kv_heads = 1, .head_dim = 16};
    int wanted = 1 + mt_below(4);
    while (rows > 0 && shape.sequences < wanted) {
        int s = shape.sequences++;
        int mine = s + 1 == wanted ? rows : 1 + mt_below(rows);
        shape.rows[s] = mine;
        shape.kv_len[s] = mine + (past > 0 ? mt_below(past + 1) : 0);
        rows -= mine;
    }
    if (rows > 0)
        shape.rows[0] += rows, shape.kv_len[0] += rows;
    return shape;
}

static const int head_dims[] = {16, 64, 80, 72, 128, 256};

static struct mt_batch pages; /* too large for a stack frame under sanitizers */

/* In one call of four: zeros, subnormals, inf and NaN among the values. */
static void spoil(float *values, int64_t count)
{
    static const float bad[] = {0, 1e-40f, -0.0f, INFINITY, -INFINITY, NAN, 3e38f, 65520};
    for (int i = 0; i < 8 && mt_below(4) == 0; i++)
        values[mt_u64() % (uint64_t)count] = bad[i];
}

TEST(select_rows_and_append)
{
    seed_test(5);
    FOR_SIZES(t, n)
    {
        struct mt_batch_shape shape = random_shape(t, 300);
        shape.kv_heads = 1 + mt_below(3);
        shape.head_dim = MT_PICK(head_dims);
        mt_make_batch(&pages, &shape);
        struct op_row_attrs row = {n};
        struct mt_case select = row_case(OP_SELECT_ROWS, &row, pages.batch.wanted_rows);
        select.call.batch = &pages.batch;
        select.call.inputs = 2;
        select.call.operand[0] = mt_floats((int64_t)t * n, 1);
        select.output_bytes[0] = (size_t)pages.batch.wanted_rows * (size_t)n * 4;
        mt_check(&select);

        struct op_kv_attrs kv = {shape.kv_heads, shape.head_dim, mt_below(3), (int32_t)shape.dtype};
        int64_t width = (int64_t)shape.kv_heads * shape.head_dim;
        struct mt_case append = row_case(OP_KV_APPEND, &kv, t);
        append.call.batch = &pages.batch;
        append.call.inputs = 4;
        append.call.operand[1] = mt_floats(t * width, 3);
        append.call.operand[2] = mt_floats(t * width, 3);
        spoil(append.call.operand[1 + mt_below(2)], t * width);
        append.state_input = 0;
        append.pages = &pages;
        mt_check(&append);
        mt_free_to(0);
    }
}

TEST(rope)
{
    static const double bases[] = {10000.0, 500000.0, 1000000.0};
    seed_test(6);
    for (int round = 0; round < 60; round++) {
        int t = MT_PICK(row_counts);
        struct mt_batch_shape shape = random_shape(t, round % 10 == 0 ? 4000 : 200);
        mt_make_batch(&pages, &shape);
        int head_dim = MT_PICK(head_dims), heads = 1 + mt_below(5);
        int dims = mt_below(3) ? head_dim : head_dim / 4 * 2;
        struct op_rope_attrs table_attrs = {
            .dims = dims, .base = MT_PICK(bases), .position_scale = mt_below(2) ? 1.0 : 0.25};
        struct mt_case table = row_case(OP_ROPE_TABLE, &table_attrs, t);
        table.call.batch = &pages.batch;
        table.call.inputs = 1 + mt_below(2);
        float *factors = mt_floats(dims / 2, 1);
        for (int i = 0; i < dims / 2; i++)
            factors[i] = 1.5f + factors[i];
        table.call.operand[1] = table.call.inputs > 1 ? factors : NULL;
        table.output_bytes[0] = (size_t)t * (size_t)dims * 4;
        mt_check(&table);

        struct op_rope_attrs apply_attrs = table_attrs;
        apply_attrs.heads = heads;
        apply_attrs.head_dim = head_dim;
        apply_attrs.style = mt_below(2) ? OP_ROPE_HALVES : OP_ROPE_ADJACENT;
        struct mt_case apply = row_case(OP_ROPE_APPLY, &apply_attrs, t);
        apply.call.inputs = 2;
        apply.call.operand[0] = mt_floats((int64_t)t * heads * head_dim, 3);
        apply.call.operand[1] = mt_floats((int64_t)t * dims, 1);
        apply.output_bytes[0] = (size_t)t * (size_t)heads * (size_t)head_dim * 4;
        mt_check(&apply);
        apply.in_place = true;
        mt_check(&apply);
        mt_free_to(0);
    }
}

/* Attention. */

/* Sets V of KV index `index` of sequence s to `value` (float pages). */
static void spoil_position(const struct mt_batch_shape *shape, int s, int index, float value)
{
    const int32_t page = pages.table[s * pages.batch.table_stride + index / TN_PAGE_POSITIONS];
    const struct tn_kv_layout *layout = &pages.state.layout;
    for (int layer = 0; layer < pages.layers; layer++) {
        uint8_t *v = pages.state.pool + (size_t)page * pages.state.page_bytes +
                     (size_t)layer * layout->layer_bytes + layout->k_bytes;
        for (int d = 0; d < layout->kv_heads * layout->head_dim_padded; d++) {
            int head = d / layout->head_dim_padded, feature = d % layout->head_dim_padded;
            int row = head * TN_PAGE_POSITIONS + index % TN_PAGE_POSITIONS;
            if (feature < layout->head_dim)
                mt_store_kv(shape->dtype, v, (size_t)(row * layout->head_dim_padded + feature),
                            value);
        }
    }
}

/* One batch; `faults`: the V of some of the step's own positions are inf or NaN. */
static void check_attention_with(const struct mt_batch_shape *shape, int heads, float softcap,
                                 int faults)
{
    int t = 0;
    for (int s = 0; s < shape->sequences; s++)
        t += shape->rows[s];
    mt_make_batch(&pages, shape);
    for (int i = 0; i < faults; i++) {
        int s = mt_below(shape->sequences);
        spoil_position(shape, s, shape->kv_len[s] - 1 - mt_below(shape->rows[s]),
                       mt_below(2) ? INFINITY : NAN);
    }
    struct op_attention_attrs attrs = {.heads = heads,
                                       .kv_heads = shape->kv_heads,
                                       .head_dim = shape->head_dim,
                                       .window = shape->window,
                                       .causal = 1,
                                       .scale = 1.0f / sqrtf((float)shape->head_dim),
                                       .softcap = softcap,
                                       .kv_layer = mt_below(3),
                                       .kv_dtype = (int32_t)shape->dtype};
    int64_t width = (int64_t)heads * shape->head_dim;
    struct mt_case test = row_case(OP_ATTENTION, &attrs, t);
    test.call.batch = &pages.batch;
    test.call.inputs = 3;
    test.call.operand[0] = mt_floats(t * width, 3);
    test.state_input = 1;
    test.pages = &pages;
    test.output_bytes[0] = (size_t)(t * width) * 4;
    test.any_nan = faults > 0;
    mt_check(&test);
    if (width % 32 == 0 && !faults && mt_below(2)) {
        test.op = OP_ATTENTION_QUANTIZE;
        test.output_bytes[0] = a8_bytes(t, width);
        mt_check(&test);
    }
    mt_free_to(0);
}

static void check_attention(const struct mt_batch_shape *shape, int heads, float softcap)
{
    check_attention_with(shape, heads, softcap, 0);
}

/* A row whose V is inf or NaN must not reach the rows before it, nor those whose window has passed
 * it, in the same tile. */
TEST(attention_keeps_faults_to_the_rows_that_see_them)
{
    static const enum tn_dtype float_types[] = {TN_F32, TN_F16, TN_BF16};
    static const int windows[] = {0, 0, 1, 3, 40}, ratios[] = {1, 2, 3, 4, 8};
    seed_test(14);
    for (int round = 0; round < 40; round++) {
        const int rows = 2 + mt_below(30);
        struct mt_batch_shape shape = {.sequences = 1,
                                       .rows = {rows},
                                       .kv_len = {rows + mt_below(2) * (250 + mt_below(20))},
                                       .window = MT_PICK(windows),
                                       .written = true,
                                       .dtype = MT_PICK(float_types),
                                       .kv_heads = 1 + mt_below(2),
                                       .head_dim = mt_below(2) ? 16 : 64};
        check_attention_with(&shape, shape.kv_heads * MT_PICK(ratios), 0.0f, 1 + mt_below(2));
    }
}

TEST(attention)
{
    static const int head_pairs[][2] = {{1, 1}, {2, 1}, {3, 1}, {4, 2}, {9, 3}, {8, 1}, {6, 3}};
    static const int windows[] = {0, 0, 1, 7, 33, 128, 300, 512};
    seed_test(7);
    for (int round = 0; round < 120; round++) {
        int t = MT_PICK(row_counts);
        struct mt_batch_shape shape = random_shape(t, t > 8 ? 290 : 700);
        const int *pair = MT_PICK(head_pairs);
        shape.head_dim = MT_PICK(head_dims);
        if (shape.head_dim > 80)
            pair = head_pairs[mt_below(3)];
        shape.kv_heads = pair[1];
        shape.window = MT_PICK(windows);
        shape.written = true;
        check_attention(&shape, pair[0], mt_below(4) ? 0.0f : 20.0f);
    }
}

TEST(attention_boundaries)
{
    /* KV lengths around leaf (256) and page (32) boundaries, one and several rows. */
    static const int lengths[] = {1, 31, 32, 33, 255, 256, 257, 258, 511, 512, 513, 515};
    seed_test(8);
    for (int i = 0; i < 12; i++) {
        for (int rows = 1; rows <= 5; rows += 2) {
            struct mt_batch_shape shape = {.sequences = 2,
                                           .rows = {rows, 1},
                                           .kv_len = {lengths[i] + rows - 1, 40},
                                           .window = i % 3 == 2 ? 100 : 0,
                                           .written = true,
                                           .dtype = mt_kv_dtype(),
                                           .kv_heads = 1,
                                           .head_dim = rows == 3 ? 64 : 16};
            check_attention(&shape, rows == 3 ? 3 : 2, 0.0f);
        }
    }
}

TEST(attention_groups)
{
    /* Over the borders of leaf groups (16 * 256 = 4096 positions), with windows that start in the
     * middle of a group. */
    static const int lengths[] = {4096, 4097, 4200, 8300}, windows[] = {0, 300, 4000};
    seed_test(9);
    for (int i = 0; i < 4; i++) {
        for (int w = 0; w < 3; w++) {
            struct mt_batch_shape shape = {.sequences = 1,
                                           .rows = {2},
                                           .kv_len = {lengths[i]},
                                           .window = windows[w],
                                           .written = true,
                                           .dtype = mt_kv_dtype(),
                                           .kv_heads = 1,
                                           .head_dim = i == 2 ? 64 : 16};
            check_attention(&shape, 2, 0.0f);
        }
    }
}

/* Long sequences in few units: with a workspace they are cut into slices of leaves, and beyond four
 * groups (16,384 positions) whole groups are slices. The same bits as without are compared by
 * check_attention, whose workspace comes and goes at random. */
TEST(attention_slices)
{
    static const struct {
        int lengths[2], rows, window, heads, kv_heads, head_dim;
    } cases[] = {
        {{257, 40}, 1, 0, 3, 1, 64},      {{512, 700}, 1, 0, 9, 3, 16},
        {{1500, 10}, 5, 0, 4, 2, 32},     {{900, 3000}, 3, 0, 2, 1, 72},
        {{2000, 600}, 20, 300, 4, 1, 16}, {{5000, 4096}, 2, 0, 2, 2, 16},
        {{17000, 33}, 1, 0, 2, 1, 16},    {{18700, 5}, 2, 17000, 1, 1, 16},
    };
    seed_test(12);
    for (int round = 0; round < 16; round++) {
        const int i = round % 8;
        if (round >= 8 && cases[i].lengths[0] > 16000)
            continue; /* once is enough */
        struct mt_batch_shape shape = {.sequences = cases[i].lengths[0] > 16000 ? 1 : 2,
                                       .rows = {cases[i].rows, 1},
                                       .kv_len = {cases[i].lengths[0], cases[i].lengths[1]},
                                       .window = cases[i].window,
                                       .written = true,
                                       .dtype = mt_kv_dtype(),
                                       .kv_heads = cases[i].kv_heads,
                                       .head_dim = cases[i].head_dim};
        check_attention(&shape, cases[i].heads, round % 5 ? 0.0f : 20.0f);
    }
}

/* How many units a decode row of that many positions has, with and without workspace. */
static void check_unit_counts(const struct kn_kernel *kernel, int length, int64_t unsplit,
                              int64_t split)
{
    struct mt_batch_shape shape = {.sequences = 1,
                                   .rows = {1},
                                   .kv_len = {length},
                                   .written = true,
                                   .dtype = TN_F16,
                                   .kv_heads = 3,
                                   .head_dim = 16};
    mt_make_batch(&pages, &shape);
    struct op_attention_attrs attrs = {9, 3, 16, 0, 1, 0.25f, 0, 0, TN_F16};
    struct kn_bounds bounds = {8, length};
    struct kn_call call = {.batch = &pages.batch, .rows = 1, .attrs = &attrs, .inputs = 3};
    call.operand[1] = &pages.state;
    CHECK_INT(kernel->units(&call), unsplit);
    call.workspace_bytes = kernel->workspace_bytes(&attrs, &bounds);
    call.workspace = mt_alloc(call.workspace_bytes, 0);
    CHECK_INT(kernel->units(&call), split);
    call.workspace_bytes = 64; /* too small: as without */
    CHECK_INT(kernel->units(&call), unsplit);
    mt_free_to(0);
}

TEST(attention_has_units_for_threads)
{
    seed_test(13);
    for (int i = 0; i < kn_count(); i++) {
        const struct kn_kernel *kernel = kn_at(i);
        if (kernel->op != OP_ATTENTION || !kernel->workspace_bytes ||
            kernel->cpu_class > hs_cpu_get()->best)
            continue;
        check_unit_counts(kernel, 256, 3, 3);
        check_unit_counts(kernel, 257, 3, 6);
        check_unit_counts(kernel, 4096, 3, 3 * 16);
        check_unit_counts(kernel, 18000, 3, 3 * (1 + 3 * 16 + 7)); /* 71 leaves: groups 0..4 */
    }
}

/* Linear. */

enum linear_form {
    FORM_STORE,
    FORM_ADD,
    FORM_SCALE_CAP,
    FORM_QUANTIZE,
    FORM_GLU_SILU_QUANTIZE,
    FORM_GLU_GELU_STORE,
    FORM_GLU_SILU_ADD,
    FORM_ROPE_STORE,
    FORM_QKV,
    FORM_MANY,
    FORM_COUNT
};

struct linear_build {
    struct op_linear_attrs attrs;
    struct mt_case test;
    int rows; /* T */
};

static int add_input(struct linear_build *build, void *operand)
{
    build->test.call.operand[build->test.call.inputs] = operand;
    return build->test.call.inputs++;
}

static int add_output(struct linear_build *build, size_t bytes)
{
    build->test.output_bytes[build->test.call.outputs] = bytes;
    build->attrs.outputs++;
    return build->test.call.outputs++;
}

static struct op_segment *add_segment(struct linear_build *build, enum tn_dtype dtype,
                                      enum tn_layout layout, int64_t rows)
{
    struct op_segment *segment = &build->attrs.segment[build->attrs.segments++];
    segment->dtype = (int32_t)dtype;
    segment->layout = (int32_t)layout;
    segment->rows = rows;
    segment->weight = add_input(build, mt_weight(dtype, layout, rows, build->attrs.cols));
    return segment;
}

static void add_step(struct op_segment *segment, enum op_epilogue_kind kind, int operand,
                     int output)
{
    int i = 0;
    while (segment->steps[i].kind != OP_EPI_END)
        i++;
    CHECK(i < OP_EPILOGUE_STEPS);
    segment->steps[i] = (struct op_epilogue_step){(int32_t)kind, operand, output, 0};
    if (kind == OP_EPI_SCALE)
        segment->steps[i].value = 0.75f;
    if (kind == OP_EPI_SOFTCAP)
        segment->steps[i].value = 5.0f;
}

static void add_store(struct linear_build *build, struct op_segment *segment)
{
    size_t bytes = (size_t)build->rows * (size_t)segment->rows * 4;
    add_step(segment, OP_EPI_STORE, -1, add_output(build, bytes));
}

static void add_quantize(struct linear_build *build, struct op_segment *segment)
{
    add_step(segment, OP_EPI_QUANTIZE, -1, add_output(build, a8_bytes(build->rows, segment->rows)));
}

static void add_residual(struct linear_build *build, struct op_segment *segment)
{
    float *residual = mt_floats(build->rows * segment->rows, 2);
    add_step(segment, OP_EPI_ADD, add_input(build, residual), -1);
}

static void add_glu(struct linear_build *build, enum tn_dtype dtype, enum tn_layout layout,
                    int64_t rows, enum op_epilogue_kind kind)
{
    struct op_segment *gate = add_segment(build, dtype, layout, rows);
    add_step(gate, kind, -1, -1);
    struct op_segment *up = add_segment(build, dtype, layout, rows);
    add_step(up, OP_EPI_PAIRED, -1, -1);
}

static int least_common_multiple(int a, int b)
{
    int x = a;
    while (x % b != 0)
        x += a;
    return x;
}

static void add_rope(struct linear_build *build, struct op_segment *segment, int head_dim, int dims,
                     int table)
{
    (void)build;
    segment->rope_head_dim = head_dim;
    segment->rope_dims = dims;
    segment->rope_style = mt_below(2) ? OP_ROPE_HALVES : OP_ROPE_ADJACENT;
    add_step(segment, OP_EPI_ROPE, table, -1);
}

static void add_append(struct linear_build *build, struct op_segment *segment,
                       enum op_epilogue_kind kind, int layer)
{
    segment->kv_heads = pages.state.layout.kv_heads;
    segment->kv_head_dim = pages.state.layout.head_dim;
    segment->kv_layer = layer;
    segment->kv_dtype = (int32_t)pages.state.layout.dtype;
    add_step(segment, kind, build->test.state_input, add_output(build, 0));
}

/* Another type that takes the same activations. */
static enum tn_dtype sibling_type(const struct linear_build *build)
{
    return mt_pick_type(build->attrs.input_a8, build->attrs.cols);
}

static void build_qkv(struct linear_build *build, enum tn_dtype dtype, enum tn_layout layout)
{
    int head_dim = pages.state.layout.head_dim, kv_heads = pages.state.layout.kv_heads;
    int dims = mt_below(3) ? head_dim : head_dim / 4 * 2;
    int layer = mt_below(3);
    build->attrs.unit_rows = least_common_multiple(head_dim, 32) * (1 + mt_below(2));
    build->test.pages = &pages;
    build->test.state_input = add_input(build, NULL);
    int table = add_input(build, mt_floats((int64_t)build->rows * dims, 1));
    struct op_segment *q =
        add_segment(build, dtype, layout, (int64_t)head_dim * kv_heads * (1 + mt_below(3)));
    add_rope(build, q, head_dim, dims, table);
    add_store(build, q);
    struct op_segment *k =
        add_segment(build, sibling_type(build), layout, (int64_t)head_dim * kv_heads);
    add_rope(build, k, head_dim, dims, table);
    add_append(build, k, OP_EPI_APPEND_K, layer);
    struct op_segment *v =
        add_segment(build, sibling_type(build), layout, (int64_t)head_dim * kv_heads);
    add_append(build, v, OP_EPI_APPEND_V, layer);
}

static void build_many(struct linear_build *build, enum tn_dtype dtype, enum tn_layout layout)
{
    add_store(build, add_segment(build, dtype, layout, 64));
    add_glu(build, sibling_type(build), layout, 96, OP_EPI_GLU_SILU);
    add_quantize(build, &build->attrs.segment[1]);
    struct op_segment *last = add_segment(build, sibling_type(build), layout, 100);
    add_residual(build, last);
    add_store(build, last);
}

static void build_rope_store(struct linear_build *build, enum tn_dtype dtype, enum tn_layout layout)
{
    int head_dim = MT_PICK(head_dims);
    int dims = mt_below(3) ? head_dim : head_dim / 4 * 2;
    build->attrs.unit_rows = least_common_multiple(head_dim, 32);
    int table = add_input(build, mt_floats((int64_t)build->rows * dims, 1));
    struct op_segment *q = add_segment(build, dtype, layout, (int64_t)head_dim * (1 + mt_below(4)));
    add_rope(build, q, head_dim, dims, table);
    add_store(build, q);
}

static void build_form(struct linear_build *build, enum linear_form form, enum tn_dtype dtype,
                       enum tn_layout layout)
{
    static const int odd_rows[] = {1, 32, 48, 64, 100, 128, 250};
    int64_t any = MT_PICK(odd_rows), whole = 32 * (1 + mt_below(8));
    struct op_segment *segment;
    switch (form) {
    case FORM_STORE:
        add_store(build, add_segment(build, dtype, layout, any));
        break;
    case FORM_ADD:
        segment = add_segment(build, dtype, layout, any);
        add_residual(build, segment);
        add_store(build, segment);
        break;
    case FORM_SCALE_CAP:
        segment = add_segment(build, dtype, layout, any);
        add_step(segment, OP_EPI_SCALE, -1, -1);
        add_step(segment, OP_EPI_SOFTCAP, -1, -1);
        add_store(build, segment);
        break;
    case FORM_QUANTIZE:
        add_quantize(build, add_segment(build, dtype, layout, whole));
        break;
    case FORM_GLU_SILU_QUANTIZE:
        add_glu(build, dtype, layout, whole, OP_EPI_GLU_SILU);
        add_quantize(build, &build->attrs.segment[0]);
        break;
    case FORM_GLU_GELU_STORE:
        add_glu(build, dtype, layout, any, OP_EPI_GLU_GELU);
        add_store(build, &build->attrs.segment[0]);
        break;
    case FORM_GLU_SILU_ADD:
        add_glu(build, dtype, layout, any, OP_EPI_GLU_SILU);
        add_residual(build, &build->attrs.segment[0]);
        add_store(build, &build->attrs.segment[0]);
        break;
    case FORM_ROPE_STORE:
        build_rope_store(build, dtype, layout);
        break;
    case FORM_QKV:
        build_qkv(build, dtype, layout);
        break;
    case FORM_MANY:
        build_many(build, dtype, layout);
        break;
    case FORM_COUNT:
        break;
    }
}

static void check_linear(enum linear_form form, enum tn_dtype dtype, enum tn_layout layout, int t,
                         int cols)
{
    static struct linear_build build;
    memset(&build, 0, sizeof build);
    struct mt_batch_shape shape = random_shape(t, 100);
    shape.kv_heads = 1 + mt_below(2);
    shape.head_dim = MT_PICK(head_dims);
    mt_make_batch(&pages, &shape);
    build.rows = t;
    cols = (int)mt_whole_blocks(dtype, cols);
    build.attrs.cols = cols;
    build.attrs.input_a8 = tn_dtype_is_quantized(dtype);
    build.attrs.unit_rows = 32 * (1 + mt_below(4));
    build.test = (struct mt_case){.op = OP_LINEAR, .attrs = &build.attrs, .state_input = -1};
    build.test.call.rows = t;
    build.test.call.batch = &pages.batch;
    add_input(&build, mt_activation(build.attrs.input_a8, t, cols));
    add_input(&build, NULL); /* %batch */
    build_form(&build, form, dtype, layout);
    mt_check(&build.test);
    mt_free_to(0);
}

TEST(linear_all_forms)
{
    seed_test(10);
    for (int round = 0; round < 2; round++) {
        for (int type = 0; type < PANEL_TYPES; type++) {
            for (int form = 0; form < FORM_COUNT; form++) {
                check_linear((enum linear_form)form, panel_type(type), TN_LAYOUT_PANEL32,
                             MT_PICK(row_counts), MT_PICK(feature_counts));
                check_linear((enum linear_form)form, panel_type(type), TN_LAYOUT_ROWS,
                             MT_PICK(row_counts), MT_PICK(feature_counts));
            }
        }
    }
}

TEST(linear_all_sizes)
{
    seed_test(11);
    for (int type = 0; type < PANEL_TYPES; type++) {
        FOR_SIZES(t, n)
        {
            check_linear((enum linear_form)mt_below(FORM_COUNT), panel_type(type),
                         TN_LAYOUT_PANEL32, t, n);
        }
    }
}

TEST(every_supported_kernel_was_compared)
{
    for (int i = 0; i < kn_count(); i++) {
        const struct kn_kernel *kernel = kn_at(i);
        if (kernel->cpu_class > hs_cpu_get()->best)
            printf("  %-36s not supported by this machine\n", kernel->name);
        else
            printf("  %-36s %d cases\n", kernel->name, mt_cases_of[i]);
        CHECK(kernel->cpu_class > hs_cpu_get()->best || mt_cases_of[i] > 0 ||
              hs_cpu_get()->best == HS_CPU_CLASS_REF);
    }
}

TEST_MAIN()
