/*
 * Lowered graph -> plan. One pass over the nodes for kernels and operands, one over the values for
 * lifetimes, then the memory plan. Everything is copied into the plan's arena: the graph may go.
 */
#include "plan/plan.h"

#include <inttypes.h>
#include <string.h>

#include "plan/memory_plan.h"

struct builder {
    const struct ir_graph *graph;
    struct pl_plan *plan;
    struct hs_error *error;
    struct pl_lifetime *lifetimes; /* per value id, then the workspace of each node */
};

static enum hasten_status no_memory(struct hs_error *error)
{
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the plan");
}

static int64_t eval_dim(const struct builder *b, ir_dim dim)
{
    const int64_t symbols[IR_SYM_COUNT] = {
        [IR_SYM_TOKENS] = b->plan->limits.tokens_max,
        [IR_SYM_WANTED] = b->plan->limits.wanted_max,
    };
    return ir_dim_eval(b->graph, dim, symbols);
}

/* Bytes of a temporary at the step's bounds. */
static enum hasten_status temp_bytes(const struct builder *b, const struct ir_value *value,
                                     size_t *bytes_out)
{
    int64_t rows = 1, cols = eval_dim(b, value->dims[value->rank - 1]);
    size_t row_bytes;
    for (int i = 0; i + 1 < value->rank; i++)
        rows *= eval_dim(b, value->dims[i]);
    bool fits = value->dtype == TN_A8 ? tn_a8_bytes(rows, cols, bytes_out)
                                      : tn_row_bytes(value->dtype, cols, &row_bytes) &&
                                            hs_size_mul(row_bytes, (size_t)rows, bytes_out);
    if (!fits)
        return hs_fail(b->error, HASTEN_LIMIT, "lower the number of tokens per step",
                       "value %%%s of %" PRId64 " x %" PRId64 " has no valid size", value->name,
                       rows, cols);
    return HASTEN_OK;
}

/* The workspace of node n lives while it runs. */
static void collect_workspace(struct builder *b, int32_t n)
{
    const struct ir_node *node = &b->graph->nodes[n];
    const struct kn_kernel *kernel = kn_find(node->op, node->attrs, b->plan->cpu_class);
    const struct kn_bounds bounds = {b->plan->limits.tokens_max, b->plan->limits.positions_max};
    size_t bytes =
        kernel && kernel->workspace_bytes ? kernel->workspace_bytes(node->attrs, &bounds) : 0;
    b->lifetimes[b->graph->value_count + n] =
        (struct pl_lifetime){.size_bytes = bytes, .first = n, .last = n};
}

/* Lifetimes of temporaries: from the writing node to the last reading one; the graph's outputs
 * live to the end. */
static enum hasten_status collect_lifetimes(struct builder *b)
{
    const struct ir_graph *graph = b->graph;
    const int32_t count = graph->value_count + graph->node_count;
    b->lifetimes = hs_calloc((size_t)count + 1, sizeof *b->lifetimes);
    if (!b->lifetimes)
        return no_memory(b->error);
    for (int32_t n = 0; n < graph->node_count; n++) {
        const struct ir_node *node = &graph->nodes[n];
        for (int32_t i = 0; i < node->outputs; i++) {
            const struct ir_value *value = &graph->values[node->output[i]];
            struct pl_lifetime *lifetime = &b->lifetimes[node->output[i]];
            if (value->kind != IR_VALUE_TEMP)
                continue;
            HS_TRY(temp_bytes(b, value, &lifetime->size_bytes));
            lifetime->first = lifetime->last = n;
        }
        for (int32_t i = 0; i < node->inputs; i++)
            b->lifetimes[node->input[i]].last = n;
        collect_workspace(b, n);
    }
    for (int i = 0; i < IR_OUTPUTS; i++)
        if (graph->outputs[i] != IR_NONE)
            b->lifetimes[graph->outputs[i]].last = graph->node_count;
    return pl_place(b->lifetimes, count, b->error, &b->plan->arena_bytes);
}

/* Constants the plan reads, one entry per constant expression; ids stay those of the graph. */
static enum hasten_status copy_constants(struct builder *b)
{
    const struct ir_graph *graph = b->graph;
    struct pl_plan *plan = b->plan;
    plan->constants =
        hs_arena_alloc(&plan->arena, (size_t)graph->constant_count + 1, sizeof *plan->constants);
    if (!plan->constants)
        return no_memory(b->error);
    plan->constant_count = graph->constant_count;
    for (int32_t i = 0; i < graph->constant_count; i++) {
        const struct ir_constant *constant = &graph->constants[i];
        const struct ir_constant *source = constant;
        struct pl_constant *copy = &plan->constants[i];
        while (source->kind == IR_CONST_PACK)
            source = &graph->constants[source->operand];
        copy->dtype = constant->dtype;
        copy->layout = constant->layout;
        copy->cols = constant->dims[constant->rank - 1];
        copy->rows = 1;
        for (int d = 0; d + 1 < constant->rank; d++)
            copy->rows *= constant->dims[d];
        copy->tensor = hs_arena_strndup(&plan->arena, source->name, strlen(source->name));
        if (!copy->tensor)
            return no_memory(b->error);
        if (!tn_weight_bytes(copy->dtype, copy->layout, copy->rows, copy->cols, &copy->size_bytes))
            return hs_fail(b->error, HASTEN_UNSUPPORTED, NULL,
                           "tensor '%s' (%s, %" PRId64 " x %" PRId64 ") has no %s form",
                           copy->tensor, tn_dtype_info(copy->dtype)->name, copy->rows, copy->cols,
                           tn_layout_name(copy->layout));
    }
    return HASTEN_OK;
}

