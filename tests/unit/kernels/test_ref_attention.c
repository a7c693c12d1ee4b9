/* The reference attention against softmax in double, and what must not matter: chunking of the
 * prompt and page placement change no bit. */
#include "unit/kernels/match_harness.h"

#define KV_HEADS 2
#define HEADS    4
#define DIM      16

static float k_all[8400 * KV_HEADS * DIM], v_all[8400 * KV_HEADS * DIM], q_all[64 * HEADS * DIM];
static struct mt_batch pages;

static void fill_random(float *values, size_t count, float magnitude)
{
    for (size_t i = 0; i < count; i++)
        values[i] = mt_float(magnitude);
}

static void run_all(enum op_id op, const struct kn_call *call)
{
    _Alignas(64) static uint8_t scratch[16384];
    const struct kn_kernel *kernel = kn_find(op, call->attrs, HS_CPU_CLASS_REF);
    CHECK(kernel != NULL);
    CHECK(!kernel->scratch_bytes || kernel->scratch_bytes(call->attrs) <= sizeof scratch);
    CHECK_INT(kernel->run(call, 0, kernel->units(call), scratch), HASTEN_OK);
}

/* Appends rows [from, to) of k_all, v_all as one step of one sequence, with the table of `pages`
 * (made for the full length). */
static void append_chunk(int from, int to)
{
    struct op_kv_attrs attrs = {KV_HEADS, DIM, 1, (int32_t)pages.state.layout.dtype};
    int32_t row_start[2] = {0, to - from}, kv_len = to;
    int32_t *seq_of_row = hs_calloc((size_t)(to - from), 4);
    struct kn_batch batch = pages.batch;
    batch.tokens = to - from;
    batch.row_start = row_start;
    batch.kv_len = &kv_len;
    batch.seq_of_row = seq_of_row;
    struct kn_call call = {.batch = &batch, .rows = to - from, .attrs = &attrs, .inputs = 4};
    call.outputs = 1;
    call.operand[0] = call.operand[4] = &pages.state;
    call.operand[1] = k_all + (size_t)from * KV_HEADS * DIM;
    call.operand[2] = v_all + (size_t)from * KV_HEADS * DIM;
    run_all(OP_KV_APPEND, &call);
    hs_free(seq_of_row);
}

/* One sequence of kv_len positions whose last `rows` are queries. */
static void make_pages(int kv_len, int rows, enum tn_dtype dtype)
{
    struct mt_batch_shape shape = {.sequences = 1,
                                   .rows = {rows},
                                   .kv_len = {kv_len},
                                   .dtype = dtype,
                                   .kv_heads = KV_HEADS,
                                   .head_dim = DIM};
    mt_make_batch(&pages, &shape);
    memset(pages.state.pool, 0xff, pages.pool_bytes);
}

static struct op_attention_attrs attention_attrs(int window, float softcap)
{
    struct op_attention_attrs attrs = {HEADS, KV_HEADS, DIM, window, 1, 0.25f, softcap, 1, 0};
    attrs.kv_dtype = (int32_t)pages.state.layout.dtype;
    return attrs;
}

static void attend(const struct op_attention_attrs *attrs, float *out)
{
    struct kn_call call = {.batch = &pages.batch, .rows = pages.batch.tokens, .attrs = attrs};
    call.inputs = 3;
    call.outputs = 1;
    call.operand[0] = q_all;
    call.operand[1] = &pages.state;
    call.operand[3] = out;
    run_all(OP_ATTENTION, &call);
}

/* Softmax attention of row t, head h in double. */
static void attend_double(const struct op_attention_attrs *a, int position, int t, int h,
                          double out[DIM])
{
    int low = a->window > 0 && position - a->window + 1 > 0 ? position - a->window + 1 : 0;
    int kv_head = h / (HEADS / KV_HEADS);
    double sum = 0;
    memset(out, 0, DIM * sizeof *out);
    for (int j = low; j <= position; j++) {
        const float *k = k_all + (j * KV_HEADS + kv_head) * DIM;
        const float *v = v_all + (j * KV_HEADS + kv_head) * DIM;
        double s = 0;
        for (int d = 0; d < DIM; d++)
            s += (double)q_all[(t * HEADS + h) * DIM + d] * (double)k[d];
        s *= (double)a->scale;
        if (a->softcap > 0)
            s = (double)a->softcap * tanh(s / (double)a->softcap);
        double e = exp(s);
        sum += e;
        for (int d = 0; d < DIM; d++)
            out[d] += e * (double)v[d];
    }
    for (int d = 0; d < DIM; d++)
        out[d] /= sum;
}

