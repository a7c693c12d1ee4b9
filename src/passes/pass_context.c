/*
 * Helpers that several passes need; see pass_context.h.
 */
#include "passes/pass_context.h"

#include <string.h>

bool ps_has_kernel(const struct ps_context *context, enum op_id op, const void *attrs)
{
    return context->target->has_kernel(context->target->context, op, attrs);
}

void *ps_scratch(struct ps_context *context, int32_t count, size_t size)
{
    void *block = hs_arena_alloc(&context->scratch, (size_t)count + 1, size);
    if (!block)
        context->graph->failed = true;
    return block;
}

void ps_insert_before(struct ps_context *context, ir_node_id anchor, enum op_id op,
                      const void *attrs, const ir_value_id *inputs, int32_t input_count,
                      ir_value_id output)
{
    struct ir_graph *graph = context->graph;
    ir_node_id node = ir_add_node(graph, op, attrs, inputs, input_count, &output, 1);
    if (node < 0 || graph->failed)
        return;
    graph->nodes[node].layer = graph->nodes[anchor].layer;
    ir_add_note(graph, node, context->pass);
    ir_move_before(graph, node, anchor);
}

bool ps_is_before(const struct ps_context *context, ir_value_id value, ir_node_id node)
{
    return context->graph->values[value].producer < node; /* no producer: IR_NONE = -1 */
}

ir_node_id ps_sole_source(const struct ps_context *context, ir_value_id value, enum op_id op)
{
    const struct ir_value *v = &context->graph->values[value];
    if (v->uses != 1 || v->producer == IR_NONE || ir_is_output(context->graph, value))
        return IR_NONE;
    const struct ir_node *node = &context->graph->nodes[v->producer];
    return node->op == op && !node->dead ? v->producer : IR_NONE;
}

/* ---- linear nodes ---- */

int ps_linear_last_step(const struct op_segment *segment)
{
    int last = 0;
    while (last + 1 < OP_EPILOGUE_STEPS && segment->steps[last + 1].kind != OP_EPI_END)
        last++;
    return last;
}

void ps_linear_load(const struct ps_context *context, ir_node_id node, struct ps_linear *linear)
{
    const struct ir_node *source = &context->graph->nodes[node];
    memset(linear, 0, sizeof *linear);
    memcpy(&linear->attrs, source->attrs, sizeof linear->attrs);
    linear->x = source->input[0];
    linear->batch = source->input[1];
    for (int32_t s = 0; s < linear->attrs.segments; s++) {
        struct op_segment *segment = &linear->attrs.segment[s];
        segment->weight = source->input[segment->weight];
        for (int i = 0; i < OP_EPILOGUE_STEPS; i++) {
            struct op_epilogue_step *step = &segment->steps[i];
            if (step->kind == OP_EPI_END)
                break;
            if (step->operand >= 0)
                step->operand = source->input[step->operand];
            if (step->output >= 0)
                step->output = source->output[step->output];
        }
    }
}

struct operand_list {
    ir_value_id value[IR_NODE_OPERANDS];
    int32_t count;
};

/* Index of the value in the list, appended if it is not there from index `first` on; -1 when the
 * list is full. */
static int32_t list_index(struct operand_list *list, int32_t first, ir_value_id value)
{
    for (int32_t i = first; i < list->count; i++)
        if (list->value[i] == value)
            return i;
    if (list->count == IR_NODE_OPERANDS)
        return -1;
    list->value[list->count] = value;
    return list->count++;
}

static int32_t least_common_multiple(int32_t a, int32_t b)
{
    int32_t x = a, y = b;
    while (y) {
        int32_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* Rotation needs whole heads in one unit (pairs may lie half a head apart, and a unit then starts
 * at feature 0 of a head); everything else is content with 32 rows. */
static int32_t choose_unit_rows(const struct op_linear_attrs *attrs)
{
    int32_t unit = TN_PANEL_ROWS;
    for (int32_t s = 0; s < attrs->segments; s++)
        for (int i = 0; i < OP_EPILOGUE_STEPS; i++)
            if (attrs->segment[s].steps[i].kind == OP_EPI_ROPE)
                unit = least_common_multiple(unit, attrs->segment[s].rope_head_dim);
    return unit;
}

static bool lay_out_steps(struct op_segment *segment, struct operand_list *inputs, int32_t first,
                          struct operand_list *outputs)
{
    for (int i = 0; i < OP_EPILOGUE_STEPS && segment->steps[i].kind != OP_EPI_END; i++) {
        struct op_epilogue_step *step = &segment->steps[i];
        if (step->operand >= 0 && (step->operand = list_index(inputs, first, step->operand)) < 0)
            return false;
        if (step->output >= 0 && (step->output = list_index(outputs, 0, step->output)) < 0)
            return false;
    }
    return true;
}

bool ps_linear_store(struct ps_context *context, ir_node_id node, const struct ps_linear *linear)
{
    struct operand_list inputs = {{linear->x, linear->batch}, 2}, outputs = {{0}, 0};
    struct op_linear_attrs attrs;
    memcpy(&attrs, &linear->attrs, sizeof attrs);
    for (int32_t s = 0; s < attrs.segments; s++) {
        inputs.value[inputs.count] = attrs.segment[s].weight;
        attrs.segment[s].weight = inputs.count++;
    }
    for (int32_t s = 0; s < attrs.segments; s++)
        if (!lay_out_steps(&attrs.segment[s], &inputs, 2 + attrs.segments, &outputs))
            return false;
    attrs.outputs = outputs.count;
    attrs.unit_rows = choose_unit_rows(&attrs);
    if (!ps_has_kernel(context, OP_LINEAR, &attrs))
        return false;
    ir_rewrite_node(context->graph, node, OP_LINEAR, &attrs, inputs.value, inputs.count,
                    outputs.value, outputs.count);
    ir_add_note(context->graph, node, context->pass);
    return true;
}

int ps_linear_find_store(const struct ps_linear *linear, ir_value_id value)
{
    for (int32_t s = 0; s < linear->attrs.segments; s++) {
        const struct op_segment *segment = &linear->attrs.segment[s];
        const struct op_epilogue_step *last = &segment->steps[ps_linear_last_step(segment)];
        if (last->kind == OP_EPI_STORE && last->output == value)
            return s;
    }
    return -1;
}

bool ps_linear_add_step(struct op_segment *segment, enum op_epilogue_kind kind, ir_value_id operand)
{
    int last = ps_linear_last_step(segment);
    if (last + 1 >= OP_EPILOGUE_STEPS)
        return false;
    segment->steps[last + 1] = segment->steps[last];
    segment->steps[last] =
        (struct op_epilogue_step){.kind = kind, .operand = operand, .output = -1};
    return true;
}
