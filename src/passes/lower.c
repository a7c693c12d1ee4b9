/*
 * The driver: copies the canonical graph, runs the passes of pass_table.h in order and verifies
 * after each, so that a wrong pass is named and not its victims. At the end every node must be one
 * that the target can execute.
 */
#include <string.h>

#include "base/options.h"
#include "passes/pass_table.h"

struct pass {
    struct ps_pass_info info;
    enum hasten_status (*run)(struct ps_context *context);
};

#define PASS_ROW(file, name, help, required) {{name, help, required}, ps_run_##file},
static const struct pass passes[] = {PS_PASS_TABLE(PASS_ROW)};

#define PASS_COUNT ((int)(sizeof passes / sizeof passes[0]))

int ps_count(void)
{
    return PASS_COUNT;
}

const struct ps_pass_info *ps_at(int index)
{
    return index >= 0 && index < PASS_COUNT ? &passes[index].info : NULL;
}

static enum hasten_status check_name(const char *name, struct hs_error *error)
{
    const char *names[PASS_COUNT];
    for (int i = 0; i < PASS_COUNT; i++) {
        names[i] = passes[i].info.name;
        if (strcmp(name, names[i]) == 0)
            return passes[i].info.required
                       ? hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                                 "pass '%s' is required and cannot be switched off", name)
                       : HASTEN_OK;
    }
    const char *nearest = hs_nearest(name, names, PASS_COUNT);
    char hint[96] = "see the list of passes";
    if (nearest) {
        struct hs_buffer text = {0};
        hs_buffer_printf(&text, "did you mean '%s'?", nearest);
        if (!text.failed && text.size_bytes < sizeof hint)
            memcpy(hint, text.data, text.size_bytes + 1);
        hs_buffer_free(&text);
    }
    return hs_fail(error, HASTEN_INVALID_ARGUMENT, hint, "unknown pass '%s'", name);
}

static bool is_disabled(const struct ps_options *options, const char *name)
{
    for (int i = 0; options && i < options->disabled_count; i++)
        if (strcmp(options->disabled[i], name) == 0)
            return true;
    return false;
}

/* Verifies; a failure names the pass. */
static enum hasten_status verify_after(const struct ir_graph *graph, const char *pass,
                                       struct hs_error *error)
{
    struct hs_error found = {0};
    enum hasten_status status = ir_verify(graph, &found);
    if (status == HASTEN_OK)
        return HASTEN_OK;
    hs_fail(error, status, found.hint, "after pass '%s': %s", pass, found.message);
    if (error)
        hs_error_at(error, "%s", found.place);
    return status;
}

static enum hasten_status run_pass(struct ps_context *context, const struct pass *pass)
{
    context->pass = pass->info.name;
    if (pass->info.required)
        context->graph->level = IR_LOWERING;
    enum hasten_status status = pass->run(context);
    hs_arena_free(&context->scratch);
    HS_TRY(status);
    ir_graph_compact(context->graph);
    HS_TRY(ir_graph_status(context->graph, context->error));
    return verify_after(context->graph, pass->info.name, context->error);
}

/* UNSUPPORTED with the node's line as place when the target lacks a kernel. */
static enum hasten_status check_kernels(struct ps_context *context)
{
    const struct ir_graph *graph = context->graph;
    for (int32_t n = 0; n < graph->node_count; n++) {
        const struct ir_node *node = &graph->nodes[n];
        if (ps_has_kernel(context, node->op, node->attrs))
            continue;
        const char *type = "";
        if (node->op == OP_LINEAR)
            type =
                tn_dtype_info(
                    (enum tn_dtype)((const struct op_linear_attrs *)node->attrs)->segment[0].dtype)
                    ->name;
        else if (node->op == OP_EMBED)
            type = tn_dtype_info((enum tn_dtype)((const struct op_embed_attrs *)node->attrs)->dtype)
                       ->name;
        hs_fail(context->error, HASTEN_UNSUPPORTED, "convert the model to another type",
                "no kernel for operation '%s'%s%s", op_info(node->op)->name,
                type[0] ? " with weights of type " : "", type);
        struct hs_buffer line = {0};
        ir_print_node(graph, n, &line);
        if (context->error)
            hs_error_at(context->error, "%s", line.data ? line.data : "");
        hs_buffer_free(&line);
        return HASTEN_UNSUPPORTED;
    }
    return HASTEN_OK;
}

static enum hasten_status run_all(struct ps_context *context, const struct ps_options *options)
{
    HS_TRY(verify_after(context->graph, "none", context->error));
    for (int i = 0; i < PASS_COUNT; i++)
        if (passes[i].info.required || !is_disabled(options, passes[i].info.name))
            HS_TRY(run_pass(context, &passes[i]));
    context->graph->level = IR_LOWERED;
    HS_TRY(verify_after(context->graph, "last", context->error));
    return check_kernels(context);
}

enum hasten_status ps_lower(const struct ir_graph *canonical, const struct ps_target *target,
                            const struct ps_options *options, struct hs_error *error,
                            struct ir_graph **lowered_out)
{
    for (int i = 0; options && i < options->disabled_count; i++)
        HS_TRY(check_name(options->disabled[i], error));
    if (canonical->level != IR_CANONICAL)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "the graph is not canonical");
    struct ps_context context = {
        .graph = ir_graph_copy(canonical), .target = target, .error = error};
    if (!context.graph)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory to copy graph '%s'",
                       canonical->name);
    enum hasten_status status = run_all(&context, options);
    hs_arena_free(&context.scratch);
    if (status == HASTEN_OK)
        *lowered_out = context.graph;
    else
        ir_graph_free(&context.graph);
    return status;
}
