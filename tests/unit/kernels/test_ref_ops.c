/* The row-wise reference kernels against closed forms, and the registry. */
#include "kernels/math.h"
#include "unit/kernels/match_harness.h"

static enum hasten_status run_ref(enum op_id op, const void *attrs, struct kn_call *call)
{
    call->attrs = attrs;
    const struct kn_kernel *kernel = kn_find(op, attrs, HS_CPU_CLASS_REF);
    CHECK(kernel != NULL && kernel->cpu_class == HS_CPU_CLASS_REF);
    void *scratch = mt_alloc(kernel->scratch_bytes ? kernel->scratch_bytes(attrs) : 0, 0xff);
    return kernel->run(call, 0, kernel->units(call), scratch);
}

TEST(rmsnorm)
{
    mt_state = test_seed(31);
    struct op_norm_attrs attrs = {96, 1e-5f, 0}, grouped = {96, 1e-5f, 32};
    float *x = mt_floats(3 * 96, 5), *w = mt_floats(96, 2), *out = mt_floats(3 * 96, 0);
    for (int round = 0; round < 2; round++) {
        int n = round ? 32 : 96;
        struct kn_call call = {.rows = 3, .inputs = 2, .outputs = 1, .operand = {x, w, out}};
        CHECK_INT(run_ref(OP_RMSNORM, round ? &grouped : &attrs, &call), HASTEN_OK);
        for (int at = 0; at < 3 * 96; at += n) {
            double sum = 0;
            for (int i = 0; i < n; i++)
                sum += (double)x[at + i] * (double)x[at + i];
            for (int i = 0; i < n; i++)
                CHECK_NEAR(out[at + i], (double)x[at + i] / sqrt(sum / n + 1e-5) * (double)w[i],
                           3e-6);
        }
    }
    mt_free_to(0);
}

/* The lane order, written as a tree: 64 elements, lanes of two. */
TEST(lane_sum_order)
{
    float x[64], ones[64], out[64], lanes[32];
    for (int i = 0; i < 64; i++)
        x[i] = mt_float(1), ones[i] = 1.0f;
    for (int i = 0; i < 32; i++)
        lanes[i] = fmaf(x[i + 32], x[i + 32], x[i] * x[i]);
    for (int step = 16; step > 0; step /= 2) {
        for (int i = 0; i < step; i++)
            lanes[i] += lanes[i + step];
    }
    float inverse = 1.0f / sqrtf(lanes[0] / 64.0f + 0.5f);
    struct op_norm_attrs attrs = {64, 0.5f, 0};
    struct kn_call call = {.rows = 1, .inputs = 2, .outputs = 1, .operand = {x, ones, out}};
    CHECK_INT(run_ref(OP_RMSNORM, &attrs, &call), HASTEN_OK);
    for (int i = 0; i < 64; i++)
        CHECK(out[i] == x[i] * inverse);
    mt_free_to(0);
}

TEST(rmsnorm_quantize_is_the_composition)
{
    struct op_norm_attrs attrs = {128, 1e-6f, 0};
    struct op_row_attrs row = {128};
    float *x = mt_floats(5 * 128, 5), *w = mt_floats(128, 2), *mid = mt_floats(5 * 128, 0);
    size_t bytes;
    CHECK(tn_a8_bytes(5, 128, &bytes));
    uint8_t *one = mt_alloc(bytes, 0), *two = mt_alloc(bytes, 0);
    struct kn_call fused = {.rows = 5, .inputs = 2, .outputs = 1, .operand = {x, w, one}};
    struct kn_call norm = {.rows = 5, .inputs = 2, .outputs = 1, .operand = {x, w, mid}};
    struct kn_call quantize = {.rows = 5, .inputs = 1, .outputs = 1, .operand = {mid, two}};
    CHECK_INT(run_ref(OP_RMSNORM_QUANTIZE, &attrs, &fused), HASTEN_OK);
    CHECK_INT(run_ref(OP_RMSNORM, &attrs, &norm), HASTEN_OK);
    CHECK_INT(run_ref(OP_QUANTIZE, &row, &quantize), HASTEN_OK);
    CHECK(memcmp(one, two, bytes) == 0);
    mt_free_to(0);
}

TEST(embed_checks_ids)
{
    float table[3 * 2] = {1, 2, 3, 4, 5, 6}, out[4] = {0};
    int32_t ids[2] = {2, 0};
    struct op_embed_attrs attrs = {3, 2, TN_F32, TN_LAYOUT_ROWS, 10.0f, 0};
    struct kn_call call = {.rows = 2, .inputs = 2, .outputs = 1, .operand = {ids, table, out}};
    CHECK_INT(run_ref(OP_EMBED, &attrs, &call), HASTEN_OK);
    CHECK(out[0] == 50 && out[1] == 60 && out[2] == 10 && out[3] == 20);
    ids[1] = 3;
    CHECK_INT(run_ref(OP_EMBED, &attrs, &call), HASTEN_INVALID_ARGUMENT);
    ids[1] = -1;
    CHECK_INT(run_ref(OP_EMBED, &attrs, &call), HASTEN_INVALID_ARGUMENT);
    mt_free_to(0);
}

