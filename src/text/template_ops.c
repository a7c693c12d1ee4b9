/*
 * Template operators: arithmetic, comparison, containment, iteration, attributes, items, slices, as
 * Python 3 defines them for the types that templates have. Integers are 64 bits: a result that does
 * not fit is a LIMIT error instead of a wrong number.
 */
#include <math.h>

#include "text/template_eval.h"

#include "text/text_utf8.h"

static enum hasten_status fail_types(const struct tx_eval *eval, struct hs_str operator,
                                     const struct tx_value * a, const struct tx_value *b)
{
    const struct tx_value *missing = a->kind == TX_UNDEFINED   ? a
                                     : b->kind == TX_UNDEFINED ? b
                                                               : NULL;
    if (missing)
        return tx_eval_fail(
            eval, HASTEN_INVALID_ARGUMENT, "'%.*s' is undefined",
            (int)(missing->string.size_bytes < 60 ? missing->string.size_bytes : 60),
            missing->string.data);
    return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "%.*s does not work on %s and %s",
                        HS_STR(operator), tx_type_name(a), tx_type_name(b));
}

/* --- arithmetic --------------------------------------------------------------------------- */

/* Python's // and %: the quotient is rounded down. */
static void floor_divide(int64_t a, int64_t b, int64_t *quotient, int64_t *rest)
{
    *quotient = a / b;
    *rest = a % b;
    if (*rest != 0 && (*rest < 0) != (b < 0)) {
        *quotient -= 1;
        *rest += b;
    }
}

static bool integer_power(int64_t base, int64_t exponent, int64_t *result)
{
    *result = 1;
    if (base == 0 || base == 1 || base == -1) {
        *result = exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base;
        return true;
    }
    for (int64_t i = 0; i < exponent; i++) /* |base| >= 2: at most 63 rounds fit */
        if (__builtin_mul_overflow(*result, base, result))
            return false;
    return true;
}

static enum hasten_status integer_binary(struct tx_eval *eval, struct hs_str operator, int64_t a,
                                         int64_t b, struct tx_value *value_out)
{
    int64_t result = 0, other;
    bool overflow = false;
    char first = operator.data[0];
    bool doubled = operator.size_bytes == 2;
    if (first == '+')
        overflow = __builtin_add_overflow(a, b, &result);
    else if (first == '-')
        overflow = __builtin_sub_overflow(a, b, &result);
    else if (first == '*' && !doubled)
        overflow = __builtin_mul_overflow(a, b, &result);
    else if (first == '*')
        overflow = !integer_power(a, b, &result);
    else if (a == INT64_MIN && b == -1)
        overflow = first == '/';
    else if (first == '/')
        floor_divide(a, b, &result, &other);
    else
        floor_divide(a, b, &other, &result);
    if (overflow)
        return tx_eval_fail(eval, HASTEN_LIMIT, "integer is too large");
    *value_out = tx_int(result);
    return HASTEN_OK;
}

static enum hasten_status float_binary(struct hs_str operator, double a, double b,
                                       struct tx_value *value_out)
{
    bool doubled = operator.size_bytes == 2;
    double result, rest = 0;
    if (operator.data[0] == '%' ||(operator.data[0] == '/' && doubled)) {
        rest = fmod(a, b);
        if (rest == 0)
            rest = copysign(0, b);
        else if ((rest < 0) != (b < 0))
            rest += b;
    }
    switch (operator.data[0]) {
    case '+':
        result = a + b;
        break;
    case '-':
        result = a - b;
        break;
    case '*':
        result = doubled ? pow(a, b) : a * b;
        break;
    case '/':
        result = doubled ? floor((a - rest) / b + 0.5) : a / b;
        if (doubled && result == 0)
            result = copysign(0, a / b);
        break;
    default:
        result = rest;
    }
    *value_out = tx_float(result);
    return HASTEN_OK;
}

