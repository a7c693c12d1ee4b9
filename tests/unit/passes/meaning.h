/*
 * The meaning of a graph as numbers: every value gets a hash of the expression it computes, where
 * fused, packed, quantized and narrowed forms hash like the canonical ones. Two graphs with equal
 * hashes of the logits and of all states compute the same thing. Sums and products commute.
 */
#ifndef HASTEN_TESTS_MEANING_H
#define HASTEN_TESTS_MEANING_H

#include <stdlib.h>
#include <string.h>

#include "ir/graph.h"

static uint64_t meaning_mix(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u + b;
    h = (h ^ (h >> 29)) * 0x94d049bb133111ebu;
    return h ^ (h >> 32);
}

static uint64_t meaning_bytes(uint64_t hash, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = meaning_mix(hash, ((const uint8_t *)data)[i]);
    return hash;
}

static uint64_t meaning_commuting(uint64_t tag, uint64_t a, uint64_t b)
{
    return a < b ? meaning_mix(meaning_mix(tag, a), b) : meaning_mix(meaning_mix(tag, b), a);
}

static uint64_t meaning_rope(uint64_t x, uint64_t table, int32_t head_dim, int32_t dims,
                             int32_t style)
{
    const int32_t numbers[] = {head_dim, dims, style};
    return meaning_bytes(meaning_mix(meaning_mix(OP_ROPE, x), table), numbers, sizeof numbers);
}

static uint64_t meaning_table(const struct op_rope_attrs *attrs, uint64_t factors)
{
    const double numbers[] = {attrs->dims, attrs->base, attrs->position_scale};
    return meaning_bytes(meaning_mix(OP_ROPE_TABLE, factors), numbers, sizeof numbers);
}

static uint64_t meaning_append(uint64_t state, uint64_t k, uint64_t v)
{
    return meaning_mix(meaning_mix(meaning_mix(OP_KV_APPEND, state), k), v);
}

static uint64_t meaning_constant(const struct ir_graph *graph, ir_const id)
{
    while (graph->constants[id].kind == IR_CONST_PACK)
        id = graph->constants[id].operand;
    return meaning_bytes(77, graph->constants[id].name, strlen(graph->constants[id].name));
}

/* One segment's tile after its epilogue; the paired tile is that of the next segment. */
static uint64_t meaning_steps(const struct ir_node *node, const struct op_segment *seg,
                              uint64_t tile, uint64_t paired, const uint64_t *in, uint64_t *append)
{
    (void)node;
    for (int i = 0; i < OP_EPILOGUE_STEPS; i++) {
        const struct op_epilogue_step *step = &seg->steps[i];
        if (step->kind == OP_EPI_ADD)
            tile = meaning_commuting(OP_ADD, tile, in[step->operand]);
        else if (step->kind == OP_EPI_ROPE)
            tile = meaning_rope(tile, in[step->operand], seg->rope_head_dim, seg->rope_dims,
                                seg->rope_style);
        else if (step->kind == OP_EPI_GLU_SILU)
            tile = meaning_commuting(OP_MUL, meaning_mix(OP_SILU, tile), paired);
        else if (step->kind == OP_EPI_GLU_GELU)
            tile = meaning_commuting(OP_MUL, meaning_mix(OP_GELU_TANH, tile), paired);
        else if (step->kind == OP_EPI_APPEND_K)
            append[0] = tile;
        else if (step->kind == OP_EPI_APPEND_V)
            append[1] = tile;
    }
    return tile;
}

static uint64_t meaning_matmul(uint64_t x, uint64_t weight)
{
    return meaning_mix(meaning_mix(OP_MATMUL, x), weight);
}

