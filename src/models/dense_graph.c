/* Parts that graphs of dense families are put together from; see dense.h. */
#include "models/dense.h"

#include <stdio.h>

/* ---- start and finish ---- */

enum hasten_status md_builder_start(struct md_builder *b)
{
    b->graph = ir_graph_new(b->facts->architecture);
    b->used =
        b->graph ? hs_arena_alloc(&b->graph->arena, (size_t)b->file->tensor_count + 1, 1) : NULL;
    if (!b->used) {
        ir_graph_free(&b->graph);
        return hs_fail(b->error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a graph");
    }
    b->status = HASTEN_OK;
    b->layer = IR_NONE;
    b->tokens = ir_dim_symbol(b->graph, IR_SYM_TOKENS);
    b->graph->token_input = ir_add_input(b->graph, "token", TN_I32, b->tokens);
    b->batch = ir_add_batch(b->graph);
    return HASTEN_OK;
}

static enum hasten_status check_all_used(const struct md_builder *b)
{
    char hint[96];
    snprintf(hint, sizeof hint, "the model is a variant of %s that is not supported",
             b->facts->architecture);
    for (int64_t i = 0; i < b->file->tensor_count; i++) {
        struct hs_str name = b->file->tensors[i].name;
        if (!b->used[i])
            return md_fail(b->file, b->error, HASTEN_UNSUPPORTED, hint,
                           "tensor '%.*s' has no place in a plain %s model", HS_STR(name),
                           b->facts->architecture);
    }
    return HASTEN_OK;
}

enum hasten_status md_builder_finish(struct md_builder *b, struct ir_graph **graph_out)
{
    if (b->status == HASTEN_OK)
        b->status = ir_graph_status(b->graph, b->error);
    if (b->status == HASTEN_OK)
        b->status = check_all_used(b);
    if (b->status == HASTEN_OK) {
        ir_graph_compact(b->graph);
        b->status = ir_verify(b->graph, b->error);
    }
    if (b->status != HASTEN_OK)
        ir_graph_free(&b->graph);
    else
        *graph_out = b->graph;
    return b->status;
}

static bool is_broken(const struct md_builder *b)
{
    return b->status != HASTEN_OK || b->graph->failed;
}

/* ---- weights ---- */

ir_value_id md_weight(struct md_builder *b, const char *name, int64_t rows, int64_t cols)
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

ir_value_id md_layer_weight(struct md_builder *b, const char *part, int64_t rows, int64_t cols)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s.weight", b->layer, part);
    return md_weight(b, name, rows, cols);
}

ir_value_id md_table_weight(struct md_builder *b)
{
    return md_weight(b, "token_embd.weight", b->facts->vocab, b->facts->embedding);
}

static ir_value_id head_weight(struct md_builder *b, ir_value_id table)
{
    return gguf_find_tensor(b->file, "output.weight")
               ? md_weight(b, "output.weight", b->facts->vocab, b->facts->embedding)
               : table;
}

/* ---- nodes ---- */

/* A node with one f32 output of the given rows and features. */
static ir_value_id emit(struct md_builder *b, enum op_id op, const void *attrs,
                        const ir_value_id *inputs, int32_t count, int64_t features)
{
    if (is_broken(b))
        return IR_NONE;
    ir_dim rows = op == OP_SELECT_ROWS ? ir_dim_symbol(b->graph, IR_SYM_WANTED)
                  : op == OP_EMBED     ? b->tokens
                                       : b->graph->values[inputs[0]].dims[0];
    ir_value_id output = ir_add_temp(b->graph, TN_F32, rows, features);
    ir_node_id node = ir_add_node(b->graph, op, attrs, inputs, count, &output, 1);
    if (node >= 0)
        b->graph->nodes[node].layer = b->layer;
    return output;
}

ir_value_id md_embed(struct md_builder *b, ir_value_id table, float scale)
{
    if (is_broken(b))
        return IR_NONE;
    const struct op_embed_attrs attrs = {.rows = b->facts->vocab,
                                         .cols = b->facts->embedding,
                                         .dtype = (int32_t)b->graph->values[table].dtype,
                                         .layout = TN_LAYOUT_ROWS,
                                         .scale = scale};
    return emit(b, OP_EMBED, &attrs, (ir_value_id[]){b->graph->token_input, table}, 2,
                b->facts->embedding);
}

ir_value_id md_matmul(struct md_builder *b, ir_value_id x, ir_value_id matrix, int64_t features)
{
    return emit(b, OP_MATMUL, NULL, (ir_value_id[]){x, matrix}, 2, features);
}

ir_value_id md_row_op(struct md_builder *b, enum op_id op, ir_value_id x, ir_value_id y,
                      int64_t features)
{
    const struct op_row_attrs attrs = {.features = features};
    return emit(b, op, &attrs, (ir_value_id[]){x, y}, y == IR_NONE ? 1 : 2, features);
}

ir_value_id md_rmsnorm(struct md_builder *b, ir_value_id x, ir_value_id scale, int64_t features)
{
    const struct op_norm_attrs attrs = {.features = features, .eps = b->facts->norm_eps};
    return emit(b, OP_RMSNORM, &attrs, (ir_value_id[]){x, scale}, 2, features);
}

ir_value_id md_head_rmsnorm(struct md_builder *b, ir_value_id x, ir_value_id scale, int64_t heads)
{
    const struct op_norm_attrs attrs = {.features = heads * b->facts->head_dim,
                                        .eps = b->facts->norm_eps,
                                        .group = (int32_t)b->facts->head_dim};
    return emit(b, OP_RMSNORM, &attrs, (ir_value_id[]){x, scale}, 2, attrs.features);
}