static enum hasten_status repeat(struct tx_eval *eval, const struct tx_value *value, int64_t times,
                                 struct tx_value *value_out)
{
    bool text = value->kind == TX_STRING;
    size_t unit = text ? value->string.size_bytes : value->list->count, total;
    if (times < 0)
        times = 0;
    if (!hs_size_mul(unit, (size_t)times, &total) || total > TX_MEMORY_LIMIT)
        return tx_eval_fail(eval, HASTEN_LIMIT, "template needs too much memory");
    if (!text) {
        HS_TRY(tx_eval_list(eval, value->kind, total, value_out));
        for (size_t i = 0; i < total; i++)
            value_out->list->items[i] = value->list->items[i % unit];
        return tx_eval_seal(eval, value_out);
    }
    void *copy;
    HS_TRY(tx_eval_alloc(eval, total + 1, 1, &copy));
    for (size_t at = 0; at < total; at += unit)
        memcpy((char *)copy + at, value->string.data, unit);
    *value_out = tx_text((struct hs_str){copy, total});
    return HASTEN_OK;
}

static enum hasten_status concat_texts(struct tx_eval *eval, struct hs_str a, struct hs_str b,
                                       struct tx_value *value_out)
{
    void *copy;
    size_t total;
    if (!hs_size_add(a.size_bytes, b.size_bytes, &total))
        return tx_eval_memory(eval);
    HS_TRY(tx_eval_alloc(eval, total + 1, 1, &copy));
    if (a.size_bytes)
        memcpy(copy, a.data, a.size_bytes);
    if (b.size_bytes)
        memcpy((char *)copy + a.size_bytes, b.data, b.size_bytes);
    *value_out = tx_text((struct hs_str){copy, total});
    return HASTEN_OK;
}

static enum hasten_status concat_lists(struct tx_eval *eval, const struct tx_value *a,
                                       const struct tx_value *b, struct tx_value *value_out)
{
    HS_TRY(tx_eval_list(eval, a->kind, a->list->count + b->list->count, value_out));
    for (size_t i = 0; i < a->list->count; i++)
        value_out->list->items[i] = a->list->items[i];
    for (size_t i = 0; i < b->list->count; i++)
        value_out->list->items[a->list->count + i] = b->list->items[i];
    return tx_eval_seal(eval, value_out);
}

static enum hasten_status number_binary(struct tx_eval *eval, struct hs_str operator,
                                        const struct tx_value * a, const struct tx_value *b,
                                        struct tx_value *value_out)
{
    int64_t x, y;
    double u = 0, v = 0;
    (void)tx_number(a, &u);
    (void)tx_number(b, &v);
    bool divides = operator.data[0] == '/' || operator.data[0] == '%';
    if (divides && v == 0)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "division by zero");
    bool whole = tx_integer(a, &x) && tx_integer(b, &y);
    if (whole && !hs_str_is(operator, "/") && !(hs_str_is(operator, "**") && y < 0))
        return integer_binary(eval, operator, x, y, value_out);
    return float_binary(operator, u, v, value_out);
}

/* + of two texts: Markup writes out the special characters of a text that is none. */
static enum hasten_status add_texts(struct tx_eval *eval, const struct tx_value *a,
                                    const struct tx_value *b, struct tx_value *value_out)
{
    struct tx_value left = *a, right = *b;
    bool is_markup = a->is_markup || b->is_markup;
    if (is_markup && !a->is_markup)
        HS_TRY(tx_text_escape(eval, a->string, &left));
    if (is_markup && !b->is_markup)
        HS_TRY(tx_text_escape(eval, b->string, &right));
    HS_TRY(concat_texts(eval, left.string, right.string, value_out));
    value_out->is_markup = is_markup;
    return HASTEN_OK;
}

enum hasten_status tx_apply_binary(struct tx_eval *eval, struct hs_str operator,
                                   const struct tx_value * a, const struct tx_value *b,
                                   struct tx_value *value_out)
{
    int64_t times;
    double number;
    if (hs_str_is(operator, "~")) {
        struct hs_str left, right;
        HS_TRY(tx_eval_text(eval, a, &left));
        HS_TRY(tx_eval_text(eval, b, &right));
        return concat_texts(eval, left, right, value_out);
    }
    if (tx_number(a, &number) && tx_number(b, &number))
        return number_binary(eval, operator, a, b, value_out);
    if (hs_str_is(operator, "+") && a->kind == TX_STRING && b->kind == TX_STRING)
        return add_texts(eval, a, b, value_out);
    if (hs_str_is(operator, "+") && tx_is_sequence(a) && a->kind == b->kind)
        return concat_lists(eval, a, b, value_out);
    if (hs_str_is(operator, "*") && (a->kind == TX_STRING || tx_is_sequence(a)) &&
        tx_integer(b, &times))
        return repeat(eval, a, times, value_out);
    if (hs_str_is(operator, "*") && (b->kind == TX_STRING || tx_is_sequence(b)) &&
        tx_integer(a, &times))
        return repeat(eval, b, times, value_out);
    if (hs_str_is(operator, "%") && a->kind == TX_STRING)
        return tx_text_percent(eval, a->string, b, value_out);
    return fail_types(eval, operator, a, b);
}

