/* The reference linear against integer and double sums, and its epilogue steps against their
 * statement in ops/op_attrs.h. */
#include "kernels/math.h"
#include "unit/kernels/match_harness.h"

#define ROWS 11 /* activation rows: more than one pass of the reference */

static struct op_linear_attrs attrs;
static struct kn_call call;

static void run_call(void)
{
    call.attrs = &attrs;
    const struct kn_kernel *kernel = kn_find(OP_LINEAR, &attrs, HS_CPU_CLASS_REF);
    CHECK(kernel != NULL);
    void *scratch = mt_alloc(kernel->scratch_bytes(&attrs), 0xff);
    CHECK_INT(kernel->run(&call, 0, kernel->units(&call), scratch), HASTEN_OK);
    CHECK(mt_guards_intact());
}

/* linear of one segment with a store; x and the weights are small integers, so that every order of
 * summation is exact. */
static void start(int64_t cols, int64_t features, enum tn_dtype dtype)
{
    memset(&attrs, 0, sizeof attrs);
    memset(&call, 0, sizeof call);
    attrs.cols = cols;
    attrs.segments = 1;
    attrs.unit_rows = 32;
    attrs.input_a8 = tn_dtype_is_quantized(dtype);
    attrs.outputs = 1;
    attrs.segment[0].dtype = (int32_t)dtype;
    attrs.segment[0].layout = TN_LAYOUT_ROWS;
    attrs.segment[0].weight = 2;
    attrs.segment[0].rows = features;
    call.rows = ROWS;
    call.inputs = 3;
    call.outputs = 1;
}

static void set_step(int segment, int index, enum op_epilogue_kind kind, int operand, int output,
                     float value)
{
    attrs.segment[segment].steps[index] =
        (struct op_epilogue_step){(int32_t)kind, operand, output, value};
}

static void fill_integers(float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)(mt_below(15) - 7);
}

static void check_integers(enum tn_dtype dtype, enum tn_layout layout)
{
    int64_t cols = 96, features = 50;
    start(cols, features, dtype);
    attrs.segment[0].layout = (int32_t)layout;
    set_step(0, 0, OP_EPI_STORE, -1, 0, 0);
    float *w = mt_floats(features * cols, 0), *x = mt_floats(ROWS * cols, 0);
    float *out = mt_floats(ROWS * features, 0);
    fill_integers(w, features * cols);
    fill_integers(x, ROWS * cols);
    for (int64_t b = 0; b < features * cols; b += 32) { /* scales that are exact in every type */
        w[b] = dtype == TN_Q8_0 ? 127 : 8;
        w[b + 1] = -7;
    }
    for (int64_t b = 0; b < ROWS * cols; b += 32)
        x[b] = -127;
    size_t row_bytes, bytes;
    CHECK(tn_row_bytes(dtype, cols, &row_bytes));
    CHECK(tn_weight_bytes(dtype, layout, features, cols, &bytes));
    uint8_t *file = mt_alloc(row_bytes * (size_t)features, 0), *weight = mt_alloc(bytes, 0);
    for (int64_t n = 0; n < features; n++)
        kn_encode_row(dtype, w + n * cols, cols, file + (size_t)n * row_bytes);
    if (layout == TN_LAYOUT_PANEL32)
        kn_pack_panels(dtype, file, features, cols, 0, 2, weight);
    call.operand[0] = x;
    if (attrs.input_a8) {
        CHECK(tn_a8_bytes(ROWS, cols, &bytes));
        call.operand[0] = mt_alloc(bytes, 0);
        struct tn_a8 a8 = tn_a8_view(call.operand[0], ROWS, cols);
        for (int64_t t = 0; t < ROWS; t++)
            kn_quantize_row_ref(x + t * cols, cols, a8.codes + t * cols, a8.scales + t, a8.sums + t,
                                ROWS);
    }
    call.operand[2] = layout == TN_LAYOUT_PANEL32 ? weight : file;
    call.operand[3] = out;
    run_call();
    for (int64_t t = 0; t < ROWS; t++) {
        for (int64_t n = 0; n < features; n++) {
            double sum = 0;
            for (int64_t k = 0; k < cols; k++)
                sum += (double)w[n * cols + k] * (double)x[t * cols + k];
            CHECK(out[t * features + n] == (float)sum);
        }
    }
    mt_free_to(0);
}

