/*
 * fuse-rope: a rope_apply that is the only reader of a linear's stored segment becomes a step of
 * that segment's epilogue: the tile is rotated while it is in L1.
 */
#include <string.h>

#include "passes/pass_table.h"

static bool has_step(const struct op_segment *segment, enum op_epilogue_kind kind)
{
    for (int i = 0; i < OP_EPILOGUE_STEPS; i++)
        if (segment->steps[i].kind == (int32_t)kind)
            return true;
    return false;
}

static void fuse(struct ps_context *context, ir_node_id n)
{
    const struct ir_node node = context->graph->nodes[n];
    const struct op_rope_attrs *attrs = node.attrs;
    ir_node_id source = ps_sole_source(context, node.input[0], OP_LINEAR);
    if (source == IR_NONE || !ps_is_before(context, node.input[1], source))
        return;
    struct ps_linear linear;
    ps_linear_load(context, source, &linear);
    int s = ps_linear_find_store(&linear, node.input[0]);
    if (s < 0 || has_step(&linear.attrs.segment[s], OP_EPI_ROPE))
        return;
    struct op_segment *segment = &linear.attrs.segment[s];
    if (!ps_linear_add_step(segment, OP_EPI_ROPE, node.input[1]))
        return;
    segment->rope_head_dim = attrs->head_dim;
    segment->rope_dims = attrs->dims;
    segment->rope_style = attrs->style;
    segment->steps[ps_linear_last_step(segment)].output = node.output[0];
    if (ps_linear_store(context, source, &linear))
        ir_kill_node(context->graph, n);
}

enum hasten_status ps_run_fuse_rope(struct ps_context *context)
{
    struct ir_graph *graph = context->graph;
    for (int32_t n = 0; n < graph->node_count && !graph->failed; n++)
        if (graph->nodes[n].op == OP_ROPE_APPLY)
            fuse(context, n);
    return HASTEN_OK;
}
