/* Graphs: building, editing, copying, the verifier's refusals, the text form. */
#include "ir/graph.h"

#include "harness/test.h"

struct small {
    struct ir_graph *g;
    ir_value_id x, h, y, state, next, scale, weight;
};

static ir_value_id node(struct ir_graph *g, enum op_id op, const void *attrs, const ir_value_id *in,
                        int32_t count, int64_t features)
{
    ir_value_id out = ir_add_temp(g, TN_F32, ir_dim_symbol(g, IR_SYM_TOKENS), features);
    ir_add_node(g, op, attrs, in, count, &out, 1);
    return out;
}

static ir_value_id matrix(struct ir_graph *g, const char *name, enum tn_dtype dtype, int64_t rows,
                          int64_t cols)
{
    return ir_add_const(g, ir_const_tensor(g, name, dtype, 2, (int64_t[]){rows, cols}));
}

static const struct op_row_attrs row32 = {32};
static const struct op_norm_attrs norm32 = {.features = 32, .eps = 1e-5f};
static const struct op_kv_attrs kv = {1, 32, 0, TN_F16};

/* embed, rmsnorm, kv_append, attention, matmul */
static struct small build(void)
{
    struct small s = {.g = ir_graph_new("small")};
    struct ir_graph *g = s.g;
    struct tn_kv_layout layout;
    CHECK_INT(tn_kv_layout_init(TN_F16, 1, 32, NULL, &layout), HASTEN_OK);
    g->token_input = ir_add_input(g, "token", TN_I32, ir_dim_symbol(g, IR_SYM_TOKENS));
    ir_add_batch(g);
    s.state = ir_add_state(g, "kv.0", ir_add_group(g, 0, &layout));
    const struct op_embed_attrs embed = {.rows = 50, .cols = 32, .dtype = TN_F16, .scale = 1};
    s.x = node(g, OP_EMBED, &embed,
               (ir_value_id[]){g->token_input, matrix(g, "embd", TN_F16, 50, 32)}, 2, 32);
    s.scale = ir_add_const(g, ir_const_tensor(g, "norm", TN_F32, 1, (int64_t[]){32}));
    s.h = node(g, OP_RMSNORM, &norm32, (ir_value_id[]){s.x, s.scale}, 2, 32);
    s.next = ir_next_version(g, s.state);
    ir_add_node(g, OP_KV_APPEND, &kv, (ir_value_id[]){s.state, s.h, s.h, g->batch}, 4, &s.next, 1);
    const struct op_attention_attrs attention = {
        .heads = 2, .kv_heads = 1, .head_dim = 32, .causal = 1, .scale = 0.1f, .kv_dtype = TN_F16};
    s.weight = matrix(g, "w", TN_Q4_1, 64, 32);
    ir_value_id q = node(g, OP_MATMUL, NULL, (ir_value_id[]){s.h, s.weight}, 2, 64);
    s.y = node(g, OP_ATTENTION, &attention, (ir_value_id[]){q, s.next, g->batch}, 3, 64);
    g->outputs[IR_OUT_LOGITS] = s.y;
    ir_set_name(g, s.y, "logits");
    ir_count_uses(g);
    return s;
}

static void expect_wrong(struct ir_graph *g, const char *part)
{
    struct hs_error error = {0};
    enum hasten_status status = ir_verify(g, &error);
    if (status != HASTEN_INTERNAL || !strstr(error.message, part))
        TEST_FAIL("expected '%s', got %s: %s", part, hs_status_name(status), error.message);
    ir_graph_free(&g);
}

TEST(a_right_graph_is_accepted)
{
    struct small s = build();
    struct hs_error error = {0};
    if (ir_verify(s.g, &error) != HASTEN_OK)
        TEST_FAIL("%s (%s)", error.message, error.place);
    ir_graph_free(&s.g);
}

TEST(text_form)
{
    struct small s = build();
    ir_graph_compact(s.g);
    s.g->nodes[1].layer = 3;
    ir_add_note(s.g, 1, "a");
    ir_add_note(s.g, 1, "b");
    ir_add_note(s.g, 1, "b");
    struct hs_buffer text = {0};
    ir_print(s.g, &text);
    CHECK_TEXT(text.data,
               "graph @small canonical\n"
               "in %token: i32[T]\n"
               "batch %batch\n"
               "group 0: window=0, layers=1, dtype=f16, kv_heads=1, head_dim=32\n"
               "state %kv.0: group=0, layer=0\n"
               "%0: f32[T][32] = embed %token, @embd: f16[50][32], rows=50, cols=32, dtype=f16, "
               "layout=rows, scale=1\n"
               "%1: f32[T][32] = rmsnorm %0, @norm: f32[32], features=32, eps=1e-05, group=0  # "
               "layer=3 note=a+b\n"
               "%kv.0': state = kv_append %kv.0, %1, %1, %batch, kv_heads=1, head_dim=32, "
               "kv_layer=0, kv_dtype=f16\n"
               "%2: f32[T][64] = matmul %1, @w: q4_1[64][32]\n"
               "%logits: f32[T][64] = attention %2, %kv.0', %batch, heads=2, kv_heads=1, "
               "head_dim=32, window=0, causal=1, scale=0.1, softcap=0, kv_layer=0, kv_dtype=f16\n"
               "out %logits\n");
    hs_buffer_free(&text);
    ir_graph_free(&s.g);
}

