/*
 * Template filters over sequences: map, select and reject with and without attribute, sort, unique,
 * dictsort, sum, min, max, join.
 *
 * What is lazy in Jinja2 gives an iterator here too: it is true even when empty, has no length and
 * is used up by one walk. Sorting is a stable merge sort; its comparisons may fail (texts against
 * numbers), which ends it. Texts are compared without case unless case_sensitive, as in Jinja2;
 * letters beyond ASCII are refused there, characters without case are not.
 */
#include "text/template_filters.h"

#include "text/text_utf8.h"

/* --- helpers ------------------------------------------------------------------------------ */

/* Options: parameter names in their order; arguments must fit them. */
static enum hasten_status check_names(const struct tx_eval *eval,
                                      const struct tx_arguments *arguments,
                                      const char *const *names)
{
    for (int i = arguments->positional; i < arguments->count; i++) {
        bool known = false;
        for (int k = 0; names[k]; k++)
            known |= hs_str_is(arguments->names[i], names[k]);
        if (!known)
            return tx_eval_fail(
                eval, HASTEN_INVALID_ARGUMENT, "unknown argument '%.*s'",
                (int)(arguments->names[i].size_bytes < 60 ? arguments->names[i].size_bytes : 60),
                arguments->names[i].data);
    }
    return HASTEN_OK;
}

static bool option(const struct tx_arguments *arguments, int place, const char *name)
{
    const struct tx_value *value = tx_argument(arguments, place, name);
    return value && tx_truth(value);
}

static const struct tx_value *given(const struct tx_arguments *arguments, int place,
                                    const char *name)
{
    const struct tx_value *value = tx_argument(arguments, place, name);
    return value && value->kind != TX_NONE ? value : NULL;
}

static bool all_digits(struct hs_str text)
{
    for (size_t i = 0; i < text.size_bytes; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return text.size_bytes > 0 && text.size_bytes < 10;
}

/* One part of a dotted path: an index when it is a number. */
static struct tx_value path_part(struct hs_str part)
{
    int64_t index = 0;
    if (!all_digits(part))
        return tx_text(part);
    for (size_t i = 0; i < part.size_bytes; i++)
        index = index * 10 + (part.data[i] - '0');
    return tx_int(index);
}

/* What the path ("a.b.0", or an index, or NULL for the item itself) leads to; where that is not
 * defined, the fallback unless it is NULL. */
static enum hasten_status follow(struct tx_eval *eval, const struct tx_value *item,
                                 const struct tx_value *path, const struct tx_value *fallback,
                                 struct tx_value *value_out)
{
    struct tx_value value = *item, next;
    *value_out = value;
    if (!path)
        return HASTEN_OK;
    struct hs_str rest = path->string;
    if (path->kind != TX_STRING) {
        HS_TRY(tx_get_item(eval, item, path, value_out));
        if (value_out->kind == TX_UNDEFINED && fallback)
            *value_out = *fallback;
        return HASTEN_OK;
    }
    for (;;) {
        const char *dot = rest.size_bytes ? memchr(rest.data, '.', rest.size_bytes) : NULL;
        struct hs_str part = {rest.data, dot ? (size_t)(dot - rest.data) : rest.size_bytes};
        struct tx_value key = path_part(part);
        HS_TRY(tx_eval_charge(eval, 1));
        HS_TRY(tx_get_item(eval, &value, &key, &next));
        value = next.kind == TX_UNDEFINED && fallback ? *fallback : next;
        if (!dot)
            break;
        rest = (struct hs_str){dot + 1, rest.size_bytes - part.size_bytes - 1};
    }
    *value_out = value;
    return HASTEN_OK;
}

/* Lower case of texts; other values stay. */
static enum hasten_status fold(struct tx_eval *eval, bool case_sensitive, struct tx_value *value)
{
    if (case_sensitive || value->kind != TX_STRING)
        return HASTEN_OK;
    return tx_text_case(eval, value->string, false, value);
}

/* A list with room for as many items as `items` has; `finish` cuts it to those that are used. */
static enum hasten_status begin(struct tx_eval *eval, const struct tx_value *items,
                                struct tx_value *list_out)
{
    return tx_eval_list(eval, TX_LIST, items->list->count, list_out);
}

static enum hasten_status finish(struct tx_eval *eval, struct tx_value *list, size_t count,
                                 enum tx_value_kind kind)
{
    struct tx_list *own = (struct tx_list *)(uintptr_t)list->list;
    own->count = count;
    list->kind = kind;
    return tx_eval_seal(eval, list);
}

/* What lazy filters give for none and for what is empty, whatever their arguments. */
static enum hasten_status nothing(struct tx_eval *eval, struct tx_value *value_out)
{
    HS_TRY(tx_eval_list(eval, TX_ITERATOR, 0, value_out));
    return tx_eval_seal(eval, value_out);
}

static struct tx_arguments skip(const struct tx_arguments *arguments, int count)
{
    return (struct tx_arguments){arguments->items + count, arguments->names + count,
                                 arguments->count - count, arguments->positional - count};
}

/* --- map ---------------------------------------------------------------------------------- */

static enum hasten_status map_item(struct tx_eval *eval, const struct tx_value *item,
                                   const struct tx_arguments *arguments, struct tx_value *value_out)
{
    const struct tx_value *name = &arguments->items[0];
    if (arguments->positional == 0)
        return follow(eval, item, tx_argument(arguments, -1, "attribute"),
                      given(arguments, -1, "default"), value_out);
    if (name->kind != TX_STRING)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "map with a %s as filter",
                            tx_type_name(name));
    struct tx_arguments rest = skip(arguments, 1);
    return tx_apply_filter(eval, name->string, item, &rest, value_out);
}

