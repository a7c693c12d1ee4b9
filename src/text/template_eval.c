/*
 * Template evaluation: statements, scopes, expressions; operators, filters and methods are in their
 * own files.
 *
 * Scopes follow Jinja2: each round of a for loop has a scope of its own, `if` has none, so what is
 * set in a loop body is gone after the round (namespaces exist for that). The tree's depth is
 * capped by the parser, hence so is the recursion here.
 */
#include "text/template_eval.h"

#include <stdarg.h>
#include <stdio.h>

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

static enum hasten_status evaluate_node(struct tx_eval *eval, const struct tx_node *node,
                                        struct tx_value *value_out);
static enum hasten_status run_list(struct tx_eval *eval, const struct tx_node *list,
                                   enum flow *flow_out);

static enum hasten_status evaluate(struct tx_eval *eval, const struct tx_node *node,
                                   struct tx_value *value_out)
{
    HS_TRY(tx_eval_descend(eval));
    enum hasten_status status = evaluate_node(eval, node, value_out);
    eval->depth--;
    return status;
}

enum hasten_status tx_evaluate(struct tx_eval *eval, const struct tx_node *node,
                               struct tx_value *value_out)
{
    return evaluate(eval, node, value_out);
}

/* --- errors and caps ---------------------------------------------------------------------- */

enum hasten_status tx_eval_fail(const struct tx_eval *eval, enum hasten_status status,
                                const char *format, ...)
{
    char text[240];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return hs_fail(eval->error, status, NULL, "chat template line %d: %s", eval->line, text);
}

enum hasten_status tx_eval_memory(const struct tx_eval *eval)
{
    return tx_eval_fail(eval, HASTEN_OUT_OF_MEMORY, "out of memory");
}

enum hasten_status tx_eval_charge(struct tx_eval *eval, size_t steps)
{
    if (steps > (size_t)TX_STEP_LIMIT || (eval->steps += (int64_t)steps) > TX_STEP_LIMIT)
        return tx_eval_fail(eval, HASTEN_LIMIT, "template runs too long");
    return HASTEN_OK;
}

enum hasten_status tx_eval_descend(struct tx_eval *eval)
{
    if (++eval->depth > TX_EVAL_DEPTH)
        return tx_eval_fail(eval, HASTEN_LIMIT, "nested too deeply");
    return HASTEN_OK;
}

enum hasten_status tx_eval_alloc(struct tx_eval *eval, size_t count, size_t size, void **memory_out)
{
    size_t bytes;
    if (!hs_size_mul(count, size, &bytes) || bytes > TX_MEMORY_LIMIT ||
        eval->arena.used_bytes > TX_MEMORY_LIMIT - bytes)
        return tx_eval_fail(eval, HASTEN_LIMIT, "template needs too much memory");
    HS_TRY(tx_eval_charge(eval, bytes / 64 + 1));
    *memory_out = hs_arena_alloc(&eval->arena, count, size);
    return *memory_out ? HASTEN_OK : tx_eval_memory(eval);
}

enum hasten_status tx_eval_list(struct tx_eval *eval, enum tx_value_kind kind, size_t count,
                                struct tx_value *value_out)
{
    void *memory, *items;
    HS_TRY(tx_eval_alloc(eval, 1, sizeof(struct tx_list), &memory));
    HS_TRY(tx_eval_alloc(eval, count, sizeof(struct tx_value), &items));
    struct tx_list *list = memory;
    *list = (struct tx_list){items, count, 1, 1};
    *value_out = (struct tx_value){.kind = kind, .list = list};
    return HASTEN_OK;
}

enum hasten_status tx_eval_seal(struct tx_eval *eval, const struct tx_value *value)
{
    /* The list was made by tx_eval_list, so it is this rendering's own memory. */
    struct tx_list *list = (struct tx_list *)(uintptr_t)value->list;
    for (size_t i = 0; i < list->count; i++)
        tx_grow(&list->weight, &list->depth, &list->items[i]);
    if (list->depth > TX_VALUE_DEPTH)
        return tx_eval_fail(eval, HASTEN_LIMIT, "lists are nested too deeply");
    return HASTEN_OK;
}