TEST(every_op_can_be_printed)
{
    struct ir_graph *g = ir_graph_new("ops");
    for (int op = 0; op < OP_COUNT; op++) {
        struct hs_buffer text = {0};
        ir_value_id out = ir_add_temp(g, TN_F32, ir_dim_symbol(g, IR_SYM_TOKENS), 32);
        ir_node_id n = ir_add_node(g, (enum op_id)op, NULL, NULL, 0, &out, 1);
        ir_print_node(g, n, &text);
        CHECK(strstr(text.data, op_info((enum op_id)op)->name));
        hs_buffer_free(&text);
    }
    ir_graph_free(&g);
}

TEST(odd_names_and_numbers_are_quoted_and_exact)
{
    struct ir_graph *g = ir_graph_new("a \"b\"\\\n");
    ir_dim rows = ir_dim_symbol(g, IR_SYM_TOKENS);
    ir_value_id x = ir_add_temp(g, TN_F32, rows, 32), y = ir_add_temp(g, TN_F32, rows, 32);
    const struct op_scale_attrs attrs = {.features = 32, .value = 0.1f + 1e-8f};
    ir_node_id n = ir_add_node(g, OP_SCALE, &attrs, &x, 1, &y, 1);
    struct hs_buffer text = {0};
    ir_print_node(g, n, &text);
    const char *value = strstr(text.data, "value=");
    CHECK(value && strtof(value + 6, NULL) == attrs.value);
    hs_buffer_clear(&text);
    g->outputs[IR_OUT_LOGITS] = y;
    ir_print(g, &text);
    CHECK(strncmp(text.data, "graph @\"a \\\"b\\\"\\\\\\x0a\" canonical\n", 33) == 0);
    hs_buffer_free(&text);
    ir_graph_free(&g);
}

TEST(dims_and_constants_are_shared)
{
    struct ir_graph *g = ir_graph_new("c");
    CHECK_INT(ir_dim_const(g, 7), ir_dim_const(g, 7));
    CHECK(ir_dim_const(g, 7) != ir_dim_symbol(g, IR_SYM_TOKENS));
    CHECK(ir_dim_symbol(g, IR_SYM_TOKENS) != ir_dim_symbol(g, IR_SYM_WANTED));
    const int64_t symbols[IR_SYM_COUNT] = {0, 11, 5};
    CHECK_INT(ir_dim_eval(g, ir_dim_symbol(g, IR_SYM_WANTED), symbols), 5);
    CHECK_INT(ir_dim_eval(g, ir_dim_const(g, 7), symbols), 7);
    ir_const first[500];
    char name[16];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 500; i++) {
            snprintf(name, sizeof name, "t%d", i);
            ir_const c = ir_const_tensor(g, name, TN_F32, 1, (int64_t[]){i + 1});
            if (round)
                CHECK_INT(c, first[i]);
            first[i] = c;
        }
    CHECK_INT(g->constant_count, 500);
    ir_const pack = ir_const_pack(g, first[3], TN_LAYOUT_PANEL32);
    CHECK_INT(pack, ir_const_pack(g, first[3], TN_LAYOUT_PANEL32));
    CHECK_INT(ir_add_const(g, pack), ir_add_const(g, pack));
    CHECK(ir_add_const(g, pack) != ir_add_const(g, first[3]));
    CHECK_INT(ir_features(g, ir_add_const(g, pack)), 4);
    ir_graph_free(&g);
}

TEST(compaction_moves_drops_and_renumbers)
{
    struct small s = build();
    ir_value_id z = node(s.g, OP_SILU, &row32, &s.h, 1, 32); /* dead weight */
    ir_value_id w = node(s.g, OP_SILU, &row32, &s.x, 1, 32);
    ir_node_id first = s.g->values[z].producer, second = s.g->values[w].producer;
    ir_move_before(s.g, second, 1);
    ir_kill_node(s.g, first);
    ir_const_tensor(s.g, "unused", TN_F32, 1, (int64_t[]){32});
    ir_graph_compact(s.g);
    CHECK_INT(s.g->node_count, 6);
    CHECK_INT(s.g->nodes[1].op, OP_SILU);
    CHECK_INT(s.g->nodes[2].op, OP_RMSNORM);
    CHECK_INT(s.g->constant_count, 3);
    for (int32_t n = 0; n < s.g->node_count; n++)
        CHECK_INT(s.g->values[s.g->nodes[n].output[0]].producer, n);
    CHECK_INT(s.g->values[s.g->nodes[0].output[0]].uses, 2);
    CHECK_INT(s.g->values[s.g->outputs[IR_OUT_LOGITS]].uses, 1);
    /* the constants' index still finds what is there */
    CHECK_INT(ir_const_tensor(s.g, "norm", TN_F32, 1, (int64_t[]){32}), 1);
    CHECK_INT(ir_verify(s.g, NULL), HASTEN_OK);
    ir_graph_free(&s.g);
}

