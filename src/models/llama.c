/*
 * Family "llama": dense decoder-only transformers (Llama 1-3, Mistral, SmolLM, ...).
 *
 * Layer: x += o(attention(rope(q), rope(k), v)) of rmsnorm(x); x += down(silu(gate) * up) of
 * rmsnorm(x). Grouped-query attention, rope over adjacent pairs (the converter of this family
 * permutes Q and K so), optional frequency factors (Llama 3.1), head tied to the embedding when the
 * file has no output.weight. Sources: Touvron et al. 2023; Su et al. 2021 (rope); key and tensor
 * names of the GGUF specification.
 *
 * Refused: experts, biases and any other tensor that has no place here (every tensor of the file
 * must be used), layers of different sizes, rope scaling other than linear.
 *
 * Limits (file contents are untrusted): see the ranges below. Products of two of them fit 63 bits
 * with room to spare.
 */
#include <math.h>
#include <stdio.h>

#include "models/facts.h"
#include "models/family_table.h"

#define ARCH "llama"

static const struct md_range layer_range = {1, 1024};
static const struct md_range embedding_range = {1, 65536};
static const struct md_range feed_forward_range = {1, 1 << 20};
static const struct md_range heads_range = {1, 1024};
static const struct md_range head_dim_range = {2, 512};
static const struct md_range context_range = {1, 1 << 30};
#define VOCAB_MOST (1 << 22)
static const double eps_range[2] = {0, 1};
static const double rope_base_range[2] = {0, 1e12};
static const double scale_range[2] = {0, 1e6};

/* What the builder needs beyond md_facts. */
struct llama {
    struct md_facts facts;
    int64_t rope_dims;
    double position_scale;
};

/* ---- metadata ---- */

static enum hasten_status refuse_variants(const struct gguf_file *file, struct hs_error *error)
{
    int64_t experts = 0;
    const struct md_range any = {0, INT64_MAX};
    HS_TRY(md_read_int(file, ARCH, "expert_count", any, error, &experts));
    if (experts > 0)
        return md_fail(file, error, HASTEN_UNSUPPORTED, "use a dense model",
                       "the model is a mixture of %lld experts", (long long)experts);
    return HASTEN_OK;
}

static enum hasten_status read_heads(const struct gguf_file *file, struct hs_error *error,
                                     struct md_facts *facts)
{
    HS_TRY(md_need_int(file, ARCH, "attention.head_count", heads_range, error, &facts->heads));
    facts->kv_heads = facts->heads;
    HS_TRY(
        md_read_int(file, ARCH, "attention.head_count_kv", heads_range, error, &facts->kv_heads));
    if (facts->heads % facts->kv_heads)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "%lld heads are no multiple of %lld KV heads", (long long)facts->heads,
                       (long long)facts->kv_heads);
    int64_t head_dim = facts->embedding / facts->heads;
    if (!md_has_key(file, ARCH, "attention.key_length") && facts->embedding % facts->heads)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "embedding length %lld is no multiple of %lld heads",
                       (long long)facts->embedding, (long long)facts->heads);
    HS_TRY(md_read_int(file, ARCH, "attention.key_length", head_dim_range, error, &head_dim));
    int64_t value_dim = head_dim;
    HS_TRY(md_read_int(file, ARCH, "attention.value_length", head_dim_range, error, &value_dim));
    if (value_dim != head_dim)
        return md_fail(file, error, HASTEN_UNSUPPORTED, NULL,
                       "keys and values differ in length: %lld and %lld", (long long)head_dim,
                       (long long)value_dim);
    if (head_dim < head_dim_range.low || head_dim > head_dim_range.high || head_dim % 2)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "head length is %lld, expected an even number of %lld to %lld",
                       (long long)head_dim, (long long)head_dim_range.low,
                       (long long)head_dim_range.high);
    facts->head_dim = head_dim;
    return HASTEN_OK;
}