enum hasten_status tx_eval_dict(struct tx_eval *eval, enum tx_value_kind kind,
                                struct tx_value *value_out)
{
    void *memory;
    HS_TRY(tx_eval_alloc(eval, 1, sizeof(struct tx_dict), &memory));
    struct tx_dict *dict = memory;
    dict->depth = 1;
    *value_out = (struct tx_value){.kind = kind, .dict = dict};
    return HASTEN_OK;
}

enum hasten_status tx_eval_put(struct tx_eval *eval, struct tx_dict *dict,
                               const struct tx_value *key, const struct tx_value *value)
{
    HS_TRY(tx_eval_charge(eval, dict->count + 1));
    if (tx_dict_put(&eval->arena, dict, key, value))
        return HASTEN_OK;
    return dict->depth > TX_VALUE_DEPTH
               ? tx_eval_fail(eval, HASTEN_LIMIT, "dict is nested too deeply")
               : tx_eval_memory(eval);
}

enum hasten_status tx_eval_copy(struct tx_eval *eval, struct hs_str text,
                                struct tx_value *value_out)
{
    void *copy;
    HS_TRY(tx_eval_alloc(eval, text.size_bytes + 1, 1, &copy));
    if (text.size_bytes)
        memcpy(copy, text.data, text.size_bytes);
    *value_out = tx_text((struct hs_str){copy, text.size_bytes});
    return HASTEN_OK;
}

enum hasten_status tx_eval_take(struct tx_eval *eval, struct hs_buffer *buffer,
                                struct tx_value *value_out)
{
    enum hasten_status status =
        buffer->failed
            ? tx_eval_memory(eval)
            : tx_eval_copy(eval, (struct hs_str){buffer->data, buffer->size_bytes}, value_out);
    hs_buffer_free(buffer);
    return status;
}

enum hasten_status tx_eval_charge_text(struct tx_eval *eval, const struct tx_value *value)
{
    if (tx_weight(value) > TX_OUTPUT_LIMIT / 64)
        return tx_eval_fail(eval, HASTEN_LIMIT, "text of a value is too long");
    return tx_eval_charge(eval, tx_weight(value));
}

enum hasten_status tx_eval_text(struct tx_eval *eval, const struct tx_value *value,
                                struct hs_str *text_out)
{
    if (value->kind == TX_STRING) {
        *text_out = value->string;
        return HASTEN_OK;
    }
    struct hs_buffer buffer = {0};
    struct tx_value text;
    HS_TRY(tx_eval_charge_text(eval, value));
    if (!tx_print(value, false, &buffer)) {
        hs_buffer_free(&buffer);
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "printing a %s is not supported",
                            tx_type_name(value));
    }
    HS_TRY(tx_eval_take(eval, &buffer, &text));
    *text_out = text.string;
    return HASTEN_OK;
}

/* --- scopes ------------------------------------------------------------------------------- */

enum hasten_status tx_eval_enter(struct tx_eval *eval, struct tx_scope *outer)
{
    void *memory;
    HS_TRY(tx_eval_alloc(eval, 1, sizeof(struct tx_scope), &memory));
    eval->scope = memory;
    eval->scope->outer = outer;
    return HASTEN_OK;
}

static struct tx_binding *find_here(struct tx_eval *eval, const struct tx_scope *scope,
                                    struct hs_str name)
{
    for (struct tx_binding *at = scope->first; at; at = at->next, eval->steps++)
        if (hs_str_equal(at->name, name))
            return at;
    return NULL;
}