/* --- comparison --------------------------------------------------------------------------- */

enum hasten_status tx_eval_contains(struct tx_eval *eval, const struct tx_value *haystack,
                                    const struct tx_value *needle, bool *found_out)
{
    *found_out = false;
    HS_TRY(tx_eval_charge(eval, tx_weight(haystack) + tx_weight(needle)));
    if (haystack->kind == TX_STRING) {
        if (needle->kind != TX_STRING)
            return fail_types(eval, hs_str_of("in"), needle, haystack);
        *found_out = needle->string.size_bytes == 0 ||
                     (haystack->string.size_bytes &&
                      memmem(haystack->string.data, haystack->string.size_bytes,
                             needle->string.data, needle->string.size_bytes));
        return HASTEN_OK;
    }
    if (haystack->kind == TX_DICT) {
        if (needle->kind == TX_LIST || needle->kind == TX_DICT)
            return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "a %s cannot be a key",
                                tx_type_name(needle));
        *found_out = tx_dict_find(haystack->dict, needle) != NULL;
        return HASTEN_OK;
    }
    if (haystack->kind == TX_UNDEFINED)
        return HASTEN_OK;
    if (!tx_is_sequence(haystack) && haystack->kind != TX_ITERATOR)
        return fail_types(eval, hs_str_of("in"), needle, haystack);
    struct tx_value items;
    HS_TRY(tx_eval_items(eval, haystack, &items));
    for (size_t i = 0; !*found_out && i < items.list->count; i++)
        *found_out = tx_equal(&items.list->items[i], needle);
    return HASTEN_OK;
}

enum hasten_status tx_apply_compare(struct tx_eval *eval, struct hs_str operator,
                                    const struct tx_value * a, const struct tx_value *b,
                                    bool *holds_out)
{
    if (hs_str_is(operator, "in"))
        return tx_eval_contains(eval, b, a, holds_out);
    if (hs_str_is(operator, "not in")) {
        HS_TRY(tx_eval_contains(eval, b, a, holds_out));
        *holds_out = !*holds_out;
        return HASTEN_OK;
    }
    HS_TRY(tx_eval_charge(eval, tx_weight(a) < tx_weight(b) ? tx_weight(a) : tx_weight(b)));
    if (hs_str_is(operator, "==") || hs_str_is(operator, "!=")) {
        *holds_out = tx_equal(a, b) == hs_str_is(operator, "==");
        return HASTEN_OK;
    }
    int order;
    if (!tx_compare(a, b, &order))
        return fail_types(eval, operator, a, b);
    bool or_equal = operator.size_bytes == 2;
    *holds_out = (or_equal && order == 0) || order == (operator.data[0] == '<' ? -1 : 1);
    return HASTEN_OK;
}

/* --- iteration ---------------------------------------------------------------------------- */

static enum hasten_status characters(struct tx_eval *eval, struct hs_str text,
                                     struct tx_value *list_out)
{
    HS_TRY(tx_eval_list(eval, TX_LIST, tx_length(text), list_out));
    size_t at = 0;
    for (size_t i = 0; i < list_out->list->count; i++) {
        int length;
        (void)tx_utf8_next(text.data + at, text.size_bytes - at, &length);
        list_out->list->items[i] = tx_text((struct hs_str){text.data + at, (size_t)length});
        at += (size_t)length;
    }
    return HASTEN_OK;
}

/* The items that an iterator still has; from now on it has none. */
static enum hasten_status use_up(struct tx_eval *eval, const struct tx_value *iterator,
                                 struct tx_value *list_out)
{
    struct tx_list *left = (struct tx_list *)(uintptr_t)iterator->list; /* of this rendering */
    HS_TRY(tx_eval_list(eval, TX_LIST, 0, list_out));
    struct tx_list *list = (struct tx_list *)(uintptr_t)list_out->list;
    *list = *left;
    left->count = 0;
    return HASTEN_OK;
}

