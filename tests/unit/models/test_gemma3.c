/* Family gemma3 over small files written here: graph, what holds when metadata is silent, page
 * groups, faults, refusals. That it computes what it should is tests/model's business. */
#include "models/model.h"

#include <unistd.h>

#include "harness/test.h"
#include "random_gguf.h"

#define TINY                                                                                       \
    .name = "tiny", .family = RG_GEMMA3, .layers = 8, .embedding = 64, .heads = 4, .kv_heads = 2,  \
    .head_dim = 16, .feed_forward = 96, .vocab = 40, .dtype = TN_F32, .deviation = 1

static struct hs_error error;

static void must(enum hasten_status status)
{
    if (status != HASTEN_OK)
        TEST_FAIL("%s", error.message);
}

static struct gguf_file *make(const struct rg_recipe *recipe)
{
    char path[64];
    struct gguf_file *file = NULL;
    snprintf(path, sizeof path, "/tmp/hasten-test-gemma3-%d.gguf", (int)getpid());
    must(rg_write(recipe, path, &error));
    enum hasten_status status = gguf_open(path, &error, &file);
    unlink(path);
    must(status);
    return file;
}

static char *text_of(struct rg_recipe recipe, struct md_options options)
{
    struct gguf_file *file = make(&recipe);
    struct ir_graph *graph = NULL;
    struct hs_buffer text = {0};
    options.kv_dtype = TN_F16;
    must(md_build(file, &options, &error, &graph));
    ir_print(graph, &text);
    ir_graph_free(&graph);
    gguf_close(&file);
    return text.data;
}

static void expect_in_order(const char *text, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *found = strstr(text, parts[i]);
        if (!found)
            TEST_FAIL("'%s' is missing in\n%s", parts[i], text);
        text = found + 1;
    }
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    while ((text = strstr(text, part)) != NULL) {
        count++;
        text++;
    }
    return count;
}

TEST(facts)
{
    struct gguf_file *file = make(&(struct rg_recipe){TINY});
    struct md_facts facts;
    must(md_facts_read(file, &error, &facts));
    CHECK_TEXT(facts.architecture, "gemma3");
    CHECK_INT(facts.layers, 8);
    CHECK_INT(facts.head_dim, 16);
    CHECK_NEAR(facts.rope_base, 100000, 0);
    gguf_close(&file);
}

TEST(a_layer_is_plain_canonical_ops)
{
    static const char *const order[] = {
        "group 0: window=20, layers=7, ",
        "group 1: window=0, layers=1, ",
        "state %kv.4: group=0, layer=4",
        "state %kv.5: group=1, layer=0",
        "state %kv.6: group=0, layer=5",
        "embed %token, @token_embd.weight: f32[40][64], rows=40, cols=64, dtype=f32, layout=rows, "
        "scale=8",
        "%1: f32[T][64] = rmsnorm %0, @blk.0.attn_norm.weight",
        "%2: f32[T][64] = matmul %1, @blk.0.attn_q.weight",
        "%3: f32[T][32] = matmul %1, @blk.0.attn_k.weight",
        "%4: f32[T][32] = matmul %1, @blk.0.attn_v.weight",
        "%5: f32[T][64] = rmsnorm %2, @blk.0.attn_q_norm.weight: f32[16], features=64, eps=1e-05, "
        "group=16",
        "%6: f32[T][32] = rmsnorm %3, @blk.0.attn_k_norm.weight: f32[16], features=32, eps=1e-05, "
        "group=16",
        "%7: f32[T][64] = rope %5, %batch, heads=4, head_dim=16, dims=16, style=halves, "
        "base=10000, position_scale=1",
        "%8: f32[T][32] = rope %6, %batch, heads=2, head_dim=16, dims=16, style=halves, "
        "base=10000, position_scale=1",
        "%kv.0': state = kv_append %kv.0, %8, %4, %batch",
        "%9: f32[T][64] = attention %7, %kv.0', %batch, heads=4, kv_heads=2, head_dim=16, "
        "window=20, causal=1, scale=0.25, softcap=0",
        "%10: f32[T][64] = matmul %9, @blk.0.attn_output.weight",
        "%11: f32[T][64] = rmsnorm %10, @blk.0.post_attention_norm.weight",
        "%12: f32[T][64] = add %11, %0",
        "%13: f32[T][64] = rmsnorm %12, @blk.0.ffn_norm.weight",
        "= matmul %13, @blk.0.ffn_gate.weight",
        "= matmul %13, @blk.0.ffn_up.weight",
        "= gelu_tanh %14",
        "= mul %16, %15",
        "%18: f32[T][64] = matmul %17, @blk.0.ffn_down.weight",
        "%19: f32[T][64] = rmsnorm %18, @blk.0.post_ffw_norm.weight",
        "%20: f32[T][64] = add %19, %12",
        "base=100000, position_scale=0.125", /* layer 5: the file's base and scaling */
        "%kv.5', %batch, heads=4, kv_heads=2, head_dim=16, window=0",
        "base=10000, position_scale=1", /* layer 6 is local again */
        "@output_norm.weight",
        "%logits: f32[R][40] = softcap %",
        "features=40, value=30"};
    char *text = text_of((struct rg_recipe){TINY, .window = 20, .rope_factor = 8, .logit_cap = 30},
                         (struct md_options){0});
    expect_in_order(text, order, sizeof order / sizeof order[0]);
    hs_free(text);
}