static enum hasten_status read_scaling(const struct gguf_file *file, struct hs_error *error,
                                       struct llama *llama)
{
    struct hs_str type = {0};
    double factor = 1, attention = 1;
    bool typed = gguf_get_text(file, ARCH ".rope.scaling.type", &type);
    if (typed && !hs_str_is(type, "linear") && !hs_str_is(type, "none"))
        return md_fail(file, error, HASTEN_UNSUPPORTED, "supported: none linear",
                       "rope scaling type '%.*s' is not supported",
                       type.size_bytes > 64 ? 64 : (int)type.size_bytes, type.data);
    HS_TRY(md_read_real(file, ARCH, "rope.scaling.attn_factor", scale_range, error, &attention));
    if (attention < 1 || attention > 1)
        return md_fail(file, error, HASTEN_UNSUPPORTED, NULL,
                       "rope attention factor %g is not supported", attention);
    HS_TRY(md_read_real(file, ARCH, "rope.scale_linear", scale_range, error, &factor));
    HS_TRY(md_read_real(file, ARCH, "rope.scaling.factor", scale_range, error, &factor));
    llama->position_scale = typed && hs_str_is(type, "none") ? 1 : 1 / factor;
    return HASTEN_OK;
}

static enum hasten_status read_rope(const struct gguf_file *file, struct hs_error *error,
                                    struct llama *llama)
{
    struct md_facts *facts = &llama->facts;
    facts->rope_base = 10000;
    HS_TRY(md_read_real(file, ARCH, "rope.freq_base", rope_base_range, error, &facts->rope_base));
    struct md_range dims = {2, facts->head_dim};
    llama->rope_dims = facts->head_dim;
    HS_TRY(md_read_int(file, ARCH, "rope.dimension_count", dims, error, &llama->rope_dims));
    if (llama->rope_dims % 2)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL, "rope dimension count %lld is odd",
                       (long long)llama->rope_dims);
    return read_scaling(file, error, llama);
}

static enum hasten_status read_vocab_size(const struct gguf_file *file, struct hs_error *error,
                                          struct md_facts *facts)
{
    const struct gguf_tensor *table = gguf_find_tensor(file, "token_embd.weight");
    if (!table)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, "convert or download the model again",
                       "tensor 'token_embd.weight' is missing");
    if (table->shape[1] < 1 || table->shape[1] > VOCAB_MOST)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "tensor 'token_embd.weight' has %lld rows, expected 1 to %d",
                       (long long)table->shape[1], VOCAB_MOST);
    facts->vocab = table->shape[1];
    return HASTEN_OK;
}

static enum hasten_status read_llama(const struct gguf_file *file, struct hs_error *error,
                                     struct llama *llama)
{
    struct md_facts *facts = &llama->facts;
    double eps = 0;
    HS_TRY(refuse_variants(file, error));
    HS_TRY(md_need_int(file, ARCH, "block_count", layer_range, error, &facts->layers));
    HS_TRY(md_need_int(file, ARCH, "embedding_length", embedding_range, error, &facts->embedding));
    HS_TRY(md_need_int(file, ARCH, "feed_forward_length", feed_forward_range, error,
                       &facts->feed_forward));
    HS_TRY(md_need_int(file, ARCH, "context_length", context_range, error, &facts->context_length));
    if (!md_has_key(file, ARCH, "attention.layer_norm_rms_epsilon"))
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, "convert the model again",
                       "metadata '" ARCH ".attention.layer_norm_rms_epsilon' is missing");
    HS_TRY(md_read_real(file, ARCH, "attention.layer_norm_rms_epsilon", eps_range, error, &eps));
    facts->norm_eps = (float)eps;
    HS_TRY(read_heads(file, error, facts));
    HS_TRY(read_rope(file, error, llama));
    return read_vocab_size(file, error, facts);
}

enum hasten_status md_llama_facts(const struct gguf_file *file, struct hs_error *error,
                                  struct md_facts *facts_out)
{
    struct llama llama = {.facts = *facts_out};
    HS_TRY(read_llama(file, error, &llama));
    *facts_out = llama.facts;
    return HASTEN_OK;
}

/* ---- graph ---- */