enum hasten_status tx_eval_items(struct tx_eval *eval, const struct tx_value *value,
                                 struct tx_value *list_out)
{
    switch (value->kind) {
    case TX_LIST:
    case TX_TUPLE:
        *list_out = *value;
        return HASTEN_OK;
    case TX_ITERATOR:
        return use_up(eval, value, list_out);
    case TX_UNDEFINED:
        return tx_eval_list(eval, TX_LIST, 0, list_out);
    case TX_STRING:
        return characters(eval, value->string, list_out);
    case TX_DICT:
        HS_TRY(tx_eval_list(eval, TX_LIST, value->dict->count, list_out));
        for (size_t i = 0; i < value->dict->count; i++)
            list_out->list->items[i] = value->dict->pairs[i].key;
        return tx_eval_seal(eval, list_out);
    default:
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "a %s cannot be iterated over",
                            tx_type_name(value));
    }
}

/* --- attributes and items ----------------------------------------------------------------- */

static void loop_attribute(const struct tx_loop *loop, struct hs_str name,
                           struct tx_value *value_out)
{
    int64_t index0 = (int64_t)loop->index0, count = (int64_t)loop->items->count;
    if (hs_str_is(name, "index"))
        *value_out = tx_int(index0 + 1);
    else if (hs_str_is(name, "index0"))
        *value_out = tx_int(index0);
    else if (hs_str_is(name, "revindex"))
        *value_out = tx_int(count - index0);
    else if (hs_str_is(name, "revindex0"))
        *value_out = tx_int(count - index0 - 1);
    else if (hs_str_is(name, "first"))
        *value_out = tx_bool(index0 == 0);
    else if (hs_str_is(name, "last"))
        *value_out = tx_bool(index0 + 1 == count);
    else if (hs_str_is(name, "length"))
        *value_out = tx_int(count);
    else if (hs_str_is(name, "depth"))
        *value_out = tx_int(1) /* deeper only in recursive loops */;
    else if (hs_str_is(name, "depth0"))
        *value_out = tx_int(0);
    else if (hs_str_is(name, "previtem") && index0 > 0)
        *value_out = loop->items->items[index0 - 1];
    else if (hs_str_is(name, "nextitem") && index0 + 1 < count)
        *value_out = loop->items->items[index0 + 1];
}

static enum hasten_status bind_method(struct tx_eval *eval, const struct tx_value *object,
                                      struct hs_str name, struct tx_value *value_out)
{
    void *memory;
    HS_TRY(tx_eval_alloc(eval, 1, sizeof(struct tx_method), &memory));
    struct tx_method *method = memory;
    *method = (struct tx_method){*object, name};
    *value_out = (struct tx_value){.kind = TX_METHOD, .method = method};
    return HASTEN_OK;
}

static enum hasten_status fail_undefined(const struct tx_eval *eval, const struct tx_value *object)
{
    return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "'%.*s' is undefined",
                        (int)(object->string.size_bytes < 60 ? object->string.size_bytes : 60),
                        object->string.data);
}

enum hasten_status tx_get_attribute(struct tx_eval *eval, const struct tx_value *object,
                                    struct hs_str name, struct tx_value *value_out)
{
    *value_out = tx_undefined(name);
    if (object->kind == TX_UNDEFINED)
        return fail_undefined(eval, object);
    if (object->kind == TX_LOOP)
        loop_attribute(object->loop, name, value_out);
    if (value_out->kind == TX_UNDEFINED && tx_has_method(object, name))
        return bind_method(eval, object, name, value_out);
    if (object->kind == TX_DICT || object->kind == TX_NAMESPACE) {
        struct tx_value key = tx_text(name);
        HS_TRY(tx_eval_charge(eval, object->dict->count + 1));
        const struct tx_value *found = tx_dict_find(object->dict, &key);
        if (found)
            *value_out = *found;
    }
    return HASTEN_OK;
}

/* Counts a negative index from the end; false when it lies outside. */
static bool place(int64_t index, size_t count, size_t *place_out)
{
    if (index < 0)
        index += (int64_t)count;
    if (index < 0 || (uint64_t)index >= count)
        return false;
    *place_out = (size_t)index;
    return true;
}

