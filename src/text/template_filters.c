/*
 * Template filters and tests: one table each. A name that is not in the table is refused when it is
 * reached, not when the template is parsed, so that a template with a branch for tools still serves
 * plain chats.
 */
#include "text/template_eval.h"

#include <math.h>
#include <stdlib.h>

#include "text/text_utf8.h"

typedef enum hasten_status (*filter_fn)(struct tx_eval *eval, const struct tx_value *value,
                                        const struct tx_arguments *arguments,
                                        struct tx_value *value_out);

static enum hasten_status text_argument(const struct tx_eval *eval, const struct tx_value *value,
                                        const char *what, struct hs_str *text_out)
{
    if (value->kind != TX_STRING)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "%s is a %s, expected str", what,
                            tx_type_name(value));
    *text_out = value->string;
    return HASTEN_OK;
}

/* --- filters ------------------------------------------------------------------------------ */

static enum hasten_status filter_trim(struct tx_eval *eval, const struct tx_value *value,
                                      const struct tx_arguments *arguments,
                                      struct tx_value *value_out)
{
    const struct tx_value *chars = tx_argument(arguments, 0, "chars");
    struct hs_str text, set;
    HS_TRY(tx_eval_text(eval, value, &text));
    if (chars && chars->kind != TX_NONE)
        HS_TRY(text_argument(eval, chars, "trim characters", &set));
    HS_TRY(tx_eval_charge(eval, text.size_bytes / 16 + 1));
    *value_out = tx_text(tx_strip(text, chars && chars->kind != TX_NONE ? &set : NULL, true, true));
    return HASTEN_OK;
}

static enum hasten_status filter_length(struct tx_eval *eval, const struct tx_value *value,
                                        const struct tx_arguments *arguments,
                                        struct tx_value *value_out)
{
    (void)arguments;
    if (value->kind == TX_STRING) {
        HS_TRY(tx_eval_charge(eval, value->string.size_bytes / 16 + 1));
        *value_out = tx_int((int64_t)tx_length(value->string));
    } else if (tx_is_sequence(value)) {
        *value_out = tx_int((int64_t)value->list->count);
    } else if (value->kind == TX_DICT) {
        *value_out = tx_int((int64_t)value->dict->count);
    } else if (value->kind == TX_UNDEFINED) {
        *value_out = tx_int(0);
    } else {
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "a %s has no length",
                            tx_type_name(value));
    }
    return HASTEN_OK;
}

static enum hasten_status filter_upper(struct tx_eval *eval, const struct tx_value *value,
                                       const struct tx_arguments *arguments,
                                       struct tx_value *value_out)
{
    struct hs_str text;
    (void)arguments;
    HS_TRY(tx_eval_text(eval, value, &text));
    return tx_text_case(eval, text, true, value_out);
}

static enum hasten_status filter_lower(struct tx_eval *eval, const struct tx_value *value,
                                       const struct tx_arguments *arguments,
                                       struct tx_value *value_out)
{
    struct hs_str text;
    (void)arguments;
    HS_TRY(tx_eval_text(eval, value, &text));
    return tx_text_case(eval, text, false, value_out);
}

static enum hasten_status filter_capitalize(struct tx_eval *eval, const struct tx_value *value,
                                            const struct tx_arguments *arguments,
                                            struct tx_value *value_out)
{
    struct hs_str text;
    (void)arguments;
    HS_TRY(tx_eval_text(eval, value, &text));
    return tx_text_capitalize(eval, text, value_out);
}