enum hasten_status tx_eval_set(struct tx_eval *eval, struct hs_str name,
                               const struct tx_value *value)
{
    struct tx_binding *binding = find_here(eval, eval->scope, name);
    if (!binding) {
        void *memory;
        HS_TRY(tx_eval_alloc(eval, 1, sizeof *binding, &memory));
        binding = memory;
        binding->name = name;
        binding->next = eval->scope->first;
        eval->scope->first = binding;
    }
    binding->value = *value;
    return HASTEN_OK;
}

static void global_function(const struct tx_eval *eval, struct hs_str name,
                            struct tx_value *value_out)
{
    static const char *const names[] = {
        [TX_FN_RAISE] = "raise_exception", [TX_FN_RANGE] = "range",
        [TX_FN_NAMESPACE] = "namespace",   [TX_FN_DICT] = "dict",
        [TX_FN_STRFTIME] = "strftime_now",
    };
    int count = eval->now ? TX_FN_STRFTIME + 1 : TX_FN_STRFTIME;
    for (int i = 0; i < count; i++)
        if (hs_str_is(name, names[i]))
            *value_out = (struct tx_value){.kind = TX_FUNCTION, .integer = i};
}

static enum hasten_status look_up(struct tx_eval *eval, struct hs_str name,
                                  struct tx_value *value_out)
{
    for (const struct tx_scope *scope = eval->scope; scope; scope = scope->outer) {
        HS_TRY(tx_eval_charge(eval, 1));
        const struct tx_binding *binding = find_here(eval, scope, name);
        if (binding) {
            *value_out = binding->value;
            return HASTEN_OK;
        }
    }
    *value_out = tx_undefined(name);
    global_function(eval, name, value_out);
    return HASTEN_OK;
}

/* --- arguments ---------------------------------------------------------------------------- */

const struct tx_value *tx_argument(const struct tx_arguments *arguments, int place,
                                   const char *name)
{
    if (place >= 0 && place < arguments->positional)
        return &arguments->items[place];
    for (int i = arguments->positional; name && i < arguments->count; i++)
        if (hs_str_is(arguments->names[i], name))
            return &arguments->items[i];
    return NULL;
}

enum hasten_status tx_check_count(const struct tx_eval *eval, struct hs_str what,
                                  const struct tx_arguments *arguments, int least, int most)
{
    if (arguments->positional >= least && arguments->count <= most)
        return HASTEN_OK;
    return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "%.*s called with %d arguments",
                        (int)(what.size_bytes < 60 ? what.size_bytes : 60), what.data,
                        arguments->count);
}

enum hasten_status tx_eval_arguments(struct tx_eval *eval, const struct tx_node *list,
                                     struct tx_arguments *arguments)
{
    size_t count = 0;
    void *items = NULL, *names = NULL;
    for (const struct tx_node *node = list; node; node = node->next)
        count++;
    if (count) {
        HS_TRY(tx_eval_alloc(eval, count, sizeof *arguments->items, &items));
        HS_TRY(tx_eval_alloc(eval, count, sizeof *arguments->names, &names));
    }
    *arguments = (struct tx_arguments){items, names, 0, 0};
    for (const struct tx_node *node = list; node; node = node->next) {
        bool keyword = node->kind == TX_N_KEYWORD;
        HS_TRY(evaluate(eval, keyword ? node->a : node, &arguments->items[arguments->count]));
        arguments->names[arguments->count++] = keyword ? node->name : (struct hs_str){NULL, 0};
        arguments->positional += !keyword;
    }
    return HASTEN_OK;
}

/* --- expressions -------------------------------------------------------------------------- */

static enum hasten_status evaluate_list(struct tx_eval *eval, const struct tx_node *node,
                                        struct tx_value *value_out)
{
    size_t count = 0;
    for (const struct tx_node *item = node->list; item; item = item->next)
        count++;
    HS_TRY(tx_eval_list(eval, node->kind == TX_N_LIST ? TX_LIST : TX_TUPLE, count, value_out));
    struct tx_value *items = value_out->list->items;
    for (const struct tx_node *item = node->list; item; item = item->next)
        HS_TRY(evaluate(eval, item, items++));
    return tx_eval_seal(eval, value_out);
}