enum hasten_status tx_filter_map(struct tx_eval *eval, const struct tx_value *value,
                                 const struct tx_arguments *arguments, struct tx_value *value_out)
{
    static const char *const names[] = {"attribute", "default", NULL};
    struct tx_value items, list;
    if (!tx_truth(value))
        return nothing(eval, value_out);
    if (arguments->positional == 0) {
        HS_TRY(check_names(eval, arguments, names));
        if (!tx_argument(arguments, -1, "attribute"))
            return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "map without a filter");
    }
    HS_TRY(tx_eval_items(eval, value, &items));
    HS_TRY(begin(eval, &items, &list));
    for (size_t i = 0; i < items.list->count; i++) {
        HS_TRY(tx_eval_charge(eval, 1));
        HS_TRY(map_item(eval, &items.list->items[i], arguments, &list.list->items[i]));
    }
    HS_TRY(finish(eval, &list, items.list->count, TX_ITERATOR));
    *value_out = list;
    return HASTEN_OK;
}

/* --- select and reject -------------------------------------------------------------------- */

static enum hasten_status passes(struct tx_eval *eval, const struct tx_value *item,
                                 const struct tx_arguments *test, bool *passes_out)
{
    if (test->positional == 0) {
        *passes_out = tx_truth(item);
        return HASTEN_OK;
    }
    if (test->items[0].kind != TX_STRING)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "a %s is no test",
                            tx_type_name(&test->items[0]));
    struct tx_arguments rest = skip(test, 1);
    return tx_apply_test(eval, test->items[0].string, item, &rest, passes_out);
}

/* Keeps the items that pass, or those that do not. With an attribute, it is tested. */
static enum hasten_status sift(struct tx_eval *eval, const struct tx_value *value,
                               const struct tx_arguments *arguments, bool by_attribute, bool keeps,
                               struct tx_value *value_out)
{
    struct tx_value items, list;
    size_t count = 0;
    if (!tx_truth(value))
        return nothing(eval, value_out);
    if (by_attribute && arguments->positional == 0)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "attribute is missing");
    struct tx_arguments test = by_attribute ? skip(arguments, 1) : *arguments;
    HS_TRY(tx_eval_items(eval, value, &items));
    HS_TRY(begin(eval, &items, &list));
    for (size_t i = 0; i < items.list->count; i++) {
        struct tx_value tested;
        bool holds;
        HS_TRY(tx_eval_charge(eval, 1));
        HS_TRY(follow(eval, &items.list->items[i], by_attribute ? &arguments->items[0] : NULL, NULL,
                      &tested));
        HS_TRY(passes(eval, &tested, &test, &holds));
        if (holds == keeps)
            list.list->items[count++] = items.list->items[i];
    }
    HS_TRY(finish(eval, &list, count, TX_ITERATOR));
    *value_out = list;
    return HASTEN_OK;
}

