/*
 * cse: nodes of equal op, attributes and inputs are computed once.
 *
 * One sweep in execution order with a hash table of the nodes seen; inputs are first mapped to the
 * survivors, so chains of equal nodes merge too. Nodes that make a state version are effects and
 * stay.
 */
#include <string.h>

#include "passes/pass_table.h"

static uint32_t hash_bytes(uint32_t hash, const void *data, size_t size_bytes)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size_bytes; i++)
        hash = (hash ^ bytes[i]) * 16777619u; /* FNV-1a */
    return hash;
}

static uint32_t hash_node(const struct ir_node *node)
{
    uint32_t hash = hash_bytes(2166136261u, &node->op, sizeof node->op);
    hash = hash_bytes(hash, node->input, (size_t)node->inputs * sizeof node->input[0]);
    return hash_bytes(hash, node->attrs, op_info(node->op)->attrs_bytes);
}

static bool equal_nodes(const struct ir_node *a, const struct ir_node *b)
{
    return a->op == b->op && a->inputs == b->inputs && a->outputs == b->outputs &&
           memcmp(a->input, b->input, (size_t)a->inputs * sizeof a->input[0]) == 0 &&
           memcmp(a->attrs, b->attrs, op_info(a->op)->attrs_bytes) == 0;
}

static bool has_effect(const struct ir_graph *graph, const struct ir_node *node)
{
    for (int32_t i = 0; i < node->outputs; i++)
        if (graph->values[node->output[i]].kind == IR_VALUE_STATE)
            return true;
    return false;
}

/* Node of the table that equals n, or IR_NONE after n was put in. */
static ir_node_id find_or_add(const struct ir_graph *graph, ir_node_id *table, uint32_t mask,
                              ir_node_id n)
{
    uint32_t slot = hash_node(&graph->nodes[n]) & mask;
    for (; table[slot]; slot = (slot + 1) & mask) /* 0: free, else node + 1 */
        if (equal_nodes(&graph->nodes[table[slot] - 1], &graph->nodes[n]))
            return table[slot] - 1;
    table[slot] = n + 1;
    return IR_NONE;
}

enum hasten_status ps_run_cse(struct ps_context *context)
{
    struct ir_graph *graph = context->graph;
    uint32_t slots = 64;
    while (slots < (uint32_t)graph->node_count * 2)
        slots *= 2;
    ir_node_id *table = ps_scratch(context, (int32_t)slots, sizeof *table);
    ir_value_id *map = ps_scratch(context, graph->value_count, sizeof *map);
    if (!table || !map)
        return HASTEN_OK;
    for (int32_t v = 0; v < graph->value_count; v++)
        map[v] = v;
    for (int32_t n = 0; n < graph->node_count; n++) {
        struct ir_node *node = &graph->nodes[n];
        for (int32_t i = 0; i < node->inputs; i++)
            node->input[i] = map[node->input[i]];
        if (has_effect(graph, node))
            continue;
        ir_node_id same = find_or_add(graph, table, slots - 1, n);
        if (same == IR_NONE)
            continue;
        for (int32_t i = 0; i < node->outputs; i++)
            map[node->output[i]] = graph->nodes[same].output[i];
        ir_kill_node(graph, n);
        ir_add_note(graph, same, context->pass);
    }
    for (int i = 0; i < IR_OUTPUTS; i++)
        if (graph->outputs[i] >= 0)
            graph->outputs[i] = map[graph->outputs[i]];
    return HASTEN_OK;
}