static enum hasten_status evaluate_dict(struct tx_eval *eval, const struct tx_node *node,
                                        struct tx_value *value_out)
{
    HS_TRY(tx_eval_dict(eval, TX_DICT, value_out));
    for (const struct tx_node *pair = node->list; pair; pair = pair->next) {
        struct tx_value key, value;
        HS_TRY(evaluate(eval, pair->a, &key));
        HS_TRY(evaluate(eval, pair->b, &value));
        if (tx_depth(&key))
            return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "a %s as a key is not supported",
                                tx_type_name(&key));
        HS_TRY(tx_eval_put(eval, value_out->dict, &key, &value));
    }
    return HASTEN_OK;
}

static enum hasten_status evaluate_item(struct tx_eval *eval, const struct tx_node *node,
                                        struct tx_value *value_out)
{
    struct tx_value object, index, bounds[3];
    HS_TRY(evaluate(eval, node->a, &object));
    if (node->b->kind != TX_N_SLICE) {
        HS_TRY(evaluate(eval, node->b, &index));
        eval->line = node->line;
        return tx_get_item(eval, &object, &index, value_out);
    }
    const struct tx_node *parts[3] = {node->b->a, node->b->b, node->b->c};
    for (int i = 0; i < 3; i++) {
        bounds[i] = tx_none();
        if (parts[i])
            HS_TRY(evaluate(eval, parts[i], &bounds[i]));
    }
    return tx_get_slice(eval, &object, bounds, value_out);
}

static enum hasten_status evaluate_call(struct tx_eval *eval, const struct tx_node *node,
                                        struct tx_value *value_out)
{
    struct tx_value callee;
    struct tx_arguments arguments;
    HS_TRY(evaluate(eval, node->a, &callee));
    eval->line = node->line;
    if (callee.kind == TX_UNDEFINED)
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "'%.*s' is not defined or not supported",
                            (int)(callee.string.size_bytes < 60 ? callee.string.size_bytes : 60),
                            callee.string.data);
    if (callee.kind != TX_FUNCTION && callee.kind != TX_METHOD && callee.kind != TX_MACRO)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "a %s cannot be called",
                            tx_type_name(&callee));
    HS_TRY(tx_eval_arguments(eval, node->list, &arguments));
    eval->line = node->line;
    if (callee.kind == TX_MACRO)
        return tx_call_macro(eval, callee.macro, &arguments, value_out);
    if (callee.kind == TX_FUNCTION)
        return tx_call_function(eval, (enum tx_function)callee.integer, &arguments, value_out);
    return tx_call_method(eval, callee.method, &arguments, value_out);
}

static enum hasten_status evaluate_filter(struct tx_eval *eval, const struct tx_node *node,
                                          struct tx_value *value_out)
{
    struct tx_value value;
    struct tx_arguments arguments;
    HS_TRY(evaluate(eval, node->a, &value));
    HS_TRY(tx_eval_arguments(eval, node->list, &arguments));
    eval->line = node->line;
    return tx_apply_filter(eval, node->name, &value, &arguments, value_out);
}

static enum hasten_status evaluate_test(struct tx_eval *eval, const struct tx_node *node,
                                        struct tx_value *value_out)
{
    struct tx_value value;
    struct tx_arguments arguments;
    bool holds;
    HS_TRY(evaluate(eval, node->a, &value));
    HS_TRY(tx_eval_arguments(eval, node->list, &arguments));
    eval->line = node->line;
    HS_TRY(tx_apply_test(eval, node->name, &value, &arguments, &holds));
    *value_out = tx_bool(holds);
    return HASTEN_OK;
}

