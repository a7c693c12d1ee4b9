/*
 * A small llama graph made by hand (no file): the canonical form that model builders emit, with
 * sizes and types to choose, so that passes meet many shapes.
 */
#ifndef HASTEN_TESTS_TINY_LLAMA_H
#define HASTEN_TESTS_TINY_LLAMA_H

#include <stdio.h>
#include <string.h>

#include "ir/graph.h"

struct tiny_llama {
    int32_t layers, heads, kv_heads, head_dim, rope_dims, style;
    int64_t embedding, feed_forward, vocab;
    enum tn_dtype types[7]; /* q k v o gate up down */
    enum tn_dtype embed_type;
    bool tied, factors, gelu, up_first, gives_hidden;
};

static const struct tiny_llama tiny_default = {
    .layers = 3,
    .heads = 4,
    .kv_heads = 2,
    .head_dim = 16,
    .rope_dims = 16,
    .style = OP_ROPE_ADJACENT,
    .embedding = 64,
    .feed_forward = 96,
    .vocab = 50,
    .types = {TN_Q4_1, TN_Q4_1, TN_Q8_0, TN_Q4_1, TN_Q4_1, TN_Q4_1, TN_Q8_0},
    .embed_type = TN_Q8_0,
    .tied = true};

struct tiny_state {
    struct ir_graph *g;
    const struct tiny_llama *m;
    ir_value_id factors;
    int32_t layer, group;
};

static ir_value_id tiny_weight(struct tiny_state *s, const char *name, enum tn_dtype dtype,
                               int64_t rows, int64_t cols)
{
    char text[64];
    if (s->layer >= 0)
        snprintf(text, sizeof text, "blk.%d.%s.weight", s->layer, name);
    else
        snprintf(text, sizeof text, "%s.weight", name);
    const int64_t dims[2] = {rows ? rows : cols, cols};
    return ir_add_const(s->g, ir_const_tensor(s->g, text, dtype, rows ? 2 : 1, dims));
}

static ir_value_id tiny_node(struct tiny_state *s, enum op_id op, const void *attrs,
                             const ir_value_id *in, int32_t count, int64_t features)
{
    ir_dim rows =
        op == OP_SELECT_ROWS ? ir_dim_symbol(s->g, IR_SYM_WANTED) : s->g->values[in[0]].dims[0];
    ir_value_id out = ir_add_temp(s->g, TN_F32, rows, features);
    ir_node_id node = ir_add_node(s->g, op, attrs, in, count, &out, 1);
    s->g->nodes[node].layer = s->layer;
    return out;
}

static ir_value_id tiny_row(struct tiny_state *s, enum op_id op, ir_value_id a, ir_value_id b)
{
    const struct op_row_attrs attrs = {.features = ir_features(s->g, a)};
    return tiny_node(s, op, &attrs, (ir_value_id[]){a, b}, b < 0 ? 1 : 2, attrs.features);
}

static ir_value_id tiny_norm(struct tiny_state *s, ir_value_id x, const char *name)
{
    const struct op_norm_attrs attrs = {.features = s->m->embedding, .eps = 1e-5f};
    return tiny_node(s, OP_RMSNORM, &attrs,
                     (ir_value_id[]){x, tiny_weight(s, name, TN_F32, 0, s->m->embedding)}, 2,
                     s->m->embedding);
}

static ir_value_id tiny_matmul(struct tiny_state *s, ir_value_id x, const char *name,
                               enum tn_dtype dtype, int64_t rows)
{
    ir_value_id w = tiny_weight(s, name, dtype, rows, ir_features(s->g, x));
    return tiny_node(s, OP_MATMUL, NULL, (ir_value_id[]){x, w}, 2, rows);
}

static ir_value_id tiny_rope(struct tiny_state *s, ir_value_id x, int32_t heads)
{
    const struct op_rope_attrs attrs = {.heads = heads,
                                        .head_dim = s->m->head_dim,
                                        .dims = s->m->rope_dims,
                                        .style = s->m->style,
                                        .base = 10000,
                                        .position_scale = 1};
    return tiny_node(s, OP_ROPE, &attrs, (ir_value_id[]){x, s->g->batch, s->factors},
                     s->factors < 0 ? 2 : 3, (int64_t)heads * s->m->head_dim);
}