enum hasten_status tx_filter_select(struct tx_eval *eval, const struct tx_value *value,
                                    const struct tx_arguments *arguments,
                                    struct tx_value *value_out)
{
    return sift(eval, value, arguments, false, true, value_out);
}

enum hasten_status tx_filter_reject(struct tx_eval *eval, const struct tx_value *value,
                                    const struct tx_arguments *arguments,
                                    struct tx_value *value_out)
{
    return sift(eval, value, arguments, false, false, value_out);
}

enum hasten_status tx_filter_selectattr(struct tx_eval *eval, const struct tx_value *value,
                                        const struct tx_arguments *arguments,
                                        struct tx_value *value_out)
{
    return sift(eval, value, arguments, true, true, value_out);
}

enum hasten_status tx_filter_rejectattr(struct tx_eval *eval, const struct tx_value *value,
                                        const struct tx_arguments *arguments,
                                        struct tx_value *value_out)
{
    return sift(eval, value, arguments, true, false, value_out);
}

/* --- sort --------------------------------------------------------------------------------- */

struct sorted { /* an item and what it is sorted by */
    struct tx_value key;
    const struct tx_value *item;
};

/* key = path[, path...] of item, as one value or a list. */
static enum hasten_status sort_key(struct tx_eval *eval, const struct tx_value *item,
                                   const struct tx_value *paths, bool case_sensitive,
                                   struct tx_value *key_out)
{
    if (!paths || paths->kind != TX_STRING ||
        !memchr(paths->string.data, ',', paths->string.size_bytes)) {
        HS_TRY(follow(eval, item, paths, NULL, key_out));
        return fold(eval, case_sensitive, key_out);
    }
    struct hs_str rest = paths->string;
    size_t count = 1;
    for (size_t i = 0; i < rest.size_bytes; i++)
        count += rest.data[i] == ',';
    HS_TRY(tx_eval_list(eval, TX_LIST, count, key_out));
    for (size_t i = 0; i < count; i++) {
        const char *comma = memchr(rest.data, ',', rest.size_bytes);
        size_t length = comma ? (size_t)(comma - rest.data) : rest.size_bytes;
        struct tx_value path = tx_text((struct hs_str){rest.data, length});
        HS_TRY(follow(eval, item, &path, NULL, &key_out->list->items[i]));
        HS_TRY(fold(eval, case_sensitive, &key_out->list->items[i]));
        if (comma)
            rest = (struct hs_str){comma + 1, rest.size_bytes - length - 1};
    }
    return tx_eval_seal(eval, key_out);
}

/* Merges [from, middle) and [middle, end) of `in` into `out`. */
static enum hasten_status merge(struct tx_eval *eval, const struct sorted *in, struct sorted *out,
                                const size_t bounds[3], bool reverse)
{
    size_t left = bounds[0], right = bounds[1];
    for (size_t at = bounds[0]; at < bounds[2]; at++) {
        bool takes_right = left == bounds[1];
        /* Equal keys need no order: none beside none is fine. */
        if (!takes_right && right < bounds[2] && !tx_equal(&in[right].key, &in[left].key))
            HS_TRY(tx_apply_compare(eval, hs_str_of(reverse ? ">" : "<"), &in[right].key,
                                    &in[left].key, &takes_right));
        out[at] = in[takes_right ? right++ : left++];
    }
    return HASTEN_OK;
}

/* Stable; the result stands in *rows. */
static enum hasten_status merge_sort(struct tx_eval *eval, struct sorted **rows, size_t count,
                                     bool reverse)
{
    void *memory;
    HS_TRY(tx_eval_alloc(eval, count, sizeof **rows, &memory));
    struct sorted *in = *rows, *out = memory;
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t from = 0; from < count; from += 2 * width) {
            size_t middle = count - from < width ? count : from + width;
            size_t end = count - from < 2 * width ? count : from + 2 * width;
            HS_TRY(merge(eval, in, out, (size_t[3]){from, middle, end}, reverse));
        }
        struct sorted *swap = in;
        in = out;
        out = swap;
    }
    *rows = in;
    return HASTEN_OK;
}

