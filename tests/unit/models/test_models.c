/* Family llama and vocabulary over small GGUF files written here: facts, graph, refusals, faults.
 */
#include "models/model.h"

#include <unistd.h>

#include "harness/test.h"

/* What is changed in the file; zero = the plain model. */
struct recipe {
    const char *drop_key, *drop_tensor;
    const char *architecture, *scaling;
    const char *extra_tensor; /* f32[32] */
    const char *bent_tensor;  /* gets one column (vectors: entry) more */
    const char *set_key;      /* after "llama." */
    uint32_t set_value;
    bool untied, factors, head_counts_array, key_length_48;
    int32_t tokenizer; /* 0 none, 1 gpt2, 2 llama */
    const char *pre, *name;
    int64_t eos; /* tokenizer.ggml.eos_token_id unless 0 */
    bool im_end, no_space_prefix;
    uint32_t kv_heads_second; /* with head_counts_array: value of layer 1 */
    float scale_factor;
};

#define E     64
#define F     96
#define V     40
#define HEADS 4
#define KV    2

static struct gguf_writer *writer;
static struct hs_error error;

static void must(enum hasten_status status)
{
    if (status != HASTEN_OK)
        TEST_FAIL("writing the test model: %s", error.message);
}

static void put_number(const struct recipe *r, const char *key, uint32_t value)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", r->architecture ? r->architecture : "llama", key);
    if (r->drop_key && strcmp(r->drop_key, key) == 0)
        return;
    if (r->set_key && strcmp(r->set_key, key) == 0)
        value = r->set_value;
    must(gguf_put_u32(writer, name, value, &error));
}

static void put_array(const char *key, enum gguf_type element, uint64_t count, const void *data,
                      size_t size)
{
    /* put_entry wants the encoded value: element type and count first when data starts there */
    struct gguf_entry entry = {.key = hs_str_of(key),
                               .type = GGUF_ARRAY,
                               .element = element,
                               .count = count,
                               .data = data,
                               .data_bytes = size};
    must(gguf_put_entry(writer, &entry, &error));
}

static void put_tokenizer(const struct recipe *r)
{
    struct hs_str tokens[V], merges[2] = {hs_str_of("a b"), hs_str_of("ab c")};
    static char names[V][8];
    uint32_t types[V];
    float scores[V];
    for (int i = 0; i < V; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        tokens[i] = hs_str_of(names[i]);
        types[i] = i < 3 ? TX_TOKEN_CONTROL : i == 3 ? 0 : TX_TOKEN_NORMAL;
        scores[i] = -(float)i;
    }
    if (r->im_end)
        tokens[2] = hs_str_of("<|im_end|>");
    int32_t negative = -1;
    if (r->eos > 0)
        must(gguf_put_u32(writer, "tokenizer.ggml.eos_token_id", (uint32_t)r->eos, &error));
    if (r->eos < 0)
        must(gguf_put_entry(writer,
                            &(struct gguf_entry){.key = hs_str_of("tokenizer.ggml.eos_token_id"),
                                                 .type = GGUF_I32,
                                                 .data = (const uint8_t *)&negative,
                                                 .count = 1,
                                                 .data_bytes = sizeof negative},
                            &error));
    if (r->no_space_prefix)
        must(gguf_put_bool(writer, "tokenizer.ggml.add_space_prefix", false, &error));
    must(gguf_put_text(writer, "tokenizer.ggml.model",
                       hs_str_of(r->tokenizer == 1 ? "gpt2" : "llama"), &error));
    if (r->pre)
        must(gguf_put_text(writer, "tokenizer.ggml.pre", hs_str_of(r->pre), &error));
    must(gguf_put_texts(writer, "tokenizer.ggml.tokens", tokens, V, &error));
    must(gguf_put_texts(writer, "tokenizer.ggml.merges", merges, 2, &error));
    put_array("tokenizer.ggml.token_type", GGUF_I32, V, types, sizeof types);
    put_array("tokenizer.ggml.scores", GGUF_F32, V, scores, sizeof scores);
    must(gguf_put_u32(writer, "tokenizer.ggml.padding_token_id", 4000000000u, &error));
    must(gguf_put_text(writer, "tokenizer.chat_template", hs_str_of("{{ x }}"), &error));
}

