/*
 * pack: weights of linear become PANEL32 constants.
 *
 * One forward stream per panel of 32 rows is what the kernels read at memory speed. The constant is
 * an expression; runtime evaluates it at load. A table that embed shares with a packed head is
 * read from the same pack, so a tied matrix is in memory once. Types the target cannot pack stay as
 * they are in the file (reference kernel).
 */
#include <string.h>

#include "passes/pass_table.h"

/* Packs each segment's weight that can be; packed[value] = its pack. */
static void pack_linear(struct ps_context *context, ir_node_id node, ir_value_id *packed)
{
    struct ir_graph *graph = context->graph;
    struct ps_linear linear;
    ps_linear_load(context, node, &linear);
    ir_value_id rows[OP_LINEAR_SEGMENTS];
    bool any = false;
    for (int32_t s = 0; s < linear.attrs.segments; s++) {
        struct op_segment *segment = &linear.attrs.segment[s];
        rows[s] = IR_NONE;
        if (segment->layout != TN_LAYOUT_ROWS ||
            !context->target->can_pack(context->target->context, (enum tn_dtype)segment->dtype))
            continue;
        ir_value_id pack =
            ir_add_const(graph, ir_const_pack(graph, graph->values[segment->weight].constant,
                                              TN_LAYOUT_PANEL32));
        if (graph->failed)
            return;
        rows[s] = segment->weight;
        segment->weight = pack;
        segment->layout = TN_LAYOUT_PANEL32;
        any = true;
    }
    if (!any || !ps_linear_store(context, node, &linear))
        return;
    for (int32_t s = 0; s < linear.attrs.segments; s++)
        if (rows[s] != IR_NONE)
            packed[rows[s]] = linear.attrs.segment[s].weight;
}

static void pack_embed(struct ps_context *context, ir_node_id n, const ir_value_id *packed)
{
    struct ir_graph *graph = context->graph;
    const struct ir_node node = graph->nodes[n];
    ir_value_id pack = packed[node.input[1]];
    struct op_embed_attrs attrs;
    memcpy(&attrs, node.attrs, sizeof attrs);
    attrs.layout = TN_LAYOUT_PANEL32;
    if (!pack || !ps_has_kernel(context, OP_EMBED, &attrs))
        return;
    const ir_value_id inputs[] = {node.input[0], pack};
    ir_rewrite_node(graph, n, OP_EMBED, &attrs, inputs, 2, node.output, 1);
    ir_add_note(graph, n, context->pass);
}

enum hasten_status ps_run_pack(struct ps_context *context)
{
    struct ir_graph *graph = context->graph;
    /* 0 = not packed: value 0 exists before any pack, so no pack has that id */
    ir_value_id *packed = ps_scratch(context, graph->value_count, sizeof *packed);
    for (int32_t n = 0; n < graph->node_count && !graph->failed; n++)
        if (graph->nodes[n].op == OP_LINEAR)
            pack_linear(context, n, packed);
    for (int32_t n = 0; n < graph->node_count && !graph->failed; n++)
        if (graph->nodes[n].op == OP_EMBED)
            pack_embed(context, n, packed);
    return HASTEN_OK;
}