static ir_value_id tiny_attention(struct tiny_state *s, ir_value_id x)
{
    const struct tiny_llama *m = s->m;
    int64_t width = (int64_t)m->heads * m->head_dim, kv = (int64_t)m->kv_heads * m->head_dim;
    ir_value_id h = tiny_norm(s, x, "attn_norm");
    ir_value_id q = tiny_rope(s, tiny_matmul(s, h, "attn_q", m->types[0], width), m->heads);
    ir_value_id k = tiny_rope(s, tiny_matmul(s, h, "attn_k", m->types[1], kv), m->kv_heads);
    ir_value_id v = tiny_matmul(s, h, "attn_v", m->types[2], kv);
    char name[16];
    snprintf(name, sizeof name, "kv.%d", s->layer);
    ir_value_id state = ir_add_state(s->g, name, s->group);
    ir_value_id next = ir_next_version(s->g, state);
    const struct op_kv_attrs append = {m->kv_heads, m->head_dim, s->layer, TN_F16};
    ir_add_node(s->g, OP_KV_APPEND, &append, (ir_value_id[]){state, k, v, s->g->batch}, 4, &next,
                1);
    const struct op_attention_attrs attrs = {.heads = m->heads,
                                             .kv_heads = m->kv_heads,
                                             .head_dim = m->head_dim,
                                             .causal = 1,
                                             .scale = 0.25f,
                                             .kv_layer = s->layer,
                                             .kv_dtype = TN_F16};
    ir_value_id o =
        tiny_node(s, OP_ATTENTION, &attrs, (ir_value_id[]){q, next, s->g->batch}, 3, width);
    o = tiny_matmul(s, o, "attn_output", m->types[3], m->embedding);
    return tiny_row(s, OP_ADD, x, o);
}

static ir_value_id tiny_feed_forward(struct tiny_state *s, ir_value_id x)
{
    const struct tiny_llama *m = s->m;
    ir_value_id h = tiny_norm(s, x, "ffn_norm"), gate = IR_NONE, up = IR_NONE;
    if (m->up_first)
        up = tiny_matmul(s, h, "ffn_up", m->types[5], m->feed_forward);
    gate = tiny_matmul(s, h, "ffn_gate", m->types[4], m->feed_forward);
    if (!m->up_first)
        up = tiny_matmul(s, h, "ffn_up", m->types[5], m->feed_forward);
    gate = tiny_row(s, m->gelu ? OP_GELU_TANH : OP_SILU, gate, IR_NONE);
    h = m->up_first ? tiny_row(s, OP_MUL, up, gate) : tiny_row(s, OP_MUL, gate, up);
    h = tiny_matmul(s, h, "ffn_down", m->types[6], m->embedding);
    return m->up_first ? tiny_row(s, OP_ADD, h, x) : tiny_row(s, OP_ADD, x, h);
}

/* NULL when anything failed. */
static struct ir_graph *tiny_build(const struct tiny_llama *m)
{
    struct tiny_state s = {.g = ir_graph_new("llama"), .m = m, .factors = IR_NONE, .layer = -1};
    struct tn_kv_layout layout;
    if (!s.g || tn_kv_layout_init(TN_F16, m->kv_heads, m->head_dim, NULL, &layout) != HASTEN_OK)
        return NULL;
    s.g->token_input = ir_add_input(s.g, "token", TN_I32, ir_dim_symbol(s.g, IR_SYM_TOKENS));
    ir_add_batch(s.g);
    s.group = ir_add_group(s.g, 0, &layout);
    if (m->factors)
        s.factors = tiny_weight(&s, "rope_freqs", TN_F32, 0, m->rope_dims / 2);
    ir_value_id table = tiny_weight(&s, "token_embd", m->embed_type, m->vocab, m->embedding);
    const struct op_embed_attrs embed = {.rows = m->vocab,
                                         .cols = m->embedding,
                                         .dtype = (int32_t)m->embed_type,
                                         .layout = TN_LAYOUT_ROWS,
                                         .scale = 1};
    ir_value_id x =
        tiny_node(&s, OP_EMBED, &embed, (ir_value_id[]){s.g->token_input, table}, 2, m->embedding);
    for (s.layer = 0; s.layer < m->layers; s.layer++)
        x = tiny_feed_forward(&s, tiny_attention(&s, x));
    s.layer = -1;
    x = tiny_row(&s, OP_SELECT_ROWS, x, s.g->batch);
    x = tiny_norm(&s, x, "output_norm");
    if (m->gives_hidden)
        s.g->outputs[IR_OUT_HIDDEN] = x;
    s.g->outputs[IR_OUT_LOGITS] = tiny_matmul(&s, x, m->tied ? "token_embd" : "output",
                                              m->tied ? m->embed_type : m->types[0], m->vocab);
    ir_set_name(s.g, s.g->outputs[IR_OUT_LOGITS], "logits");
    ir_graph_compact(s.g);
    if (ir_graph_status(s.g, NULL) != HASTEN_OK)
        ir_graph_free(&s.g);
    return s.g;
}

#endif