static enum hasten_status evaluate_sign(struct tx_eval *eval, const struct tx_node *node,
                                        struct tx_value *value_out)
{
    int64_t integer;
    HS_TRY(evaluate(eval, node->a, value_out));
    bool negate = node->kind == TX_N_NEGATE;
    if (tx_integer(value_out, &integer)) {
        if (negate && integer == INT64_MIN)
            return tx_eval_fail(eval, HASTEN_LIMIT, "integer is too large");
        *value_out = tx_int(negate ? -integer : integer);
        return HASTEN_OK;
    }
    if (value_out->kind != TX_FLOAT)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "a %s has no sign",
                            tx_type_name(value_out));
    if (negate)
        value_out->real = -value_out->real;
    return HASTEN_OK;
}

/* a < b < c: each operand once, as far as it holds. */
static enum hasten_status evaluate_compare(struct tx_eval *eval, const struct tx_node *node,
                                           struct tx_value *value_out)
{
    struct tx_value left, right;
    bool holds = true;
    HS_TRY(evaluate(eval, node->a, &left));
    for (const struct tx_node *operand = node->list; operand && holds; operand = operand->next) {
        HS_TRY(evaluate(eval, operand->a, &right));
        eval->line = operand->line;
        HS_TRY(tx_apply_compare(eval, operand->name, &left, &right, &holds));
        left = right;
    }
    *value_out = tx_bool(holds);
    return HASTEN_OK;
}

static enum hasten_status evaluate_condition(struct tx_eval *eval, const struct tx_node *node,
                                             struct tx_value *value_out)
{
    struct tx_value condition;
    HS_TRY(evaluate(eval, node->b, &condition));
    if (tx_truth(&condition))
        return evaluate(eval, node->a, value_out);
    if (node->c)
        return evaluate(eval, node->c, value_out);
    *value_out = tx_undefined(hs_str_of("inline if without else"));
    return HASTEN_OK;
}

static enum hasten_status evaluate_binary(struct tx_eval *eval, const struct tx_node *node,
                                          struct tx_value *value_out)
{
    struct tx_value a, b;
    HS_TRY(evaluate(eval, node->a, &a));
    HS_TRY(evaluate(eval, node->b, &b));
    eval->line = node->line;
    return tx_apply_binary(eval, node->name, &a, &b, value_out);
}

static enum hasten_status evaluate_node(struct tx_eval *eval, const struct tx_node *node,
                                        struct tx_value *value_out)
{
    struct tx_value value;
    eval->line = node->line;
    HS_TRY(tx_eval_charge(eval, 1));
    switch (node->kind) {
    case TX_N_CONST:
        *value_out = node->value;
        return HASTEN_OK;
    case TX_N_NAME:
        return look_up(eval, node->name, value_out);
    case TX_N_LIST:
    case TX_N_TUPLE:
        return evaluate_list(eval, node, value_out);
    case TX_N_DICT:
        return evaluate_dict(eval, node, value_out);
    case TX_N_ATTR:
        HS_TRY(evaluate(eval, node->a, &value));
        eval->line = node->line;
        return tx_get_attribute(eval, &value, node->name, value_out);
    case TX_N_ITEM:
        return evaluate_item(eval, node, value_out);
    case TX_N_CALL:
        return evaluate_call(eval, node, value_out);
    case TX_N_FILTER:
        return evaluate_filter(eval, node, value_out);
    case TX_N_TEST:
        return evaluate_test(eval, node, value_out);
    case TX_N_NOT:
        HS_TRY(evaluate(eval, node->a, &value));
        *value_out = tx_bool(!tx_truth(&value));
        return HASTEN_OK;
    case TX_N_NEGATE:
    case TX_N_PLUS:
        return evaluate_sign(eval, node, value_out);
    case TX_N_BINARY:
        return evaluate_binary(eval, node, value_out);
    case TX_N_COMPARE:
        return evaluate_compare(eval, node, value_out);
    case TX_N_AND:
    case TX_N_OR:
        HS_TRY(evaluate(eval, node->a, value_out));
        return tx_truth(value_out) == (node->kind == TX_N_OR) ? HASTEN_OK
                                                              : evaluate(eval, node->b, value_out);
    case TX_N_CAPTURED:
        *value_out = eval->captured;
        return HASTEN_OK;
    case TX_N_COND:
        return evaluate_condition(eval, node, value_out);
    default:
        return tx_eval_fail(eval, HASTEN_INTERNAL, "node %d is no expression", (int)node->kind);
    }
}

