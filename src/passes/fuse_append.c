/*
 * fuse-append: kv_append of two segments of one linear becomes the segments' destinations: K and V
 * go from the tile into the pages. The linear takes the state and gives its next version.
 *
 * Needs: K and V read by nothing else, and the state version older than the linear and read by
 * nothing else (the append now happens earlier).
 */
#include <string.h>

#include "passes/pass_table.h"

static void redirect(struct op_segment *segment, enum op_epilogue_kind kind,
                     const struct op_kv_attrs *attrs, const ir_value_id state[2])
{
    segment->kv_heads = attrs->kv_heads;
    segment->kv_head_dim = attrs->head_dim;
    segment->kv_layer = attrs->kv_layer;
    segment->kv_dtype = attrs->kv_dtype;
    segment->steps[ps_linear_last_step(segment)] =
        (struct op_epilogue_step){.kind = (int32_t)kind, .operand = state[0], .output = state[1]};
}

static void fuse(struct ps_context *context, ir_node_id n)
{
    const struct ir_node node = context->graph->nodes[n];
    const ir_value_id state[2] = {node.input[0], node.output[0]};
    ir_value_id keys = node.input[1], values = node.input[2];
    ir_node_id source = ps_sole_source(context, keys, OP_LINEAR);
    if (source == IR_NONE || source != ps_sole_source(context, values, OP_LINEAR) ||
        keys == values || context->graph->values[state[0]].uses != 1 ||
        !ps_is_before(context, state[0], source))
        return;
    struct ps_linear linear;
    ps_linear_load(context, source, &linear);
    int k = ps_linear_find_store(&linear, keys), v = ps_linear_find_store(&linear, values);
    if (k < 0 || v < 0)
        return;
    redirect(&linear.attrs.segment[k], OP_EPI_APPEND_K, node.attrs, state);
    redirect(&linear.attrs.segment[v], OP_EPI_APPEND_V, node.attrs, state);
    if (ps_linear_store(context, source, &linear))
        ir_kill_node(context->graph, n);
}

enum hasten_status ps_run_fuse_append(struct ps_context *context)
{
    struct ir_graph *graph = context->graph;
    for (int32_t n = 0; n < graph->node_count && !graph->failed; n++)
        if (graph->nodes[n].op == OP_KV_APPEND)
            fuse(context, n);
    return HASTEN_OK;
}
