/*
 * Macros and call blocks. A macro keeps the scope it was defined in and sees what that scope holds
 * when it is called, as Jinja2's closures do; its own variables live in a scope within. It may call
 * itself: depth is capped in evaluation.
 */
#include "text/template_eval.h"

enum hasten_status tx_make_macro(struct tx_eval *eval, const struct tx_node *node,
                                 struct tx_value *value_out)
{
    void *memory;
    HS_TRY(tx_eval_alloc(eval, 1, sizeof(struct tx_macro), &memory));
    struct tx_macro *macro = memory;
    *macro = (struct tx_macro){node, eval->scope};
    *value_out = (struct tx_value){.kind = TX_MACRO, .macro = macro};
    return HASTEN_OK;
}

static enum hasten_status fail_argument(const struct tx_eval *eval, const struct tx_macro *macro,
                                        const char *problem)
{
    struct hs_str name = macro->node->name;
    return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "macro '%.*s' %s",
                        (int)(name.size_bytes < 60 ? name.size_bytes : 60), name.data, problem);
}

/* Parameters in order: a default may use those before it. */
static enum hasten_status bind_parameters(struct tx_eval *eval, const struct tx_macro *macro,
                                          const struct tx_arguments *arguments, int *count_out)
{
    int place = 0;
    for (const struct tx_node *at = macro->node->orelse; at; at = at->next, place++) {
        struct tx_value value = tx_undefined(at->name);
        bool is_given = place < arguments->positional;
        if (is_given)
            value = arguments->items[place];
        for (int i = arguments->positional; i < arguments->count; i++) {
            if (!hs_str_equal(arguments->names[i], at->name))
                continue;
            if (is_given)
                return fail_argument(eval, macro, "gets an argument twice");
            is_given = true;
            value = arguments->items[i];
        }
        if (!is_given && at->a)
            HS_TRY(tx_evaluate(eval, at->a, &value));
        HS_TRY(tx_eval_set(eval, at->name, &value));
    }
    *count_out = place;
    return HASTEN_OK;
}

static bool is_parameter(const struct tx_macro *macro, struct hs_str name)
{
    for (const struct tx_node *at = macro->node->orelse; at; at = at->next)
        if (hs_str_equal(at->name, name))
            return true;
    return false;
}

/* Keywords that are no parameters: `caller`, and the rest as kwargs. */
static enum hasten_status bind_keywords(struct tx_eval *eval, const struct tx_macro *macro,
                                        const struct tx_arguments *arguments)
{
    struct tx_value kwargs, caller = tx_undefined(hs_str_of("caller"));
    int64_t uses = macro->node->value.integer;
    HS_TRY(tx_eval_dict(eval, TX_DICT, &kwargs));
    for (int i = arguments->positional; i < arguments->count; i++) {
        struct tx_value key = tx_text(arguments->names[i]);
        if (is_parameter(macro, key.string))
            continue;
        if ((uses & TX_USES_CALLER) && hs_str_is(key.string, "caller"))
            caller = arguments->items[i];
        else
            HS_TRY(tx_eval_put(eval, kwargs.dict, &key, &arguments->items[i]));
    }
    if (kwargs.dict->count && !(uses & TX_USES_KWARGS))
        return fail_argument(eval, macro, "has no such parameter");
    if ((uses & TX_USES_CALLER) && !is_parameter(macro, hs_str_of("caller")))
        HS_TRY(tx_eval_set(eval, hs_str_of("caller"), &caller));
    return uses & TX_USES_KWARGS ? tx_eval_set(eval, hs_str_of("kwargs"), &kwargs) : HASTEN_OK;
}

static enum hasten_status bind_rest(struct tx_eval *eval, const struct tx_macro *macro,
                                    const struct tx_arguments *arguments, int parameters)
{
    struct tx_value rest;
    int count = arguments->positional > parameters ? arguments->positional - parameters : 0;
    if (!(macro->node->value.integer & TX_USES_VARARGS))
        return count ? fail_argument(eval, macro, "is called with too many arguments") : HASTEN_OK;
    HS_TRY(tx_eval_list(eval, TX_TUPLE, (size_t)count, &rest));
    for (int i = 0; i < count; i++)
        rest.list->items[i] = arguments->items[parameters + i];
    HS_TRY(tx_eval_seal(eval, &rest));
    return tx_eval_set(eval, hs_str_of("varargs"), &rest);
}

static enum hasten_status call(struct tx_eval *eval, const struct tx_macro *macro,
                               const struct tx_arguments *arguments, struct tx_value *value_out)
{
    int parameters = 0;
    HS_TRY(tx_eval_enter(eval, macro->scope));
    HS_TRY(bind_parameters(eval, macro, arguments, &parameters));
    HS_TRY(bind_keywords(eval, macro, arguments));
    HS_TRY(bind_rest(eval, macro, arguments, parameters));
    return tx_eval_capture(eval, macro->node->list, eval->scope, value_out);
}

enum hasten_status tx_call_macro(struct tx_eval *eval, const struct tx_macro *macro,
                                 const struct tx_arguments *arguments, struct tx_value *value_out)
{
    struct tx_scope *scope = eval->scope;
    int line = eval->line;
    enum hasten_status status = call(eval, macro, arguments, value_out);
    eval->scope = scope;
    if (status == HASTEN_OK)
        eval->line = line;
    return status;
}

enum hasten_status tx_run_call_block(struct tx_eval *eval, const struct tx_node *node)
{
    struct tx_value callee, text;
    struct tx_arguments given, all;
    void *items, *names;
    HS_TRY(tx_evaluate(eval, node->a->a, &callee));
    eval->line = node->line;
    if (callee.kind != TX_MACRO)
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "a call block on a %s is not supported",
                            tx_type_name(&callee));
    HS_TRY(tx_eval_arguments(eval, node->a->list, &given));
    all = given;
    HS_TRY(tx_eval_alloc(eval, (size_t)given.count + 1, sizeof *all.items, &items));
    HS_TRY(tx_eval_alloc(eval, (size_t)given.count + 1, sizeof *all.names, &names));
    all.items = items;
    all.names = names;
    for (int i = 0; i < given.count; i++) {
        all.items[i] = given.items[i];
        all.names[i] = given.names[i];
    }
    HS_TRY(tx_make_macro(eval, node->b, &all.items[given.count]));
    all.names[all.count++] = hs_str_of("caller");
    HS_TRY(tx_call_macro(eval, callee.macro, &all, &text));
    return tx_eval_write(eval, text.string);
}
