/*
 * Building and copying graphs.
 *
 * All tables grow by doubling inside the graph's arena: the waste is at most the final size, and a
 * graph is freed as a whole. Building calls return no status; the first failed allocation sets
 * `failed`, after which every call does nothing, so builders check once (ir_graph_status).
 * Constants are found by content through a small hash; dims are few and searched in order.
 * One thread at a time.
 */
#include "ir/graph.h"

#include <string.h>

static const char *const symbol_names[IR_SYM_COUNT] = {
    [IR_SYM_NONE] = "", [IR_SYM_TOKENS] = "T", [IR_SYM_WANTED] = "R"};

const char *ir_symbol_name(enum ir_symbol symbol)
{
    return symbol >= 0 && symbol < IR_SYM_COUNT ? symbol_names[symbol] : "?";
}

struct ir_graph *ir_graph_new(const char *name)
{
    struct ir_graph *graph = hs_calloc(1, sizeof *graph);
    if (!graph)
        return NULL;
    graph->level = IR_CANONICAL;
    graph->token_input = graph->batch = IR_NONE;
    for (int i = 0; i < IR_OUTPUTS; i++)
        graph->outputs[i] = IR_NONE;
    graph->name = hs_arena_strndup(&graph->arena, name, strlen(name));
    graph->failed = !graph->name;
    return graph;
}

void ir_graph_free(struct ir_graph **graph)
{
    if (!graph || !*graph)
        return;
    hs_arena_free(&(*graph)->arena);
    hs_free(*graph);
    *graph = NULL;
}

enum hasten_status ir_graph_status(const struct ir_graph *graph, struct hs_error *error)
{
    if (graph->failed)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for graph '%s' (%d nodes)",
                       graph->name ? graph->name : "", graph->node_count);
    return HASTEN_OK;
}

/* Room for one more entry of a table; the table moves when it grows. */
static bool reserve(struct ir_graph *graph, void **table, int32_t count, int32_t *capacity,
                    size_t entry_bytes)
{
    if (graph->failed)
        return false;
    if (count < *capacity)
        return true;
    int32_t grown = *capacity ? *capacity * 2 : 64;
    void *bigger =
        grown > *capacity ? hs_arena_alloc(&graph->arena, (size_t)grown, entry_bytes) : NULL;
    if (!bigger) {
        graph->failed = true;
        return false;
    }
    if (count)
        memcpy(bigger, *table, (size_t)count * entry_bytes);
    *table = bigger;
    *capacity = grown;
    return true;
}

static char *copy_text(struct ir_graph *graph, const char *text)
{
    char *copy = graph->failed ? NULL : hs_arena_strndup(&graph->arena, text, strlen(text));
    if (!copy)
        graph->failed = true;
    return copy;
}

/* ---- dims ---- */

static ir_dim add_dim(struct ir_graph *graph, struct ir_dim_expr expr)
{
    for (int32_t i = 0; i < graph->dim_count; i++) {
        const struct ir_dim_expr *have = &graph->dims[i];
        if (have->symbol == expr.symbol && have->mul == expr.mul && have->add == expr.add)
            return i;
    }
    void *table = graph->dims;
    if (!reserve(graph, &table, graph->dim_count, &graph->dim_capacity, sizeof *graph->dims))
        return 0;
    graph->dims = table;
    graph->dims[graph->dim_count] = expr;
    return graph->dim_count++;
}

ir_dim ir_dim_const(struct ir_graph *graph, int64_t value)
{
    return add_dim(graph, (struct ir_dim_expr){IR_SYM_NONE, 0, value});
}

ir_dim ir_dim_symbol(struct ir_graph *graph, enum ir_symbol symbol)
{
    return add_dim(graph, (struct ir_dim_expr){symbol, 1, 0});
}

ir_dim ir_dim_affine(struct ir_graph *graph, enum ir_symbol symbol, int64_t mul, int64_t add)
{
    if (symbol == IR_SYM_NONE || mul == 0)
        return ir_dim_const(graph, add);
    return add_dim(graph, (struct ir_dim_expr){symbol, mul, add});
}

int64_t ir_dim_eval(const struct ir_graph *graph, ir_dim dim, const int64_t *symbols)
{
    const struct ir_dim_expr *expr = &graph->dims[dim];
    return expr->symbol == IR_SYM_NONE ? expr->add : expr->mul * symbols[expr->symbol] + expr->add;
}

/* ---- values ---- */

/* New value from a template; name NULL makes its number. */
static ir_value_id add_value(struct ir_graph *graph, struct ir_value value, const char *name)
{
    void *table = graph->values;
    if (!reserve(graph, &table, graph->value_count, &graph->value_capacity, sizeof *graph->values))
        return IR_NONE;
    graph->values = table;
    value.name =
        name ? copy_text(graph, name) : hs_arena_printf(&graph->arena, "%d", graph->value_count);
    if (!value.name) {
        graph->failed = true;
        return IR_NONE;
    }
    value.producer = IR_NONE;
    graph->values[graph->value_count] = value;
    return graph->value_count++;
}

