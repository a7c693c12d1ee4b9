/*
 * Text form of graphs (docs/IR.md): one line a node, everything a reader needs to build the graph
 * again. Attributes are printed by name from one small table an op; numbers in their shortest form
 * that reads back to the same bits. Deterministic: equal graphs give equal texts. Ids are checked
 * before use, because the verifier prints wrong graphs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/fields.h"

/* ---- names and numbers ---- */

static bool is_plain_name(const char *name)
{
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.'-";
    return name[0] && name[strspn(name, plain)] == 0;
}

/* %name or @name; other characters than letters, digits and _.'- are quoted as in C. */
static void print_name(char sigil, const char *name, struct hs_buffer *out)
{
    if (is_plain_name(name)) {
        hs_buffer_printf(out, "%c%s", sigil, name);
        return;
    }
    hs_buffer_printf(out, "%c\"", sigil);
    for (const char *c = name; *c; c++) {
        if (*c == '"' || *c == '\\')
            hs_buffer_printf(out, "\\%c", *c);
        else if ((unsigned char)*c < ' ' || *c == 127)
            hs_buffer_printf(out, "\\x%02x", (unsigned char)*c);
        else
            hs_buffer_append(out, c, 1);
    }
    hs_buffer_append(out, "\"", 1);
}

/* Shortest decimal form that reads back to the same value (of a float: as float); whole numbers
 * without exponent. */
