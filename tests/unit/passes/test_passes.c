/* Lowering: shape of the result, all combinations of passes, targets that refuse fused forms. */
#include "passes/pass.h"

#include "harness/test.h"
#include "meaning.h"
#include "tiny_llama.h"

struct target_rules {
    uint32_t refused_steps; /* bit per enum op_epilogue_kind */
    bool refuse_quantize_forms, refuse_panels, refuse_embed_panel, refuse_merged, refuse_q8;
};

static bool accepts_linear(const struct target_rules *rules, const struct op_linear_attrs *attrs)
{
    for (int32_t s = 0; s < attrs->segments; s++) {
        if (rules->refuse_q8 && attrs->segment[s].dtype == TN_Q8_0)
            return false;
        for (int i = 0; i < OP_EPILOGUE_STEPS; i++)
            if (rules->refused_steps >> attrs->segment[s].steps[i].kind & 1)
                return false;
    }
    return !(rules->refuse_merged && attrs->segments > 1);
}

static bool has_kernel(void *context, enum op_id op, const void *attrs)
{
    const struct target_rules *rules = context;
    if (!(op_info(op)->level & OP_LOWERED))
        return false;
    if (op == OP_LINEAR)
        return accepts_linear(rules, attrs);
    if (op == OP_EMBED)
        return !(rules->refuse_embed_panel &&
                 ((const struct op_embed_attrs *)attrs)->layout == TN_LAYOUT_PANEL32);
    return !(rules->refuse_quantize_forms &&
             (op == OP_RMSNORM_QUANTIZE || op == OP_ATTENTION_QUANTIZE));
}

static bool can_pack(void *context, enum tn_dtype dtype)
{
    const struct target_rules *rules = context;
    return !rules->refuse_panels && dtype != TN_Q6_K;
}

static const struct ps_target generous = {has_kernel, can_pack, &(struct target_rules){0}};

static struct ir_graph *lower(const struct ir_graph *graph, const struct ps_target *target,
                              const char *const *disabled, int count)
{
    struct ps_options options = {disabled, count};
    struct hs_error error = {0};
    struct ir_graph *lowered = NULL;
    if (ps_lower(graph, target, &options, &error, &lowered) != HASTEN_OK)
        TEST_FAIL("lowering failed: %s (%s)", error.message, error.place);
    CHECK_INT(lowered->level, IR_LOWERED);
    return lowered;
}

static const enum op_id layer_ops[7] = {
    OP_RMSNORM_QUANTIZE, OP_LINEAR, OP_ATTENTION_QUANTIZE, OP_LINEAR, OP_RMSNORM_QUANTIZE,
    OP_LINEAR,           OP_LINEAR};

static int steps_of(const struct ir_node *node, int segment, enum op_epilogue_kind *kinds)
{
    const struct op_linear_attrs *attrs = node->attrs;
    int count = 0;
    for (; count < OP_EPILOGUE_STEPS; count++) {
        kinds[count] = (enum op_epilogue_kind)attrs->segment[segment].steps[count].kind;
        if (kinds[count] == OP_EPI_END)
            break;
    }
    return count;
}

static void check_segment(const struct ir_node *node, int segment, int count,
                          const enum op_epilogue_kind *expected)
{
    enum op_epilogue_kind kinds[OP_EPILOGUE_STEPS];
    CHECK_INT(steps_of(node, segment, kinds), count);
    for (int i = 0; i < count; i++)
        CHECK_INT(kinds[i], expected[i]);
}