/* --- statements --------------------------------------------------------------------------- */

enum hasten_status tx_eval_write(struct tx_eval *eval, struct hs_str text)
{
    HS_TRY(tx_eval_charge(eval, text.size_bytes / 64 + 1));
    if (text.size_bytes > eval->out_limit ||
        eval->out->size_bytes > eval->out_limit - text.size_bytes)
        return tx_eval_fail(eval, HASTEN_LIMIT, "output is too long");
    hs_buffer_append(eval->out, text.data, text.size_bytes);
    return eval->out->failed ? tx_eval_memory(eval) : HASTEN_OK;
}

static enum hasten_status assign_names(struct tx_eval *eval, const struct tx_node *target,
                                       const struct tx_value *value)
{
    struct tx_value items;
    size_t count = 0;
    HS_TRY(tx_eval_items(eval, value, &items));
    for (const struct tx_node *name = target->list; name; name = name->next)
        count++;
    if (items.list->count != count)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "%zu values for %zu names",
                            items.list->count, count);
    const struct tx_value *item = items.list->items;
    for (const struct tx_node *name = target->list; name; name = name->next)
        HS_TRY(tx_eval_set(eval, name->name, item++));
    return HASTEN_OK;
}

static enum hasten_status assign(struct tx_eval *eval, const struct tx_node *target,
                                 const struct tx_value *value)
{
    struct tx_value object, key;
    eval->line = target->line;
    if (target->kind == TX_N_NAME)
        return tx_eval_set(eval, target->name, value);
    if (target->kind == TX_N_TUPLE)
        return assign_names(eval, target, value);
    HS_TRY(evaluate(eval, target->a, &object));
    if (object.kind != TX_NAMESPACE)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT,
                            "cannot set an attribute of a %s, only of a namespace",
                            tx_type_name(&object));
    key = tx_text(target->name);
    return tx_eval_put(eval, object.dict, &key, value);
}

/* The statements in a scope of their own. */
static enum hasten_status run_scoped(struct tx_eval *eval, const struct tx_node *list,
                                     enum flow *flow_out)
{
    struct tx_scope *outer = eval->scope;
    HS_TRY(tx_eval_enter(eval, outer));
    HS_TRY(run_list(eval, list, flow_out));
    eval->scope = outer;
    return HASTEN_OK;
}

/* Sets the target of a loop and keeps the items that pass its filter. */
static enum hasten_status filter_items(struct tx_eval *eval, const struct tx_node *node,
                                       struct tx_value *items)
{
    struct tx_value kept, condition;
    struct tx_scope *outer = eval->scope;
    size_t count = 0;
    HS_TRY(tx_eval_list(eval, TX_LIST, items->list->count, &kept));
    for (size_t i = 0; i < items->list->count; i++) {
        HS_TRY(tx_eval_enter(eval, outer));
        HS_TRY(assign(eval, node->a, &items->list->items[i]));
        HS_TRY(evaluate(eval, node->c, &condition));
        eval->scope = outer;
        if (tx_truth(&condition))
            kept.list->items[count++] = items->list->items[i];
    }
    struct tx_list *list = (struct tx_list *)(uintptr_t)kept.list;
    list->count = count;
    *items = kept;
    return tx_eval_seal(eval, items);
}

