/*
 * Template filters and tests: one table each. A name that is not in the table is refused when it is
 * reached, not when the template is parsed, so that a template with a branch for tools still serves
 * plain chats.
 */
#include "text/template_filters.h"

#include <math.h>
#include <stdlib.h>

#include "text/text_utf8.h"

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
    value_out->is_markup = value->kind == TX_STRING && value->is_markup;
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

static enum hasten_status filter_first(struct tx_eval *eval, const struct tx_value *value,
                                       const struct tx_arguments *arguments,
                                       struct tx_value *value_out)
{
    struct tx_value items;
    (void)arguments;
    if (value->kind == TX_ITERATOR && value->list->count) { /* takes one, leaves the others */
        struct tx_list *list = (struct tx_list *)(uintptr_t)value->list;
        *value_out = *list->items++;
        list->count--;
        return HASTEN_OK;
    }
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
    if (value->kind == TX_ITERATOR)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "a generator cannot be reversed");
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
    value_out->is_markup = value->kind == TX_STRING && value->is_markup;
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
    bool lazy = tx_is_sequence(value);
    HS_TRY(tx_eval_items(eval, value, &items));
    HS_TRY(tx_eval_list(eval, TX_LIST, items.list->count, &turned));
    for (size_t i = 0; i < items.list->count; i++)
        turned.list->items[i] = items.list->items[items.list->count - 1 - i];
    HS_TRY(tx_eval_seal(eval, &turned));
    if (value->kind == TX_STRING)
        return tx_text_join(eval, (struct hs_str){"", 0}, &turned, false, value_out);
    turned.kind = lazy ? TX_ITERATOR : TX_LIST;
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

/* int(text, base): optional sign, optional prefix 0x, 0o or 0b of that base. */
static bool read_integer(struct hs_str text, int base, int64_t *integer_out)
{
    text = tx_strip(text, NULL, true, true);
    bool negative = text.size_bytes && text.data[0] == '-';
    size_t at = text.size_bytes && (negative || text.data[0] == '+');
    char mark = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : 0;
    if (mark && at + 2 < text.size_bytes && text.data[at] == '0' &&
        (text.data[at + 1] | 0x20) == mark)
        at += 2;
    int64_t value = 0;
    if (at == text.size_bytes)
        return false;
    for (; at < text.size_bytes; at++) {
        char c = text.data[at];
        int digit = c >= '0' && c <= '9'                     ? c - '0'
                    : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10
                                                             : 99;
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *integer_out = negative ? -value : value;
    return true;
}

static enum hasten_status filter_int(struct tx_eval *eval, const struct tx_value *value,
                                     const struct tx_arguments *arguments,
                                     struct tx_value *value_out)
{
    const struct tx_value *fallback = tx_argument(arguments, 0, "default");
    const struct tx_value *base = tx_argument(arguments, 1, "base");
    double number;
    int64_t integer, radix = 10;
    if (base && (!tx_integer(base, &radix) || radix < 2 || radix > 36))
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "int with this base is not supported");
    HS_TRY(refuse_undefined(eval, value));
    *value_out = fallback ? *fallback : tx_int(0);
    if (tx_integer(value, &integer) ||
        (value->kind == TX_STRING && read_integer(value->string, (int)radix, &integer)))
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
    HS_TRY(filter_string(eval, value, arguments, value_out));
    value_out->is_markup = true;
    return HASTEN_OK;
}

enum { ANY_NUMBER = INT32_MAX };

static const struct {
    const char *name;
    tx_filter_fn *apply;
    int least, most; /* arguments */
} filters[] = {
    {"trim", filter_trim, 0, 1},
    {"length", filter_length, 0, 0},
    {"count", filter_length, 0, 0},
    {"upper", filter_upper, 0, 0},
    {"lower", filter_lower, 0, 0},
    {"capitalize", filter_capitalize, 0, 0},
    {"title", tx_filter_title, 0, 0},
    {"tojson", tx_filter_tojson, 0, 4},
    {"default", filter_default, 0, 2},
    {"d", filter_default, 0, 2},
    {"join", tx_filter_join, 0, 2},
    {"first", filter_first, 0, 0},
    {"last", filter_last, 0, 0},
    {"replace", filter_replace, 2, 3},
    {"string", filter_string, 0, 0},
    {"list", filter_list, 0, 0},
    {"reverse", filter_reverse, 0, 0},
    {"items", filter_items, 0, 0},
    {"int", filter_int, 0, 2},
    {"float", filter_float, 0, 1},
    {"abs", filter_abs, 0, 0},
    {"round", tx_filter_round, 0, 2},
    {"indent", tx_filter_indent, 0, 3},
    {"safe", filter_safe, 0, 0},
    {"escape", tx_filter_escape, 0, 0},
    {"e", tx_filter_escape, 0, 0},
    {"format", tx_filter_format, 0, ANY_NUMBER},
    {"map", tx_filter_map, 0, ANY_NUMBER},
    {"select", tx_filter_select, 0, ANY_NUMBER},
    {"reject", tx_filter_reject, 0, ANY_NUMBER},
    {"selectattr", tx_filter_selectattr, 1, ANY_NUMBER},
    {"rejectattr", tx_filter_rejectattr, 1, ANY_NUMBER},
    {"sort", tx_filter_sort, 0, 3},
    {"unique", tx_filter_unique, 0, 2},
    {"dictsort", tx_filter_dictsort, 0, 3},
    {"sum", tx_filter_sum, 0, 2},
    {"min", tx_filter_min, 0, 2},
    {"max", tx_filter_max, 0, 2},
};
enum { FILTER_COUNT = sizeof filters / sizeof filters[0] };