static enum hasten_status filter_tojson(struct tx_eval *eval, const struct tx_value *value,
                                        const struct tx_arguments *arguments,
                                        struct tx_value *value_out)
{
    static const char *const known[] = {"indent", "ensure_ascii"};
    int64_t indent = -1;
    for (int i = arguments->positional; i < arguments->count; i++)
        if (!hs_str_is(arguments->names[i], known[0]) &&
            !(hs_str_is(arguments->names[i], known[1]) && !tx_truth(&arguments->items[i])))
            return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "this option of tojson is not supported");
    if (arguments->positional > 0)
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED,
                            "positional arguments of tojson are not supported");
    const struct tx_value *argument = tx_argument(arguments, -1, "indent");
    if (argument && argument->kind != TX_NONE &&
        (!tx_integer(argument, &indent) || indent < 0 || indent > 64))
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "this indent is not supported");
    HS_TRY(tx_eval_charge_text(eval, value));
    struct hs_buffer buffer = {0};
    if (!tx_json(value, (int)indent, &buffer)) {
        hs_buffer_free(&buffer);
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT,
                            "tojson does not work on a value that is or contains undefined, a "
                            "namespace or a function");
    }
    return tx_eval_take(eval, &buffer, value_out);
}

static enum hasten_status filter_default(struct tx_eval *eval, const struct tx_value *value,
                                         const struct tx_arguments *arguments,
                                         struct tx_value *value_out)
{
    const struct tx_value *fallback = tx_argument(arguments, 0, "default_value");
    const struct tx_value *boolean = tx_argument(arguments, 1, "boolean");
    (void)eval;
    bool replaced =
        value->kind == TX_UNDEFINED || (boolean && tx_truth(boolean) && !tx_truth(value));
    *value_out = !replaced ? *value : fallback ? *fallback : tx_text((struct hs_str){"", 0});
    return HASTEN_OK;
}

static enum hasten_status filter_join(struct tx_eval *eval, const struct tx_value *value,
                                      const struct tx_arguments *arguments,
                                      struct tx_value *value_out)
{
    const struct tx_value *separator = tx_argument(arguments, 0, "d");
    struct hs_str text = {"", 0};
    struct tx_value items;
    if (tx_argument(arguments, 1, "attribute"))
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "join with attribute is not supported");
    if (separator)
        HS_TRY(tx_eval_text(eval, separator, &text));
    HS_TRY(tx_eval_items(eval, value, &items));
    return tx_text_join(eval, text, &items, true, value_out);
}

static enum hasten_status filter_first(struct tx_eval *eval, const struct tx_value *value,
                                       const struct tx_arguments *arguments,
                                       struct tx_value *value_out)
{
    struct tx_value items;
    (void)arguments;
    HS_TRY(tx_eval_items(eval, value, &items));
    *value_out = items.list->count ? items.list->items[0] : tx_undefined(hs_str_of("first item"));
    return HASTEN_OK;
}

static enum hasten_status filter_last(struct tx_eval *eval, const struct tx_value *value,
                                      const struct tx_arguments *arguments,
                                      struct tx_value *value_out)
{
    struct tx_value items;
    (void)arguments;
    HS_TRY(tx_eval_items(eval, value, &items));
    size_t count = items.list->count;
    *value_out = count ? items.list->items[count - 1] : tx_undefined(hs_str_of("last item"));
    return HASTEN_OK;
}

static enum hasten_status filter_replace(struct tx_eval *eval, const struct tx_value *value,
                                         const struct tx_arguments *arguments,
                                         struct tx_value *value_out)
{
    struct hs_str text;
    HS_TRY(tx_eval_text(eval, value, &text));
    return tx_text_replace(eval, text, arguments, value_out);
}

static enum hasten_status filter_string(struct tx_eval *eval, const struct tx_value *value,
                                        const struct tx_arguments *arguments,
                                        struct tx_value *value_out)
{
    struct hs_str text;
    (void)arguments;
    HS_TRY(tx_eval_text(eval, value, &text));
    *value_out = tx_text(text);
    return HASTEN_OK;
}

static enum hasten_status filter_list(struct tx_eval *eval, const struct tx_value *value,
                                      const struct tx_arguments *arguments,
                                      struct tx_value *value_out)
{
    (void)arguments;
    HS_TRY(tx_eval_items(eval, value, value_out));
    value_out->kind = TX_LIST;
    return HASTEN_OK;
}