struct builder {
    const struct gguf_file *file;
    const struct md_options *options;
    struct hs_error *error;
    const struct llama *llama;
    struct ir_graph *graph;
    ir_dim tokens;
    ir_value_id batch, factors; /* factors: IR_NONE when the file has none */
    int32_t group;
    int32_t layer;             /* being built, IR_NONE outside layers */
    enum hasten_status status; /* first failure; later calls do nothing */
    uint8_t *used;             /* [tensor of the file] */
};

/* Weight by name and expected shape (rows 0: a vector). */
static ir_value_id weight(struct builder *b, const char *name, int64_t rows, int64_t cols)
{
    const struct gguf_tensor *tensor = gguf_find_tensor(b->file, name);
    if (b->status != HASTEN_OK)
        return IR_NONE;
    if (!tensor) {
        b->status = md_fail(b->file, b->error, HASTEN_CORRUPT_INPUT,
                            "convert or download the model again", "tensor '%s' is missing", name);
        return IR_NONE;
    }
    b->status = md_check_tensor(b->file, tensor, rows, cols, b->error);
    if (b->status != HASTEN_OK)
        return IR_NONE;
    b->used[tensor - b->file->tensors] = 1;
    const int64_t dims[2] = {rows ? rows : cols, cols};
    return ir_add_const(b->graph,
                        ir_const_tensor(b->graph, name, tensor->dtype, rows ? 2 : 1, dims));
}

static ir_value_id layer_weight(struct builder *b, const char *part, int64_t rows, int64_t cols)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s.weight", b->layer, part);
    return weight(b, name, rows, cols);
}

/* A node with one f32 output of the given rows and features. */
static ir_value_id emit(struct builder *b, enum op_id op, const void *attrs,
                        const ir_value_id *inputs, int32_t count, int64_t features)
{
    if (b->status != HASTEN_OK)
        return IR_NONE;
    ir_dim rows = op == OP_SELECT_ROWS                 ? ir_dim_symbol(b->graph, IR_SYM_WANTED)
                  : op == OP_EMBED || b->graph->failed ? b->tokens
                                                       : b->graph->values[inputs[0]].dims[0];
    ir_value_id output = ir_add_temp(b->graph, TN_F32, rows, features);
    ir_node_id node = ir_add_node(b->graph, op, attrs, inputs, count, &output, 1);
    if (node >= 0)
        b->graph->nodes[node].layer = b->layer;
    return output;
}

static ir_value_id matmul(struct builder *b, ir_value_id x, ir_value_id matrix, int64_t features)
{
    return emit(b, OP_MATMUL, NULL, (ir_value_id[]){x, matrix}, 2, features);
}

/* add, mul, silu, select_rows */
static ir_value_id row_op(struct builder *b, enum op_id op, ir_value_id x, ir_value_id y,
                          int64_t features)
{
    const struct op_row_attrs attrs = {.features = features};
    return emit(b, op, &attrs, (ir_value_id[]){x, y}, y == IR_NONE ? 1 : 2, features);
}

static ir_value_id rmsnorm(struct builder *b, ir_value_id x, ir_value_id scale)
{
    int64_t features = b->llama->facts.embedding;
    const struct op_norm_attrs attrs = {.features = features, .eps = b->llama->facts.norm_eps};
    return emit(b, OP_RMSNORM, &attrs, (ir_value_id[]){x, scale}, 2, features);
}

static ir_value_id rope(struct builder *b, ir_value_id x, int64_t heads)
{
    const struct md_facts *facts = &b->llama->facts;
    double fault = b->options->fault_rope_base_factor;
    const struct op_rope_attrs attrs = {.heads = (int32_t)heads,
                                        .head_dim = (int32_t)facts->head_dim,
                                        .dims = (int32_t)b->llama->rope_dims,
                                        .style = OP_ROPE_ADJACENT,
                                        .base = facts->rope_base * (fault > 0 ? fault : 1),
                                        .position_scale = b->llama->position_scale};
    const ir_value_id inputs[] = {x, b->batch, b->factors};
    return emit(b, OP_ROPE, &attrs, inputs, b->factors == IR_NONE ? 2 : 3, heads * facts->head_dim);
}