TEST(integers_are_exact_in_every_type_and_layout)
{
    static const enum tn_dtype types[] = {TN_F32, TN_F16, TN_BF16, TN_Q8_0, TN_Q4_1};
    mt_state = test_seed(21);
    for (int i = 0; i < 5; i++) {
        check_integers(types[i], TN_LAYOUT_ROWS);
        check_integers(types[i], TN_LAYOUT_PANEL32);
    }
}

/* out of the reference for a weight in a layout. */
static float *run_layout(enum tn_dtype dtype, enum tn_layout layout, void *weight, void *input)
{
    start(512, 50, dtype);
    attrs.segment[0].layout = (int32_t)layout;
    set_step(0, 0, OP_EPI_STORE, -1, 0, 0);
    call.operand[0] = input;
    call.operand[2] = weight;
    call.operand[3] = mt_floats(ROWS * 50, 0);
    run_call();
    return call.operand[3];
}

/* Against double sums of what kn_decode_row says the weights are: the chain's rounding only. */
static void check_sums(enum tn_dtype dtype, const uint8_t *file, void *input, const float *out)
{
    struct tn_a8 a8 = tn_a8_view(input, ROWS, 512);
    size_t row_bytes;
    float w[512];
    CHECK(tn_row_bytes(dtype, 512, &row_bytes));
    for (int n = 0; n < 50; n++) {
        kn_decode_row(dtype, file + (size_t)n * row_bytes, 512, w);
        for (int t = 0; t < ROWS; t++) {
            double sum = 0, size = 0;
            for (int k = 0; k < 512; k++) {
                double x = (double)a8.scales[k / 32 * ROWS + t] * a8.codes[t * 512 + k];
                sum += (double)w[k] * x;
                size += fabs((double)w[k] * x);
            }
            if (!(fabs((double)out[t * 50 + n] - sum) <= 1e-5 * size))
                TEST_FAIL("%s: row %d feature %d is %a, expected %a", tn_dtype_info(dtype)->name, t,
                          n, (double)out[t * 50 + n], sum);
        }
    }
}

TEST(every_coded_type_in_both_layouts)
{
    mt_state = test_seed(22);
    for (int i = 0; i < MT_CODED_TYPES; i++) {
        const enum tn_dtype dtype = mt_coded_types[i];
        uint8_t *file = mt_weight(dtype, TN_LAYOUT_ROWS, 50, 512);
        size_t bytes;
        CHECK(tn_weight_bytes(dtype, TN_LAYOUT_PANEL32, 50, 512, &bytes));
        uint8_t *panels = mt_alloc(bytes, 0xff);
        kn_pack_panels(dtype, file, 50, 512, 0, 2, panels);
        void *input = mt_activation(true, ROWS, 512);
        const float *rows_out = run_layout(dtype, TN_LAYOUT_ROWS, file, input);
        const float *panel_out = run_layout(dtype, TN_LAYOUT_PANEL32, panels, input);
        CHECK(memcmp(rows_out, panel_out, ROWS * 50 * sizeof(float)) == 0);
        check_sums(dtype, file, input, rows_out);
        mt_free_to(0);
    }
}