static void check_against_double(int kv_len, int rows, int window, float softcap)
{
    static float out[64 * HEADS * DIM];
    make_pages(kv_len, rows, TN_F32);
    append_chunk(0, kv_len);
    struct op_attention_attrs attrs = attention_attrs(window, softcap);
    attend(&attrs, out);
    for (int t = 0; t < rows; t++) {
        for (int h = 0; h < HEADS; h++) {
            double expected[DIM];
            attend_double(&attrs, kv_len - rows + t, t, h, expected);
            for (int d = 0; d < DIM; d++)
                CHECK_NEAR(out[(t * HEADS + h) * DIM + d], expected[d], 2e-6);
        }
    }
    mt_free_to(0);
}

TEST(equals_softmax_in_double)
{
    mt_state = test_seed(11);
    fill_random(k_all, sizeof k_all / 4, 1);
    fill_random(v_all, sizeof v_all / 4, 1);
    fill_random(q_all, sizeof q_all / 4, 2);
    check_against_double(1, 1, 0, 0);
    check_against_double(33, 33, 0, 0);
    check_against_double(700, 5, 0, 0);
    check_against_double(700, 5, 100, 0);
    check_against_double(600, 64, 3, 0);
    check_against_double(513, 7, 0, 3.0f);
    check_against_double(4400, 3, 0, 0);
    check_against_double(8300, 2, 4300, 0);
}

TEST(one_position_gives_its_value)
{
    float out[HEADS * DIM];
    make_pages(1, 1, TN_F32);
    append_chunk(0, 1);
    struct op_attention_attrs attrs = attention_attrs(0, 0);
    attend(&attrs, out);
    for (int h = 0; h < HEADS; h++)
        CHECK(memcmp(out + h * DIM, v_all + h / 2 * DIM, DIM * sizeof(float)) == 0);
    mt_free_to(0);
}

TEST(chunks_and_pages_change_no_bit)
{
    static float whole[64 * HEADS * DIM], pieces[64 * HEADS * DIM];
    make_pages(600, 64, TN_F16);
    append_chunk(0, 600);
    struct op_attention_attrs attrs = attention_attrs(0, 0);
    attend(&attrs, whole);
    mt_free_to(0);
    make_pages(600, 64, TN_F16); /* other page numbers */
    for (int at = 0; at < 600;) {
        int next = at + 1 + mt_below(90);
        next = next > 600 ? 600 : next;
        append_chunk(at, next);
        at = next;
    }
    attend(&attrs, pieces);
    CHECK(memcmp(whole, pieces, sizeof whole) == 0);
    /* The last row alone gives the same bits as with its 63 neighbours. */
    struct kn_batch batch = pages.batch;
    int32_t row_start[2] = {0, 1};
    batch.tokens = 1;
    batch.row_start = row_start;
    struct kn_call call = {.batch = &batch, .rows = 1, .attrs = &attrs, .inputs = 3, .outputs = 1};
    call.operand[0] = q_all + 63 * HEADS * DIM;
    call.operand[1] = &pages.state;
    call.operand[3] = pieces;
    run_all(OP_ATTENTION, &call);
    CHECK(memcmp(whole + 63 * HEADS * DIM, pieces, HEADS * DIM * sizeof(float)) == 0);
    mt_free_to(0);
}

TEST(append_rounds_and_pads)
{
    struct mt_batch_shape shape = {.sequences = 1,
                                   .rows = {1},
                                   .kv_len = {50},
                                   .dtype = TN_F16,
                                   .kv_heads = 1,
                                   .head_dim = 20};
    mt_make_batch(&pages, &shape);
    float k[20], v[20];
    for (int d = 0; d < 20; d++)
        k[d] = (float)d + 0.0001f, v[d] = -(float)d;
    struct op_kv_attrs attrs = {1, 20, 2, TN_F16};
    struct kn_call call = {.batch = &pages.batch, .rows = 1, .attrs = &attrs, .inputs = 4};
    call.outputs = 1;
    call.operand[0] = call.operand[4] = &pages.state;
    call.operand[1] = k;
    call.operand[2] = v;
    run_all(OP_KV_APPEND, &call);
    /* Position 49: page entry 1, position 17 in it, lane 1 of tile 1; layer 2 of 3. */
    const uint8_t *layer = pages.state.pool + (size_t)pages.table[1] * pages.state.page_bytes +
                           2 * pages.state.layout.layer_bytes;
    for (int d = 0; d < 32; d++) {
        uint16_t k_half, v_half;
        memcpy(&k_half, layer + ((size_t)(32 + d) * 16 + 1) * 2, 2);
        memcpy(&v_half, layer + pages.state.layout.k_bytes + (size_t)(17 * 32 + d) * 2, 2);
        CHECK_INT(k_half, d < 20 ? tn_f32_to_f16(k[d]) : 0);
        CHECK_INT(v_half, d < 20 ? tn_f32_to_f16(v[d]) : 0);
    }
    mt_free_to(0);
}

TEST_MAIN()