static void put_metadata(const struct recipe *r)
{
    must(gguf_put_text(writer, "general.architecture",
                       hs_str_of(r->architecture ? r->architecture : "llama"), &error));
    must(gguf_put_text(writer, "general.name", hs_str_of(r->name ? r->name : "tiny"), &error));
    put_number(r, "block_count", 2);
    put_number(r, "context_length", 128);
    put_number(r, "embedding_length", E);
    put_number(r, "feed_forward_length", F);
    put_number(r, "attention.head_count", HEADS);
    if (r->head_counts_array) {
        const uint32_t counts[2] = {KV, r->kv_heads_second};
        put_array("llama.attention.head_count_kv", GGUF_U32, 2, counts, sizeof counts);
    } else {
        put_number(r, "attention.head_count_kv", KV);
    }
    if (r->key_length_48) {
        put_number(r, "attention.key_length", 48);
        put_number(r, "attention.value_length", 48);
    }
    put_number(r, "rope.freq_base", 5000);
    if (!r->drop_key || strcmp(r->drop_key, "eps") != 0)
        must(gguf_put_f32(writer, "llama.attention.layer_norm_rms_epsilon", 1e-5f, &error));
    if (r->scaling)
        must(gguf_put_text(writer, "llama.rope.scaling.type", hs_str_of(r->scaling), &error));
    if (r->scale_factor > 0)
        must(gguf_put_f32(writer, "llama.rope.scaling.factor", r->scale_factor, &error));
    if (r->set_key && strcmp(r->set_key, "expert_count") == 0)
        put_number(r, "expert_count", 0);
    if (r->tokenizer)
        put_tokenizer(r);
}

static size_t declared_bytes[64];
static int declared;

static void declare(const struct recipe *r, const char *name, enum tn_dtype dtype, int64_t rows,
                    int64_t cols)
{
    size_t row_bytes = 0;
    if (r->drop_tensor && strcmp(r->drop_tensor, name) == 0)
        return;
    if (r->bent_tensor && strcmp(r->bent_tensor, name) == 0) {
        dtype = TN_F32;
        cols++;
    }
    must(gguf_declare(writer, hs_str_of(name), dtype, rows ? 2 : 1, (int64_t[]){cols, rows},
                      &error));
    CHECK(tn_row_bytes(dtype, cols, &row_bytes));
    CHECK(declared < 64);
    declared_bytes[declared++] = row_bytes * (size_t)(rows ? rows : 1);
}

static void declare_layer(const struct recipe *r, int layer)
{
    int64_t head = r->key_length_48 ? 48 : E / HEADS;
    const struct {
        const char *name;
        enum tn_dtype dtype;
        int64_t rows, cols;
    } parts[] = {{"attn_norm", TN_F32, 0, E},
                 {"attn_q", TN_Q4_1, HEADS * head, E},
                 {"attn_k", TN_Q4_1, KV * head, E},
                 {"attn_v", TN_Q8_0, KV * head, E},
                 {"attn_output", TN_Q4_1, E, HEADS * head},
                 {"ffn_norm", TN_F32, 0, E},
                 {"ffn_gate", TN_Q4_1, F, E},
                 {"ffn_up", TN_Q4_1, F, E},
                 {"ffn_down", TN_F16, E, F}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, parts[i].name);
        declare(r, name, parts[i].dtype, parts[i].rows, parts[i].cols);
    }
}

static void declare_tensors(const struct recipe *r)
{
    declared = 0;
    declare(r, "token_embd.weight", TN_Q8_0, V, E);
    for (int layer = 0; layer < 2; layer++)
        declare_layer(r, layer);
    declare(r, "output_norm.weight", TN_F32, 0, E);
    if (r->untied)
        declare(r, "output.weight", TN_Q4_1, V, E);
    if (r->factors)
        declare(r, "rope_freqs.weight", TN_F32, 0, E / HEADS / 2);
    if (r->extra_tensor)
        declare(r, r->extra_tensor, TN_F32, 0, 32);
}

/* Writes and opens the model; the file is unlinked at once (the mapping keeps it). */
static struct gguf_file *make(struct recipe recipe)
{
    char path[64];
    static const uint8_t zeros[1 << 16];
    struct gguf_file *file = NULL;
    snprintf(path, sizeof path, "/tmp/hasten-test-models-%d.gguf", (int)getpid());
    must(gguf_writer_open(path, &error, &writer));
    put_metadata(&recipe);
    declare_tensors(&recipe);
    for (int i = 0; i < declared; i++) {
        CHECK(declared_bytes[i] <= sizeof zeros);
        must(gguf_write_data(writer, zeros, declared_bytes[i], &error));
    }
    must(gguf_writer_finish(&writer, &error));
    enum hasten_status status = gguf_open(path, &error, &file);
    unlink(path);
    must(status);
    return file;
}

