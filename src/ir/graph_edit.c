/*
 * Editing graphs, for passes: uses, rewiring, removal, order.
 *
 * Ids stay valid while a pass works: removed nodes are only marked, moved nodes only remember
 * where they belong; ir_graph_compact does both at once in one sweep. That keeps a pass linear in
 * the size of the graph, whatever it inserts. One thread at a time.
 */
#include <string.h>

#include "ir/graph.h"

enum { INTERFACE = 2 + IR_OUTPUTS };

void ir_replace_uses(struct ir_graph *graph, ir_value_id from, ir_value_id to)
{
    if (graph->failed)
        return;
    for (int32_t n = 0; n < graph->node_count; n++)
        for (int32_t i = 0; i < graph->nodes[n].inputs; i++)
            if (graph->nodes[n].input[i] == from)
                graph->nodes[n].input[i] = to;
    for (int i = 0; i < IR_OUTPUTS; i++)
        if (graph->outputs[i] == from)
            graph->outputs[i] = to;
}

void ir_kill_node(struct ir_graph *graph, ir_node_id node)
{
    if (!graph->failed && node >= 0)
        graph->nodes[node].dead = true;
}

void ir_move_before(struct ir_graph *graph, ir_node_id node, ir_node_id before)
{
    if (!graph->failed && node >= 0 && before >= 0 && node != before)
        graph->nodes[node].before = before;
}

void ir_add_note(struct ir_graph *graph, ir_node_id node, const char *text)
{
    if (graph->failed || node < 0)
        return;
    struct ir_node *target = &graph->nodes[node];
    size_t have = target->note ? strlen(target->note) : 0, more = strlen(text);
    if (have >= more && strcmp(target->note + have - more, text) == 0 &&
        (have == more || target->note[have - more - 1] == '+'))
        return;
    target->note = target->note ? hs_arena_printf(&graph->arena, "%s+%s", target->note, text)
                                : hs_arena_strndup(&graph->arena, text, strlen(text));
    graph->failed |= !target->note;
}

void ir_count_uses(struct ir_graph *graph)
{
    if (graph->failed)
        return;
    for (int32_t v = 0; v < graph->value_count; v++)
        graph->values[v].uses = 0;
    for (int32_t n = 0; n < graph->node_count; n++)
        for (int32_t i = 0; i < graph->nodes[n].inputs && !graph->nodes[n].dead; i++)
            graph->values[graph->nodes[n].input[i]].uses++;
    for (int i = 0; i < IR_OUTPUTS; i++)
        if (graph->outputs[i] >= 0)
            graph->values[graph->outputs[i]].uses++;
}

bool ir_is_output(const struct ir_graph *graph, ir_value_id value)
{
    bool is_output = false;
    for (int i = 0; i < IR_OUTPUTS; i++)
        is_output |= value != IR_NONE && graph->outputs[i] == value;
    return is_output;
}

/* ---- compaction ---- */

/*
 * Nodes in their new order. The waiting nodes of an anchor form a list through next[], oldest
 * first (built from the back), and are put out when the anchor's turn comes. A dead anchor still
 * marks a place.
 */
static bool reorder_nodes(struct ir_graph *graph)
{
    int32_t count = graph->node_count;
    if (!count)
        return true;
    struct hs_arena work = {0};
    int32_t *first = hs_arena_alloc(&work, (size_t)count, sizeof *first);
    int32_t *next = hs_arena_alloc(&work, (size_t)count, sizeof *next);
    struct ir_node *sorted = hs_arena_alloc(&work, (size_t)count, sizeof *sorted);
    bool ok = first && next && sorted;
    int32_t kept = 0;
    for (int32_t n = count - 1; ok && n >= 0; n--) { /* 0 = none, else node + 1 */
        int32_t anchor = graph->nodes[n].before;
        if (anchor < 0)
            continue;
        next[n] = first[anchor];
        first[anchor] = n + 1;
    }
    for (int32_t n = 0; ok && n < count; n++) {
        if (graph->nodes[n].before >= 0)
            continue;
        for (int32_t w = first[n]; w; w = next[w - 1])
            if (!graph->nodes[w - 1].dead)
                sorted[kept++] = graph->nodes[w - 1];
        if (!graph->nodes[n].dead)
            sorted[kept++] = graph->nodes[n];
    }
    if (ok) {
        memcpy(graph->nodes, sorted, (size_t)kept * sizeof *sorted);
        graph->node_count = kept;
    }
    for (int32_t n = 0; ok && n < kept; n++)
        graph->nodes[n].before = IR_NONE;
    hs_arena_free(&work);
    return ok;
}

static bool is_number(const char *name)
{
    return name[0] && strspn(name, "0123456789") == strlen(name);
}

/* Marks constants that live values name, and what those are made of. */
static void mark_constants(const struct ir_graph *graph, const uint8_t *used, int32_t *mark)
{
    for (int32_t v = 0; v < graph->value_count; v++) {
        ir_const c = used[v] ? graph->values[v].constant : IR_NONE;
        for (; c != IR_NONE; c = graph->constants[c].operand)
            mark[c] = 1;
    }
}