/* One round of a loop in a scope of its own. */
static enum hasten_status run_round(struct tx_eval *eval, const struct tx_node *node,
                                    const struct tx_list *items, size_t index0, enum flow *flow_out)
{
    void *memory;
    HS_TRY(tx_eval_alloc(eval, 1, sizeof(struct tx_loop), &memory));
    struct tx_loop *loop = memory;
    *loop = (struct tx_loop){items, index0};
    struct tx_value value = {.kind = TX_LOOP, .loop = loop};
    HS_TRY(assign(eval, node->a, &items->items[index0]));
    HS_TRY(tx_eval_set(eval, hs_str_of("loop"), &value));
    return run_list(eval, node->list, flow_out);
}

static enum hasten_status run_for(struct tx_eval *eval, const struct tx_node *node,
                                  enum flow *flow_out)
{
    struct tx_value iterable, items;
    HS_TRY(evaluate(eval, node->b, &iterable));
    eval->line = node->line;
    HS_TRY(tx_eval_items(eval, &iterable, &items));
    if (node->c)
        HS_TRY(filter_items(eval, node, &items));
    struct tx_scope *outer = eval->scope;
    enum flow flow = FLOW_ON;
    bool finished = false; /* a round came to its end: what Jinja2's `else` really asks for */
    for (size_t i = 0; flow != FLOW_BREAK && i < items.list->count; i++) {
        HS_TRY(tx_eval_enter(eval, outer));
        HS_TRY(run_round(eval, node, items.list, i, &flow));
        eval->scope = outer;
        finished |= flow == FLOW_ON;
    }
    return finished || !node->orelse ? HASTEN_OK : run_scoped(eval, node->orelse, flow_out);
}

static enum hasten_status run_if(struct tx_eval *eval, const struct tx_node *node,
                                 enum flow *flow_out)
{
    for (;;) { /* along the chain of elif */
        struct tx_value condition;
        HS_TRY(evaluate(eval, node->a, &condition));
        if (tx_truth(&condition))
            return run_list(eval, node->list, flow_out);
        if (!node->orelse || node->orelse->kind != TX_N_IF || node->orelse->next)
            return run_list(eval, node->orelse, flow_out);
        node = node->orelse;
    }
}

/* Text that the statements write, in a new scope within `outer`. */
static enum hasten_status capture(struct tx_eval *eval, const struct tx_node *list,
                                  struct tx_scope *outer, enum flow *flow_out,
                                  struct tx_value *text_out)
{
    struct hs_buffer body = {0}, *out = eval->out;
    struct tx_scope *scope = eval->scope;
    size_t out_limit = eval->out_limit;
    eval->out = &body;
    eval->out_limit = TX_OUTPUT_LIMIT;
    enum hasten_status status = tx_eval_enter(eval, outer);
    if (status == HASTEN_OK)
        status = run_list(eval, list, flow_out);
    eval->out = out;
    eval->out_limit = out_limit;
    eval->scope = scope;
    if (status == HASTEN_OK)
        return tx_eval_take(eval, &body, text_out);
    hs_buffer_free(&body);
    return status;
}

enum hasten_status tx_eval_capture(struct tx_eval *eval, const struct tx_node *list,
                                   struct tx_scope *outer, struct tx_value *text_out)
{
    enum flow flow;
    return capture(eval, list, outer, &flow, text_out);
}

/* Puts the text of a block through its filters (NULL: none). */
static enum hasten_status filter_text(struct tx_eval *eval, const struct tx_node *filters,
                                      struct tx_value *text)
{
    struct tx_value outer = eval->captured;
    if (!filters)
        return HASTEN_OK;
    eval->captured = *text;
    HS_TRY(evaluate(eval, filters, text));
    eval->captured = outer;
    return HASTEN_OK;
}