/* The order of a chain with groups of 16 and minimums, written out: q2_k, one block. */
TEST(chain_of_sixteens)
{
    uint8_t *block = mt_weight(TN_Q2_K, TN_LAYOUT_ROWS, 1, 256);
    start(256, 1, TN_Q2_K);
    set_step(0, 0, OP_EPI_STORE, -1, 0, 0);
    call.operand[0] = mt_activation(true, ROWS, 256);
    call.operand[2] = block;
    call.operand[3] = mt_floats(ROWS, 0);
    run_call();
    struct tn_a8 a8 = tn_a8_view(call.operand[0], ROWS, 256);
    float d = tn_f16_to_f32((uint16_t)(block[80] | block[81] << 8));
    float dmin = tn_f16_to_f32((uint16_t)(block[82] | block[83] << 8));
    for (int t = 0; t < ROWS; t++) {
        float acc = 0;
        for (int g = 0; g < 16; g++) {
            int isum = 0, sum = 0;
            for (int k = 16 * g; k < 16 * g + 16; k++) {
                int code = block[16 + k / 128 * 32 + k % 32] >> (k / 32 % 4 * 2) & 3;
                isum += code * a8.codes[t * 256 + k];
                sum += a8.codes[t * 256 + k];
            }
            float scale = a8.scales[g / 2 * ROWS + t];
            acc = fmaf((float)isum, (d * (float)(block[g] & 15)) * scale, acc);
            acc = fmaf(-(dmin * (float)(block[g] >> 4)), scale * (float)sum, acc);
        }
        CHECK(((const float *)call.operand[3])[t] == acc);
    }
    mt_free_to(0);
}

/* The chain of one element, written out. */
TEST(float_chain)
{
    float w[3] = {0.1f, 1e8f, -1e8f}, x[3] = {3.3f, 1.5f, 1.5f};
    float out[ROWS], rows[ROWS * 3];
    start(3, 1, TN_F32);
    set_step(0, 0, OP_EPI_STORE, -1, 0, 0);
    for (int t = 0; t < ROWS; t++)
        memcpy(rows + t * 3, x, sizeof x);
    call.operand[0] = rows;
    call.operand[2] = w;
    call.operand[3] = out;
    run_call();
    float expected = fmaf(w[2], x[2], fmaf(w[1], x[1], fmaf(w[0], x[0], 0.0f)));
    for (int t = 0; t < ROWS; t++)
        CHECK(out[t] == expected);
    mt_free_to(0);
}

/* Identity weights (32 x 32): the epilogue sees x itself. */
static float identity[32 * 32], x_rows[ROWS * 32], extra[ROWS * 32], result[ROWS * 32];

static void start_identity(void)
{
    start(32, 32, TN_F32);
    memset(identity, 0, sizeof identity);
    for (int i = 0; i < 32; i++)
        identity[i * 33] = 1.0f;
    for (int i = 0; i < ROWS * 32; i++)
        x_rows[i] = mt_float(4), extra[i] = mt_float(4);
    call.operand[0] = x_rows;
    call.operand[2] = identity;
    call.operand[3] = extra;
    call.operand[4] = result;
    call.inputs = 4;
}

TEST(steps_run_in_order)
{
    start_identity();
    set_step(0, 0, OP_EPI_SCALE, -1, -1, 0.3f);
    set_step(0, 1, OP_EPI_ADD, 3, -1, 0);
    set_step(0, 2, OP_EPI_SOFTCAP, -1, -1, 2.5f);
    set_step(0, 3, OP_EPI_STORE, -1, 0, 0);
    run_call();
    for (int i = 0; i < ROWS * 32; i++)
        CHECK(result[i] == 2.5f * kn_tanhf((x_rows[i] * 0.3f + extra[i]) / 2.5f));
    mt_free_to(0);
}

TEST(glu_takes_the_paired_segment)
{
    for (int gelu = 0; gelu < 2; gelu++) {
        start_identity();
        float doubled[32 * 32];
        for (int i = 0; i < 32 * 32; i++)
            doubled[i] = 2.0f * identity[i];
        attrs.segments = 2;
        attrs.segment[1] = attrs.segment[0];
        attrs.segment[1].weight = 3;
        call.operand[3] = doubled;
        set_step(0, 0, gelu ? OP_EPI_GLU_GELU : OP_EPI_GLU_SILU, -1, -1, 0);
        set_step(0, 1, OP_EPI_STORE, -1, 0, 0);
        set_step(1, 0, OP_EPI_PAIRED, -1, -1, 0);
        run_call();
        for (int i = 0; i < ROWS * 32; i++) {
            float gate = gelu ? kn_gelu_tanhf(x_rows[i]) : kn_siluf(x_rows[i]);
            CHECK(result[i] == gate * (2.0f * x_rows[i]));
        }
        mt_free_to(0);
    }
}