static const struct md_options plain = {.kv_dtype = TN_F16};

static char *text_of(struct recipe recipe, const struct md_options *options)
{
    struct gguf_file *file = make(recipe);
    struct ir_graph *graph = NULL;
    struct hs_buffer text = {0};
    must(md_build(file, options, &error, &graph));
    CHECK_INT(ir_verify(graph, NULL), HASTEN_OK);
    ir_print(graph, &text);
    ir_graph_free(&graph);
    gguf_close(&file);
    return text.data;
}

static void expect(struct recipe recipe, enum hasten_status expected, const char *part)
{
    struct gguf_file *file = make(recipe);
    struct ir_graph *graph = NULL;
    enum hasten_status status = md_build(file, &plain, &error, &graph);
    if (status != expected || !strstr(error.message, part))
        TEST_FAIL("expected %s '%s', got %s: %s", hs_status_name(expected), part,
                  hs_status_name(status), error.message);
    CHECK(!graph);
    gguf_close(&file);
}

TEST(facts)
{
    struct gguf_file *file = make((struct recipe){0});
    struct md_facts facts;
    must(md_facts_read(file, &error, &facts));
    CHECK_TEXT(facts.architecture, "llama");
    CHECK(hs_str_is(facts.name, "tiny"));
    CHECK_INT(facts.layers, 2);
    CHECK_INT(facts.embedding, E);
    CHECK_INT(facts.head_dim, 16);
    CHECK_INT(facts.vocab, V);
    CHECK_INT(facts.context_length, 128);
    CHECK_NEAR(facts.rope_base, 5000, 0);
    CHECK_INT(facts.parameters, V * E + E + 2 * (2 * E + E * E * 2 + 2 * KV * 16 * E + 3 * E * F));
    gguf_close(&file);
}

TEST(a_layer_is_plain_canonical_ops)
{
    char *text = text_of((struct recipe){0}, &plain);
    static const char *const order[] = {
        "embed",
        "%1: f32[T][64] = rmsnorm %0, @blk.0.attn_norm.weight: f32[64]",
        "%2: f32[T][64] = matmul %1, @blk.0.attn_q.weight: q4_1[64][64]",
        "%3: f32[T][32] = matmul %1, @blk.0.attn_k.weight: q4_1[32][64]",
        "%4: f32[T][32] = matmul %1, @blk.0.attn_v.weight: q8_0[32][64]",
        "%5: f32[T][64] = rope %2, %batch, heads=4, head_dim=16, dims=16, style=adjacent, "
        "base=5000, position_scale=1",
        "%6: f32[T][32] = rope %3, %batch, heads=2",
        "%kv.0': state = kv_append %kv.0, %6, %4, %batch, kv_heads=2, head_dim=16, kv_layer=0",
        "%7: f32[T][64] = attention %5, %kv.0', %batch, heads=4, kv_heads=2, head_dim=16, "
        "window=0, causal=1, scale=0.25",
        "%8: f32[T][64] = matmul %7, @blk.0.attn_output.weight",
        "%9: f32[T][64] = add %0, %8",
        "%10: f32[T][64] = rmsnorm %9, @blk.0.ffn_norm.weight",
        "%11: f32[T][96] = matmul %10, @blk.0.ffn_gate.weight",
        "%12: f32[T][96] = matmul %10, @blk.0.ffn_up.weight",
        "%13: f32[T][96] = silu %11",
        "%14: f32[T][96] = mul %13, %12",
        "%15: f32[T][64] = matmul %14, @blk.0.ffn_down.weight: f16[64][96]",
        "%16: f32[T][64] = add %9, %15",
        "%17: f32[T][64] = rmsnorm %16, @blk.1.attn_norm.weight",
        "select_rows %32, %batch",
        "%hidden: f32[R][64] = rmsnorm %33, @output_norm.weight",
        "%logits: f32[R][40] = matmul %hidden, @token_embd.weight: q8_0[40][64]",
        "hidden %hidden",
        "out %logits"};
    const char *at = text;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const char *found = strstr(at, order[i]);
        if (!found)
            TEST_FAIL("'%s' is missing in\n%s", order[i], at);
        at = found + 1;
    }
    hs_free(text);
}