static void meaning_linear(const struct ir_node *node, const uint64_t *in, uint64_t *out)
{
    const struct op_linear_attrs *attrs = node->attrs;
    uint64_t append[2] = {0, 0};
    for (int32_t s = 0; s < attrs->segments; s++) {
        const struct op_segment *seg = &attrs->segment[s];
        uint64_t tile = meaning_matmul(in[0], in[seg->weight]);
        uint64_t paired = s + 1 < attrs->segments ? meaning_matmul(in[0], in[seg[1].weight]) : 0;
        tile = meaning_steps(node, seg, tile, paired, in, append);
        for (int i = 0; i < OP_EPILOGUE_STEPS; i++) {
            const struct op_epilogue_step *step = &seg->steps[i];
            if (step->kind == OP_EPI_STORE || step->kind == OP_EPI_QUANTIZE)
                out[step->output] = tile;
            if (step->kind == OP_EPI_APPEND_K || step->kind == OP_EPI_APPEND_V)
                out[step->output] = meaning_append(in[step->operand], append[0], append[1]);
        }
    }
}

static void meaning_node(const struct ir_node *node, const uint64_t *in, uint64_t *out)
{
    const struct op_rope_attrs *rope = node->attrs;
    const struct op_embed_attrs *embed = node->attrs;
    switch (node->op) {
    case OP_LINEAR:
        meaning_linear(node, in, out);
        return;
    case OP_MATMUL:
        out[0] = meaning_matmul(in[0], in[1]);
        return;
    case OP_ADD:
    case OP_MUL:
        out[0] = meaning_commuting(node->op, in[0], in[1]);
        return;
    case OP_SILU:
    case OP_GELU_TANH:
        out[0] = meaning_mix(node->op, in[0]);
        return;
    case OP_QUANTIZE:
    case OP_SELECT_ROWS:
        out[0] = in[0];
        return;
    case OP_ROPE_TABLE:
        out[0] = meaning_table(rope, node->inputs > 1 ? in[1] : 0);
        return;
    case OP_ROPE_APPLY:
        out[0] = meaning_rope(in[0], in[1], rope->head_dim, rope->dims, rope->style);
        return;
    case OP_ROPE:
        out[0] = meaning_rope(in[0], meaning_table(rope, node->inputs > 2 ? in[2] : 0),
                              rope->head_dim, rope->dims, rope->style);
        return;
    case OP_KV_APPEND:
        out[0] = meaning_append(in[0], in[1], in[2]);
        return;
    case OP_EMBED:
        out[0] = meaning_bytes(meaning_mix(OP_EMBED, in[1]), &embed->scale, sizeof embed->scale);
        return;
    default: { /* rmsnorm, attention with and without quantize: attributes are the same */
        enum op_id op = node->op == OP_RMSNORM_QUANTIZE     ? OP_RMSNORM
                        : node->op == OP_ATTENTION_QUANTIZE ? OP_ATTENTION
                                                            : node->op;
        out[0] = meaning_bytes(meaning_mix(meaning_mix(op, in[0]), in[1]), node->attrs,
                               op_info(op)->attrs_bytes);
        return;
    }
    }
}

/* Hash of the logits and of the last version of every state. */
static uint64_t meaning_of(const struct ir_graph *graph)
{
    uint64_t *value = calloc((size_t)graph->value_count, sizeof *value);
    uint64_t in[IR_NODE_OPERANDS], out[IR_NODE_OPERANDS], result;
    for (int32_t v = 0; v < graph->value_count; v++) {
        const struct ir_value *val = &graph->values[v];
        value[v] = val->kind == IR_VALUE_CONST   ? meaning_constant(graph, val->constant)
                   : val->kind == IR_VALUE_STATE ? meaning_mix(5, (uint64_t)val->state)
                                                 : (uint64_t)val->kind;
    }
    uint64_t states = 0;
    for (int32_t n = 0; n < graph->node_count; n++) {
        const struct ir_node *node = &graph->nodes[n];
        for (int32_t i = 0; i < node->inputs; i++)
            in[i] = value[node->input[i]];
        memset(out, 0, sizeof out);
        meaning_node(node, in, out);
        for (int32_t i = 0; i < node->outputs; i++) {
            value[node->output[i]] = out[i];
            if (graph->values[node->output[i]].kind == IR_VALUE_STATE)
                states += out[i];
        }
    }
    result = meaning_mix(value[graph->outputs[IR_OUT_LOGITS]], states);
    if (graph->outputs[IR_OUT_HIDDEN] != IR_NONE)
        result = meaning_mix(value[graph->outputs[IR_OUT_HIDDEN]], result);
    free(value);
    return result;
}

#endif
