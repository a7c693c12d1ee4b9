/*
 * rope-table (required): rope -> rope_table + rope_apply.
 *
 * Cosines and sines depend on the positions only, so one table at the start of the step serves Q
 * and K of all layers that rotate alike. Tables are matched when they are made; there are as many
 * as a model has kinds of rope (one or two).
 */
#include <string.h>

#include "passes/pass_table.h"

#define TABLES 16 /* more kinds than that get a table of their own each time */

struct tables {
    struct op_rope_attrs attrs[TABLES];
    ir_value_id factors[TABLES], value[TABLES];
    int count;
};

static ir_value_id new_table(struct ps_context *context, const struct op_rope_attrs *attrs,
                             ir_value_id factors)
{
    struct ir_graph *graph = context->graph;
    ir_dim rows = ir_dim_symbol(graph, IR_SYM_TOKENS);
    ir_value_id table = ir_add_temp(graph, TN_F32, rows, 2);
    if (graph->failed)
        return IR_NONE;
    struct ir_value *value = &graph->values[table]; /* f32[T][dims/2][2] */
    value->rank = 3;
    value->dims[2] = value->dims[1];
    value->dims[1] = ir_dim_const(graph, attrs->dims / 2);
    const ir_value_id inputs[] = {graph->batch, factors};
    ir_node_id node =
        ir_add_node(graph, OP_ROPE_TABLE, attrs, inputs, factors < 0 ? 1 : 2, &table, 1);
    ir_add_note(graph, node, context->pass);
    ir_move_before(graph, node, 0);
    return table;
}

static ir_value_id find_table(struct ps_context *context, struct tables *tables,
                              const struct op_rope_attrs *rope, ir_value_id factors)
{
    struct op_rope_attrs attrs;
    memset(&attrs, 0, sizeof attrs);
    attrs.dims = rope->dims;
    attrs.base = rope->base;
    attrs.position_scale = rope->position_scale;
    for (int i = 0; i < tables->count; i++)
        if (tables->factors[i] == factors && memcmp(&tables->attrs[i], &attrs, sizeof attrs) == 0)
            return tables->value[i];
    ir_value_id table = new_table(context, &attrs, factors);
    if (tables->count < TABLES) {
        tables->attrs[tables->count] = attrs;
        tables->factors[tables->count] = factors;
        tables->value[tables->count++] = table;
    }
    return table;
}

enum hasten_status ps_run_rope_table(struct ps_context *context)
{
    struct ir_graph *graph = context->graph;
    struct tables tables;
    int32_t count = graph->node_count;
    tables.count = 0;
    for (int32_t n = 0; n < count && !graph->failed; n++) {
        const struct ir_node node = graph->nodes[n];
        if (node.op != OP_ROPE)
            continue;
        ir_value_id table =
            find_table(context, &tables, node.attrs, node.inputs > 2 ? node.input[2] : IR_NONE);
        const ir_value_id inputs[] = {node.input[0], table};
        ir_rewrite_node(graph, n, OP_ROPE_APPLY, node.attrs, inputs, 2, node.output, 1);
        ir_add_note(graph, n, context->pass);
    }
    return HASTEN_OK;
}