void ir_set_name(struct ir_graph *graph, ir_value_id value, const char *name)
{
    char *copy = copy_text(graph, name);
    if (copy)
        graph->values[value].name = copy;
}

ir_value_id ir_add_input(struct ir_graph *graph, const char *name, enum tn_dtype dtype, ir_dim rows)
{
    struct ir_value value = {.kind = IR_VALUE_INPUT,
                             .dtype = dtype,
                             .rank = 1,
                             .dims = {rows},
                             .constant = IR_NONE,
                             .state = IR_NONE};
    return add_value(graph, value, name);
}

ir_value_id ir_add_batch(struct ir_graph *graph)
{
    struct ir_value value = {
        .kind = IR_VALUE_BATCH, .dtype = TN_I32, .constant = IR_NONE, .state = IR_NONE};
    ir_value_id id = add_value(graph, value, "batch");
    graph->batch = id;
    return id;
}

ir_value_id ir_add_temp(struct ir_graph *graph, enum tn_dtype dtype, ir_dim rows, int64_t features)
{
    struct ir_value value = {.kind = IR_VALUE_TEMP,
                             .dtype = dtype,
                             .rank = 2,
                             .dims = {rows, ir_dim_const(graph, features)},
                             .constant = IR_NONE,
                             .state = IR_NONE};
    return add_value(graph, value, NULL);
}

int64_t ir_features(const struct ir_graph *graph, ir_value_id value)
{
    if (graph->failed || value < 0)
        return 0;
    const struct ir_value *v = &graph->values[value];
    return v->rank ? graph->dims[v->dims[v->rank - 1]].add : 0;
}

/* ---- constants ---- */

static uint32_t hash_constant(const struct ir_constant *constant)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    const uint32_t words[] = {(uint32_t)constant->kind, (uint32_t)constant->operand,
                              (uint32_t)constant->layout};
    for (int i = 0; i < 3; i++)
        hash = (hash ^ words[i]) * 16777619u;
    for (const char *c = constant->name; c && *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    return hash;
}

static bool same_constant(const struct ir_constant *a, const struct ir_constant *b)
{
    if (a->kind != b->kind || a->operand != b->operand || a->dtype != b->dtype ||
        a->layout != b->layout || a->rank != b->rank ||
        memcmp(a->dims, b->dims, sizeof a->dims) != 0)
        return false;
    return a->name == b->name || (a->name && b->name && strcmp(a->name, b->name) == 0);
}

static void index_constant(struct ir_graph *graph, ir_const id)
{
    uint32_t mask = (uint32_t)graph->constant_index_size - 1;
    uint32_t slot = hash_constant(&graph->constants[id]) & mask;
    while (graph->constant_index[slot] != IR_NONE)
        slot = (slot + 1) & mask;
    graph->constant_index[slot] = id;
}

/* Keeps the index at least twice as large as the table; builds it again after a compaction. */
static bool grow_constant_index(struct ir_graph *graph)
{
    int32_t size = 128;
    if (graph->failed)
        return false;
    if (graph->constant_count * 2 < graph->constant_index_size)
        return true;
    while (size <= graph->constant_count * 2)
        size *= 2;
    graph->constant_index =
        hs_arena_alloc(&graph->arena, (size_t)size, sizeof *graph->constant_index);
    if (!graph->constant_index) {
        graph->failed = true;
        return false;
    }
    graph->constant_index_size = size;
    for (int32_t i = 0; i < size; i++)
        graph->constant_index[i] = IR_NONE;
    for (ir_const i = 0; i < graph->constant_count; i++)
        index_constant(graph, i);
    return true;
}

static ir_const find_constant(const struct ir_graph *graph, const struct ir_constant *wanted)
{
    uint32_t mask = (uint32_t)graph->constant_index_size - 1;
    for (uint32_t slot = hash_constant(wanted) & mask; graph->constant_index[slot] != IR_NONE;
         slot = (slot + 1) & mask)
        if (same_constant(&graph->constants[graph->constant_index[slot]], wanted))
            return graph->constant_index[slot];
    return IR_NONE;
}

static ir_const add_constant(struct ir_graph *graph, struct ir_constant constant)
{
    if (!grow_constant_index(graph))
        return IR_NONE;
    ir_const have = find_constant(graph, &constant);
    if (have != IR_NONE)
        return have;
    void *table = graph->constants;
    if (!reserve(graph, &table, graph->constant_count, &graph->constant_capacity,
                 sizeof *graph->constants))
        return IR_NONE;
    graph->constants = table;
    if (constant.name)
        constant.name = copy_text(graph, constant.name);
    constant.value = IR_NONE;
    graph->constants[graph->constant_count] = constant;
    index_constant(graph, graph->constant_count);
    return graph->constant_count++;
}

