/*
 * fuse-quantize: a quantize that is the only reader of a value moves into what makes the value:
 * rmsnorm, attention, or a segment of a linear.
 */
#include <string.h>

#include "passes/pass_table.h"

/* Ops that have a form with quantized output. */
static bool fuse_op(struct ps_context *context, const struct ir_node *quantize, enum op_id from,
                    enum op_id to)
{
    struct ir_graph *graph = context->graph;
    ir_node_id source = ps_sole_source(context, quantize->input[0], from);
    if (source == IR_NONE || !ps_has_kernel(context, to, graph->nodes[source].attrs))
        return false;
    const struct ir_node node = graph->nodes[source];
    ir_rewrite_node(graph, source, to, node.attrs, node.input, node.inputs, quantize->output, 1);
    ir_add_note(graph, source, context->pass);
    return true;
}

static bool fuse_linear(struct ps_context *context, const struct ir_node *quantize)
{
    ir_node_id source = ps_sole_source(context, quantize->input[0], OP_LINEAR);
    if (source == IR_NONE)
        return false;
    struct ps_linear linear;
    ps_linear_load(context, source, &linear);
    int s = ps_linear_find_store(&linear, quantize->input[0]);
    if (s < 0)
        return false;
    struct op_segment *segment = &linear.attrs.segment[s];
    segment->steps[ps_linear_last_step(segment)] = (struct op_epilogue_step){
        .kind = OP_EPI_QUANTIZE, .operand = -1, .output = quantize->output[0]};
    return ps_linear_store(context, source, &linear);
}

enum hasten_status ps_run_fuse_quantize(struct ps_context *context)
{
    struct ir_graph *graph = context->graph;
    for (int32_t n = 0; n < graph->node_count && !graph->failed; n++) {
        const struct ir_node node = graph->nodes[n];
        if (node.op == OP_QUANTIZE &&
            (fuse_op(context, &node, OP_RMSNORM, OP_RMSNORM_QUANTIZE) ||
             fuse_op(context, &node, OP_ATTENTION, OP_ATTENTION_QUANTIZE) ||
             fuse_linear(context, &node)))
            ir_kill_node(graph, n);
    }
    return HASTEN_OK;
}