static enum hasten_status copy_states(struct builder *b)
{
    const struct ir_graph *graph = b->graph;
    struct pl_plan *plan = b->plan;
    plan->states =
        hs_arena_alloc(&plan->arena, (size_t)graph->state_count + 1, sizeof *plan->states);
    if (!plan->states)
        return no_memory(b->error);
    plan->state_count = graph->state_count;
    for (int32_t i = 0; i < graph->state_count; i++)
        plan->states[i] = (struct pl_state){graph->states[i].group, graph->states[i].layer};
    plan->group_count = graph->group_count;
    memcpy(plan->groups, graph->groups, sizeof plan->groups);
    return HASTEN_OK;
}

static struct pl_operand operand_of(const struct builder *b, ir_value_id id)
{
    const struct ir_value *value = &b->graph->values[id];
    switch (value->kind) {
    case IR_VALUE_INPUT:
        return (struct pl_operand){PL_INPUT, 0};
    case IR_VALUE_BATCH:
        return (struct pl_operand){PL_NONE, 0};
    case IR_VALUE_CONST:
        return (struct pl_operand){PL_CONST, value->constant};
    case IR_VALUE_STATE:
        return (struct pl_operand){PL_STATE, value->state};
    case IR_VALUE_TEMP:
        break;
    }
    return (struct pl_operand){PL_ARENA, (int64_t)b->lifetimes[id].offset};
}

/* Work of an instruction for profiles and cost estimates: weight bytes and multiply-adds a row. */
static void count_work(const struct builder *b, const struct ir_node *node,
                       struct pl_instruction *instruction)
{
    for (int32_t i = 0; i < node->inputs; i++) {
        const struct ir_value *value = &b->graph->values[node->input[i]];
        if (value->kind != IR_VALUE_CONST || node->op != OP_LINEAR)
            continue;
        const struct pl_constant *constant = &b->plan->constants[value->constant];
        instruction->weight_bytes += constant->size_bytes;
        instruction->multiply_adds_row += (uint64_t)(constant->rows * constant->cols);
    }
}

/* Rows of an instruction: those of its first tensor output, else (it only appends) of what it
 * reads: k of kv_append, x of linear. */
static struct ir_dim_expr rows_of(const struct builder *b, const struct ir_node *node)
{
    const struct ir_graph *graph = b->graph;
    for (int32_t i = 0; i < node->outputs; i++) {
        const struct ir_value *value = &graph->values[node->output[i]];
        if (value->kind == IR_VALUE_TEMP)
            return graph->dims[value->dims[0]];
    }
    ir_value_id source = node->input[node->op == OP_KV_APPEND ? 1 : 0];
    return graph->dims[graph->values[source].dims[0]];
}

static enum hasten_status build_instruction(struct builder *b, const struct ir_node *node,
                                            struct pl_instruction *instruction)
{
    struct pl_plan *plan = b->plan;
    size_t attrs_bytes = op_info(node->op)->attrs_bytes;
    void *attrs = hs_arena_alloc(&plan->arena, 1, attrs_bytes);
    if (!attrs)
        return no_memory(b->error);
    memcpy(attrs, node->attrs, attrs_bytes);
    if (node->inputs + node->outputs > KN_OPERANDS)
        return hs_fail(b->error, HASTEN_INTERNAL, NULL, "%s has too many operands",
                       op_info(node->op)->name);

    instruction->attrs = attrs;
    instruction->kernel = kn_find(node->op, attrs, plan->cpu_class);
    if (!instruction->kernel)
        return hs_fail(b->error, HASTEN_UNSUPPORTED, NULL, "no kernel executes this '%s'",
                       op_info(node->op)->name);
    instruction->rows = rows_of(b, node);
    instruction->inputs = node->inputs;
    instruction->outputs = node->outputs;
    for (int32_t i = 0; i < node->inputs; i++) {
        instruction->operand[i] = operand_of(b, node->input[i]);
        if (instruction->operand[i].space == PL_CONST)
            plan->constants[instruction->operand[i].offset].is_used = true;
    }
    for (int32_t i = 0; i < node->outputs; i++)
        instruction->operand[node->inputs + i] = operand_of(b, node->output[i]);
    const struct pl_lifetime *workspace =
        &b->lifetimes[b->graph->value_count + (node - b->graph->nodes)];
    instruction->workspace = (int64_t)workspace->offset;
    instruction->workspace_bytes = workspace->size_bytes;
    instruction->layer = node->layer;
    if (node->note)
        instruction->note = hs_arena_strndup(&plan->arena, node->note, strlen(node->note));
    count_work(b, node, instruction);