ir_const ir_const_tensor(struct ir_graph *graph, const char *name, enum tn_dtype dtype, int rank,
                         const int64_t *dims)
{
    struct ir_constant constant = {.kind = IR_CONST_TENSOR,
                                   .name = name,
                                   .operand = IR_NONE,
                                   .dtype = dtype,
                                   .layout = TN_LAYOUT_ROWS,
                                   .rank = rank};
    for (int i = 0; i < rank && i < IR_RANK; i++)
        constant.dims[i] = dims[i];
    return add_constant(graph, constant);
}

ir_const ir_const_pack(struct ir_graph *graph, ir_const operand, enum tn_layout layout)
{
    if (graph->failed || operand < 0)
        return IR_NONE;
    struct ir_constant constant = graph->constants[operand];
    constant.kind = IR_CONST_PACK;
    constant.name = NULL;
    constant.operand = operand;
    constant.layout = layout;
    return add_constant(graph, constant);
}

/* Name of a constant's value: the tensor's, with a suffix for each thing done to it. */
static char *constant_name(struct ir_graph *graph, const struct ir_constant *constant)
{
    if (constant->kind == IR_CONST_TENSOR)
        return copy_text(graph, constant->name);
    const struct ir_constant *root = constant;
    while (root->kind == IR_CONST_PACK)
        root = &graph->constants[root->operand];
    return hs_arena_printf(&graph->arena, "%s.%s", root->name, tn_layout_name(constant->layout));
}

ir_value_id ir_add_const(struct ir_graph *graph, ir_const constant)
{
    if (graph->failed || constant < 0)
        return IR_NONE;
    if (graph->constants[constant].value != IR_NONE)
        return graph->constants[constant].value;
    const struct ir_constant *source = &graph->constants[constant];
    struct ir_value value = {.kind = IR_VALUE_CONST,
                             .dtype = source->dtype,
                             .layout = source->layout,
                             .rank = source->rank,
                             .constant = constant,
                             .state = IR_NONE};
    for (int i = 0; i < source->rank; i++)
        value.dims[i] = ir_dim_const(graph, source->dims[i]);
    char *name = constant_name(graph, source);
    ir_value_id id = name ? add_value(graph, value, name) : IR_NONE;
    graph->constants[constant].value = id;
    graph->failed |= id == IR_NONE;
    return id;
}

/* ---- states ---- */

int32_t ir_add_group(struct ir_graph *graph, int32_t window, const struct tn_kv_layout *layout)
{
    if (graph->failed ||
        graph->group_count >= (int32_t)(sizeof graph->groups / sizeof graph->groups[0])) {
        graph->failed = true;
        return 0;
    }
    graph->groups[graph->group_count] =
        (struct ir_page_group){.window = window, .layers = 0, .layout = *layout};
    return graph->group_count++;
}

ir_value_id ir_add_state(struct ir_graph *graph, const char *name, int32_t group)
{
    void *table = graph->states;
    if (!reserve(graph, &table, graph->state_count, &graph->state_capacity, sizeof *graph->states))
        return IR_NONE;
    graph->states = table;
    graph->states[graph->state_count] = (struct ir_state){
        .name = copy_text(graph, name), .group = group, .layer = graph->groups[group].layers};
    struct ir_value value = {.kind = IR_VALUE_STATE,
                             .dtype = graph->groups[group].layout.dtype,
                             .constant = IR_NONE,
                             .state = graph->state_count};
    graph->state_count++;
    graph->groups[group].layers++;
    return add_value(graph, value, name);
}

ir_value_id ir_next_version(struct ir_graph *graph, ir_value_id state)
{
    if (graph->failed || state < 0)
        return IR_NONE;
    const struct ir_value *old = &graph->values[state];
    const char *name = hs_arena_printf(&graph->arena, "%s'", old->name);
    struct ir_value value = {
        .kind = IR_VALUE_STATE, .dtype = old->dtype, .constant = IR_NONE, .state = old->state};
    if (!name) {
        graph->failed = true;
        return IR_NONE;
    }
    return add_value(graph, value, name);
}

/* ---- nodes ---- */

static bool fill_node(struct ir_graph *graph, struct ir_node *node, const void *attrs)
{
    size_t bytes = op_info(node->op)->attrs_bytes;
    node->attrs = hs_arena_alloc(&graph->arena, 1, bytes);
    if (!node->attrs) {
        graph->failed = true;
        return false;
    }
    if (attrs)
        memcpy(node->attrs, attrs, bytes);
    return true;
}

