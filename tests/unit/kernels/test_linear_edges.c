/*
 * linear at its edges: every number of rows (token groups, chunks), sizes that are no multiple of a
 * unit, K with odd and even block counts, extreme codes, NaN blocks, several segments of mixed
 * types. Every kernel of the table against the reference, with == (match_harness.h).
 */
#include "unit/kernels/match_harness.h"

static uint8_t *packed(enum tn_dtype dtype, const void *source, int64_t rows, int64_t cols)
{
    size_t bytes;
    CHECK(tn_weight_bytes(dtype, TN_LAYOUT_PANEL32, rows, cols, &bytes));
    uint8_t *panels = mt_alloc(bytes, 0xff);
    kn_pack_panels(dtype, source, rows, cols, 0, (rows + 31) / 32, panels);
    return panels;
}

static struct op_linear_attrs edge_attrs;
static struct mt_case edge_case;

/* Starts a case; weights and outputs are added by add_stored. */
static void begin(bool a8, int64_t tokens, int64_t cols, int unit_rows)
{
    memset(&edge_attrs, 0, sizeof edge_attrs);
    edge_attrs.cols = cols;
    edge_attrs.input_a8 = a8;
    edge_attrs.unit_rows = unit_rows;
    edge_case = (struct mt_case){.op = OP_LINEAR, .attrs = &edge_attrs, .state_input = -1};
    edge_case.call.rows = tokens;
    edge_case.call.inputs = 2;
    edge_case.call.operand[0] = mt_activation(a8, tokens, cols);
}

/* One more segment, stored as f32. */
static void add_stored(enum tn_dtype dtype, void *weight, int64_t rows)
{
    struct op_segment *segment = &edge_attrs.segment[edge_attrs.segments++];
    const int output = edge_attrs.outputs++;
    segment->dtype = (int32_t)dtype;
    segment->layout = TN_LAYOUT_PANEL32;
    segment->rows = rows;
    segment->weight = edge_case.call.inputs++;
    edge_case.call.operand[segment->weight] = weight;
    segment->steps[0] = (struct op_epilogue_step){OP_EPI_STORE, -1, output, 0};
    edge_case.call.outputs = edge_attrs.outputs;
    edge_case.output_bytes[output] = (size_t)(edge_case.call.rows * rows) * sizeof(float);
}

static void check_plain(enum tn_dtype dtype, int64_t tokens, int64_t rows, int64_t cols)
{
    cols = mt_whole_blocks(dtype, cols);
    begin(tn_dtype_is_quantized(dtype), tokens, cols, 32 * (1 + mt_below(3)));
    add_stored(dtype, mt_weight(dtype, TN_LAYOUT_PANEL32, rows, cols), rows);
    mt_check(&edge_case);
    mt_free_to(0);
}

static void seed_test(uint64_t stream)
{
    mt_free_to(0);
    mt_state = test_seed(7) * 1000003u + stream;
}

TEST(every_row_count)
{
    seed_test(1);
    for (int tokens = 1; tokens <= 40; tokens++) {
        for (int i = 0; i < MT_CODED_TYPES; i++)
            check_plain(mt_coded_types[i], tokens, 64, 96);
        for (int i = 0; i < 3; i++)
            check_plain(mt_plain_types[i], tokens, 64, 33);
    }
}

TEST(row_counts_around_chunks)
{
    static const int tokens[] = {47, 48, 49, 50, 71, 72, 73, 95, 96, 97, 120, 145, 200};
    seed_test(2);
    for (int t = 0; t < 13; t++) {
        for (int i = 0; i < MT_CODED_TYPES; i++)
            check_plain(mt_coded_types[i], tokens[t], 65, 64);
        check_plain(mt_plain_types[t % 3], tokens[t], 65, 7);
    }
}

TEST(every_tail)
{
    static const int cols[] = {32, 96, 288};
    seed_test(3);
    for (int rows = 1; rows <= 130; rows += rows < 68 ? 1 : 7) {
        const int tokens = 1 + mt_below(9);
        for (int i = 0; i < MT_CODED_TYPES; i++)
            check_plain(mt_coded_types[i], tokens, rows, cols[rows % 3]);
        check_plain(mt_plain_types[rows % 3], tokens, rows, 1 + mt_below(40));
    }
}

/* Bytes of a block that are no codes: up to two f16 scales, or an exponent. */
struct scale_bytes {
    enum tn_dtype dtype;
    int at[2], bytes;
};