static enum hasten_status filter_reverse(struct tx_eval *eval, const struct tx_value *value,
                                         const struct tx_arguments *arguments,
                                         struct tx_value *value_out)
{
    struct tx_value items, turned;
    (void)arguments;
    HS_TRY(tx_eval_items(eval, value, &items));
    HS_TRY(tx_eval_list(eval, TX_LIST, items.list->count, &turned));
    for (size_t i = 0; i < items.list->count; i++)
        turned.list->items[i] = items.list->items[items.list->count - 1 - i];
    HS_TRY(tx_eval_seal(eval, &turned));
    if (value->kind == TX_STRING)
        return tx_text_join(eval, (struct hs_str){"", 0}, &turned, false, value_out);
    *value_out = turned;
    return HASTEN_OK;
}

static enum hasten_status filter_items(struct tx_eval *eval, const struct tx_value *value,
                                       const struct tx_arguments *arguments,
                                       struct tx_value *value_out)
{
    (void)arguments;
    if (value->kind == TX_UNDEFINED)
        return tx_eval_list(eval, TX_LIST, 0, value_out);
    if (value->kind != TX_DICT)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "items of a %s", tx_type_name(value));
    return tx_dict_items(eval, value->dict, value_out);
}

static enum hasten_status refuse_undefined(const struct tx_eval *eval, const struct tx_value *value)
{
    if (value->kind != TX_UNDEFINED)
        return HASTEN_OK;
    return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "'%.*s' is undefined",
                        (int)(value->string.size_bytes < 60 ? value->string.size_bytes : 60),
                        value->string.data);
}

/* int(text) and float(text): the whole text must be a plain decimal number. */
static bool read_number(struct hs_str text, bool whole, double *number_out)
{
    char copy[64];
    text = tx_strip(text, NULL, true, true);
    if (text.size_bytes == 0 || text.size_bytes >= sizeof copy)
        return false;
    for (size_t i = 0; i < text.size_bytes; i++)
        if (!strchr(whole ? "+-0123456789" : "+-.eE0123456789", text.data[i]) || !text.data[i])
            return false;
    memcpy(copy, text.data, text.size_bytes);
    copy[text.size_bytes] = 0;
    char *end;
    *number_out = strtod(copy, &end);
    return *end == 0;
}

static enum hasten_status filter_int(struct tx_eval *eval, const struct tx_value *value,
                                     const struct tx_arguments *arguments,
                                     struct tx_value *value_out)
{
    const struct tx_value *fallback = tx_argument(arguments, 0, "default");
    double number;
    int64_t integer;
    if (tx_argument(arguments, 1, "base"))
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "int with a base is not supported");
    HS_TRY(refuse_undefined(eval, value));
    *value_out = fallback ? *fallback : tx_int(0);
    if (tx_integer(value, &integer))
        *value_out = tx_int(integer);
    else if (tx_number(value, &number) ||
             (value->kind == TX_STRING && read_number(value->string, false, &number))) {
        if (!(fabs(number) < 9e15))
            return tx_eval_fail(eval, HASTEN_LIMIT, "integer is too large");
        *value_out = tx_int((int64_t)number);
    }
    return HASTEN_OK;
}

static enum hasten_status filter_float(struct tx_eval *eval, const struct tx_value *value,
                                       const struct tx_arguments *arguments,
                                       struct tx_value *value_out)
{
    const struct tx_value *fallback = tx_argument(arguments, 0, "default");
    double number;
    HS_TRY(refuse_undefined(eval, value));
    *value_out = fallback ? *fallback : tx_float(0);
    if (tx_number(value, &number) ||
        (value->kind == TX_STRING && read_number(value->string, false, &number)))
        *value_out = tx_float(number);
    return HASTEN_OK;
}

