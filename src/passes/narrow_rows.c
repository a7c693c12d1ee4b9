/*
 * narrow-rows: select_rows moves up through row-local ops.
 *
 * A row-local op computes row r of its output from row r of its inputs, so selecting before it or
 * after it gives the same bits, and before is less work. Walking up from a select_rows, an op joins
 * when all readers of its results have joined; then its outputs have wanted rows only, and
 * selections stand where values enter the set (each value is selected once). In a decoder the set
 * is everything after the last attention, with two entries: the attention's result and the residual
 * stream. It never reaches embed, whose ids are no activations.
 */
#include "passes/pass_table.h"

struct narrowing {
    uint8_t *joined;       /* [node] */
    ir_node_id first;      /* lowest node that joined */
    int32_t *readers;      /* [value] reading operands that joined */
    ir_value_id *selected; /* [value] its wanted rows; 0: none yet (value 0 is the token input) */
};

static bool is_rows(const struct ir_graph *graph, ir_value_id value)
{
    return graph->values[value].kind == IR_VALUE_TEMP;
}

static bool may_join(const struct ir_graph *graph, const struct narrowing *work, ir_node_id n)
{
    const struct ir_node *node = &graph->nodes[n];
    if (op_info(node->op)->mixes != OP_MIX_ROW || node->op == OP_EMBED)
        return false;
    for (int32_t i = 0; i < node->outputs; i++)
        if (work->readers[node->output[i]] == 0 ||
            work->readers[node->output[i]] != graph->values[node->output[i]].uses)
            return false;
    return true;
}

/* The set, from the selection upwards; false when it is empty. */
static bool collect(const struct ir_graph *graph, struct narrowing *work, ir_node_id select)
{
    bool any = false;
    work->readers[graph->nodes[select].input[0]]++;
    for (ir_node_id n = select - 1; n >= 0; n--) {
        if (!may_join(graph, work, n))
            continue;
        work->joined[n] = 1;
        work->first = n;
        any = true;
        for (int32_t i = 0; i < graph->nodes[n].inputs; i++)
            work->readers[graph->nodes[n].input[i]]++;
    }
    return any;
}

static ir_value_id select_value(struct ps_context *context, struct narrowing *work,
                                ir_value_id value, ir_node_id before)
{
    struct ir_graph *graph = context->graph;
    if (!work->selected[value]) {
        const struct op_row_attrs attrs = {.features = ir_features(graph, value)};
        const ir_value_id inputs[] = {value, graph->batch};
        ir_value_id output =
            ir_add_temp(graph, TN_F32, ir_dim_symbol(graph, IR_SYM_WANTED), attrs.features);
        /* as early as can be, so that later fusions find the value ready */
        if (ps_is_before(context, value, work->first))
            before = work->first;
        ps_insert_before(context, before, OP_SELECT_ROWS, &attrs, inputs, 2, output);
        work->selected[value] = output;
    }
    return work->selected[value];
}

static void narrow_node(struct ps_context *context, struct narrowing *work, ir_node_id n)
{
    struct ir_graph *graph = context->graph;
    ir_dim wanted = ir_dim_symbol(graph, IR_SYM_WANTED);
    for (int32_t i = 0; i < graph->nodes[n].inputs && !graph->failed; i++) {
        ir_value_id value = graph->nodes[n].input[i];
        ir_node_id producer = graph->values[value].producer;
        if (is_rows(graph, value) && (producer == IR_NONE || !work->joined[producer])) {
            ir_value_id rows = select_value(context, work, value, n);
            graph->nodes[n].input[i] = rows; /* the table may have moved */
        }
    }
    for (int32_t i = 0; i < graph->nodes[n].outputs && !graph->failed; i++)
        graph->values[graph->nodes[n].output[i]].dims[0] = wanted;
    ir_add_note(graph, n, context->pass);
}

static void narrow(struct ps_context *context, ir_node_id select)
{
    struct ir_graph *graph = context->graph;
    struct narrowing work = {
        .joined = ps_scratch(context, graph->node_count, sizeof *work.joined),
        .readers = ps_scratch(context, graph->value_count, sizeof *work.readers),
        .selected = ps_scratch(context, graph->value_count, sizeof *work.selected)};
    if (graph->failed || !collect(graph, &work, select))
        return;
    for (ir_node_id n = 0; n < select && !graph->failed; n++)
        if (work.joined[n])
            narrow_node(context, &work, n);
    if (graph->failed)
        return;
    ir_replace_uses(graph, graph->nodes[select].output[0], graph->nodes[select].input[0]);
    ir_kill_node(graph, select);
}

enum hasten_status ps_run_narrow_rows(struct ps_context *context)
{
    struct ir_graph *graph = context->graph;
    int32_t count = graph->node_count;
    for (int32_t n = 0; n < count && !graph->failed; n++)
        if (graph->nodes[n].op == OP_SELECT_ROWS && !graph->nodes[n].dead)
            narrow(context, n);
    return HASTEN_OK;
}