static enum hasten_status make_rows(struct tx_eval *eval, const struct tx_value *items,
                                    const struct tx_value *paths, bool case_sensitive,
                                    struct sorted **rows_out)
{
    void *memory;
    HS_TRY(tx_eval_alloc(eval, items->list->count, sizeof **rows_out, &memory));
    *rows_out = memory;
    for (size_t i = 0; i < items->list->count; i++) {
        const struct tx_value *item = &items->list->items[i];
        (*rows_out)[i].item = item;
        HS_TRY(tx_eval_charge(eval, 1));
        HS_TRY(sort_key(eval, item, paths, case_sensitive, &(*rows_out)[i].key));
    }
    return HASTEN_OK;
}

static enum hasten_status sort_items(struct tx_eval *eval, const struct tx_value *items,
                                     const struct tx_value *paths, const bool options[2],
                                     struct tx_value *value_out)
{
    struct sorted *rows;
    struct tx_value list;
    size_t count = items->list->count;
    HS_TRY(make_rows(eval, items, paths, options[1], &rows));
    HS_TRY(merge_sort(eval, &rows, count, options[0]));
    HS_TRY(begin(eval, items, &list));
    for (size_t i = 0; i < count; i++)
        list.list->items[i] = *rows[i].item;
    HS_TRY(finish(eval, &list, count, TX_LIST));
    *value_out = list;
    return HASTEN_OK;
}

enum hasten_status tx_filter_sort(struct tx_eval *eval, const struct tx_value *value,
                                  const struct tx_arguments *arguments, struct tx_value *value_out)
{
    static const char *const names[] = {"reverse", "case_sensitive", "attribute", NULL};
    const bool options[2] = {option(arguments, 0, names[0]), option(arguments, 1, names[1])};
    struct tx_value items;
    HS_TRY(check_names(eval, arguments, names));
    HS_TRY(tx_eval_items(eval, value, &items));
    return sort_items(eval, &items, given(arguments, 2, names[2]), options, value_out);
}

enum hasten_status tx_filter_dictsort(struct tx_eval *eval, const struct tx_value *value,
                                      const struct tx_arguments *arguments,
                                      struct tx_value *value_out)
{
    static const char *const names[] = {"case_sensitive", "by", "reverse", NULL};
    const bool options[2] = {option(arguments, 2, names[2]), option(arguments, 0, names[0])};
    const struct tx_value *by = tx_argument(arguments, 1, names[1]);
    struct tx_value items, place = tx_int(0);
    HS_TRY(check_names(eval, arguments, names));
    if (by && (by->kind != TX_STRING ||
               (!hs_str_is(by->string, "key") && !hs_str_is(by->string, "value"))))
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "dictsort by neither key nor value");
    if (by && hs_str_is(by->string, "value"))
        place = tx_int(1);
    if (value->kind != TX_DICT)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "dictsort of a %s", tx_type_name(value));
    HS_TRY(tx_dict_items(eval, value->dict, &items));
    return sort_items(eval, &items, &place, options, value_out);
}

/* --- unique, sum, min, max ---------------------------------------------------------------- */

enum hasten_status tx_filter_unique(struct tx_eval *eval, const struct tx_value *value,
                                    const struct tx_arguments *arguments,
                                    struct tx_value *value_out)
{
    static const char *const names[] = {"case_sensitive", "attribute", NULL};
    const struct tx_value *path = given(arguments, 1, names[1]);
    struct tx_value items, list;
    struct sorted *rows;
    size_t count = 0;
    HS_TRY(check_names(eval, arguments, names));
    HS_TRY(tx_eval_items(eval, value, &items));
    HS_TRY(begin(eval, &items, &list));
    HS_TRY(make_rows(eval, &items, path, option(arguments, 0, names[0]), &rows));
    for (size_t i = 0; i < items.list->count; i++) {
        bool seen = false;
        if (rows[i].key.kind == TX_LIST || rows[i].key.kind == TX_DICT)
            return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "unique over a %s",
                                tx_type_name(&rows[i].key));
        for (size_t k = 0; !seen && k < count; k++) {
            HS_TRY(tx_eval_charge(eval, tx_weight(&rows[i].key)));
            seen = tx_equal(&rows[k].key, &rows[i].key);
        }
        if (!seen) {
            list.list->items[count] = *rows[i].item;
            rows[count++] = rows[i];
        }
    }
    HS_TRY(finish(eval, &list, count, TX_ITERATOR));
    *value_out = list;
    return HASTEN_OK;
}