static const struct scale_bytes scale_bytes[] = {
    {TN_Q4_0, {0, -1}, 2},   {TN_Q4_1, {0, 2}, 2},    {TN_Q5_0, {0, -1}, 2},
    {TN_Q5_1, {0, 2}, 2},    {TN_Q8_0, {0, -1}, 2},   {TN_Q2_K, {80, 82}, 2},
    {TN_Q3_K, {108, -1}, 2}, {TN_Q4_K, {0, 2}, 2},    {TN_Q5_K, {0, 2}, 2},
    {TN_Q6_K, {208, -1}, 2}, {TN_IQ4_NL, {0, -1}, 2}, {TN_IQ4_XS, {0, -1}, 2},
    {TN_MXFP4, {0, -1}, 1},
};

/* Overwrites codes (and the integer scales of K types) with one byte or, mixed, with several. */
static void make_extreme(const struct scale_bytes *scale, int64_t blocks, int mixed, uint8_t *block)
{
    static const uint8_t bytes[] = {0xff, 0x00, 0x80, 0x7f, 0x81, 0xf0, 0x0f};
    const int block_bytes = tn_dtype_info(scale->dtype)->block_bytes;
    for (int64_t b = 0; b < blocks; b++, block += block_bytes) {
        for (int i = 0; i < block_bytes; i++) {
            bool keep = false;
            for (int s = 0; s < 2; s++)
                keep |= scale->at[s] >= 0 && i >= scale->at[s] && i < scale->at[s] + scale->bytes;
            if (!keep)
                block[i] = mixed < 4 ? bytes[mixed] : MT_PICK(bytes);
        }
    }
}

/* Codes at both ends of their range: sums reach their bounds, products of -128 are exact. */
TEST(extreme_codes)
{
    enum { ROWS = 40, COLS = 256, TOKENS = 30 };
    static const int8_t a_codes[] = {127, -127, 0, 1, 127};
    seed_test(4);
    for (int round = 0; round < MT_CODED_TYPES * 30; round++) {
        const struct scale_bytes *scale = &scale_bytes[round % MT_CODED_TYPES];
        const struct kn_random random = {mt_u64(), 0, 0.1f};
        const int tokens = 1 + mt_below(TOKENS), mixed = round / MT_CODED_TYPES % 6;
        begin(true, tokens, COLS, 32);
        size_t bytes;
        CHECK(tn_weight_bytes(scale->dtype, TN_LAYOUT_ROWS, ROWS, COLS, &bytes));
        uint8_t *source = mt_alloc(bytes, 0);
        CHECK(kn_random_row(scale->dtype, &random, ROWS * COLS, source));
        make_extreme(scale, ROWS * COLS / tn_dtype_info(scale->dtype)->block, mixed, source);
        struct tn_a8 view = tn_a8_view(edge_case.call.operand[0], tokens, COLS);
        const int same = mt_below(2);
        for (int i = 0; i < tokens * COLS; i++)
            view.codes[i] = mt_below(3) && mixed == 4 ? MT_PICK(a_codes) : a_codes[same];
        add_stored(scale->dtype, packed(scale->dtype, source, ROWS, COLS), ROWS);
        mt_check(&edge_case);
        mt_free_to(0);
    }
}

/* Scales at the ends of f32 and f16: subnormal, zero, largest. */
TEST(extreme_scales)
{
    enum { ROWS = 40, COLS = 256 };
    static const uint8_t exponents[] = {0, 1, 2, 3, 127, 200, 240};
    static const uint16_t halves[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x7bff, 0xfbff};
    seed_test(8);
    for (int round = 0; round < MT_CODED_TYPES * 6; round++) {
        const struct scale_bytes *scale = &scale_bytes[round % MT_CODED_TYPES];
        const int block_bytes = tn_dtype_info(scale->dtype)->block_bytes;
        const struct kn_random random = {mt_u64(), 0, 0.1f};
        begin(true, 1 + mt_below(30), COLS, 32);
        uint8_t *source = mt_alloc((size_t)(ROWS * COLS) * 2, 0);
        CHECK(kn_random_row(scale->dtype, &random, ROWS * COLS, source));
        for (int b = 0; b < ROWS * COLS / tn_dtype_info(scale->dtype)->block; b++) {
            for (int s = 0; s < 2 && scale->at[s] >= 0; s++) {
                uint8_t *at = source + b * block_bytes + scale->at[s];
                const uint16_t half = MT_PICK(halves);
                if (scale->bytes == 1)
                    *at = MT_PICK(exponents);
                else
                    memcpy(at, &half, 2);
            }
        }
        add_stored(scale->dtype, packed(scale->dtype, source, ROWS, COLS), ROWS);
        mt_check(&edge_case);
        mt_free_to(0);
    }
}