TEST(replaced_uses_reach_the_output)
{
    struct small s = build();
    ir_value_id a = node(s.g, OP_SILU, &(struct op_row_attrs){64}, &s.y, 1, 64);
    ir_replace_uses(s.g, s.y, a);
    CHECK_INT(s.g->outputs[IR_OUT_LOGITS], a);
    ir_graph_free(&s.g);
}

TEST(a_copy_is_deep)
{
    struct small s = build();
    struct ir_graph *copy = ir_graph_copy(s.g);
    struct hs_buffer before = {0}, after = {0};
    ir_print(s.g, &before);
    ir_graph_free(&s.g);
    CHECK_INT(ir_verify(copy, NULL), HASTEN_OK);
    ir_print(copy, &after);
    CHECK_TEXT(after.data, before.data);
    CHECK_INT(ir_const_tensor(copy, "norm", TN_F32, 1, (int64_t[]){32}), 1);
    hs_buffer_free(&before);
    hs_buffer_free(&after);
    ir_graph_free(&copy);
}

TEST(wrong_shapes_are_refused)
{
    struct small s = build();
    ((struct op_norm_attrs *)s.g->nodes[1].attrs)->features = 64;
    expect_wrong(s.g, "one entry per feature");
    s = build();
    s.g->values[s.h].dims[1] = ir_dim_const(s.g, 31);
    expect_wrong(s.g, "does not have 32 features");
    s = build();
    ((struct op_embed_attrs *)s.g->nodes[0].attrs)->dtype = TN_F32;
    expect_wrong(s.g, "do not describe the table");
    s = build();
    s.g->nodes[3].input[1] = s.g->nodes[0].input[1];
    expect_wrong(s.g, "features do not match the weight");
    s = build();
    ((struct op_attention_attrs *)s.g->nodes[4].attrs)->heads = 3;
    expect_wrong(s.g, "heads * head_dim");
    s = build();
    ((struct op_kv_attrs *)s.g->nodes[2].attrs)->kv_layer = 1;
    expect_wrong(s.g, "do not describe state 'kv.0'");
    s = build();
    s.g->values[s.h].dims[0] = ir_dim_symbol(s.g, IR_SYM_WANTED);
    expect_wrong(s.g, "different rows");
}

TEST(wrong_order_is_refused)
{
    struct small s = build();
    s.g->nodes[1].input[0] = s.y;
    expect_wrong(s.g, "before it is defined");
    s = build();
    s.g->nodes[4].input[1] = s.state; /* reads the version that was overwritten */
    expect_wrong(s.g, "old version of a state");
    s = build();
    ir_add_node(s.g, OP_SILU, &row32, &s.h, 1, &s.x, 1);
    expect_wrong(s.g, "producer");
    s = build();
    s.g->nodes[1].input[0] = 99999;
    expect_wrong(s.g, "before it is defined");
    s = build();
    s.g->outputs[IR_OUT_LOGITS] = IR_NONE;
    expect_wrong(s.g, "no node makes the graph's output");
}

TEST(wrong_kinds_and_levels_are_refused)
{
    struct small s = build();
    s.g->nodes[4].input[2] = s.h; /* attention without %batch */
    expect_wrong(s.g, "input 2 is missing or of the wrong kind");
    s = build();
    s.g->nodes[1].inputs = 1;
    expect_wrong(s.g, "input 1 is missing");
    s = build();
    s.g->nodes[1].inputs = 3;
    s.g->nodes[1].input[2] = s.x;
    expect_wrong(s.g, "too many inputs");
    s = build();
    s.g->level = IR_LOWERED;
    expect_wrong(s.g, "canonical op in a lowered graph");
    s = build();
    ir_value_id a8 = ir_add_temp(s.g, TN_A8, ir_dim_symbol(s.g, IR_SYM_TOKENS), 32);
    ir_add_node(s.g, OP_QUANTIZE, &row32, &s.h, 1, &a8, 1);
    expect_wrong(s.g, "lowered op in a canonical graph");
    s = build();
    ir_kill_node(s.g, 1);
    expect_wrong(s.g, "not compacted");
}