enum hasten_status tx_filter_sum(struct tx_eval *eval, const struct tx_value *value,
                                 const struct tx_arguments *arguments, struct tx_value *value_out)
{
    static const char *const names[] = {"attribute", "start", NULL};
    const struct tx_value *path = given(arguments, 0, names[0]);
    const struct tx_value *start = tx_argument(arguments, 1, names[1]);
    struct tx_value items, sum = start ? *start : tx_int(0), part, next;
    HS_TRY(check_names(eval, arguments, names));
    HS_TRY(tx_eval_items(eval, value, &items));
    for (size_t i = 0; i < items.list->count; i++) {
        HS_TRY(tx_eval_charge(eval, 1));
        HS_TRY(follow(eval, &items.list->items[i], path, NULL, &part));
        HS_TRY(tx_apply_binary(eval, hs_str_of("+"), &sum, &part, &next));
        sum = next;
    }
    *value_out = sum;
    return HASTEN_OK;
}

static enum hasten_status extreme(struct tx_eval *eval, const struct tx_value *value,
                                  const struct tx_arguments *arguments, const char *operator,
                                  struct tx_value * value_out)
{
    static const char *const names[] = {"case_sensitive", "attribute", NULL};
    struct tx_value items;
    struct sorted *rows;
    size_t best = 0;
    HS_TRY(check_names(eval, arguments, names));
    HS_TRY(tx_eval_items(eval, value, &items));
    *value_out = tx_undefined(hs_str_of("aggregated item"));
    if (items.list->count == 0)
        return HASTEN_OK;
    HS_TRY(make_rows(eval, &items, given(arguments, 1, names[1]), option(arguments, 0, names[0]),
                     &rows));
    for (size_t i = 1; i < items.list->count; i++) {
        bool is_better;
        HS_TRY(
            tx_apply_compare(eval, hs_str_of(operator), &rows[i].key, &rows[best].key, &is_better));
        best = is_better ? i : best;
    }
    *value_out = *rows[best].item;
    return HASTEN_OK;
}

enum hasten_status tx_filter_min(struct tx_eval *eval, const struct tx_value *value,
                                 const struct tx_arguments *arguments, struct tx_value *value_out)
{
    return extreme(eval, value, arguments, "<", value_out);
}

enum hasten_status tx_filter_max(struct tx_eval *eval, const struct tx_value *value,
                                 const struct tx_arguments *arguments, struct tx_value *value_out)
{
    return extreme(eval, value, arguments, ">", value_out);
}

/* --- join --------------------------------------------------------------------------------- */

enum hasten_status tx_filter_join(struct tx_eval *eval, const struct tx_value *value,
                                  const struct tx_arguments *arguments, struct tx_value *value_out)
{
    static const char *const names[] = {"d", "attribute", NULL};
    const struct tx_value *separator = tx_argument(arguments, 0, names[0]);
    const struct tx_value *path = given(arguments, 1, names[1]);
    struct hs_str text = {"", 0};
    struct tx_value items, parts;
    HS_TRY(check_names(eval, arguments, names));
    if (separator)
        HS_TRY(tx_eval_text(eval, separator, &text));
    HS_TRY(tx_eval_items(eval, value, &items));
    if (path) {
        HS_TRY(begin(eval, &items, &parts));
        for (size_t i = 0; i < items.list->count; i++)
            HS_TRY(follow(eval, &items.list->items[i], path, NULL, &parts.list->items[i]));
        HS_TRY(finish(eval, &parts, items.list->count, TX_LIST));
        items = parts;
    }
    return tx_text_join(eval, text, &items, true, value_out);
}