/* A faulty block (scale NaN) spoils its own row and no other. */
TEST(fault_stays_in_its_row)
{
    enum { ROWS = 64, COLS = 256, TOKENS = 26, BAD = 17 };
    seed_test(5);
    for (int i = 0; i < kn_count(); i++) {
        const struct kn_kernel *kernel = kn_at(i);
        if (kernel->op != OP_LINEAR || kernel->cpu_class > hs_cpu_get()->best)
            continue;
        for (int type = 0; type < MT_CODED_TYPES; type++) {
            const enum tn_dtype dtype = mt_coded_types[type];
            begin(true, TOKENS, COLS, 64);
            struct tn_a8 view = tn_a8_view(edge_case.call.operand[0], TOKENS, COLS);
            view.scales[TOKENS + BAD] = view.sums[TOKENS + BAD] = NAN;
            add_stored(dtype, mt_weight(dtype, TN_LAYOUT_PANEL32, ROWS, COLS), ROWS);
            if (kernel->accepts(&edge_attrs)) {
                struct mt_result result;
                mt_run(kernel, &edge_case, &result);
                const float *out = (const float *)(const void *)result.output[0];
                for (int e = 0; e < TOKENS * ROWS; e++)
                    CHECK(isnan(out[e]) == (e / ROWS == BAD));
            }
            mt_free_to(0);
        }
    }
}

TEST(many_segments_of_mixed_types)
{
    seed_test(6);
    for (int round = 0; round < 60; round++) {
        const bool a8 = round % 2;
        const int cols = mt_below(2) ? 256 : a8 ? 32 * (1 + mt_below(9)) : 1 + mt_below(100);
        begin(a8, 1 + mt_below(60), cols, 32 * (1 + mt_below(3)));
        const int segments = 1 + mt_below(OP_LINEAR_SEGMENTS);
        for (int s = 0; s < segments; s++) {
            const enum tn_dtype dtype = mt_pick_type(a8, edge_attrs.cols);
            const int rows = 1 + mt_below(150);
            add_stored(dtype, mt_weight(dtype, TN_LAYOUT_PANEL32, rows, edge_attrs.cols), rows);
        }
        mt_check(&edge_case);
        mt_free_to(0);
    }
}

/* Makes outputs so large that exp leaves its range on both sides. */
static void enlarge_input(int64_t tokens, float factor)
{
    struct tn_a8 view = tn_a8_view(edge_case.call.operand[0], tokens, edge_attrs.cols);
    for (int64_t i = 0; i < tokens * edge_attrs.cols / TN_QUANT_BLOCK; i++) {
        view.scales[i] *= factor;
        view.sums[i] *= factor;
    }
}

/* GLU pairs of two types, both with enough rows to be unpacked and with few. */
TEST(glu_of_mixed_types)
{
    seed_test(7);
    for (int round = 0; round < 60; round++) {
        const int cols = mt_below(2) ? 256 : 32 * (1 + mt_below(5));
        begin(true, 1 + mt_below(110), cols, 32 * (1 + mt_below(3)));
        const int rows = 1 + mt_below(150);
        const enum tn_dtype gate = mt_pick_type(true, edge_attrs.cols);
        const enum tn_dtype up = mt_pick_type(true, edge_attrs.cols);
        enlarge_input(edge_case.call.rows, round % 3 ? 1.0f : 30.0f);
        add_stored(gate, mt_weight(gate, TN_LAYOUT_PANEL32, rows, edge_attrs.cols), rows);
        struct op_segment *first = &edge_attrs.segment[0], *second = first + 1;
        first->steps[1] = first->steps[0];
        first->steps[0] =
            (struct op_epilogue_step){round % 2 ? OP_EPI_GLU_SILU : OP_EPI_GLU_GELU, -1, -1, 0};
        second->dtype = (int32_t)up;
        second->layout = TN_LAYOUT_PANEL32;
        second->rows = rows;
        second->weight = edge_case.call.inputs++;
        second->steps[0] = (struct op_epilogue_step){OP_EPI_PAIRED, -1, -1, 0};
        edge_attrs.segments = 2;
        edge_case.call.operand[second->weight] =
            mt_weight(up, TN_LAYOUT_PANEL32, rows, edge_attrs.cols);
        mt_check(&edge_case);
        mt_free_to(0);
    }
}

TEST(every_supported_linear_kernel_was_compared)
{
    for (int i = 0; i < kn_count(); i++) {
        const struct kn_kernel *kernel = kn_at(i);
        if (kernel->op == OP_LINEAR && kernel->cpu_class <= hs_cpu_get()->best) {
            printf("  %-28s %d cases\n", kernel->name, mt_cases_of[i]);
            CHECK(mt_cases_of[i] > 0);
        }
    }
}

TEST_MAIN()