static void print_real(double value, bool single, struct hs_buffer *out)
{
    char text[40];
    if (value > -1e9 && value < 1e9 && value == (double)(int64_t)value) {
        hs_buffer_printf(out, "%lld", (long long)value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (single ? (float)back == (float)value : back == value)
            break;
    }
    hs_buffer_printf(out, "%s", text);
}

static const char *dtype_name(int64_t dtype)
{
    return dtype >= 0 && dtype < TN_DTYPE_COUNT ? tn_dtype_info((enum tn_dtype)dtype)->name : "?";
}

static const char *layout_name(int64_t layout)
{
    return layout >= 0 && layout < TN_LAYOUT_COUNT ? tn_layout_name((enum tn_layout)layout) : "?";
}

/* ---- attributes ---- */

static void print_field(const struct ir_field *field, const void *attrs, struct hs_buffer *out)
{
    const char *at = (const char *)attrs + field->offset;
    int32_t i32 = 0;
    int64_t i64 = 0;
    float f32 = 0;
    double f64 = 0;
    hs_buffer_printf(out, "%s=", field->name);
    switch (field->kind) {
    case IR_FIELD_I64:
        memcpy(&i64, at, sizeof i64);
        hs_buffer_printf(out, "%lld", (long long)i64);
        return;
    case IR_FIELD_F32:
        memcpy(&f32, at, sizeof f32);
        print_real((double)f32, true, out);
        return;
    case IR_FIELD_F64:
        memcpy(&f64, at, sizeof f64);
        print_real(f64, false, out);
        return;
    case IR_FIELD_I32:
    case IR_FIELD_DTYPE:
    case IR_FIELD_LAYOUT:
    case IR_FIELD_STYLE:
        break;
    }
    memcpy(&i32, at, sizeof i32);
    if (field->kind == IR_FIELD_I32)
        hs_buffer_printf(out, "%d", i32);
    else
        hs_buffer_printf(out, "%s",
                         field->kind == IR_FIELD_DTYPE    ? dtype_name(i32)
                         : field->kind == IR_FIELD_LAYOUT ? layout_name(i32)
                                                          : ir_style_name(i32));
}

/* Each field after the separator. */
static void print_fields(const struct ir_field *fields, const void *attrs, const char *separator,
                         struct hs_buffer *out)
{
    for (; fields->name; fields++) {
        hs_buffer_printf(out, "%s", separator);
        print_field(fields, attrs, out);
    }
}

/* ---- linear ---- */

/* add(5), scale(value=2), store(->0), append_k(6->1) */
static void print_step(const struct op_epilogue_step *step, struct hs_buffer *out)
{
    hs_buffer_printf(out, " %s", ir_step_name(step->kind));
    if (step->kind == OP_EPI_SCALE || step->kind == OP_EPI_SOFTCAP) {
        hs_buffer_printf(out, "(value=");
        print_real((double)step->value, true, out);
        hs_buffer_printf(out, ")");
        return;
    }
    if (step->operand < 0 && step->output < 0)
        return;
    hs_buffer_printf(out, "(");
    if (step->operand >= 0)
        hs_buffer_printf(out, "%d", step->operand);
    if (step->output >= 0)
        hs_buffer_printf(out, "->%d", step->output);
    hs_buffer_printf(out, ")");
}

static void print_segment(const struct op_segment *segment, struct hs_buffer *out)
{
    hs_buffer_printf(out, ", [");
    print_fields(ir_segment_fields, segment, " ", out);
    if (segment->rope_head_dim)
        print_fields(ir_segment_rope_fields, segment, " ", out);
    if (segment->kv_heads)
        print_fields(ir_segment_kv_fields, segment, " ", out);
    hs_buffer_printf(out, " :");
    for (int s = 0; s < OP_EPILOGUE_STEPS && segment->steps[s].kind != OP_EPI_END; s++)
        print_step(&segment->steps[s], out);
    hs_buffer_printf(out, " ]");
}

static void print_attrs(const struct ir_node *node, struct hs_buffer *out)
{
    print_fields(ir_op_fields(node->op), node->attrs, ", ", out);
    if (node->op != OP_LINEAR)
        return;
    const struct op_linear_attrs *attrs = node->attrs;
    for (int32_t s = 0; s < attrs->segments && s < OP_LINEAR_SEGMENTS; s++)
        print_segment(&attrs->segment[s], out);
}

/* ---- values ---- */

static void print_dim(const struct ir_graph *graph, ir_dim dim, struct hs_buffer *out)
{
    const struct ir_dim_expr *expr = &graph->dims[dim];
    if (expr->symbol == IR_SYM_NONE) {
        hs_buffer_printf(out, "[%lld]", (long long)expr->add);
        return;
    }
    hs_buffer_printf(out, "[");
    if (expr->mul != 1)
        hs_buffer_printf(out, "%lld*", (long long)expr->mul);
    hs_buffer_printf(out, "%s", ir_symbol_name(expr->symbol));
    if (expr->add)
        hs_buffer_printf(out, "%+lld", (long long)expr->add);
    hs_buffer_printf(out, "]");
}

static void print_type(const struct ir_graph *graph, const struct ir_value *value,
                       struct hs_buffer *out)
{
    if (value->kind == IR_VALUE_STATE) {
        hs_buffer_printf(out, "state");
        return;
    }
    hs_buffer_printf(out, "%s", dtype_name(value->dtype));
    for (int i = 0; i < value->rank; i++)
        print_dim(graph, value->dims[i], out);
}

/* @name: q4_1[576][576], or pack(that, panel32). Packs of packs are nested; the chain is short
 * because an operand stands before what is made of it. */
static void print_constant(const struct ir_graph *graph, ir_const id, struct hs_buffer *out)
{
    ir_const root = id;
    int depth = 0;
    for (; graph->constants[root].kind == IR_CONST_PACK; root = graph->constants[root].operand) {
        hs_buffer_printf(out, "pack(");
        depth++;
    }
    const struct ir_constant *tensor = &graph->constants[root];
    print_name('@', tensor->name, out);
    hs_buffer_printf(out, ": %s", dtype_name(tensor->dtype));
    for (int i = 0; i < tensor->rank; i++)
        hs_buffer_printf(out, "[%lld]", (long long)tensor->dims[i]);
    for (; depth > 0; depth--) {
        ir_const at = id;
        for (int i = 1; i < depth; i++)
            at = graph->constants[at].operand;
        hs_buffer_printf(out, ", %s)", layout_name(graph->constants[at].layout));
    }
}

static void print_operand(const struct ir_graph *graph, ir_value_id id, struct hs_buffer *out)
{
    if (id < 0 || id >= graph->value_count)
        hs_buffer_printf(out, "%%?");
    else if (graph->values[id].kind == IR_VALUE_CONST)
        print_constant(graph, graph->values[id].constant, out);
    else
        print_name('%', graph->values[id].name, out);
}

static void print_result(const struct ir_graph *graph, ir_value_id id, struct hs_buffer *out)
{
    print_operand(graph, id, out);
    if (id < 0 || id >= graph->value_count)
        return;
    hs_buffer_printf(out, ": ");
    print_type(graph, &graph->values[id], out);
}

void ir_print_node(const struct ir_graph *graph, ir_node_id id, struct hs_buffer *out)
{
    const struct ir_node *node = &graph->nodes[id];
    for (int32_t i = 0; i < node->outputs; i++) {
        hs_buffer_printf(out, "%s", i ? ", " : "");
        print_result(graph, node->output[i], out);
    }
    if ((unsigned)node->op >= OP_COUNT) {
        hs_buffer_printf(out, " = op%d", (int)node->op);
        return;
    }
    hs_buffer_printf(out, " = %s", op_info(node->op)->name);
    for (int32_t i = 0; i < node->inputs; i++) {
        hs_buffer_printf(out, "%s", i ? ", " : " ");
        print_operand(graph, node->input[i], out);
    }
    print_attrs(node, out);
    if (node->layer != IR_NONE || node->note)
        hs_buffer_printf(out, "  #");
    if (node->layer != IR_NONE)
        hs_buffer_printf(out, " layer=%d", node->layer);
    if (node->note)
        hs_buffer_printf(out, " note=%s", node->note);
}

/* ---- the whole graph ---- */

static void print_states(const struct ir_graph *graph, struct hs_buffer *out)
{
    for (int32_t g = 0; g < graph->group_count; g++) {
        const struct ir_page_group *group = &graph->groups[g];
        hs_buffer_printf(out,
                         "group %d: window=%d, layers=%d, dtype=%s, kv_heads=%d, head_dim=%d\n", g,
                         group->window, group->layers, dtype_name(group->layout.dtype),
                         group->layout.kv_heads, group->layout.head_dim);
    }
    for (int32_t s = 0; s < graph->state_count; s++) {
        hs_buffer_printf(out, "state ");
        print_name('%', graph->states[s].name, out);
        hs_buffer_printf(out, ": group=%d, layer=%d\n", graph->states[s].group,
                         graph->states[s].layer);
    }
}

void ir_print(const struct ir_graph *graph, struct hs_buffer *out)
{
    if (graph->failed)
        return;
    hs_buffer_printf(out, "graph ");
    print_name('@', graph->name, out);
    hs_buffer_printf(out, " %s\n", ir_level_name((int64_t)graph->level));
    for (int32_t v = 0; v < graph->value_count; v++) {
        const struct ir_value *value = &graph->values[v];
        if (value->kind == IR_VALUE_BATCH) {
            hs_buffer_printf(out, "batch ");
            print_name('%', value->name, out);
            hs_buffer_printf(out, "\n");
        } else if (value->kind == IR_VALUE_INPUT) {
            hs_buffer_printf(out, "in ");
            print_result(graph, v, out);
            hs_buffer_printf(out, "\n");
        }
    }
    print_states(graph, out);
    for (int32_t n = 0; n < graph->node_count; n++) {
        if (graph->nodes[n].dead)
            continue;
        ir_print_node(graph, n, out);
        hs_buffer_printf(out, "\n");
    }
    if (graph->outputs[IR_OUT_HIDDEN] != IR_NONE) {
        hs_buffer_printf(out, "hidden ");
        print_operand(graph, graph->outputs[IR_OUT_HIDDEN], out);
        hs_buffer_printf(out, "\n");
    }
    hs_buffer_printf(out, "out ");
    print_operand(graph, graph->outputs[IR_OUT_LOGITS], out);
    hs_buffer_printf(out, "\n");
}