static int find_filter(struct hs_str name)
{
    int i = 0;
    while (i < FILTER_COUNT && !hs_str_is(name, filters[i].name))
        i++;
    return i;
}

enum hasten_status tx_apply_filter(struct tx_eval *eval, struct hs_str name,
                                   const struct tx_value *value,
                                   const struct tx_arguments *arguments, struct tx_value *value_out)
{
    int i = find_filter(name);
    if (i == FILTER_COUNT)
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "filter '%.*s' is not supported",
                            (int)(name.size_bytes < 60 ? name.size_bytes : 60), name.data);
    HS_TRY(tx_check_count(eval, name, arguments, filters[i].least, filters[i].most));
    HS_TRY(tx_eval_descend(eval)); /* map applies filters, map among them */
    enum hasten_status status = filters[i].apply(eval, value, arguments, value_out);
    eval->depth--;
    return status;
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
    TEST_ESCAPED,
    TEST_ODD,
    TEST_EVEN,
    TEST_UPPER,
    TEST_LOWER,
    TEST_FILTER,
    TEST_TEST,
    TEST_DIVISIBLEBY,
    TEST_SAMEAS,
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
    {"escaped", TEST_ESCAPED, NULL},
    {"upper", TEST_UPPER, NULL},
    {"lower", TEST_LOWER, NULL},
    {"filter", TEST_FILTER, NULL},
    {"test", TEST_TEST, NULL},
    {"sameas", TEST_SAMEAS, NULL},
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
    /* select('==', 1) and the like */
    {"==", TEST_COMPARE, "=="},
    {"!=", TEST_COMPARE, "!="},
    {"<", TEST_COMPARE, "<"},
    {"<=", TEST_COMPARE, "<="},
    {">", TEST_COMPARE, ">"},
    {">=", TEST_COMPARE, ">="},
};
enum { TEST_COUNT = sizeof tests / sizeof tests[0] };

static int find_test(struct hs_str name)
{
    int i = 0;
    while (i < TEST_COUNT && !hs_str_is(name, tests[i].name))
        i++;
    return i;
}

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
        return sequence || kind == TX_LOOP || kind == TX_ITERATOR;
    case TEST_ESCAPED:
        return kind == TX_STRING && value->is_markup;
    default:
        return kind == TX_UNDEFINED || kind == TX_MACRO || kind == TX_FUNCTION ||
               kind == TX_METHOD || kind == TX_LOOP;
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

/* `is`: the same object. Equal plain values of one type are taken for one, as Python's usually
 * are; containers are one when they share their parts. */
static bool is_same(const struct tx_value *a, const struct tx_value *b)
{
    if (a->kind != b->kind)
        return false;
    if (tx_is_sequence(a) || a->kind == TX_ITERATOR)
        return a->list == b->list;
    return a->kind == TX_DICT ? a->dict == b->dict : tx_equal(a, b);
}

/* isupper() and islower() of the value's text. */
static enum hasten_status test_case(struct tx_eval *eval, const struct tx_value *value, bool upper,
                                    bool *holds_out)
{
    struct tx_method method = {*value, hs_str_of(upper ? "isupper" : "islower")};
    struct tx_arguments none = {0};
    struct hs_str text;
    struct tx_value holds;
    HS_TRY(tx_eval_text(eval, value, &text));
    method.object = tx_text(text);
    HS_TRY(tx_call_method(eval, &method, &none, &holds));
    *holds_out = holds.boolean;
    return HASTEN_OK;
}

enum hasten_status tx_apply_test(struct tx_eval *eval, struct hs_str name,
                                 const struct tx_value *value, const struct tx_arguments *arguments,
                                 bool *holds_out)
{
    int i = find_test(name);
    if (i == TEST_COUNT)
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
    case TEST_UPPER:
    case TEST_LOWER:
        return test_case(eval, value, test == TEST_UPPER, holds_out);
    case TEST_FILTER:
        *holds_out = value->kind == TX_STRING && find_filter(value->string) < FILTER_COUNT;
        return HASTEN_OK;
    case TEST_TEST:
        *holds_out = value->kind == TX_STRING && find_test(value->string) < TEST_COUNT;
        return HASTEN_OK;
    case TEST_SAMEAS:
        *holds_out = is_same(value, &arguments->items[0]);
        return HASTEN_OK;
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