TEST(a_layer_becomes_seven_nodes)
{
    const enum op_epilogue_kind q[] = {OP_EPI_ROPE, OP_EPI_STORE},
                                k[] = {OP_EPI_ROPE, OP_EPI_APPEND_K}, v[] = {OP_EPI_APPEND_V},
                                o[] = {OP_EPI_ADD, OP_EPI_STORE},
                                gate[] = {OP_EPI_GLU_SILU, OP_EPI_QUANTIZE}, up[] = {OP_EPI_PAIRED};
    struct ir_graph *graph = tiny_build(&tiny_default);
    CHECK(graph);
    struct ir_graph *lowered = lower(graph, &generous, NULL, 0);
    CHECK_INT(lowered->nodes[0].op, OP_ROPE_TABLE);
    CHECK_INT(lowered->nodes[1].op, OP_EMBED);
    for (int32_t layer = 0; layer < tiny_default.layers - 1; layer++) {
        const struct ir_node *node = &lowered->nodes[2 + 7 * layer];
        for (int i = 0; i < 7; i++) {
            CHECK_INT(node[i].op, layer_ops[i]);
            CHECK_INT(node[i].layer, layer);
        }
        CHECK_INT(node[1].outputs, 2);
        check_segment(&node[1], 0, 2, q);
        check_segment(&node[1], 1, 2, k);
        check_segment(&node[1], 2, 1, v);
        check_segment(&node[3], 0, 2, o);
        check_segment(&node[5], 0, 2, gate);
        check_segment(&node[5], 1, 1, up);
        check_segment(&node[6], 0, 2, o);
    }
    /* last layer: 2 nodes until attention, 2 selections, quantize, 4 more; then norm and head */
    CHECK_INT(lowered->node_count, 2 + 7 * (tiny_default.layers - 1) + 10 + 2);
    CHECK(meaning_of(graph) == meaning_of(lowered));
    ir_graph_free(&graph);
    ir_graph_free(&lowered);
}

TEST(without_narrowing_all_layers_are_equal)
{
    struct ir_graph *graph = tiny_build(&tiny_default);
    const char *const off[] = {"narrow-rows"};
    struct ir_graph *lowered = lower(graph, &generous, off, 1);
    CHECK_INT(lowered->node_count, 2 + 7 * tiny_default.layers + 3);
    ir_graph_free(&graph);
    ir_graph_free(&lowered);
}

TEST(the_tied_table_has_one_pack)
{
    struct ir_graph *graph = tiny_build(&tiny_default);
    struct ir_graph *lowered = lower(graph, &generous, NULL, 0);
    ir_value_id head = lowered->nodes[lowered->node_count - 1].input[2];
    CHECK_INT(lowered->nodes[1].input[1], head);
    CHECK_INT(lowered->values[head].layout, TN_LAYOUT_PANEL32);
    ir_graph_free(&lowered);
    struct target_rules rules = {.refuse_embed_panel = true};
    const struct ps_target target = {has_kernel, can_pack, &rules};
    lowered = lower(graph, &target, NULL, 0);
    CHECK_INT(lowered->values[lowered->nodes[1].input[1]].layout, TN_LAYOUT_ROWS);
    ir_graph_free(&graph);
    ir_graph_free(&lowered);
}

/* Lowers with the passes of a bit mask left out and compares meanings. */
static void check_mask(const struct ir_graph *graph, const struct ps_target *target, uint32_t mask)
{
    const char *disabled[32];
    int count = 0;
    for (int i = 0, bit = 0; i < ps_count(); i++)
        if (!ps_at(i)->required && mask >> bit++ & 1)
            disabled[count++] = ps_at(i)->name;
    struct ir_graph *lowered = lower(graph, target, disabled, count);
    if (meaning_of(graph) != meaning_of(lowered)) {
        struct hs_buffer text = {0};
        ir_print(lowered, &text);
        printf("%s", text.data);
        TEST_FAIL("mask %x computes something else", mask);
    }
    ir_graph_free(&lowered);
}

static int optional_passes(void)
{
    int count = 0;
    for (int i = 0; i < ps_count(); i++)
        count += !ps_at(i)->required;
    return count;
}

TEST(every_combination_of_passes_means_the_same)
{
    struct tiny_llama model = tiny_default;
    model.layers = 2;
    struct ir_graph *graph = tiny_build(&model);
    for (uint32_t mask = 0; mask < 1u << optional_passes(); mask++)
        check_mask(graph, &generous, mask);
    ir_graph_free(&graph);
}

