/*
 * merge-linear: linears that read the same activations become one node with several segments
 * (q, k, v; gate, up).
 *
 * The merged node stands where the first one stood. That is always allowed: a later linear needs
 * nothing but the common input and constants as long as its epilogue takes no operands, and those
 * that do are left alone. Weights stay separate constants, so types may differ.
 */
#include <string.h>

#include "passes/pass_table.h"

static bool takes_operands(const struct ir_graph *graph, const struct ir_node *node)
{
    for (int32_t i = 2; i < node->inputs; i++)
        if (graph->values[node->input[i]].kind != IR_VALUE_CONST)
            return true;
    return false;
}

static bool merge(struct ps_context *context, ir_node_id into, ir_node_id from)
{
    struct ps_linear a, b;
    ps_linear_load(context, into, &a);
    ps_linear_load(context, from, &b);
    if (a.attrs.segments + b.attrs.segments > OP_LINEAR_SEGMENTS || a.attrs.cols != b.attrs.cols ||
        a.attrs.input_a8 != b.attrs.input_a8)
        return false;
    for (int32_t s = 0; s < b.attrs.segments; s++)
        a.attrs.segment[a.attrs.segments++] = b.attrs.segment[s];
    if (!ps_linear_store(context, into, &a))
        return false;
    ir_kill_node(context->graph, from);
    return true;
}

enum hasten_status ps_run_merge_linear(struct ps_context *context)
{
    struct ir_graph *graph = context->graph;
    /* [value] node + 1 of the linear that collects the readers of this input */
    ir_node_id *collector = ps_scratch(context, graph->value_count, sizeof *collector);
    for (int32_t n = 0; n < graph->node_count && !graph->failed; n++) {
        const struct ir_node *node = &graph->nodes[n];
        if (node->op != OP_LINEAR || takes_operands(graph, node))
            continue;
        ir_value_id x = node->input[0];
        if (!collector[x] || !merge(context, collector[x] - 1, n))
            collector[x] = n + 1;
    }
    return HASTEN_OK;
}