static ir_value_id append(struct builder *b, ir_value_id keys, ir_value_id values)
{
    const struct md_facts *facts = &b->llama->facts;
    char name[24];
    snprintf(name, sizeof name, "kv.%d", b->layer);
    if (b->status != HASTEN_OK)
        return IR_NONE;
    ir_value_id state = ir_add_state(b->graph, name, b->group);
    ir_value_id next = ir_next_version(b->graph, state);
    const struct op_kv_attrs attrs = {.kv_heads = (int32_t)facts->kv_heads,
                                      .head_dim = (int32_t)facts->head_dim,
                                      .kv_layer = b->layer,
                                      .kv_dtype = (int32_t)b->options->kv_dtype};
    const ir_value_id inputs[] = {state, keys, values, b->batch};
    ir_node_id node = ir_add_node(b->graph, OP_KV_APPEND, &attrs, inputs, 4, &next, 1);
    if (node >= 0)
        b->graph->nodes[node].layer = b->layer;
    return next;
}

static ir_value_id attention(struct builder *b, ir_value_id queries, ir_value_id state)
{
    const struct md_facts *facts = &b->llama->facts;
    int32_t window = b->options->fault_window_delta; /* the family itself has no window */
    const struct op_attention_attrs attrs = {.heads = (int32_t)facts->heads,
                                             .kv_heads = (int32_t)facts->kv_heads,
                                             .head_dim = (int32_t)facts->head_dim,
                                             .window = window > 0 ? window : 0,
                                             .causal = 1,
                                             .scale = (float)(1 / sqrt((double)facts->head_dim)),
                                             .kv_layer = b->layer,
                                             .kv_dtype = (int32_t)b->options->kv_dtype};
    return emit(b, OP_ATTENTION, &attrs, (ir_value_id[]){queries, state, b->batch}, 3,
                facts->heads * facts->head_dim);
}

static ir_value_id build_attention(struct builder *b, ir_value_id x)
{
    const struct md_facts *facts = &b->llama->facts;
    int64_t width = facts->heads * facts->head_dim, kv_width = facts->kv_heads * facts->head_dim;
    int64_t e = facts->embedding;
    ir_value_id h = rmsnorm(b, x, layer_weight(b, "attn_norm", 0, e));
    ir_value_id q = matmul(b, h, layer_weight(b, "attn_q", width, e), width);
    ir_value_id k = matmul(b, h, layer_weight(b, "attn_k", kv_width, e), kv_width);
    ir_value_id v = matmul(b, h, layer_weight(b, "attn_v", kv_width, e), kv_width);
    q = rope(b, q, facts->heads);
    k = rope(b, k, facts->kv_heads);
    ir_value_id o = attention(b, q, append(b, k, v));
    o = matmul(b, o, layer_weight(b, "attn_output", e, width), e);
    return row_op(b, OP_ADD, x, o, e);
}

static ir_value_id build_feed_forward(struct builder *b, ir_value_id x)
{
    int64_t e = b->llama->facts.embedding, f = b->llama->facts.feed_forward;
    ir_value_id scale = layer_weight(b, "ffn_norm", 0, e);
    ir_value_id h = b->options->fault_skip_norm && b->layer == 0 ? x : rmsnorm(b, x, scale);
    ir_value_id gate = matmul(b, h, layer_weight(b, "ffn_gate", f, e), f);
    ir_value_id up = matmul(b, h, layer_weight(b, "ffn_up", f, e), f);
    gate = row_op(b, OP_SILU, gate, IR_NONE, f);
    h = row_op(b, OP_MUL, gate, up, f);
    h = matmul(b, h, layer_weight(b, "ffn_down", e, f), e);
    return row_op(b, OP_ADD, x, h, e);
}

