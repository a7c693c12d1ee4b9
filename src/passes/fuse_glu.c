/*
 * fuse-glu: act(gate) * up over two segments of one linear becomes the gate segment's epilogue: a
 * unit computes the same features of both and multiplies them in L1.
 */
#include <string.h>

#include "passes/pass_table.h"

/* Moves segment `from` so that it follows segment `gate`; returns the gate's new index. */
static int place_after(struct op_linear_attrs *attrs, int gate, int from)
{
    const struct op_segment moved = attrs->segment[from];
    for (int s = from; s + 1 < attrs->segments; s++)
        attrs->segment[s] = attrs->segment[s + 1];
    if (from < gate)
        gate--;
    for (int s = attrs->segments - 1; s > gate + 1; s--)
        attrs->segment[s] = attrs->segment[s - 1];
    attrs->segment[gate + 1] = moved;
    return gate;
}

static bool only_stores(const struct op_segment *segment)
{
    return segment->steps[0].kind == OP_EPI_STORE;
}

static bool rewrite(struct ps_context *context, ir_node_id source, const ir_value_id pair[2],
                    enum op_epilogue_kind kind, ir_value_id output)
{
    struct ps_linear linear;
    ps_linear_load(context, source, &linear);
    int gate = ps_linear_find_store(&linear, pair[0]), up = ps_linear_find_store(&linear, pair[1]);
    struct op_segment *segments = linear.attrs.segment;
    if (gate < 0 || up < 0 || !only_stores(&segments[gate]) || !only_stores(&segments[up]) ||
        segments[gate].rows != segments[up].rows)
        return false;
    gate = place_after(&linear.attrs, gate, up);
    segments[gate + 1].steps[0] =
        (struct op_epilogue_step){.kind = OP_EPI_PAIRED, .operand = -1, .output = -1};
    segments[gate].steps[0].output = output;
    return ps_linear_add_step(&segments[gate], kind, -1) &&
           ps_linear_store(context, source, &linear);
}

/* Tries input `side` of the product as the activated one. */
static bool fuse(struct ps_context *context, ir_node_id n, int side)
{
    const struct ir_node node = context->graph->nodes[n];
    ir_node_id act = ps_sole_source(context, node.input[side], OP_SILU);
    enum op_epilogue_kind kind = OP_EPI_GLU_SILU;
    if (act == IR_NONE) {
        act = ps_sole_source(context, node.input[side], OP_GELU_TANH);
        kind = OP_EPI_GLU_GELU;
    }
    if (act == IR_NONE)
        return false;
    const ir_value_id pair[2] = {context->graph->nodes[act].input[0], node.input[1 - side]};
    ir_node_id source = ps_sole_source(context, pair[0], OP_LINEAR);
    if (source == IR_NONE || source != ps_sole_source(context, pair[1], OP_LINEAR) ||
        pair[0] == pair[1] || !rewrite(context, source, pair, kind, node.output[0]))
        return false;
    ir_kill_node(context->graph, act);
    ir_kill_node(context->graph, n);
    return true;
}

enum hasten_status ps_run_fuse_glu(struct ps_context *context)
{
    struct ir_graph *graph = context->graph;
    for (int32_t n = 0; n < graph->node_count && !graph->failed; n++)
        if (graph->nodes[n].op == OP_MUL && !fuse(context, n, 0))
            (void)fuse(context, n, 1);
    return HASTEN_OK;
}
