/*
 * fuse-residual: an addition of a linear's stored segment, which nothing else reads, becomes a step
 * of the segment. The other summand must exist when the linear starts; when both are linears, the
 * later one takes the addition.
 */
#include <string.h>

#include "passes/pass_table.h"

/* Tries to move the addition into the linear that makes input `from`. */
static bool fuse_into(struct ps_context *context, ir_node_id n, int from)
{
    const struct ir_node node = context->graph->nodes[n];
    ir_value_id sum = node.input[from], other = node.input[1 - from];
    ir_node_id source = ps_sole_source(context, sum, OP_LINEAR);
    if (source == IR_NONE || sum == other || !ps_is_before(context, other, source))
        return false;
    struct ps_linear linear;
    ps_linear_load(context, source, &linear);
    int s = ps_linear_find_store(&linear, sum);
    if (s < 0 || !ps_linear_add_step(&linear.attrs.segment[s], OP_EPI_ADD, other))
        return false;
    struct op_segment *segment = &linear.attrs.segment[s];
    segment->steps[ps_linear_last_step(segment)].output = node.output[0];
    if (!ps_linear_store(context, source, &linear))
        return false;
    ir_kill_node(context->graph, n);
    return true;
}

enum hasten_status ps_run_fuse_residual(struct ps_context *context)
{
    struct ir_graph *graph = context->graph;
    for (int32_t n = 0; n < graph->node_count && !graph->failed; n++)
        if (graph->nodes[n].op == OP_ADD && !fuse_into(context, n, 1))
            (void)fuse_into(context, n, 0);
    return HASTEN_OK;
}