TEST(elementwise)
{
    float a[4] = {1.5f, -2, 0.25f, 30}, b[4] = {2, 3, -4, 0.1f}, out[4];
    struct op_row_attrs row = {4};
    struct op_scale_attrs scale = {4, 1.25f, 0};
    struct kn_call two = {.rows = 1, .inputs = 2, .outputs = 1, .operand = {a, b, out}};
    struct kn_call one = {.rows = 1, .inputs = 1, .outputs = 1, .operand = {a, out}};
    CHECK_INT(run_ref(OP_ADD, &row, &two), HASTEN_OK);
    CHECK(out[0] == 3.5f && out[1] == 1.0f && out[2] == -3.75f);
    CHECK_INT(run_ref(OP_MUL, &row, &two), HASTEN_OK);
    CHECK(out[0] == 3.0f && out[1] == -6.0f && out[2] == -1.0f);
    CHECK_INT(run_ref(OP_SCALE, &scale, &one), HASTEN_OK);
    CHECK(out[0] == 1.875f && out[1] == -2.5f);
    CHECK_INT(run_ref(OP_SOFTCAP, &scale, &one), HASTEN_OK);
    CHECK(out[3] == 1.25f && out[1] == 1.25f * kn_tanhf(-1.6f));
    CHECK_INT(run_ref(OP_SILU, &row, &one), HASTEN_OK);
    CHECK_NEAR(out[1], -2 / (1 + exp(2.0)), 1e-7);
    CHECK_INT(run_ref(OP_GELU_TANH, &row, &one), HASTEN_OK);
    CHECK_NEAR(out[0], 1.3995715, 1e-6);
    mt_free_to(0);
}

TEST(rope_table_is_angles)
{
    int32_t positions[3] = {0, 1, 1000};
    float factors[4] = {1, 2, 4, 8}, out[3 * 8];
    struct kn_batch batch = {.tokens = 3, .position = positions};
    struct op_rope_attrs attrs = {0, 0, 8, 0, 10000.0, 0.5};
    struct kn_call call = {.batch = &batch, .rows = 3, .inputs = 2, .outputs = 1};
    call.operand[1] = factors;
    call.operand[2] = out;
    CHECK_INT(run_ref(OP_ROPE_TABLE, &attrs, &call), HASTEN_OK);
    for (int t = 0; t < 3; t++) {
        for (int i = 0; i < 4; i++) {
            double angle = positions[t] * 0.5 * pow(10000.0, -i / 4.0) / (double)factors[i];
            CHECK_NEAR(out[t * 8 + 2 * i], cos(angle), 6e-8);
            CHECK_NEAR(out[t * 8 + 2 * i + 1], sin(angle), 6e-8);
        }
    }
    CHECK(out[0] == 1.0f && out[1] == 0.0f); /* position 0 rotates by nothing */
    mt_free_to(0);
}

/* q.k after rope depends on the distance of positions only. */
TEST(rope_is_relative)
{
    int32_t positions[4] = {5, 17, 105, 117};
    float x[4 * 64], table[4 * 64];
    for (int i = 0; i < 64; i++) {
        x[i] = x[128 + i] = mt_float(1);
        x[64 + i] = x[192 + i] = mt_float(1);
    }
    struct kn_batch batch = {.tokens = 4, .position = positions};
    for (int style = 0; style < 2; style++) {
        struct op_rope_attrs table_attrs = {0, 0, 64, 0, 10000.0, 1.0};
        struct op_rope_attrs attrs = {1, 64, 64, style, 10000.0, 1.0};
        float out[4 * 64];
        double dot[2] = {0, 0};
        struct kn_call make = {.batch = &batch, .rows = 4, .inputs = 1, .outputs = 1};
        make.operand[1] = table;
        CHECK_INT(run_ref(OP_ROPE_TABLE, &table_attrs, &make), HASTEN_OK);
        struct kn_call apply = {.rows = 4, .inputs = 2, .outputs = 1, .operand = {x, table, out}};
        CHECK_INT(run_ref(OP_ROPE_APPLY, &attrs, &apply), HASTEN_OK);
        for (int i = 0; i < 64; i++) {
            dot[0] += (double)out[i] * (double)out[64 + i];
            dot[1] += (double)out[128 + i] * (double)out[192 + i];
        }
        CHECK_NEAR(dot[0], dot[1], 1e-5);
    }
    mt_free_to(0);
}

TEST(registry)
{
    struct op_row_attrs row = {64};
    bool seen[OP_COUNT] = {false};
    for (int i = 0; i < kn_count(); i++) {
        const struct kn_kernel *kernel = kn_at(i);
        CHECK(kernel->name && kernel->accepts && kernel->units && kernel->run);
        CHECK(strncmp(kernel->name, op_info(kernel->op)->name, strlen(op_info(kernel->op)->name)) ==
              0);
        CHECK(strstr(kernel->name, hs_cpu_class_name(kernel->cpu_class)) != NULL);
        if (kernel->cpu_class == HS_CPU_CLASS_REF)
            seen[kernel->op] = true;
    }
    for (int op = 0; op < OP_COUNT; op++) /* every op that can be executed has a reference */
        CHECK_INT(seen[op], op != OP_MATMUL && op != OP_ROPE);
    for (int class_id = 0; class_id < HS_CPU_CLASS_COUNT; class_id++) {
        const struct kn_kernel *best = kn_find(OP_ADD, &row, (enum hs_cpu_class)class_id);
        CHECK(best != NULL && (int)best->cpu_class <= class_id);
        for (int i = 0; i < kn_count(); i++) {
            const struct kn_kernel *other = kn_at(i);
            if (other->op == OP_ADD && (int)other->cpu_class <= class_id && other->accepts(&row))
                CHECK(other->cpu_class <= best->cpu_class);
        }
    }
    row.features = 0;
    CHECK(kn_find(OP_ADD, &row, HS_CPU_CLASS_AVX512VNNI) == NULL);
}

TEST_MAIN()