TEST(rope_step_rotates_each_head)
{
    for (int style = 0; style < 2; style++) {
        start_identity();
        attrs.segment[0].rope_head_dim = 16;
        attrs.segment[0].rope_dims = 8;
        attrs.segment[0].rope_style = style;
        set_step(0, 0, OP_EPI_ROPE, 3, -1, 0);
        set_step(0, 1, OP_EPI_STORE, -1, 0, 0);
        run_call(); /* extra is the table: [ROWS][4][2] */
        for (int i = 0; i < ROWS * 32; i++) {
            int t = i / 32, d = i % 16;
            const float *table = extra + t * 8;
            int pair = style == OP_ROPE_ADJACENT ? d / 2 : d % 4;
            bool second = style == OP_ROPE_ADJACENT ? d % 2 : d >= 4;
            float c = table[2 * pair], s = table[2 * pair + 1];
            int distance = style == OP_ROPE_ADJACENT ? 1 : 4;
            float expected = second ? fmaf(x_rows[i - distance], s, x_rows[i] * c)
                                    : fmaf(x_rows[i], c, -(x_rows[i + distance] * s));
            CHECK(result[i] == (d >= 8 ? x_rows[i] : expected));
        }
        mt_free_to(0);
    }
}

TEST(wrong_attributes_are_refused)
{
    start_identity();
    set_step(0, 0, OP_EPI_STORE, -1, 0, 0);
    CHECK(kn_find(OP_LINEAR, &attrs, HS_CPU_CLASS_REF) != NULL);
    struct op_linear_attrs good = attrs;
    attrs.input_a8 = 1; /* f32 weights take f32 activations */
    CHECK(kn_find(OP_LINEAR, &attrs, HS_CPU_CLASS_REF) == NULL);
    attrs = good;
    attrs.unit_rows = 48;
    CHECK(kn_find(OP_LINEAR, &attrs, HS_CPU_CLASS_REF) == NULL);
    attrs = good;
    set_step(0, 0, OP_EPI_SCALE, -1, -1, 1); /* a list that writes nothing */
    CHECK(kn_find(OP_LINEAR, &attrs, HS_CPU_CLASS_REF) == NULL);
    attrs = good;
    set_step(0, 1, OP_EPI_SCALE, -1, -1, 1); /* a step after the last */
    CHECK(kn_find(OP_LINEAR, &attrs, HS_CPU_CLASS_REF) == NULL);
    attrs = good;
    set_step(0, 0, OP_EPI_GLU_SILU, -1, -1, 0); /* no paired segment */
    set_step(0, 1, OP_EPI_STORE, -1, 0, 0);
    CHECK(kn_find(OP_LINEAR, &attrs, HS_CPU_CLASS_REF) == NULL);
    attrs = good;
    attrs.input_a8 = 1;
    attrs.segment[0].dtype = TN_Q8_0;
    CHECK(kn_find(OP_LINEAR, &attrs, HS_CPU_CLASS_REF) != NULL);
    attrs.segment[0].dtype = TN_Q6_K; /* 32 columns are no whole block */
    CHECK(kn_find(OP_LINEAR, &attrs, HS_CPU_CLASS_AVX512VNNI) == NULL);
    attrs = good;
    attrs.segment[0].dtype = TN_I32;
    CHECK(kn_find(OP_LINEAR, &attrs, HS_CPU_CLASS_AVX512VNNI) == NULL);
}

TEST_MAIN()