/* Constants keep their order (operands stand before what is made of them). */
static bool compact_constants(struct ir_graph *graph, const uint8_t *used)
{
    struct hs_arena work = {0};
    size_t count = (size_t)graph->constant_count;
    int32_t *map = hs_arena_alloc(&work, count + 1, sizeof *map);
    if (!map)
        return false;
    mark_constants(graph, used, map);
    struct ir_constant *old = graph->constants;
    int32_t old_count = graph->constant_count;
    int32_t kept = 0;
    for (int32_t c = 0; c < old_count; c++) {
        if (!map[c])
            continue;
        struct ir_constant constant = old[c];
        if (constant.operand != IR_NONE)
            constant.operand = map[constant.operand];
        old[kept] = constant;
        map[c] = kept++;
    }
    graph->constant_count = kept;
    for (int32_t v = 0; v < graph->value_count; v++)
        if (used[v] && graph->values[v].constant != IR_NONE)
            graph->values[v].constant = map[graph->values[v].constant];
    hs_arena_free(&work);
    return true;
}

/* Values that a node, the interface or a state's existence needs. */
static void mark_values(const struct ir_graph *graph, uint8_t *used)
{
    for (int32_t n = 0; n < graph->node_count; n++) {
        const struct ir_node *node = &graph->nodes[n];
        for (int32_t i = 0; i < node->inputs; i++)
            used[node->input[i]] = 1;
        for (int32_t i = 0; i < node->outputs; i++)
            used[node->output[i]] = 1;
    }
    const ir_value_id interface[] = {graph->token_input, graph->batch,
                                     graph->outputs[IR_OUT_LOGITS], graph->outputs[IR_OUT_HIDDEN]};
    for (int i = 0; i < INTERFACE; i++)
        if (interface[i] >= 0)
            used[interface[i]] = 1;
    for (int32_t v = 0; v < graph->value_count; v++)
        if (graph->values[v].kind == IR_VALUE_STATE && graph->values[v].producer == IR_NONE)
            used[v] = 1;
}

static void remap_nodes(struct ir_graph *graph, const int32_t *map)
{
    for (int32_t v = 0; v < graph->value_count; v++)
        graph->values[v].producer = IR_NONE;
    for (int32_t n = 0; n < graph->node_count; n++) {
        struct ir_node *node = &graph->nodes[n];
        for (int32_t i = 0; i < node->inputs; i++)
            node->input[i] = map[node->input[i]];
        for (int32_t i = 0; i < node->outputs; i++) {
            node->output[i] = map[node->output[i]];
            graph->values[node->output[i]].producer = n;
            graph->values[node->output[i]].producer_output = i;
        }
    }
    ir_value_id *interface[] = {&graph->token_input, &graph->batch, &graph->outputs[IR_OUT_LOGITS],
                                &graph->outputs[IR_OUT_HIDDEN]};
    for (int i = 0; i < INTERFACE; i++)
        if (*interface[i] >= 0)
            *interface[i] = map[*interface[i]];
}

static bool compact_values(struct ir_graph *graph)
{
    struct hs_arena work = {0};
    size_t count = (size_t)graph->value_count;
    uint8_t *used = hs_arena_alloc(&work, count + 1, 1);
    int32_t *map = hs_arena_alloc(&work, count + 1, sizeof *map);
    bool ok = used && map;
    if (ok) {
        mark_values(graph, used);
        ok = compact_constants(graph, used);
    }
    int32_t kept = 0;
    for (int32_t v = 0; ok && v < graph->value_count; v++) {
        if (!used[v])
            continue;
        graph->values[kept] = graph->values[v];
        map[v] = kept++;
    }
    if (ok) {
        graph->value_count = kept;
        remap_nodes(graph, map);
    }
    hs_arena_free(&work);
    return ok;
}

/* Sets the constants' values after ids changed; the content hash is built again when needed. */
static void reindex_constants(struct ir_graph *graph)
{
    for (int32_t c = 0; c < graph->constant_count; c++)
        graph->constants[c].value = IR_NONE;
    for (int32_t v = 0; v < graph->value_count; v++)
        if (graph->values[v].constant != IR_NONE)
            graph->constants[graph->values[v].constant].value = v;
    graph->constant_index_size = 0;
}

/* Numbers the nameless values in execution order, so that texts of equal graphs are equal. */
static void renumber(struct ir_graph *graph)
{
    int32_t number = 0;
    for (int32_t n = 0; n < graph->node_count; n++)
        for (int32_t i = 0; i < graph->nodes[n].outputs; i++) {
            struct ir_value *value = &graph->values[graph->nodes[n].output[i]];
            if (!is_number(value->name))
                continue;
            value->name = hs_arena_printf(&graph->arena, "%d", number++);
            if (!value->name) {
                graph->failed = true;
                return;
            }
        }
}

void ir_graph_compact(struct ir_graph *graph)
{
    if (graph->failed)
        return;
    if (!reorder_nodes(graph) || !compact_values(graph)) {
        graph->failed = true;
        return;
    }
    reindex_constants(graph);
    renumber(graph);
    ir_count_uses(graph);
}