TEST(variants_of_the_family)
{
    char *text = text_of((struct recipe){.untied = true, .factors = true}, &plain);
    CHECK(strstr(text, "matmul %hidden, @output.weight: q4_1[40][64]"));
    CHECK(strstr(text, "rope %2, %batch, @rope_freqs.weight: f32[8], heads=4"));
    hs_free(text);
    text = text_of((struct recipe){.scaling = "linear", .scale_factor = 4}, &plain);
    CHECK(strstr(text, "position_scale=0.25"));
    hs_free(text);
    text = text_of((struct recipe){.scaling = "none", .scale_factor = 4}, &plain);
    CHECK(strstr(text, "position_scale=1 "));
    hs_free(text);
    text = text_of((struct recipe){.key_length_48 = true}, &plain);
    CHECK(strstr(text, "@blk.0.attn_q.weight: q4_1[192][64]"));
    CHECK(strstr(text, "kv_heads=2, head_dim=48\n"));
    hs_free(text);
    text = text_of((struct recipe){.head_counts_array = true, .kv_heads_second = KV}, &plain);
    CHECK(strstr(text, "kv_heads=2"));
    hs_free(text);
    const struct md_options f32 = {.kv_dtype = TN_F32};
    text = text_of((struct recipe){0}, &f32);
    CHECK(strstr(text, "group 0: window=0, layers=2, dtype=f32"));
    hs_free(text);
}

TEST(planted_faults_change_the_graph)
{
    const struct md_options faults[] = {{.kv_dtype = TN_F16, .fault_rope_base_factor = 1.5},
                                        {.kv_dtype = TN_F16, .fault_skip_norm = true},
                                        {.kv_dtype = TN_F16, .fault_window_delta = 3}};
    const char *const signs[] = {"base=7500", "matmul %9, @blk.0.ffn_gate.weight", "window=3, "};
    for (int i = 0; i < 3; i++) {
        char *text = text_of((struct recipe){0}, &faults[i]),
             *sound = text_of((struct recipe){0}, &plain);
        CHECK(strstr(text, signs[i]));
        CHECK(!strstr(sound, signs[i]));
        hs_free(text);
        hs_free(sound);
    }
}

TEST(wrong_metadata_is_named)
{
    expect((struct recipe){.architecture = "mamba"}, HASTEN_UNSUPPORTED, "'mamba'");
    CHECK(strstr(error.hint, "llama"));
    static const char *const needed[] = {"block_count", "embedding_length", "feed_forward_length",
                                         "context_length", "attention.head_count"};
    for (int i = 0; i < 5; i++) {
        expect((struct recipe){.drop_key = needed[i]}, HASTEN_CORRUPT_INPUT, needed[i]);
        expect((struct recipe){.set_key = needed[i], .set_value = 0}, HASTEN_CORRUPT_INPUT,
               needed[i]);
        expect((struct recipe){.set_key = needed[i], .set_value = UINT32_MAX}, HASTEN_CORRUPT_INPUT,
               needed[i]);
    }
    expect((struct recipe){.drop_key = "eps"}, HASTEN_CORRUPT_INPUT, "epsilon");
    expect((struct recipe){.set_key = "attention.head_count_kv", .set_value = 3},
           HASTEN_CORRUPT_INPUT, "multiple of 3 KV heads");
    expect((struct recipe){.set_key = "attention.head_count", .set_value = 6}, HASTEN_CORRUPT_INPUT,
           "64 is no multiple of 6 heads");
    expect((struct recipe){.set_key = "attention.head_count", .set_value = 64},
           HASTEN_CORRUPT_INPUT, "head length is 1");
    expect((struct recipe){.set_key = "rope.freq_base", .set_value = 0}, HASTEN_CORRUPT_INPUT,
           "rope.freq_base");
}

TEST(unsupported_variants_are_named)
{
    expect((struct recipe){.set_key = "expert_count", .set_value = 8}, HASTEN_UNSUPPORTED,
           "mixture of 8 experts");
    expect((struct recipe){.scaling = "yarn"}, HASTEN_UNSUPPORTED, "'yarn'");
    expect((struct recipe){.extra_tensor = "blk.0.attn_q.bias"}, HASTEN_UNSUPPORTED,
           "'blk.0.attn_q.bias'");
    expect((struct recipe){.head_counts_array = true, .kv_heads_second = 1}, HASTEN_UNSUPPORTED,
           "differs by layer: 2 and 1");
}