enum hasten_status tx_get_item(struct tx_eval *eval, const struct tx_value *object,
                               const struct tx_value *index, struct tx_value *value_out)
{
    int64_t integer;
    size_t at;
    *value_out = tx_undefined(index->kind == TX_STRING ? index->string : hs_str_of("item"));
    if (object->kind == TX_UNDEFINED)
        return fail_undefined(eval, object);
    if (object->kind == TX_DICT) {
        HS_TRY(tx_eval_charge(eval, object->dict->count + 1));
        const struct tx_value *found = tx_dict_find(object->dict, index);
        if (found) {
            *value_out = *found;
            return HASTEN_OK;
        }
    }
    if (index->kind == TX_STRING)
        return object->kind == TX_DICT && !tx_has_method(object, index->string)
                   ? HASTEN_OK
                   : tx_get_attribute(eval, object, index->string, value_out);
    if (!tx_integer(index, &integer))
        return HASTEN_OK;
    if (tx_is_sequence(object) && place(integer, object->list->count, &at)) {
        *value_out = object->list->items[at];
    } else if (object->kind == TX_STRING) {
        HS_TRY(tx_eval_charge(eval, object->string.size_bytes / 16 + 1));
        if (place(integer, tx_length(object->string), &at))
            *value_out = tx_text(tx_characters(object->string, at, at + 1));
    }
    return HASTEN_OK;
}

/* Python's slice bounds: start and number of steps. */
static size_t slice_steps(const struct tx_value bounds[3], int64_t count, int64_t *start_out,
                          int64_t step)
{
    int64_t limits[2] = {step > 0 ? 0 : count - 1, step > 0 ? count : -1};
    for (int i = 0; i < 2; i++) {
        int64_t bound;
        if (!tx_integer(&bounds[i], &bound))
            continue;
        if (bound < 0)
            bound = bound < -count ? (step > 0 ? 0 : -1) : bound + count;
        else if (bound >= count)
            bound = step > 0 ? count : count - 1;
        limits[i] = bound;
    }
    *start_out = limits[0];
    if (step > 0)
        return limits[1] > limits[0] ? (size_t)((limits[1] - limits[0] - 1) / step + 1) : 0;
    if (limits[0] <= limits[1])
        return 0;
    return (size_t)((limits[0] - limits[1] - 1) / -(step < -count - 1 ? -count - 1 : step) + 1);
}

static enum hasten_status check_bounds(const struct tx_eval *eval, const struct tx_value bounds[3],
                                       int64_t *step_out)
{
    int64_t ignored;
    *step_out = 1;
    for (int i = 0; i < 3; i++)
        if (bounds[i].kind != TX_NONE && !tx_integer(&bounds[i], &ignored))
            return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "slice bound is a %s",
                                tx_type_name(&bounds[i]));
    (void)tx_integer(&bounds[2], step_out);
    if (*step_out == 0)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "slice step is zero");
    return HASTEN_OK;
}

enum hasten_status tx_get_slice(struct tx_eval *eval, const struct tx_value *object,
                                const struct tx_value bounds[3], struct tx_value *value_out)
{
    struct tx_value items;
    int64_t step, start;
    if (object->kind == TX_UNDEFINED)
        return fail_undefined(eval, object);
    if (object->kind != TX_STRING && !tx_is_sequence(object))
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "slice of a %s", tx_type_name(object));
    HS_TRY(check_bounds(eval, bounds, &step));
    HS_TRY(tx_eval_items(eval, object, &items));
    size_t steps = slice_steps(bounds, (int64_t)items.list->count, &start, step);
    if (object->kind == TX_STRING && step == 1) {
        HS_TRY(tx_eval_charge(eval, object->string.size_bytes / 16 + 1));
        *value_out = tx_text(tx_characters(object->string, (size_t)start, (size_t)start + steps));
        return HASTEN_OK;
    }
    struct tx_value picked;
    HS_TRY(tx_eval_list(eval, object->kind == TX_STRING ? TX_LIST : object->kind, steps, &picked));
    for (size_t i = 0; i < steps; i++)
        picked.list->items[i] = items.list->items[start + (int64_t)i * step];
    HS_TRY(tx_eval_seal(eval, &picked));
    if (object->kind == TX_STRING)
        return tx_text_join(eval, (struct hs_str){"", 0}, &picked, false, value_out);
    *value_out = picked;
    return HASTEN_OK;
}