    size_t scratch = instruction->kernel->scratch_bytes
                         ? instruction->kernel->scratch_bytes(instruction->attrs)
                         : 0;
    if (scratch > plan->scratch_bytes)
        plan->scratch_bytes = scratch;
    return HASTEN_OK;
}

static void copy_outputs(struct builder *b)
{
    const struct ir_graph *graph = b->graph;
    struct pl_plan *plan = b->plan;
    ir_value_id logits = graph->outputs[IR_OUT_LOGITS], hidden = graph->outputs[IR_OUT_HIDDEN];
    plan->logits = operand_of(b, logits);
    plan->vocab = ir_features(graph, logits);
    plan->hidden_count = graph->node_count;
    if (hidden == IR_NONE)
        return;
    plan->hidden = operand_of(b, hidden);
    plan->hidden_size = ir_features(graph, hidden);
    plan->hidden_count = graph->values[hidden].producer + 1;
    for (int32_t v = 0; v < graph->value_count; v++)
        if (graph->values[v].kind == IR_VALUE_STATE &&
            graph->values[v].producer >= plan->hidden_count)
            plan->hidden_count = graph->values[v].producer + 1;
}

static enum hasten_status build_all(struct builder *b)
{
    const struct ir_graph *graph = b->graph;
    struct pl_plan *plan = b->plan;
    HS_TRY(copy_constants(b));
    HS_TRY(copy_states(b));
    HS_TRY(collect_lifetimes(b));
    plan->instructions =
        hs_arena_alloc(&plan->arena, (size_t)graph->node_count + 1, sizeof *plan->instructions);
    if (!plan->instructions)
        return no_memory(b->error);
    plan->instruction_count = graph->node_count;
    for (int32_t i = 0; i < graph->node_count; i++) {
        enum hasten_status status = build_instruction(b, &graph->nodes[i], &plan->instructions[i]);
        if (status != HASTEN_OK)
            return hs_error_at(b->error, "instruction %d (%s)", (int)i,
                               op_info(graph->nodes[i].op)->name),
                   status;
    }
    copy_outputs(b);
    return HASTEN_OK;
}

enum hasten_status pl_build(const struct ir_graph *lowered, enum hs_cpu_class cpu_class,
                            const struct pl_limits *limits, struct hs_error *error,
                            struct pl_plan **plan_out)
{
    struct pl_plan *plan = hs_calloc(1, sizeof *plan);
    if (!plan)
        return no_memory(error);
    plan->cpu_class = cpu_class;
    plan->limits = *limits;
    struct builder b = {.graph = lowered, .plan = plan, .error = error};
    enum hasten_status status = build_all(&b);
    hs_free(b.lifetimes);
    if (status != HASTEN_OK) {
        pl_free(&plan);
        return status;
    }
    *plan_out = plan;
    return HASTEN_OK;
}

void pl_free(struct pl_plan **plan)
{
    if (!*plan)
        return;
    hs_arena_free(&(*plan)->arena);
    hs_free(*plan);
    *plan = NULL;
}

static void print_operand(const struct pl_plan *plan, struct pl_operand operand,
                          struct hs_buffer *out)
{
    switch (operand.space) {
    case PL_NONE:
        hs_buffer_printf(out, "batch");
        break;
    case PL_ARENA:
        hs_buffer_printf(out, "arena+%" PRId64, operand.offset);
        break;
    case PL_CONST: {
        const struct pl_constant *constant = &plan->constants[operand.offset];
        hs_buffer_printf(out, "@%s:%s/%s", constant->tensor, tn_dtype_info(constant->dtype)->name,
                         tn_layout_name(constant->layout));
        break;
    }
    case PL_STATE:
        hs_buffer_printf(out, "state %" PRId64, operand.offset);
        break;
    case PL_INPUT:
        hs_buffer_printf(out, "input %" PRId64, operand.offset);
        break;
    }
}

void pl_print(const struct pl_plan *plan, struct hs_buffer *out)
{
    hs_buffer_printf(out, "plan %s, T <= %" PRId64 ", R <= %" PRId64 ", arena %zu bytes\n",
                     hs_cpu_class_name(plan->cpu_class), plan->limits.tokens_max,
                     plan->limits.wanted_max, plan->arena_bytes);
    for (int32_t i = 0; i < plan->instruction_count; i++) {
        const struct pl_instruction *instruction = &plan->instructions[i];
        hs_buffer_printf(out, "%4d %-28s rows %s", (int)i, instruction->kernel->name,
                         ir_symbol_name(instruction->rows.symbol));
        for (int32_t k = 0; k < instruction->inputs + instruction->outputs; k++) {
            hs_buffer_printf(out, k == instruction->inputs ? " -> " : k ? ", " : "  ");
            print_operand(plan, instruction->operand[k], out);
        }
        hs_buffer_printf(out, "%s%s\n", instruction->note ? "   # " : "",
                         instruction->note ? instruction->note : "");
    }
}