static enum hasten_status run_set_block(struct tx_eval *eval, const struct tx_node *node,
                                        enum flow *flow_out)
{
    struct tx_value text;
    HS_TRY(capture(eval, node->list, eval->scope, flow_out, &text));
    if (*flow_out != FLOW_ON)
        return HASTEN_OK;
    HS_TRY(filter_text(eval, node->b, &text));
    return assign(eval, node->a, &text);
}

static enum hasten_status run_filter_block(struct tx_eval *eval, const struct tx_node *node,
                                           enum flow *flow_out)
{
    struct tx_value value;
    HS_TRY(capture(eval, node->list, eval->scope, flow_out, &value));
    if (*flow_out != FLOW_ON)
        return HASTEN_OK;
    HS_TRY(filter_text(eval, node->a, &value));
    eval->line = node->line;
    if (value.kind != TX_STRING)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "a filter block gives a %s",
                            tx_type_name(&value));
    return tx_eval_write(eval, value.string);
}

/* The values are those of the scope around. */
static enum hasten_status run_with(struct tx_eval *eval, const struct tx_node *node,
                                   enum flow *flow_out)
{
    struct tx_scope *outer = eval->scope, *inner;
    HS_TRY(tx_eval_enter(eval, outer));
    inner = eval->scope;
    for (const struct tx_node *set = node->orelse; set; set = set->next) {
        struct tx_value value;
        eval->scope = outer;
        HS_TRY(evaluate(eval, set->b, &value));
        eval->scope = inner;
        HS_TRY(assign(eval, set->a, &value));
    }
    HS_TRY(run_list(eval, node->list, flow_out));
    eval->scope = outer;
    return HASTEN_OK;
}

static enum hasten_status run(struct tx_eval *eval, const struct tx_node *node, enum flow *flow_out)
{
    struct tx_value value;
    struct hs_str text;
    eval->line = node->line;
    switch (node->kind) {
    case TX_N_TEXT:
        return tx_eval_write(eval, node->name);
    case TX_N_PRINT:
        HS_TRY(evaluate(eval, node->a, &value));
        eval->line = node->line;
        HS_TRY(tx_eval_text(eval, &value, &text));
        return tx_eval_write(eval, text);
    case TX_N_IF:
        return run_if(eval, node, flow_out);
    case TX_N_FOR:
        return run_for(eval, node, flow_out);
    case TX_N_SET:
        HS_TRY(evaluate(eval, node->b, &value));
        return assign(eval, node->a, &value);
    case TX_N_SET_BLOCK:
        return run_set_block(eval, node, flow_out);
    case TX_N_SCOPE:
        return run_scoped(eval, node->list, flow_out);
    case TX_N_MACRO:
        HS_TRY(tx_make_macro(eval, node, &value));
        return tx_eval_set(eval, node->name, &value);
    case TX_N_CALL_BLOCK:
        return tx_run_call_block(eval, node);
    case TX_N_FILTER_BLOCK:
        return run_filter_block(eval, node, flow_out);
    case TX_N_WITH:
        return run_with(eval, node, flow_out);
    case TX_N_BREAK:
    case TX_N_CONTINUE:
        *flow_out = node->kind == TX_N_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
        return HASTEN_OK;
    default:
        return tx_eval_fail(eval, HASTEN_INTERNAL, "node %d is no statement", (int)node->kind);
    }
}

static enum hasten_status run_list(struct tx_eval *eval, const struct tx_node *list,
                                   enum flow *flow_out)
{
    *flow_out = FLOW_ON;
    for (; list && *flow_out == FLOW_ON; list = list->next) {
        HS_TRY(tx_eval_charge(eval, 1));
        HS_TRY(tx_eval_descend(eval));
        HS_TRY(run(eval, list, flow_out));
        eval->depth--;
    }
    return HASTEN_OK;
}

enum hasten_status tx_eval_tree(struct tx_eval *eval, const struct tx_node *tree)
{
    enum flow flow;
    return run_list(eval, tree, &flow);
}