static struct tiny_llama random_model(uint64_t *rng)
{
    static const enum tn_dtype types[] = {TN_F32, TN_F16, TN_Q4_1, TN_Q8_0, TN_Q4_0};
    struct tiny_llama m = {.layers = 1 + (int32_t)test_random(rng, 3),
                           .kv_heads = 1 + (int32_t)test_random(rng, 3),
                           .head_dim = 32 * (1 + (int32_t)test_random(rng, 3)),
                           .style = (int32_t)test_random(rng, 2),
                           .embedding = 32 * (1 + test_random(rng, 4)),
                           .feed_forward = 32 * (1 + test_random(rng, 4)),
                           .vocab = 1 + test_random(rng, 70),
                           .embed_type = types[test_random(rng, 5)],
                           .tied = test_random(rng, 2),
                           .gives_hidden = test_random(rng, 2),
                           .factors = test_random(rng, 2),
                           .gelu = test_random(rng, 2),
                           .up_first = test_random(rng, 2)};
    m.heads = m.kv_heads * (1 + (int32_t)test_random(rng, 3));
    m.rope_dims = test_random(rng, 2) ? m.head_dim : m.head_dim / 2;
    for (int i = 0; i < 7; i++)
        m.types[i] = test_random(rng, 3) ? TN_Q4_1 : types[test_random(rng, 5)];
    return m;
}

TEST(random_models_targets_and_combinations)
{
    uint64_t rng = test_seed(4711);
    for (int round = 0; round < 2000; round++) {
        struct tiny_llama model = random_model(&rng);
        struct ir_graph *graph = tiny_build(&model);
        CHECK(graph);
        struct target_rules rules = {.refuse_quantize_forms = test_random(&rng, 4) == 0,
                                     .refuse_panels = test_random(&rng, 4) == 0,
                                     .refuse_embed_panel = test_random(&rng, 2),
                                     .refuse_merged = test_random(&rng, 6) == 0};
        const uint32_t basic = 1u << OP_EPI_STORE | 1u << OP_EPI_END;
        if (test_random(&rng, 2)) /* some steps are not there; STORE always is */
            rules.refused_steps =
                test_random(&rng, 1u << 12) & test_random(&rng, 1u << 12) & ~basic;
        const struct ps_target target = {has_kernel, can_pack, &rules};
        check_mask(graph, &target,
                   test_random(&rng, 2) ? 0 : test_random(&rng, 1u << optional_passes()));
        ir_graph_free(&graph);
    }
}

TEST(halves_rope_keeps_heads_whole)
{
    struct tiny_llama model = tiny_default;
    model.style = OP_ROPE_HALVES;
    model.head_dim = model.rope_dims = 48;
    model.types[3] = TN_F16;
    struct ir_graph *graph = tiny_build(&model);
    struct ir_graph *lowered = lower(graph, &generous, NULL, 0);
    const struct op_linear_attrs *attrs = lowered->nodes[3].attrs;
    CHECK_INT(attrs->segments, 3);
    CHECK_INT(attrs->unit_rows, 96);
    ir_graph_free(&graph);
    ir_graph_free(&lowered);
}

TEST(a_residual_read_twice_is_not_swallowed)
{
    /* out = (x W) + ((x W) normalised): the linear's result has two readers */
    struct tiny_llama model = tiny_default;
    struct tiny_state s = {.g = ir_graph_new("t"), .m = &model, .factors = IR_NONE, .layer = -1};
    s.g->token_input = ir_add_input(s.g, "token", TN_I32, ir_dim_symbol(s.g, IR_SYM_TOKENS));
    ir_add_batch(s.g);
    ir_value_id table = tiny_weight(&s, "embd", TN_F32, 50, 64);
    const struct op_embed_attrs embed = {.rows = 50, .cols = 64, .dtype = TN_F32, .scale = 1};
    ir_value_id x =
        tiny_node(&s, OP_EMBED, &embed, (ir_value_id[]){s.g->token_input, table}, 2, 64);
    x = tiny_matmul(&s, x, "w", TN_F32, 64);
    s.g->outputs[IR_OUT_LOGITS] = tiny_row(&s, OP_ADD, tiny_norm(&s, x, "norm"), x);
    ir_graph_compact(s.g);
    struct ir_graph *lowered = lower(s.g, &generous, NULL, 0);
    CHECK_INT(lowered->node_count, 4);
    CHECK(meaning_of(s.g) == meaning_of(lowered));
    ir_graph_free(&s.g);
    ir_graph_free(&lowered);
}