static enum hasten_status filter_abs(struct tx_eval *eval, const struct tx_value *value,
                                     const struct tx_arguments *arguments,
                                     struct tx_value *value_out)
{
    int64_t integer;
    double number;
    (void)arguments;
    if (tx_integer(value, &integer) && integer != INT64_MIN)
        *value_out = tx_int(integer < 0 ? -integer : integer);
    else if (tx_number(value, &number))
        *value_out = tx_float(fabs(number));
    else
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "abs of a %s", tx_type_name(value));
    return HASTEN_OK;
}

static enum hasten_status filter_safe(struct tx_eval *eval, const struct tx_value *value,
                                      const struct tx_arguments *arguments,
                                      struct tx_value *value_out)
{
    return filter_string(eval, value, arguments, value_out);
}

static const struct {
    const char *name;
    filter_fn apply;
    int least, most; /* arguments */
} filters[] = {
    {"trim", filter_trim, 0, 1},       {"length", filter_length, 0, 0},
    {"count", filter_length, 0, 0},    {"upper", filter_upper, 0, 0},
    {"lower", filter_lower, 0, 0},     {"capitalize", filter_capitalize, 0, 0},
    {"tojson", filter_tojson, 0, 4},   {"default", filter_default, 0, 2},
    {"d", filter_default, 0, 2},       {"join", filter_join, 0, 2},
    {"first", filter_first, 0, 0},     {"last", filter_last, 0, 0},
    {"replace", filter_replace, 2, 3}, {"string", filter_string, 0, 0},
    {"list", filter_list, 0, 0},       {"reverse", filter_reverse, 0, 0},
    {"items", filter_items, 0, 0},     {"int", filter_int, 0, 2},
    {"float", filter_float, 0, 1},     {"abs", filter_abs, 0, 0},
    {"safe", filter_safe, 0, 0},
};

enum hasten_status tx_apply_filter(struct tx_eval *eval, struct hs_str name,
                                   const struct tx_value *value,
                                   const struct tx_arguments *arguments, struct tx_value *value_out)
{
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (hs_str_is(name, filters[i].name)) {
            HS_TRY(tx_check_count(eval, name, arguments, filters[i].least, filters[i].most));
            return filters[i].apply(eval, value, arguments, value_out);
        }
    return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "filter '%.*s' is not supported",
                        (int)(name.size_bytes < 60 ? name.size_bytes : 60), name.data);
}

/* --- tests -------------------------------------------------------------------------------- */

enum test {
    TEST_DEFINED,
    TEST_UNDEFINED,
    TEST_NONE,
    TEST_BOOLEAN,
    TEST_TRUE,
    TEST_FALSE,
    TEST_INTEGER,
    TEST_FLOAT,
    TEST_NUMBER,
    TEST_STRING,
    TEST_MAPPING,
    TEST_SEQUENCE,
    TEST_ITERABLE,
    TEST_CALLABLE,
    TEST_ODD,
    TEST_EVEN,
    TEST_DIVISIBLEBY,
    TEST_IN,
    TEST_COMPARE /* the operator is the name's alias */
};

static const struct {
    const char *name;
    enum test test;
    const char *operator;
} tests[] = {
    {"defined", TEST_DEFINED, NULL},
    {"undefined", TEST_UNDEFINED, NULL},
    {"none", TEST_NONE, NULL},
    {"boolean", TEST_BOOLEAN, NULL},
    {"true", TEST_TRUE, NULL},
    {"false", TEST_FALSE, NULL},
    {"integer", TEST_INTEGER, NULL},
    {"float", TEST_FLOAT, NULL},
    {"number", TEST_NUMBER, NULL},
    {"string", TEST_STRING, NULL},
    {"mapping", TEST_MAPPING, NULL},
    {"sequence", TEST_SEQUENCE, NULL},
    {"iterable", TEST_ITERABLE, NULL},
    {"callable", TEST_CALLABLE, NULL},
    {"odd", TEST_ODD, NULL},
    {"even", TEST_EVEN, NULL},
    {"in", TEST_IN, NULL},
    {"divisibleby", TEST_DIVISIBLEBY, NULL},
    {"eq", TEST_COMPARE, "=="},
    {"equalto", TEST_COMPARE, "=="},
    {"ne", TEST_COMPARE, "!="},
    {"lt", TEST_COMPARE, "<"},
    {"lessthan", TEST_COMPARE, "<"},
    {"le", TEST_COMPARE, "<="},
    {"gt", TEST_COMPARE, ">"},
    {"greaterthan", TEST_COMPARE, ">"},
    {"ge", TEST_COMPARE, ">="},
};