static ir_value_id build_embed(struct builder *b, ir_value_id table)
{
    const struct md_facts *facts = &b->llama->facts;
    if (b->status != HASTEN_OK || b->graph->failed)
        return IR_NONE;
    const struct op_embed_attrs attrs = {.rows = facts->vocab,
                                         .cols = facts->embedding,
                                         .dtype = (int32_t)b->graph->values[table].dtype,
                                         .layout = TN_LAYOUT_ROWS,
                                         .scale = 1};
    return emit(b, OP_EMBED, &attrs, (ir_value_id[]){b->graph->token_input, table}, 2,
                facts->embedding);
}

static void build_head(struct builder *b, ir_value_id x, ir_value_id table)
{
    const struct md_facts *facts = &b->llama->facts;
    x = row_op(b, OP_SELECT_ROWS, x, b->batch, facts->embedding);
    x = rmsnorm(b, x, weight(b, "output_norm.weight", 0, facts->embedding));
    ir_value_id head = gguf_find_tensor(b->file, "output.weight")
                           ? weight(b, "output.weight", facts->vocab, facts->embedding)
                           : table;
    ir_value_id logits = matmul(b, x, head, facts->vocab);
    if (b->status != HASTEN_OK || b->graph->failed)
        return;
    ir_set_name(b->graph, logits, "logits");
    b->graph->logits = logits;
}

static void build_graph(struct builder *b)
{
    const struct md_facts *facts = &b->llama->facts;
    struct tn_kv_layout layout;
    b->status = tn_kv_layout_init(b->options->kv_dtype, (int)facts->kv_heads, (int)facts->head_dim,
                                  b->error, &layout);
    if (b->status != HASTEN_OK)
        return;
    b->tokens = ir_dim_symbol(b->graph, IR_SYM_TOKENS);
    b->graph->token_input = ir_add_input(b->graph, "token", TN_I32, b->tokens);
    b->batch = ir_add_batch(b->graph);
    b->group = ir_add_group(b->graph, 0, &layout);
    b->layer = b->factors = IR_NONE;
    if (gguf_find_tensor(b->file, "rope_freqs.weight"))
        b->factors = weight(b, "rope_freqs.weight", 0, b->llama->rope_dims / 2);
    ir_value_id table = weight(b, "token_embd.weight", facts->vocab, facts->embedding);
    ir_value_id x = build_embed(b, table);
    for (b->layer = 0; b->layer < facts->layers; b->layer++)
        x = build_feed_forward(b, build_attention(b, x));
    b->layer = IR_NONE;
    build_head(b, x, table);
}

/* Tensors that the graph does not use would change the result if they were honoured (biases,
 * experts, extra norms): refuse the file instead of computing something else. */
static enum hasten_status check_all_used(const struct builder *b)
{
    for (int64_t i = 0; i < b->file->tensor_count; i++) {
        struct hs_str name = b->file->tensors[i].name;
        if (!b->used[i])
            return md_fail(b->file, b->error, HASTEN_UNSUPPORTED,
                           "the model is a variant of llama that is not supported",
                           "tensor '%.*s' has no place in a plain llama model", HS_STR(name));
    }
    return HASTEN_OK;
}

enum hasten_status md_llama_build(const struct gguf_file *file, const struct md_options *options,
                                  struct hs_error *error, struct ir_graph **graph_out)
{
    struct llama llama = {0};
    HS_TRY(read_llama(file, error, &llama));
    struct builder b = {.file = file, .options = options, .error = error, .llama = &llama};
    b.graph = ir_graph_new(ARCH);
    b.used = b.graph ? hs_arena_alloc(&b.graph->arena, (size_t)file->tensor_count + 1, 1) : NULL;
    if (!b.used) {
        ir_graph_free(&b.graph);
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a graph");
    }
    build_graph(&b);
    if (b.status == HASTEN_OK)
        b.status = ir_graph_status(b.graph, error);
    if (b.status == HASTEN_OK)
        b.status = check_all_used(&b);
    if (b.status == HASTEN_OK) {
        ir_graph_compact(b.graph);
        b.status = ir_verify(b.graph, error);
    }
    if (b.status != HASTEN_OK)
        ir_graph_free(&b.graph);
    else
        *graph_out = b.graph;
    return b.status;
}