TEST(a_summand_made_later_is_not_pulled_in)
{
    /* x W + silu(x U): the addition cannot start before the silu has run */
    struct tiny_llama model = tiny_default;
    struct tiny_state s = {.g = ir_graph_new("t"), .m = &model, .factors = IR_NONE, .layer = -1};
    s.g->token_input = ir_add_input(s.g, "token", TN_I32, ir_dim_symbol(s.g, IR_SYM_TOKENS));
    ir_add_batch(s.g);
    ir_value_id table = tiny_weight(&s, "embd", TN_F32, 50, 64);
    const struct op_embed_attrs embed = {.rows = 50, .cols = 64, .dtype = TN_F32, .scale = 1};
    ir_value_id x =
        tiny_node(&s, OP_EMBED, &embed, (ir_value_id[]){s.g->token_input, table}, 2, 64);
    ir_value_id a = tiny_matmul(&s, x, "w", TN_F32, 64), b = tiny_matmul(&s, x, "u", TN_F32, 64);
    s.g->outputs[IR_OUT_LOGITS] = tiny_row(&s, OP_ADD, a, tiny_row(&s, OP_SILU, b, IR_NONE));
    ir_graph_compact(s.g);
    for (uint32_t mask = 0; mask < 1u << optional_passes(); mask++)
        check_mask(s.g, &generous, mask);
    ir_graph_free(&s.g);
}

TEST(wrong_names_are_refused)
{
    struct ir_graph *graph = tiny_build(&tiny_default), *lowered = NULL;
    struct hs_error error = {0};
    const char *const unknown[] = {"fuse-ropes"}, *const required[] = {"legalize"};
    struct ps_options options = {unknown, 1};
    CHECK_INT(ps_lower(graph, &generous, &options, &error, &lowered), HASTEN_INVALID_ARGUMENT);
    CHECK(strstr(error.hint, "'fuse-rope'"));
    options.disabled = required;
    CHECK_INT(ps_lower(graph, &generous, &options, &error, &lowered), HASTEN_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "required"));
    CHECK(!lowered);
    ir_graph_free(&graph);
}

TEST(a_missing_kernel_is_named)
{
    struct ir_graph *graph = tiny_build(&tiny_default), *lowered = NULL;
    struct hs_error error = {0};
    struct target_rules rules = {.refuse_q8 = true};
    const struct ps_target target = {has_kernel, can_pack, &rules};
    CHECK_INT(ps_lower(graph, &target, NULL, &error, &lowered), HASTEN_UNSUPPORTED);
    CHECK(strstr(error.message, "linear"));
    CHECK(strstr(error.message, "q8_0"));
    ir_graph_free(&graph);
}

TEST(the_canonical_graph_is_left_alone_and_texts_repeat)
{
    struct ir_graph *graph = tiny_build(&tiny_default);
    struct hs_buffer before = {0}, after = {0}, first = {0}, second = {0};
    ir_print(graph, &before);
    struct ir_graph *a = lower(graph, &generous, NULL, 0), *b = lower(graph, &generous, NULL, 0);
    ir_print(graph, &after);
    ir_print(a, &first);
    ir_print(b, &second);
    CHECK_TEXT(after.data, before.data);
    CHECK_TEXT(second.data, first.data);
    hs_buffer_free(&before);
    hs_buffer_free(&after);
    hs_buffer_free(&first);
    hs_buffer_free(&second);
    ir_graph_free(&graph);
    ir_graph_free(&a);
    ir_graph_free(&b);
}

TEST(out_of_memory_anywhere_is_a_status)
{
    struct ir_graph *graph = tiny_build(&tiny_default), *lowered = NULL;
    struct hs_error error = {0};
    int failures = 0;
    for (uint64_t n = 1; n < 10000; n++) {
        hs_alloc_fail_at(n, true);
        enum hasten_status status = ps_lower(graph, &generous, NULL, &error, &lowered);
        hs_alloc_fail_at(0, false);
        if (status == HASTEN_OK)
            break;
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
        failures++;
    }
    CHECK(lowered);
    CHECK(failures > 5);
    ir_graph_free(&lowered);
    ir_graph_free(&graph);
}

TEST_MAIN()
