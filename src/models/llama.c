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
 */
#include <math.h>

#include "models/dense.h"
#include "models/family_table.h"

#define ARCH "llama"

enum hasten_status md_llama_facts(const struct gguf_file *file, struct hs_error *error,
                                  struct md_facts *facts_out)
{
    struct md_rope rope;
    HS_TRY(md_read_dense(file, ARCH, error, facts_out));
    return md_read_rope(file, ARCH, facts_out, error, &rope);
}

static ir_value_id build_attention(struct md_builder *b, const struct md_rope *rope,
                                   const struct md_attention *attention, ir_value_id x)
{
    const struct md_facts *facts = b->facts;
    int64_t width = facts->heads * facts->head_dim, kv_width = facts->kv_heads * facts->head_dim;
    int64_t e = facts->embedding;
    ir_value_id h = md_rmsnorm(b, x, md_layer_weight(b, "attn_norm", 0, e), e);
    ir_value_id q = md_matmul(b, h, md_layer_weight(b, "attn_q", width, e), width);
    ir_value_id k = md_matmul(b, h, md_layer_weight(b, "attn_k", kv_width, e), kv_width);
    ir_value_id v = md_matmul(b, h, md_layer_weight(b, "attn_v", kv_width, e), kv_width);
    q = md_rope(b, q, facts->heads, rope);
    k = md_rope(b, k, facts->kv_heads, rope);
    ir_value_id o = md_attend(b, (ir_value_id[]){q, k, v}, attention);
    o = md_matmul(b, o, md_layer_weight(b, "attn_output", e, width), e);
    return md_row_op(b, OP_ADD, x, o, e);
}

static ir_value_id build_feed_forward(struct md_builder *b, ir_value_id x)
{
    int64_t e = b->facts->embedding, f = b->facts->feed_forward;
    ir_value_id scale = md_layer_weight(b, "ffn_norm", 0, e);
    ir_value_id h = b->options->fault_skip_norm && b->layer == 0 ? x : md_rmsnorm(b, x, scale, e);
    ir_value_id gate = md_matmul(b, h, md_layer_weight(b, "ffn_gate", f, e), f);
    ir_value_id up = md_matmul(b, h, md_layer_weight(b, "ffn_up", f, e), f);
    gate = md_row_op(b, OP_SILU, gate, IR_NONE, f);
    h = md_row_op(b, OP_MUL, gate, up, f);
    h = md_matmul(b, h, md_layer_weight(b, "ffn_down", e, f), e);
    return md_row_op(b, OP_ADD, x, h, e);
}

static void build_head(struct md_builder *b, ir_value_id x, ir_value_id table)
{
    int64_t e = b->facts->embedding;
    x = md_select_rows(b, x);
    x = md_rmsnorm(b, x, md_weight(b, "output_norm.weight", 0, e), e);
    md_finish_logits(b, md_matmul(b, x, md_head_weight(b, table), b->facts->vocab));
}

static void build_graph(struct md_builder *b, struct md_rope *rope)
{
    const struct md_facts *facts = b->facts;
    int32_t window = b->options->fault_window_delta; /* the family itself has no window */
    const struct md_attention attention = {.group = md_group(b, 0),
                                           .window = window > 0 ? window : 0,
                                           .scale = 1 / sqrt((double)facts->head_dim)};
    if (gguf_find_tensor(b->file, "rope_freqs.weight"))
        rope->factors = md_weight(b, "rope_freqs.weight", 0, rope->dims / 2);
    ir_value_id table = md_table_weight(b);
    ir_value_id x = md_embed(b, table, 1);
    for (b->layer = 0; b->layer < facts->layers; b->layer++)
        x = build_feed_forward(b, build_attention(b, rope, &attention, x));
    b->layer = IR_NONE;
    build_head(b, x, table);
}

enum hasten_status md_llama_build(const struct gguf_file *file, const struct md_options *options,
                                  struct hs_error *error, struct ir_graph **graph_out)
{
    struct md_facts facts = {.architecture = ARCH};
    struct md_rope rope = {.style = OP_ROPE_ADJACENT};
    HS_TRY(md_read_dense(file, ARCH, error, &facts));
    HS_TRY(md_read_rope(file, ARCH, &facts, error, &rope));
    struct md_builder b = {.file = file, .options = options, .error = error, .facts = &facts};
    HS_TRY(md_builder_start(&b));
    build_graph(&b, &rope);
    return md_builder_finish(&b, graph_out);
}