static void set_operands(struct ir_graph *graph, ir_node_id id, const ir_value_id *inputs,
                         const ir_value_id *outputs)
{
    struct ir_node *node = &graph->nodes[id];
    for (int32_t i = 0; i < node->inputs; i++) {
        node->input[i] = inputs[i];
        graph->failed |= inputs[i] < 0;
    }
    for (int32_t i = 0; i < node->outputs; i++) {
        node->output[i] = outputs[i];
        if (outputs[i] < 0) {
            graph->failed = true;
            continue;
        }
        graph->values[outputs[i]].producer = id;
        graph->values[outputs[i]].producer_output = i;
    }
}

ir_node_id ir_add_node(struct ir_graph *graph, enum op_id op, const void *attrs,
                       const ir_value_id *inputs, int32_t input_count, const ir_value_id *outputs,
                       int32_t output_count)
{
    void *table = graph->nodes;
    if (input_count > IR_NODE_OPERANDS || output_count > IR_NODE_OPERANDS)
        graph->failed = true;
    if (!reserve(graph, &table, graph->node_count, &graph->node_capacity, sizeof *graph->nodes))
        return IR_NONE;
    graph->nodes = table;
    struct ir_node node = {.op = op,
                           .inputs = input_count,
                           .outputs = output_count,
                           .layer = IR_NONE,
                           .before = IR_NONE};
    if (!fill_node(graph, &node, attrs))
        return IR_NONE;
    graph->nodes[graph->node_count++] = node;
    set_operands(graph, graph->node_count - 1, inputs, outputs);
    return graph->node_count - 1;
}

void ir_rewrite_node(struct ir_graph *graph, ir_node_id id, enum op_id op, const void *attrs,
                     const ir_value_id *inputs, int32_t input_count, const ir_value_id *outputs,
                     int32_t output_count)
{
    if (input_count > IR_NODE_OPERANDS || output_count > IR_NODE_OPERANDS)
        graph->failed = true;
    if (graph->failed || id < 0)
        return;
    struct ir_node *node = &graph->nodes[id];
    node->op = op;
    node->inputs = input_count;
    node->outputs = output_count;
    if (fill_node(graph, node, attrs))
        set_operands(graph, id, inputs, outputs);
}

/* ---- copying ---- */

static void *copy_table(struct ir_graph *to, const void *table, int32_t count, int32_t *capacity,
                        size_t entry_bytes)
{
    *capacity = count;
    if (!count || to->failed)
        return NULL;
    void *copy = hs_arena_alloc(&to->arena, (size_t)count, entry_bytes);
    if (!copy) {
        to->failed = true;
        return NULL;
    }
    memcpy(copy, table, (size_t)count * entry_bytes);
    return copy;
}

/* Texts and attributes still point into the original after the tables were copied. */
static void copy_pointers(struct ir_graph *to)
{
    for (int32_t i = 0; i < to->value_count && !to->failed; i++)
        to->values[i].name = copy_text(to, to->values[i].name);
    for (int32_t i = 0; i < to->constant_count && !to->failed; i++)
        if (to->constants[i].name)
            to->constants[i].name = copy_text(to, to->constants[i].name);
    for (int32_t i = 0; i < to->state_count && !to->failed; i++)
        to->states[i].name = copy_text(to, to->states[i].name);
    for (int32_t i = 0; i < to->node_count && !to->failed; i++) {
        const void *attrs = to->nodes[i].attrs;
        (void)fill_node(to, &to->nodes[i], attrs);
        if (to->nodes[i].note)
            to->nodes[i].note = copy_text(to, to->nodes[i].note);
    }
}

struct ir_graph *ir_graph_copy(const struct ir_graph *graph)
{
    struct ir_graph *copy = hs_alloc(sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *graph;
    copy->arena = (struct hs_arena){0};
    copy->name = copy_text(copy, graph->name);
    copy->dims =
        copy_table(copy, graph->dims, graph->dim_count, &copy->dim_capacity, sizeof *graph->dims);
    copy->values = copy_table(copy, graph->values, graph->value_count, &copy->value_capacity,
                              sizeof *graph->values);
    copy->nodes = copy_table(copy, graph->nodes, graph->node_count, &copy->node_capacity,
                             sizeof *graph->nodes);
    copy->constants = copy_table(copy, graph->constants, graph->constant_count,
                                 &copy->constant_capacity, sizeof *graph->constants);
    copy->states = copy_table(copy, graph->states, graph->state_count, &copy->state_capacity,
                              sizeof *graph->states);
    copy->constant_index = copy_table(copy, graph->constant_index, graph->constant_index_size,
                                      &copy->constant_index_size, sizeof *graph->constant_index);
    copy_pointers(copy);
    if (copy->failed)
        ir_graph_free(&copy);
    return copy;
}
