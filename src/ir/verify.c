/*
 * Verifier: is this graph one that passes, plans and kernels may trust?
 *
 * Table driven: each op has a signature (one letter an operand) and, where features are not all,
 * a rule of its own for shapes and attributes. On top of that the general laws: values are defined
 * before they are read and only once, a state version has one writer and no reader after it, rows
 * are kept by every op but GATHER ones, %batch stands where rows are mixed, and the op belongs to
 * the level. Linear in the size of the graph. A violation is a defect of a builder or a pass, hence
 * INTERNAL; nothing here depends on file contents that a builder has checked.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ir/graph.h"

struct check {
    const struct ir_graph *graph;
    const struct ir_node *node;
    ir_node_id id;
    struct hs_error *error;
    uint8_t *defined; /* [value] */
    uint8_t *written; /* [value] state versions that have a successor */
};

static enum hasten_status wrong(const struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Fails with the node's line as the place. */
static enum hasten_status wrong(const struct check *check, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hs_fail(check->error, HASTEN_INTERNAL, "this is a defect of hasten, please report it",
            "graph is wrong: %s", text);
    struct hs_buffer line = {0};
    if (check->node)
        ir_print_node(check->graph, check->id, &line);
    if (check->error)
        hs_error_at(check->error, "%s", line.data ? line.data : check->graph->name);
    hs_buffer_free(&line);
    return HASTEN_INTERNAL;
}

static const struct ir_value *input(const struct check *check, int32_t index)
{
    return &check->graph->values[check->node->input[index]];
}

static const struct ir_value *output(const struct check *check, int32_t index)
{
    return &check->graph->values[check->node->output[index]];
}

/* A dim that is a plain number, or -1. */
static int64_t fixed_dim(const struct check *check, const struct ir_value *value, int axis)
{
    if (axis >= value->rank)
        return -1;
    const struct ir_dim_expr *expr = &check->graph->dims[value->dims[axis]];
    return expr->symbol == IR_SYM_NONE ? expr->add : -1;
}

static bool is_symbol(const struct check *check, const struct ir_value *value,
                      enum ir_symbol symbol)
{
    const struct ir_dim_expr *expr = &check->graph->dims[value->dims[0]];
    return expr->symbol == symbol && expr->mul == 1 && expr->add == 0;
}

/* ---- operand kinds ---- */

static bool is_activation(const struct ir_value *value)
{
    return value->kind == IR_VALUE_TEMP && value->rank >= 2;
}

/* Does a value fit a letter of a signature? */
static bool fits(const struct ir_value *value, char letter)
{
    switch (letter) {
    case 'i': /* token ids */
        return value->kind == IR_VALUE_INPUT && value->dtype == TN_I32 && value->rank == 1;
    case 'f': /* f32 activations */
        return is_activation(value) && value->dtype == TN_F32 && value->rank == 2;
    case 'a': /* a8 activations */
        return is_activation(value) && value->dtype == TN_A8 && value->rank == 2;
    case 't': /* rope table */
        return is_activation(value) && value->dtype == TN_F32 && value->rank == 3;
    case 'w': /* weight matrix */
        return value->kind == IR_VALUE_CONST && value->rank == 2;
    case 'v': /* weight vector */
        return value->kind == IR_VALUE_CONST && value->rank == 1 && value->dtype == TN_F32;
    case 's':
        return value->kind == IR_VALUE_STATE;
    case 'b':
        return value->kind == IR_VALUE_BATCH;
    default:
        return false;
    }
}

/* ---- rules ---- */

/* Attribute structs that begin with `int64_t features`: every activation has that many. */
static enum hasten_status check_features(const struct check *check)
{
    int64_t features = ((const struct op_row_attrs *)check->node->attrs)->features;
    for (int32_t i = 0; i < check->node->inputs; i++)
        if (is_activation(input(check, i)) && fixed_dim(check, input(check, i), 1) != features)
            return wrong(check, "input %d does not have %lld features", i, (long long)features);
    if (fixed_dim(check, output(check, 0), 1) != features)
        return wrong(check, "the output does not have %lld features", (long long)features);
    return HASTEN_OK;
}

static enum hasten_status check_embed(const struct check *check)
{
    const struct op_embed_attrs *attrs = check->node->attrs;
    const struct ir_value *table = input(check, 1);
    if (attrs->rows != fixed_dim(check, table, 0) || attrs->cols != fixed_dim(check, table, 1) ||
        attrs->dtype != (int32_t)table->dtype || attrs->layout != (int32_t)table->layout)
        return wrong(check, "attributes do not describe the table");
    if (fixed_dim(check, output(check, 0), 1) != attrs->cols)
        return wrong(check, "the output does not have %lld features", (long long)attrs->cols);
    return HASTEN_OK;
}

static enum hasten_status check_norm(const struct check *check)
{
    const struct op_norm_attrs *attrs = check->node->attrs;
    int64_t group = attrs->group ? attrs->group : attrs->features;
    if (group < 1 || attrs->features % group || fixed_dim(check, input(check, 1), 0) != group)
        return wrong(check, "the weight does not have one entry per feature of a norm group");
    return check_features(check);
}

static enum hasten_status check_matmul(const struct check *check)
{
    const struct ir_value *weight = input(check, 1);
    if (fixed_dim(check, input(check, 0), 1) != fixed_dim(check, weight, 1) ||
        fixed_dim(check, output(check, 0), 1) != fixed_dim(check, weight, 0))
        return wrong(check, "features do not match the weight");
    return HASTEN_OK;
}

static enum hasten_status check_rope_attrs(const struct check *check)
{
    const struct op_rope_attrs *attrs = check->node->attrs;
    if (attrs->heads < 1 || attrs->dims < 2 || attrs->dims % 2 || attrs->dims > attrs->head_dim)
        return wrong(check, "impossible rope attributes");
    int64_t features = (int64_t)attrs->heads * attrs->head_dim;
    if (fixed_dim(check, input(check, 0), 1) != features ||
        fixed_dim(check, output(check, 0), 1) != features)
        return wrong(check, "features are not heads * head_dim");
    return HASTEN_OK;
}

/* Optional last input: frequency factors, one a pair. */
static enum hasten_status check_factors(const struct check *check, int32_t index)
{
    const struct op_rope_attrs *attrs = check->node->attrs;
    if (check->node->inputs > index && fixed_dim(check, input(check, index), 0) != attrs->dims / 2)
        return wrong(check, "rope factors are not dims / 2");
    return HASTEN_OK;
}

static enum hasten_status check_rope(const struct check *check)
{
    HS_TRY(check_rope_attrs(check));
    return check_factors(check, 2);
}

static enum hasten_status check_table(const struct check *check, const struct ir_value *table)
{
    const struct op_rope_attrs *attrs = check->node->attrs;
    if (fixed_dim(check, table, 1) != attrs->dims / 2 || fixed_dim(check, table, 2) != 2)
        return wrong(check, "the rope table is not [rows][dims/2][2]");
    return HASTEN_OK;
}

static enum hasten_status check_rope_table(const struct check *check)
{
    const struct op_rope_attrs *attrs = check->node->attrs;
    if (attrs->dims < 2 || attrs->dims % 2)
        return wrong(check, "impossible rope attributes");
    HS_TRY(check_table(check, output(check, 0)));
    return check_factors(check, 1);
}

static enum hasten_status check_rope_apply(const struct check *check)
{
    HS_TRY(check_rope_attrs(check));
    return check_table(check, input(check, 1));
}

/* KV attributes of an op against the state it touches. */
static enum hasten_status check_state(const struct check *check, const struct ir_value *value,
                                      const struct op_kv_attrs *attrs)
{
    const struct ir_state *state = &check->graph->states[value->state];
    const struct tn_kv_layout *layout = &check->graph->groups[state->group].layout;
    if (attrs->kv_layer != state->layer || attrs->kv_heads != layout->kv_heads ||
        attrs->head_dim != layout->head_dim || attrs->kv_dtype != (int32_t)layout->dtype)
        return wrong(check, "KV attributes do not describe state '%s'", state->name);
    return HASTEN_OK;
}

static enum hasten_status check_append(const struct check *check)
{
    const struct op_kv_attrs *attrs = check->node->attrs;
    int64_t features = (int64_t)attrs->kv_heads * attrs->head_dim;
    if (fixed_dim(check, input(check, 1), 1) != features ||
        fixed_dim(check, input(check, 2), 1) != features)
        return wrong(check, "features are not kv_heads * head_dim");
    if (output(check, 0)->state != input(check, 0)->state)
        return wrong(check, "the output is a version of another state");
    return check_state(check, input(check, 0), attrs);
}

static enum hasten_status check_attention(const struct check *check)
{
    const struct op_attention_attrs *attrs = check->node->attrs;
    int64_t features = (int64_t)attrs->heads * attrs->head_dim;
    if (attrs->kv_heads < 1 || attrs->heads % attrs->kv_heads || attrs->window < 0)
        return wrong(check, "impossible attention attributes");
    if (fixed_dim(check, input(check, 0), 1) != features ||
        fixed_dim(check, output(check, 0), 1) != features)
        return wrong(check, "features are not heads * head_dim");
    struct op_kv_attrs kv = {attrs->kv_heads, attrs->head_dim, attrs->kv_layer, attrs->kv_dtype};
    return check_state(check, input(check, 1), &kv);
}

static enum hasten_status check_select(const struct check *check)
{
    if (!is_symbol(check, input(check, 0), IR_SYM_TOKENS) ||
        !is_symbol(check, output(check, 0), IR_SYM_WANTED))
        return wrong(check, "rows are not T -> R");
    return check_features(check);
}

/* ---- linear ---- */

static enum hasten_status check_operand(const struct check *check, int32_t index, char letter)
{
    if (index < 2 || index >= check->node->inputs || !fits(input(check, index), letter))
        return wrong(check, "an epilogue names input %d, which does not fit", index);
    return HASTEN_OK;
}

static enum hasten_status check_destination(const struct check *check, int32_t index, char letter,
                                            int64_t features)
{
    if (index < 0 || index >= check->node->outputs || !fits(output(check, index), letter))
        return wrong(check, "an epilogue names output %d, which does not fit", index);
    if (letter != 's' && (fixed_dim(check, output(check, index), 1) != features ||
                          (letter == 'a' && features % TN_QUANT_BLOCK)))
        return wrong(check, "output %d does not have %lld features", index, (long long)features);
    return HASTEN_OK;
}

static enum hasten_status check_rope_step(const struct check *check, const struct op_segment *seg,
                                          const struct op_epilogue_step *step)
{
    const struct op_linear_attrs *attrs = check->node->attrs;
    HS_TRY(check_operand(check, step->operand, 't'));
    const struct ir_value *table = input(check, step->operand);
    if (seg->rope_head_dim < 2 || seg->rows % seg->rope_head_dim || seg->rope_dims < 2 ||
        seg->rope_dims % 2 || seg->rope_dims > seg->rope_head_dim ||
        fixed_dim(check, table, 1) != seg->rope_dims / 2 || fixed_dim(check, table, 2) != 2)
        return wrong(check, "impossible rope epilogue");
    if (attrs->unit_rows % seg->rope_head_dim)
        return wrong(check, "unit_rows cuts a rope head");
    return HASTEN_OK;
}

static enum hasten_status check_append_step(const struct check *check, const struct op_segment *seg,
                                            const struct op_epilogue_step *step)
{
    HS_TRY(check_operand(check, step->operand, 's'));
    HS_TRY(check_destination(check, step->output, 's', 0));
    const struct ir_value *state = input(check, step->operand);
    if (output(check, step->output)->state != state->state)
        return wrong(check, "the output is a version of another state");
    if (seg->rows != (int64_t)seg->kv_heads * seg->kv_head_dim)
        return wrong(check, "features are not kv_heads * head_dim");
    struct op_kv_attrs kv = {seg->kv_heads, seg->kv_head_dim, seg->kv_layer, seg->kv_dtype};
    return check_state(check, state, &kv);
}

static enum hasten_status check_glu_step(const struct check *check, const struct op_segment *seg)
{
    const struct op_linear_attrs *attrs = check->node->attrs;
    if (seg + 1 >= attrs->segment + attrs->segments || seg[1].steps[0].kind != OP_EPI_PAIRED ||
        seg[1].rows != seg->rows)
        return wrong(check, "a GLU has no paired segment of equal rows");
    return HASTEN_OK;
}

static enum hasten_status check_step(const struct check *check, const struct op_segment *seg,
                                     const struct op_epilogue_step *step)
{
    switch ((enum op_epilogue_kind)step->kind) {
    case OP_EPI_ADD:
        HS_TRY(check_operand(check, step->operand, 'f'));
        return fixed_dim(check, input(check, step->operand), 1) == seg->rows
                   ? HASTEN_OK
                   : wrong(check, "input %d has not the segment's features", step->operand);
    case OP_EPI_ROPE:
        return check_rope_step(check, seg, step);
    case OP_EPI_GLU_SILU:
    case OP_EPI_GLU_GELU:
        return check_glu_step(check, seg);
    case OP_EPI_STORE:
        return check_destination(check, step->output, 'f', seg->rows);
    case OP_EPI_QUANTIZE:
        return check_destination(check, step->output, 'a', seg->rows);
    case OP_EPI_APPEND_K:
    case OP_EPI_APPEND_V:
        return check_append_step(check, seg, step);
    case OP_EPI_SCALE:
    case OP_EPI_SOFTCAP:
    case OP_EPI_PAIRED:
        return HASTEN_OK;
    case OP_EPI_END:
        break;
    }
    return wrong(check, "unknown epilogue step %d", step->kind);
}

static bool is_last_step(int32_t kind)
{
    return kind == OP_EPI_STORE || kind == OP_EPI_QUANTIZE || kind == OP_EPI_APPEND_K ||
           kind == OP_EPI_APPEND_V || kind == OP_EPI_PAIRED;
}

/* Steps end with a destination (or are PAIRED alone); targets counts what writes each output. */
static enum hasten_status check_steps(const struct check *check, const struct op_segment *seg,
                                      uint8_t *targets)
{
    const struct op_linear_attrs *attrs = check->node->attrs;
    for (int s = 0; s < OP_EPILOGUE_STEPS; s++) {
        const struct op_epilogue_step *step = &seg->steps[s];
        if (step->kind == OP_EPI_END)
            break;
        HS_TRY(check_step(check, seg, step));
        if (step->kind == OP_EPI_PAIRED && (s || seg == attrs->segment ||
                                            (seg[-1].steps[0].kind != OP_EPI_GLU_SILU &&
                                             seg[-1].steps[0].kind != OP_EPI_GLU_GELU)))
            return wrong(check, "a paired segment follows no GLU");
        if (!is_last_step(step->kind))
            continue;
        if (step->output >= 0 && step->kind != OP_EPI_PAIRED)
            targets[step->output] |= (uint8_t)(1 << (step->kind - OP_EPI_STORE));
        if (s + 1 < OP_EPILOGUE_STEPS && seg->steps[s + 1].kind != OP_EPI_END)
            return wrong(check, "an epilogue goes on after its last step");
        return HASTEN_OK;
    }
    return wrong(check, "an epilogue has no destination");
}

static enum hasten_status check_segment(const struct check *check, const struct op_segment *seg,
                                        uint8_t *targets)
{
    const struct op_linear_attrs *attrs = check->node->attrs;
    HS_TRY(check_operand(check, seg->weight, 'w'));
    const struct ir_value *weight = input(check, seg->weight);
    if (seg->dtype != (int32_t)weight->dtype || seg->layout != (int32_t)weight->layout ||
        seg->rows != fixed_dim(check, weight, 0) || attrs->cols != fixed_dim(check, weight, 1))
        return wrong(check, "a segment does not describe its weight (input %d)", seg->weight);
    if (tn_dtype_is_quantized(weight->dtype) != (attrs->input_a8 == 1))
        return wrong(check, "activations and weight (input %d) do not belong together",
                     seg->weight);
    return check_steps(check, seg, targets);
}

/* One destination an output, except K and V of one state. */
static enum hasten_status check_targets(const struct check *check, const uint8_t *targets)
{
    const uint8_t append =
        1 << (OP_EPI_APPEND_K - OP_EPI_STORE) | 1 << (OP_EPI_APPEND_V - OP_EPI_STORE);
    for (int32_t o = 0; o < check->node->outputs; o++) {
        uint8_t one = targets[o];
        if (one != append && (one == 0 || (one & (one - 1)) || (one & append)))
            return wrong(check, "output %d has no or several destinations", o);
    }
    return HASTEN_OK;
}

static enum hasten_status check_linear(const struct check *check)
{
    const struct op_linear_attrs *attrs = check->node->attrs;
    uint8_t targets[IR_NODE_OPERANDS] = {0};
    if (check->node->inputs < 3 || !fits(input(check, 0), attrs->input_a8 ? 'a' : 'f') ||
        !fits(input(check, 1), 'b'))
        return wrong(check, "inputs are not activations, %%batch, weights");
    if (attrs->segments < 1 || attrs->segments > OP_LINEAR_SEGMENTS ||
        attrs->outputs != check->node->outputs || attrs->unit_rows < 32 || attrs->unit_rows % 32)
        return wrong(check, "impossible linear attributes");
    if (fixed_dim(check, input(check, 0), 1) != attrs->cols)
        return wrong(check, "input 0 does not have %lld features", (long long)attrs->cols);
    for (int32_t s = 0; s < attrs->segments; s++)
        HS_TRY(check_segment(check, &attrs->segment[s], targets));
    for (int32_t i = 2; i < check->node->inputs; i++)
        if (fits(input(check, i), 's') && !is_symbol(check, input(check, 0), IR_SYM_TOKENS))
            return wrong(check, "KV is appended for some rows only");
    return check_targets(check, targets);
}

/* ---- the table ---- */

struct rule {
    const char *inputs, *outputs; /* letters of fits(); what follows '?' is optional; NULL: own */
    enum hasten_status (*check)(const struct check *check);
};

static const struct rule rules[OP_COUNT] = {
    [OP_EMBED] = {"iw", "f", check_embed},
    [OP_RMSNORM] = {"fv", "f", check_norm},
    [OP_MATMUL] = {"fw", "f", check_matmul},
    [OP_ADD] = {"ff", "f", check_features},
    [OP_MUL] = {"ff", "f", check_features},
    [OP_SILU] = {"f", "f", check_features},
    [OP_GELU_TANH] = {"f", "f", check_features},
    [OP_SCALE] = {"f", "f", check_features},
    [OP_SOFTCAP] = {"f", "f", check_features},
    [OP_ROPE] = {"fb?v", "f", check_rope},
    [OP_KV_APPEND] = {"sffb", "s", check_append},
    [OP_ATTENTION] = {"fsb", "f", check_attention},
    [OP_SELECT_ROWS] = {"fb", "f", check_select},
    [OP_ROPE_TABLE] = {"b?v", "t", check_rope_table},
    [OP_ROPE_APPLY] = {"ft", "f", check_rope_apply},
    [OP_QUANTIZE] = {"f", "a", check_features},
    [OP_RMSNORM_QUANTIZE] = {"fv", "a", check_norm},
    [OP_ATTENTION_QUANTIZE] = {"fsb", "a", check_attention},
    [OP_LINEAR] = {NULL, NULL, check_linear},
};

static enum hasten_status check_signature(const struct check *check, const char *letters,
                                          bool inputs)
{
    int32_t count = inputs ? check->node->inputs : check->node->outputs;
    int32_t index = 0;
    bool optional = false;
    for (const char *c = letters; *c; c++) {
        if (*c == '?') {
            optional = true;
            continue;
        }
        if (index >= count && optional)
            return HASTEN_OK;
        if (index >= count || !fits(inputs ? input(check, index) : output(check, index), *c))
            return wrong(check, "%s %d is missing or of the wrong kind",
                         inputs ? "input" : "output", index);
        index++;
    }
    return index == count ? HASTEN_OK : wrong(check, "too many %s", inputs ? "inputs" : "outputs");
}

/* ---- general laws ---- */

static enum hasten_status check_level(const struct check *check)
{
    enum op_level level = op_info(check->node->op)->level;
    if (check->graph->level == IR_CANONICAL && !(level & OP_CANONICAL))
        return wrong(check, "a lowered op in a canonical graph");
    if (check->graph->level == IR_LOWERED && !(level & OP_LOWERED))
        return wrong(check, "a canonical op in a lowered graph");
    return HASTEN_OK;
}

/* Ids in range, defined before use, outputs new, states written once and not read afterwards. */
static enum hasten_status check_order(const struct check *check)
{
    const struct ir_node *node = check->node;
    for (int32_t i = 0; i < node->inputs; i++) {
        ir_value_id v = node->input[i];
        if (v < 0 || v >= check->graph->value_count || !check->defined[v])
            return wrong(check, "input %d is read before it is defined", i);
        if (check->written[v])
            return wrong(check, "input %d is an old version of a state", i);
    }
    for (int32_t o = 0; o < node->outputs; o++) {
        ir_value_id v = node->output[o];
        if (v < 0 || v >= check->graph->value_count || check->defined[v])
            return wrong(check, "output %d is defined twice", o);
        if (check->graph->values[v].producer != check->id ||
            check->graph->values[v].producer_output != o)
            return wrong(check, "output %d names another producer", o);
    }
    return HASTEN_OK;
}

/* The outputs become defined; a state that has a new version is closed. */
static void advance(const struct check *check)
{
    const struct ir_node *node = check->node;
    for (int32_t o = 0; o < node->outputs; o++) {
        const struct ir_value *value = output(check, o);
        check->defined[node->output[o]] = 1;
        for (int32_t i = 0; i < node->inputs && value->kind == IR_VALUE_STATE; i++)
            if (input(check, i)->kind == IR_VALUE_STATE && input(check, i)->state == value->state)
                check->written[node->input[i]] = 1;
    }
}

/* All activations have the same rows, unless the op picks rows; ops that look at %batch row by row
 * see all T of them (linear may run on wanted rows when it appends nothing). */
static enum hasten_status check_rows(const struct check *check)
{
    const struct op_info *info = op_info(check->node->op);
    ir_dim rows = IR_NONE;
    bool batch = false;
    for (int32_t i = 0; i < check->node->inputs + check->node->outputs; i++) {
        const struct ir_value *value =
            i < check->node->inputs ? input(check, i) : output(check, i - check->node->inputs);
        batch |= value->kind == IR_VALUE_BATCH;
        if (!is_activation(value) && value->kind != IR_VALUE_INPUT)
            continue;
        if (info->mixes != OP_MIX_GATHER && rows != IR_NONE && value->dims[0] != rows)
            return wrong(check, "operands have different rows");
        rows = value->dims[0];
        if (info->mixes == OP_MIX_BATCH && check->node->op != OP_LINEAR &&
            !is_symbol(check, value, IR_SYM_TOKENS))
            return wrong(check, "the op needs the rows of all tokens");
    }
    if (info->mixes != OP_MIX_ROW && !batch)
        return wrong(check, "the op mixes rows and does not take %%batch");
    return HASTEN_OK;
}

static enum hasten_status check_node(struct check *check)
{
    const struct ir_node *node = check->node;
    if (node->dead || node->before != IR_NONE)
        return wrong(check, "the graph was not compacted after editing");
    if ((unsigned)node->op >= OP_COUNT || !rules[node->op].check)
        return wrong(check, "unknown op");
    HS_TRY(check_level(check));
    HS_TRY(check_order(check));
    const struct rule *rule = &rules[node->op];
    if (rule->inputs)
        HS_TRY(check_signature(check, rule->inputs, true));
    if (rule->outputs)
        HS_TRY(check_signature(check, rule->outputs, false));
    HS_TRY(rule->check(check));
    HS_TRY(check_rows(check));
    advance(check);
    return HASTEN_OK;
}

static bool is_hidden(const struct ir_graph *graph, ir_value_id output)
{
    const struct ir_value *value = &graph->values[output];
    if (value->kind != IR_VALUE_TEMP || value->dtype != TN_F32 || value->rank != 2)
        return false;
    const struct ir_dim_expr *rows = &graph->dims[value->dims[0]];
    return rows->symbol == IR_SYM_WANTED && rows->mul == 1 && rows->add == 0;
}

static enum hasten_status check_graph(struct check *check)
{
    const struct ir_graph *graph = check->graph;
    for (int32_t v = 0; v < graph->value_count; v++)
        check->defined[v] =
            graph->values[v].kind != IR_VALUE_TEMP && graph->values[v].producer == IR_NONE;
    for (int32_t n = 0; n < graph->node_count; n++) {
        check->id = n;
        check->node = &graph->nodes[n];
        HS_TRY(check_node(check));
    }
    check->node = NULL;
    for (int i = 0; i < IR_OUTPUTS; i++) {
        ir_value_id output = graph->outputs[i];
        if (i != IR_OUT_LOGITS && output == IR_NONE)
            continue;
        if (output < 0 || output >= graph->value_count || !check->defined[output])
            return wrong(check, "no node makes the graph's output");
        if (i != IR_OUT_LOGITS && !is_hidden(graph, output))
            return wrong(check, "the hidden output is not f32[R][n]");
    }
    return HASTEN_OK;
}

enum hasten_status ir_verify(const struct ir_graph *graph, struct hs_error *error)
{
    HS_TRY(ir_graph_status(graph, error));
    struct hs_arena work = {0};
    size_t count = (size_t)graph->value_count + 1;
    struct check check = {.graph = graph,
                          .error = error,
                          .defined = hs_arena_alloc(&work, count, 1),
                          .written = hs_arena_alloc(&work, count, 1)};
    enum hasten_status status =
        check.defined && check.written
            ? check_graph(&check)
            : hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory to verify a graph");
    hs_arena_free(&work);
    return status;
}
