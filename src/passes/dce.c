/*
 * dce: drops nodes whose results nobody reads. Nodes that make a state version are effects and
 * stay. One sweep from the end.
 */
#include "passes/pass_table.h"

enum hasten_status ps_run_dce(struct ps_context *context)
{
    struct ir_graph *graph = context->graph;
    uint8_t *needed = ps_scratch(context, graph->value_count, sizeof *needed);
    if (!needed)
        return HASTEN_OK;
    for (int i = 0; i < IR_OUTPUTS; i++)
        if (graph->outputs[i] >= 0)
            needed[graph->outputs[i]] = 1;
    for (int32_t n = graph->node_count - 1; n >= 0; n--) {
        struct ir_node *node = &graph->nodes[n];
        bool live = false;
        for (int32_t i = 0; i < node->outputs; i++)
            live |=
                needed[node->output[i]] || graph->values[node->output[i]].kind == IR_VALUE_STATE;
        if (!live)
            ir_kill_node(graph, n);
        for (int32_t i = 0; i < node->inputs && live; i++)
            needed[node->input[i]] = 1;
    }
    return HASTEN_OK;
}
