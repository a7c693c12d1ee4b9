/*
 * legalize (required): matmul -> linear.
 *
 * The canonical matmul says what is computed; linear says how: one segment that stores f32. A
 * quantized weight takes A8 activations, so a quantize node goes in front (cse later keeps one of
 * those that q, k and v make of the same value).
 */
#include <string.h>

#include "passes/pass_table.h"

static ir_value_id quantized(struct ps_context *context, ir_node_id before, ir_value_id x)
{
    struct ir_graph *graph = context->graph;
    const struct op_row_attrs attrs = {.features = ir_features(graph, x)};
    ir_value_id a8 = ir_add_temp(graph, TN_A8, graph->values[x].dims[0], attrs.features);
    ps_insert_before(context, before, OP_QUANTIZE, &attrs, &x, 1, a8);
    return a8;
}

static void make_linear(struct ps_context *context, ir_node_id node)
{
    struct ir_graph *graph = context->graph;
    ir_value_id x = graph->nodes[node].input[0], weight = graph->nodes[node].input[1];
    ir_value_id output = graph->nodes[node].output[0];
    const struct ir_value matrix = graph->values[weight];
    struct op_linear_attrs attrs;
    memset(&attrs, 0, sizeof attrs); /* padding too: attributes are compared bytewise */
    attrs.cols = ir_features(graph, weight);
    attrs.segments = attrs.outputs = 1;
    attrs.unit_rows = TN_PANEL_ROWS;
    attrs.input_a8 = tn_dtype_is_quantized(matrix.dtype);
    attrs.segment[0].dtype = (int32_t)matrix.dtype;
    attrs.segment[0].layout = (int32_t)matrix.layout;
    attrs.segment[0].weight = 2;
    attrs.segment[0].rows = ir_features(graph, output);
    attrs.segment[0].steps[0] =
        (struct op_epilogue_step){.kind = OP_EPI_STORE, .operand = -1, .output = 0};
    if (attrs.input_a8)
        x = quantized(context, node, x);
    const ir_value_id inputs[] = {x, graph->batch, weight};
    ir_rewrite_node(graph, node, OP_LINEAR, &attrs, inputs, 3, &output, 1);
    ir_add_note(graph, node, context->pass);
}

enum hasten_status ps_run_legalize(struct ps_context *context)
{
    int32_t count = context->graph->node_count;
    for (int32_t n = 0; n < count && !context->graph->failed; n++)
        if (context->graph->nodes[n].op == OP_MATMUL)
            make_linear(context, n);
    return HASTEN_OK;
}
