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
    ir_value_id qkv[3];
    md_project_qkv(b, x, qkv);
    qkv[0] = md_rope(b, qkv[0], b->facts->heads, rope);
    qkv[1] = md_rope(b, qkv[1], b->facts->kv_heads, rope);
    return md_row_op(b, OP_ADD, x, md_attend(b, qkv, attention), b->facts->embedding);
}

static ir_value_id build_feed_forward(struct md_builder *b, ir_value_id x)
{
    ir_value_id h = md_gated_feed_forward(b, x, OP_SILU);
    return md_row_op(b, OP_ADD, x, h, b->facts->embedding);
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
    md_head(b, x, table, 0);
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