TEST(wrong_tensors_are_named)
{
    expect((struct recipe){.drop_tensor = "blk.1.attn_v.weight"}, HASTEN_CORRUPT_INPUT,
           "'blk.1.attn_v.weight' is missing");
    expect((struct recipe){.drop_tensor = "token_embd.weight"}, HASTEN_CORRUPT_INPUT,
           "'token_embd.weight' is missing");
    expect((struct recipe){.bent_tensor = "blk.1.ffn_up.weight"}, HASTEN_CORRUPT_INPUT,
           "'blk.1.ffn_up.weight' has shape [65, 96], expected [64, 96]");
    expect((struct recipe){.bent_tensor = "output_norm.weight"}, HASTEN_CORRUPT_INPUT,
           "has shape [65], expected [64]");
}

TEST(vocabulary_of_bpe)
{
    struct gguf_file *file = make((struct recipe){.tokenizer = 1, .pre = "smollm", .im_end = true});
    struct hs_arena arena = {0};
    struct tx_vocab vocab;
    must(md_vocab_read(file, &arena, &error, &vocab));
    CHECK_INT(vocab.kind, TX_TOKENIZER_BPE);
    CHECK(hs_str_is(vocab.pre, "smollm"));
    CHECK_INT(vocab.count, V);
    CHECK(hs_str_is(vocab.pieces[5], "t5"));
    CHECK_INT(vocab.types[0], TX_TOKEN_CONTROL);
    CHECK_INT(vocab.types[3], TX_TOKEN_NORMAL);
    CHECK_NEAR(vocab.scores[7], -7, 0);
    CHECK_INT(vocab.merge_count, 2);
    CHECK(hs_str_is(vocab.merges[1], "ab c"));
    CHECK_INT(vocab.bos, 11);
    CHECK_INT(vocab.eos, 11);
    CHECK_INT(vocab.eot, 2);
    CHECK_INT(vocab.unknown, -1);
    CHECK_INT(vocab.padding, -1);
    CHECK(!vocab.add_bos && !vocab.add_eos && !vocab.add_space_prefix);
    CHECK(hs_str_is(md_chat_template(file), "{{ x }}"));
    hs_arena_free(&arena);
    gguf_close(&file);
}

TEST(defaults_of_vocabularies)
{
    struct hs_arena arena = {0};
    struct tx_vocab vocab;
    struct gguf_file *file = make((struct recipe){.tokenizer = 1, .pre = "llama-bpe"});
    must(md_vocab_read(file, &arena, &error, &vocab));
    CHECK(vocab.add_bos);
    CHECK_INT(vocab.eot, -1);
    gguf_close(&file);
    file = make((struct recipe){.tokenizer = 2});
    must(md_vocab_read(file, &arena, &error, &vocab));
    CHECK_INT(vocab.kind, TX_TOKENIZER_SPM);
    CHECK(vocab.add_bos && !vocab.add_eos && vocab.add_space_prefix);
    CHECK_INT(vocab.bos, 1);
    CHECK_INT(vocab.eos, 2);
    CHECK_INT(vocab.unknown, 0);
    CHECK(!vocab.strip_after_special);
    gguf_close(&file);
    /* an id beyond the vocabulary leaves the default, a negative one means none */
    file = make((struct recipe){
        .tokenizer = 2, .name = "A Phi-3 mini", .eos = UINT32_MAX, .no_space_prefix = true});
    must(md_vocab_read(file, &arena, &error, &vocab));
    CHECK(vocab.strip_after_special && !vocab.add_space_prefix);
    CHECK_INT(vocab.eos, 2);
    gguf_close(&file);
    file = make((struct recipe){.tokenizer = 2, .name = "phi", .eos = -1});
    must(md_vocab_read(file, &arena, &error, &vocab));
    CHECK(!vocab.strip_after_special);
    CHECK_INT(vocab.eos, -1);
    gguf_close(&file);
    file = make((struct recipe){0});
    CHECK_INT(md_vocab_read(file, &arena, &error, &vocab), HASTEN_NOT_FOUND);
    CHECK_INT(md_chat_template(file).size_bytes, 0);
    gguf_close(&file);
    hs_arena_free(&arena);
}

TEST(out_of_memory_anywhere_is_a_status)
{
    struct gguf_file *file = make((struct recipe){0});
    struct ir_graph *graph = NULL;
    int failures = 0;
    for (uint64_t n = 1; n < 10000 && !graph; n++) {
        hs_alloc_fail_at(n, true);
        enum hasten_status status = md_build(file, &plain, &error, &graph);
        hs_alloc_fail_at(0, false);
        CHECK(status == HASTEN_OK || status == HASTEN_OUT_OF_MEMORY);
        failures += status != HASTEN_OK;
    }
    CHECK(graph);
    CHECK(failures > 3);
    ir_graph_free(&graph);
    gguf_close(&file);
}

TEST_MAIN()