ir_value_id md_rope(struct md_builder *b, ir_value_id x, int64_t heads, const struct md_rope *rope)
{
    double fault = b->options->fault_rope_base_factor;
    const struct op_rope_attrs attrs = {.heads = (int32_t)heads,
                                        .head_dim = (int32_t)b->facts->head_dim,
                                        .dims = (int32_t)rope->dims,
                                        .style = (int32_t)rope->style,
                                        .base = rope->base * (fault > 0 ? fault : 1),
                                        .position_scale = rope->position_scale};
    const ir_value_id inputs[] = {x, b->batch, rope->factors};
    return emit(b, OP_ROPE, &attrs, inputs, rope->factors == IR_NONE ? 2 : 3,
                heads * b->facts->head_dim);
}

/* ---- parts of a layer ---- */

void md_project_qkv(struct md_builder *b, ir_value_id x, ir_value_id qkv[3])
{
    static const char *const parts[3] = {"attn_q", "attn_k", "attn_v"};
    int64_t e = b->facts->embedding;
    ir_value_id h = md_rmsnorm(b, x, md_layer_weight(b, "attn_norm", 0, e), e);
    for (int i = 0; i < 3; i++) {
        int64_t width = (i ? b->facts->kv_heads : b->facts->heads) * b->facts->head_dim;
        qkv[i] = md_matmul(b, h, md_layer_weight(b, parts[i], width, e), width);
    }
}

int32_t md_group(struct md_builder *b, int32_t window)
{
    struct tn_kv_layout layout;
    if (is_broken(b))
        return 0;
    b->status = tn_kv_layout_init(b->options->kv_dtype, (int)b->facts->kv_heads,
                                  (int)b->facts->head_dim, b->error, &layout);
    return b->status == HASTEN_OK ? ir_add_group(b->graph, window, &layout) : 0;
}

/* Next version of the layer's state; *index_out: its layer inside the group. */
static ir_value_id append(struct md_builder *b, const ir_value_id qkv[3], int32_t group,
                          int32_t *index_out)
{
    char name[24];
    if (is_broken(b))
        return IR_NONE;
    snprintf(name, sizeof name, "kv.%d", b->layer);
    *index_out = b->graph->groups[group].layers;
    ir_value_id state = ir_add_state(b->graph, name, group);
    ir_value_id next = ir_next_version(b->graph, state);
    const struct op_kv_attrs attrs = {.kv_heads = (int32_t)b->facts->kv_heads,
                                      .head_dim = (int32_t)b->facts->head_dim,
                                      .kv_layer = *index_out,
                                      .kv_dtype = (int32_t)b->options->kv_dtype};
    const ir_value_id inputs[] = {state, qkv[1], qkv[2], b->batch};
    ir_node_id node = ir_add_node(b->graph, OP_KV_APPEND, &attrs, inputs, 4, &next, 1);
    if (node >= 0)
        b->graph->nodes[node].layer = b->layer;
    return next;
}

ir_value_id md_attend(struct md_builder *b, const ir_value_id qkv[3],
                      const struct md_attention *attention)
{
    int32_t index = 0;
    ir_value_id state = append(b, qkv, attention->group, &index);
    const struct op_attention_attrs attrs = {.heads = (int32_t)b->facts->heads,
                                             .kv_heads = (int32_t)b->facts->kv_heads,
                                             .head_dim = (int32_t)b->facts->head_dim,
                                             .window = attention->window,
                                             .causal = 1,
                                             .scale = (float)attention->scale,
                                             .softcap = (float)attention->softcap,
                                             .kv_layer = index,
                                             .kv_dtype = (int32_t)b->options->kv_dtype};
    int64_t width = b->facts->heads * b->facts->head_dim, e = b->facts->embedding;
    ir_value_id o =
        emit(b, OP_ATTENTION, &attrs, (ir_value_id[]){qkv[0], state, b->batch}, 3, width);
    return md_matmul(b, o, md_layer_weight(b, "attn_output", e, width), e);
}

ir_value_id md_gated_feed_forward(struct md_builder *b, ir_value_id x, enum op_id activation)
{
    int64_t e = b->facts->embedding, f = b->facts->feed_forward;
    ir_value_id scale = md_layer_weight(b, "ffn_norm", 0, e);
    ir_value_id h = b->options->fault_skip_norm && b->layer == 0 ? x : md_rmsnorm(b, x, scale, e);
    ir_value_id gate = md_matmul(b, h, md_layer_weight(b, "ffn_gate", f, e), f);
    ir_value_id up = md_matmul(b, h, md_layer_weight(b, "ffn_up", f, e), f);
    gate = md_row_op(b, activation, gate, IR_NONE, f);
    h = md_row_op(b, OP_MUL, gate, up, f);
    return md_matmul(b, h, md_layer_weight(b, "ffn_down", e, f), e);
}

/* ---- head ---- */

void md_head(struct md_builder *b, ir_value_id x, ir_value_id table, double softcap)
{
    int64_t e = b->facts->embedding, vocab = b->facts->vocab;
    x = md_row_op(b, OP_SELECT_ROWS, x, b->batch, e);
    ir_value_id hidden = md_rmsnorm(b, x, md_weight(b, "output_norm.weight", 0, e), e);
    x = md_matmul(b, hidden, head_weight(b, table), vocab);
    if (softcap > 0) {
        const struct op_scale_attrs attrs = {.features = vocab, .value = (float)softcap};
        x = emit(b, OP_SOFTCAP, &attrs, &x, 1, vocab);
    }
    if (is_broken(b))
        return;
    ir_set_name(b->graph, hidden, "hidden");
    ir_set_name(b->graph, x, "logits");
    b->graph->outputs[IR_OUT_LOGITS] = x;
    b->graph->outputs[IR_OUT_HIDDEN] = hidden;
}