TEST(without_a_window_every_layer_is_global)
{
    char *text = text_of((struct rg_recipe){TINY}, (struct md_options){0});
    CHECK(strstr(text, "group 0: window=0, layers=8"));
    CHECK(!strstr(text, "group 1"));
    CHECK_INT(count_of(text, "base=100000"), 16);
    CHECK(!strstr(text, "softcap %"));
    hs_free(text);
}

TEST(pattern_as_an_array_and_base_of_its_own)
{
    static const uint8_t local[8] = {0, 1, 1, 0, 1, 1, 1, 1};
    static const uint8_t all[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    char *text =
        text_of((struct rg_recipe){TINY, .window = 20, .local = local, .rope_base_swa = 500},
                (struct md_options){0});
    CHECK(strstr(text, "group 0: window=0, layers=2"));
    CHECK(strstr(text, "group 1: window=20, layers=6"));
    CHECK_INT(count_of(text, "base=500,"), 12);
    CHECK_INT(count_of(text, "base=100000,"), 4);
    hs_free(text);
    text = text_of((struct rg_recipe){TINY, .window = 20, .local = all}, (struct md_options){0});
    CHECK(strstr(text, "group 0: window=20, layers=8"));
    CHECK(!strstr(text, "group 1"));
    hs_free(text);
}

TEST(defaults_of_a_silent_file)
{
    char *text = text_of((struct rg_recipe){TINY, .leave_out_key = "rope.freq_base"},
                         (struct md_options){0});
    CHECK_INT(count_of(text, "base=10000,"), 16);
    hs_free(text);
}

/* 62 layers are the 27B model, whose scale comes from E / heads. */
TEST(the_27b_model_has_a_scale_of_its_own)
{
    struct rg_recipe recipe = {TINY};
    recipe.layers = 31;
    char *text = text_of(recipe, (struct md_options){0});
    CHECK(strstr(text, "scale=0.25"));
    hs_free(text);
    recipe.layers = 62;
    recipe.heads = 1;
    recipe.kv_heads = 1;
    text = text_of(recipe, (struct md_options){0});
    CHECK(strstr(text, "scale=0.125"));
    hs_free(text);
}

TEST(planted_faults_change_the_graph)
{
    const struct rg_recipe recipe = {TINY, .window = 20};
    char *text = text_of(recipe, (struct md_options){.fault_rope_base_factor = 2});
    CHECK(strstr(text, "base=20000") && strstr(text, "base=200000"));
    hs_free(text);
    text = text_of(recipe, (struct md_options){.fault_window_delta = -1});
    CHECK(strstr(text, "group 0: window=19, layers=7"));
    CHECK_INT(count_of(text, "window=19,"), 8);
    CHECK_INT(count_of(text, "window=0,"), 2);
    hs_free(text);
    text = text_of(recipe, (struct md_options){.fault_skip_norm = true});
    CHECK(strstr(text, "matmul %12, @blk.0.ffn_gate.weight"));
    hs_free(text);
}

static void expect(struct rg_recipe recipe, enum hasten_status expected, const char *part)
{
    struct gguf_file *file = make(&recipe);
    struct ir_graph *graph = NULL;
    const struct md_options options = {.kv_dtype = TN_F16};
    enum hasten_status status = md_build(file, &options, &error, &graph);
    if (status != expected || !strstr(error.message, part))
        TEST_FAIL("expected %s '%s', got %s: %s", hs_status_name(expected), part,
                  hs_status_name(status), error.message);
    gguf_close(&file);
}

TEST(what_is_missing_is_named)
{
    static const char *const tensors[] = {"blk.7.attn_q_norm", "blk.0.post_attention_norm",
                                          "blk.3.post_ffw_norm", "output_norm", "token_embd"};
    static const char *const keys[] = {"block_count", "attention.head_count", "context_length",
                                       "attention.layer_norm_rms_epsilon"};
    for (int i = 0; i < 5; i++)
        expect((struct rg_recipe){TINY, .leave_out_tensor = tensors[i]}, HASTEN_CORRUPT_INPUT,
               tensors[i]);
    for (int i = 0; i < 4; i++)
        expect((struct rg_recipe){TINY, .leave_out_key = keys[i]}, HASTEN_CORRUPT_INPUT, keys[i]);
}

TEST(out_of_memory_anywhere_is_a_status)
{
    struct gguf_file *file = make(&(struct rg_recipe){TINY, .window = 20});
    const struct md_options options = {.kv_dtype = TN_F16};
    for (uint64_t n = 1;; n++) {
        struct ir_graph *graph = NULL;
        hs_alloc_fail_at(n, true);
        enum hasten_status status = md_build(file, &options, &error, &graph);
        hs_alloc_fail_at(0, false);
        if (status == HASTEN_OK) {
            ir_graph_free(&graph);
            CHECK(n > 3);
            break;
        }
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
    }
    gguf_close(&file);
}

TEST_MAIN()