/* Tests that only look at the type. */
static bool test_kind(enum test test, const struct tx_value *value)
{
    enum tx_value_kind kind = value->kind;
    bool sequence = kind == TX_STRING || kind == TX_LIST || kind == TX_TUPLE || kind == TX_DICT ||
                    kind == TX_UNDEFINED;
    switch (test) {
    case TEST_DEFINED:
        return kind != TX_UNDEFINED;
    case TEST_UNDEFINED:
        return kind == TX_UNDEFINED;
    case TEST_NONE:
        return kind == TX_NONE;
    case TEST_BOOLEAN:
        return kind == TX_BOOL;
    case TEST_TRUE:
        return kind == TX_BOOL && value->boolean;
    case TEST_FALSE:
        return kind == TX_BOOL && !value->boolean;
    case TEST_INTEGER:
        return kind == TX_INT;
    case TEST_FLOAT:
        return kind == TX_FLOAT;
    case TEST_NUMBER:
        return kind == TX_INT || kind == TX_FLOAT || kind == TX_BOOL;
    case TEST_STRING:
        return kind == TX_STRING;
    case TEST_MAPPING:
        return kind == TX_DICT;
    case TEST_SEQUENCE:
        return sequence;
    case TEST_ITERABLE:
        return sequence || kind == TX_LOOP;
    default:
        return kind == TX_FUNCTION || kind == TX_METHOD || kind == TX_LOOP;
    }
}

/* value % divisor == wanted */
static enum hasten_status test_rest(struct tx_eval *eval, const struct tx_value *value,
                                    struct tx_value divisor, int64_t wanted, bool *holds_out)
{
    struct tx_value rest, expected = tx_int(wanted);
    HS_TRY(tx_apply_binary(eval, hs_str_of("%"), value, &divisor, &rest));
    *holds_out = tx_equal(&rest, &expected);
    return HASTEN_OK;
}

enum hasten_status tx_apply_test(struct tx_eval *eval, struct hs_str name,
                                 const struct tx_value *value, const struct tx_arguments *arguments,
                                 bool *holds_out)
{
    size_t i = 0;
    while (i < sizeof tests / sizeof tests[0] && !hs_str_is(name, tests[i].name))
        i++;
    if (i == sizeof tests / sizeof tests[0])
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "test '%.*s' is not supported",
                            (int)(name.size_bytes < 60 ? name.size_bytes : 60), name.data);
    enum test test = tests[i].test;
    int wanted = test >= TEST_DIVISIBLEBY;
    HS_TRY(tx_check_count(eval, name, arguments, wanted, wanted));
    switch (test) {
    case TEST_ODD:
    case TEST_EVEN:
        return test_rest(eval, value, tx_int(2), test == TEST_ODD, holds_out);
    case TEST_DIVISIBLEBY:
        return test_rest(eval, value, arguments->items[0], 0, holds_out);
    case TEST_IN:
        return tx_eval_contains(eval, &arguments->items[0], value, holds_out);
    case TEST_COMPARE:
        return tx_apply_compare(eval, hs_str_of(tests[i].operator), value, &arguments->items[0],
                                holds_out);
    default:
        *holds_out = test_kind(test, value);
        return HASTEN_OK;
    }
}