/* A lowered graph of one linear over h with the given attributes. */
static struct ir_graph *linear(struct op_linear_attrs *attrs, bool a8)
{
    struct small s = build();
    ir_dim rows = ir_dim_symbol(s.g, IR_SYM_TOKENS);
    s.g->level = IR_LOWERING;
    ir_value_id x = s.h;
    if (a8) {
        x = ir_add_temp(s.g, TN_A8, rows, 32);
        ir_add_node(s.g, OP_QUANTIZE, &row32, &s.h, 1, &x, 1);
    }
    ir_value_id y = ir_add_temp(s.g, TN_F32, rows, 64);
    const ir_value_id in[] = {x, s.g->batch, s.weight, s.y};
    ir_add_node(s.g, OP_LINEAR, attrs, in, 4, &y, 1);
    s.g->outputs[IR_OUT_LOGITS] = y;
    return s.g;
}

static struct op_linear_attrs linear_attrs(void)
{
    struct op_linear_attrs attrs = {
        .cols = 32, .segments = 1, .input_a8 = 1, .unit_rows = 32, .outputs = 1};
    attrs.segment[0] = (struct op_segment){.dtype = TN_Q4_1, .weight = 2, .rows = 64};
    attrs.segment[0].steps[0] = (struct op_epilogue_step){OP_EPI_ADD, 3, -1, 0};
    attrs.segment[0].steps[1] = (struct op_epilogue_step){OP_EPI_STORE, -1, 0, 0};
    return attrs;
}

TEST(linear_is_checked_step_by_step)
{
    struct hs_error error = {0};
    struct op_linear_attrs attrs = linear_attrs();
    struct ir_graph *g = linear(&attrs, true);
    if (ir_verify(g, &error) != HASTEN_OK)
        TEST_FAIL("%s (%s)", error.message, error.place);
    ir_graph_free(&g);
    expect_wrong(linear(&attrs, false), "inputs are not activations");
    attrs.unit_rows = 48;
    expect_wrong(linear(&attrs, true), "impossible linear attributes");
    attrs = linear_attrs();
    attrs.segment[0].layout = TN_LAYOUT_PANEL32;
    expect_wrong(linear(&attrs, true), "does not describe its weight");
    attrs = linear_attrs();
    attrs.segment[0].steps[0].operand = 2;
    expect_wrong(linear(&attrs, true), "input 2, which does not fit");
    attrs = linear_attrs();
    attrs.segment[0].steps[1].output = 1;
    expect_wrong(linear(&attrs, true), "output 1, which does not fit");
    attrs = linear_attrs();
    attrs.segment[0].steps[1].kind = OP_EPI_GLU_SILU;
    expect_wrong(linear(&attrs, true), "no paired segment");
    attrs = linear_attrs();
    attrs.segment[0].steps[1].kind = OP_EPI_END;
    expect_wrong(linear(&attrs, true), "no destination");
    attrs = linear_attrs();
    attrs.segment[0].steps[2] = attrs.segment[0].steps[0];
    expect_wrong(linear(&attrs, true), "goes on after its last step");
    attrs = linear_attrs();
    attrs.segment[0].steps[0].kind = OP_EPI_PAIRED;
    expect_wrong(linear(&attrs, true), "follows no GLU");
    attrs = linear_attrs();
    attrs.segment[0].steps[0].kind = 99;
    expect_wrong(linear(&attrs, true), "unknown epilogue step");
}

TEST(out_of_memory_is_remembered)
{
    for (uint64_t n = 1; n < 40; n++) {
        hs_alloc_fail_at(n, true);
        struct ir_graph *g = ir_graph_new("oom");
        if (g) {
            ir_value_id x = ir_add_input(g, "token", TN_I32, ir_dim_symbol(g, IR_SYM_TOKENS));
            for (int i = 0; i < 300 && !g->failed; i++) {
                ir_dim_const(g, i);
                ir_value_id c = matrix(g, "w", TN_F32, i + 1, 32);
                node(g, OP_ADD, &row32, (ir_value_id[]){x, c}, 2, 32);
            }
            ir_graph_compact(g);
            struct ir_graph *copy = ir_graph_copy(g);
            hs_alloc_fail_at(0, false);
            CHECK(!copy || ir_graph_status(copy, NULL) == HASTEN_OK);
            if (g->failed)
                CHECK_INT(ir_verify(g, NULL), HASTEN_OUT_OF_MEMORY);
            /* after a failure ids are refused softly */
            if (g->failed) {
                CHECK_INT(ir_add_temp(g, TN_F32, 0, 32), IR_NONE);
                CHECK_INT(ir_add_const(g, IR_NONE), IR_NONE);
                CHECK_INT(ir_next_version(g, IR_NONE), IR_NONE);
            }
            ir_graph_free(&copy);
        }
        hs_alloc_fail_at(0, false);
        ir_graph_free(&g);
    }
}

TEST_MAIN()
