/*
 * Template values: truth, equality, order, text and JSON forms, as Python 3 defines them.
 *
 * Floats are written with the fewest digits that read back the same, in Python's layout (exponent
 * below 1e-4 and from 1e16 on). Recursion is bounded by TX_VALUE_DEPTH.
 */
#include "text/template_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/text_utf8.h"

const char *tx_type_name(const struct tx_value *value)
{
    static const char *const names[] = {"undefined", "NoneType", "bool",     "int",    "float",
                                        "str",       "list",     "tuple",    "dict",   "namespace",
                                        "generator", "loop",     "function", "method", "macro"};
    return names[value->kind];
}

bool tx_truth(const struct tx_value *value)
{
    switch (value->kind) {
    case TX_UNDEFINED:
    case TX_NONE:
        return false;
    case TX_BOOL:
        return value->boolean;
    case TX_INT:
        return value->integer != 0;
    case TX_FLOAT:
        return value->real != 0;
    case TX_STRING:
        return value->string.size_bytes != 0;
    case TX_LIST:
    case TX_TUPLE:
        return value->list->count != 0;
    case TX_DICT:
        return value->dict->count != 0;
    default:
        return true;
    }
}

bool tx_integer(const struct tx_value *value, int64_t *integer_out)
{
    if (value->kind == TX_BOOL)
        *integer_out = value->boolean;
    else if (value->kind == TX_INT)
        *integer_out = value->integer;
    else
        return false;
    return true;
}

bool tx_number(const struct tx_value *value, double *number_out)
{
    int64_t integer;
    if (value->kind == TX_FLOAT)
        *number_out = value->real;
    else if (tx_integer(value, &integer))
        *number_out = (double)integer;
    else
        return false;
    return true;
}

static bool equal_lists(const struct tx_list *a, const struct tx_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!tx_equal(&a->items[i], &b->items[i]))
            return false;
    return true;
}

static bool equal_dicts(const struct tx_dict *a, const struct tx_dict *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct tx_value *other = tx_dict_find(b, &a->pairs[i].key);
        if (!other || !tx_equal(&a->pairs[i].value, other))
            return false;
    }
    return true;
}

bool tx_equal(const struct tx_value *a, const struct tx_value *b)
{
    int64_t x, y;
    double u, v;
    if (tx_integer(a, &x) && tx_integer(b, &y))
        return x == y;
    if (tx_number(a, &u) && tx_number(b, &v))
        return u == v;
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case TX_STRING:
        return hs_str_equal(a->string, b->string);
    case TX_LIST:
    case TX_TUPLE:
        return equal_lists(a->list, b->list);
    case TX_DICT:
        return equal_dicts(a->dict, b->dict);
    case TX_NAMESPACE:
        return a->dict == b->dict;
    case TX_FUNCTION:
        return a->integer == b->integer;
    default: /* none and undefined equal themselves */
        return a->kind == TX_NONE || a->kind == TX_UNDEFINED;
    }
}

static int compare_texts(struct hs_str a, struct hs_str b)
{
    size_t shorter = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = shorter ? memcmp(a.data, b.data, shorter) : 0; /* UTF-8 sorts as code points do */
    if (order == 0)
        order = (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
    return order < 0 ? -1 : order > 0;
}

bool tx_compare(const struct tx_value *a, const struct tx_value *b, int *order_out)
{
    int64_t x, y;
    double u, v;
    if (tx_integer(a, &x) && tx_integer(b, &y)) {
        *order_out = (x > y) - (x < y);
        return true;
    }
    if (tx_number(a, &u) && tx_number(b, &v)) {
        *order_out = isnan(u) || isnan(v) ? 2 : (u > v) - (u < v);
        return true;
    }
    if (a->kind != b->kind)
        return false;
    if (a->kind == TX_STRING) {
        *order_out = compare_texts(a->string, b->string);
        return true;
    }
    if (!tx_is_sequence(a))
        return false;
    for (size_t i = 0; i < a->list->count && i < b->list->count; i++)
        if (!tx_equal(&a->list->items[i], &b->list->items[i]))
            return tx_compare(&a->list->items[i], &b->list->items[i], order_out);
    *order_out = (a->list->count > b->list->count) - (a->list->count < b->list->count);
    return true;
}

const struct tx_value *tx_dict_find(const struct tx_dict *dict, const struct tx_value *key)
{
    for (size_t i = 0; i < dict->count; i++)
        if (tx_equal(&dict->pairs[i].key, key))
            return &dict->pairs[i].value;
    return NULL;
}

int tx_depth(const struct tx_value *value)
{
    if (tx_is_sequence(value) || value->kind == TX_ITERATOR)
        return value->list->depth;
    return value->kind == TX_DICT ? value->dict->depth : 0;
}

size_t tx_weight(const struct tx_value *value)
{
    if (value->kind == TX_STRING)
        return value->string.size_bytes / 64 + 1;
    if (tx_is_sequence(value) || value->kind == TX_ITERATOR)
        return value->list->weight;
    return value->kind == TX_DICT ? value->dict->weight + 1 : 1;
}

void tx_grow(size_t *weight, int *depth, const struct tx_value *item)
{
    if (*weight > SIZE_MAX / 4 || tx_weight(item) > SIZE_MAX / 4)
        *weight = SIZE_MAX / 4;
    else
        *weight += tx_weight(item);
    if (tx_depth(item) >= *depth)
        *depth = tx_depth(item) + 1;
}

bool tx_dict_put(struct hs_arena *arena, struct tx_dict *dict, const struct tx_value *key,
                 const struct tx_value *value)
{
    tx_grow(&dict->weight, &dict->depth, key);
    tx_grow(&dict->weight, &dict->depth, value);
    if (dict->depth > TX_VALUE_DEPTH || !hs_size_add(dict->weight, dict->count, &dict->weight))
        return false;
    for (size_t i = 0; i < dict->count; i++)
        if (tx_equal(&dict->pairs[i].key, key)) {
            dict->pairs[i].value = *value;
            return true;
        }
    if (dict->count == dict->capacity) {
        size_t capacity = dict->capacity ? dict->capacity * 2 : 4;
        struct tx_pair *pairs = hs_arena_alloc(arena, capacity, sizeof *pairs);
        if (!pairs)
            return false;
        if (dict->count)
            memcpy(pairs, dict->pairs, dict->count * sizeof *pairs);
        dict->pairs = pairs;
        dict->capacity = capacity;
    }
    dict->pairs[dict->count++] = (struct tx_pair){*key, *value};
    return true;
}

/* --- text --------------------------------------------------------------------------------- */

static void put(struct hs_buffer *out, const char *text)
{
    hs_buffer_append(out, text, strlen(text));
}

/* repr(float). */
static void print_float(double value, struct hs_buffer *out)
{
    char digits[40];
    if (isnan(value) || isinf(value)) {
        put(out, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    int precision = 0;
    do
        snprintf(digits, sizeof digits, "%.*e", precision, value);
    while (strtod(digits, NULL) != value && ++precision < 17);
    const char *mark = strchr(digits, 'e');
    int exponent = mark ? (int)strtol(mark + 1, NULL, 10) : 0;
    if (exponent >= -4 && exponent < 16) {
        int decimals = precision - exponent;
        hs_buffer_printf(out, "%.*f", decimals < 1 ? 1 : decimals, value);
        return;
    }
    hs_buffer_append(out, digits, mark ? (size_t)(mark - digits) : strlen(digits));
    hs_buffer_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
}

/* Characters that repr() escapes though they are not ASCII: controls, separators, soft hyphen,
 * format characters in common use, surrogates and private use. */
static bool is_hidden(uint32_t point)
{
    return point < 0xa1 || point == 0xad || (tx_is_space(point) && point != ' ') ||
           (point >= 0x200b && point <= 0x200f) || (point >= 0x202a && point <= 0x202e) ||
           (point >= 0x2060 && point <= 0x206f) || (point >= 0xe000 && point <= 0xf8ff) ||
           point == 0xfeff || point >= 0xe0000;
}

static void print_escaped(uint32_t point, struct hs_buffer *out)
{
    if (point == '\n' || point == '\r' || point == '\t')
        put(out, point == '\n' ? "\\n" : point == '\r' ? "\\r" : "\\t");
    else if (point < 0x100)
        hs_buffer_printf(out, "\\x%02x", (unsigned)point);
    else if (point < 0x10000)
        hs_buffer_printf(out, "\\u%04x", (unsigned)point);
    else
        hs_buffer_printf(out, "\\U%08x", (unsigned)point);
}

/* repr(str). */
static void print_quoted(struct hs_str text, struct hs_buffer *out)
{
    bool has_single = text.size_bytes && memchr(text.data, '\'', text.size_bytes);
    bool has_double = text.size_bytes && memchr(text.data, '"', text.size_bytes);
    char quote = has_single && !has_double ? '"' : '\'';
    hs_buffer_append(out, &quote, 1);
    for (size_t at = 0; at < text.size_bytes;) {
        int length;
        uint32_t point = tx_utf8_next(text.data + at, text.size_bytes - at, &length);
        if (point == (uint32_t)quote || point == '\\')
            hs_buffer_append(out, "\\", 1);
        if (point < 0x20 || (point >= 0x7f && is_hidden(point)))
            print_escaped(point, out);
        else
            hs_buffer_append(out, text.data + at, (size_t)length);
        at += (size_t)length;
    }
    hs_buffer_append(out, &quote, 1);
}

static bool print_list(const struct tx_value *value, struct hs_buffer *out)
{
    bool tuple = value->kind == TX_TUPLE;
    put(out, tuple ? "(" : "[");
    for (size_t i = 0; i < value->list->count; i++) {
        put(out, i ? ", " : "");
        if (!tx_print(&value->list->items[i], true, out))
            return false;
    }
    put(out, !tuple ? "]" : value->list->count == 1 ? ",)" : ")");
    return true;
}

static bool print_dict(const struct tx_dict *dict, struct hs_buffer *out)
{
    put(out, "{");
    for (size_t i = 0; i < dict->count; i++) {
        put(out, i ? ", " : "");
        if (!tx_print(&dict->pairs[i].key, true, out))
            return false;
        put(out, ": ");
        if (!tx_print(&dict->pairs[i].value, true, out))
            return false;
    }
    put(out, "}");
    return true;
}

bool tx_print(const struct tx_value *value, bool repr, struct hs_buffer *out)
{
    switch (value->kind) {
    case TX_UNDEFINED:
        put(out, repr ? "Undefined" : "");
        return true;
    case TX_NONE:
        put(out, "None");
        return true;
    case TX_BOOL:
        put(out, value->boolean ? "True" : "False");
        return true;
    case TX_INT:
        hs_buffer_printf(out, "%lld", (long long)value->integer);
        return true;
    case TX_FLOAT:
        print_float(value->real, out);
        return true;
    case TX_STRING:
        put(out, repr && value->is_markup ? "Markup(" : "");
        if (repr)
            print_quoted(value->string, out);
        else
            hs_buffer_append(out, value->string.data, value->string.size_bytes);
        put(out, repr && value->is_markup ? ")" : "");
        return true;
    case TX_LIST:
    case TX_TUPLE:
        return print_list(value, out);
    case TX_DICT:
        return print_dict(value->dict, out);
    default:
        return false;
    }
}

/* --- JSON --------------------------------------------------------------------------------- */

static void put_str(struct hs_str text, struct hs_buffer *out)
{
    hs_buffer_append(out, text.data, text.size_bytes);
}

/* An escape of one character. */
static void json_escape(uint32_t point, struct hs_buffer *out)
{
    static const char short_names[] = "\"\"\\\\\nn\rr\tt\bb\ff";
    char name = 0;
    for (size_t i = 0; !name && short_names[i]; i += 2)
        if ((uint32_t)short_names[i] == point)
            name = short_names[i + 1];
    if (name)
        hs_buffer_printf(out, "\\%c", name);
    else if (point < 0x10000)
        hs_buffer_printf(out, "\\u%04x", (unsigned)point);
    else
        hs_buffer_printf(out, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (point >> 10)),
                         (unsigned)(0xdc00 + (point & 0x3ff)));
}

static void json_text(struct hs_str text, bool ascii, struct hs_buffer *out)
{
    put(out, "\"");
    size_t done = 0;
    for (size_t at = 0; at < text.size_bytes;) {
        uint8_t byte = (uint8_t)text.data[at];
        int length = 1;
        uint32_t point = byte;
        if (byte >= 0x80)
            point = tx_utf8_next(text.data + at, text.size_bytes - at, &length);
        if (byte < 0x20 || byte == '"' || byte == '\\' || (ascii && byte >= 0x80)) {
            hs_buffer_append(out, text.data + done, at - done);
            json_escape(point, out);
            done = at + (size_t)length;
        }
        at += (size_t)length;
    }
    if (done < text.size_bytes)
        hs_buffer_append(out, text.data + done, text.size_bytes - done);
    put(out, "\"");
}

static void json_float(double value, struct hs_buffer *out)
{
    if (isnan(value) || isinf(value))
        put(out, isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity");
    else
        print_float(value, out);
}

static void json_break(const struct tx_json_style *style, int level, struct hs_buffer *out)
{
    if (!style->has_indent)
        return;
    put(out, "\n");
    for (int i = 0; i < level; i++)
        put_str(style->indent, out);
}

static bool json_value(const struct tx_value *value, const struct tx_json_style *style, int level,
                       struct hs_buffer *out);

static bool json_key(const struct tx_value *key, const struct tx_json_style *style,
                     struct hs_buffer *out)
{
    if (key->kind == TX_STRING) {
        json_text(key->string, style->ascii, out);
        return true;
    }
    if (tx_depth(key) || key->kind == TX_UNDEFINED)
        return false;
    put(out, "\"");
    bool done = json_value(key, style, 0, out);
    put(out, "\"");
    return done;
}

static int by_key(const void *a, const void *b)
{
    const struct tx_pair *const *x = a, *const *y = b;
    return compare_texts((*x)->key.string, (*y)->key.string);
}

/* The pairs of a dict by their keys, to be freed; NULL when there is no such order or memory. */
static const struct tx_pair **sorted_pairs(const struct tx_dict *dict)
{
    for (size_t i = 0; i < dict->count; i++)
        if (dict->pairs[i].key.kind != TX_STRING)
            return NULL;
    const struct tx_pair **sorted = hs_calloc(dict->count, sizeof *sorted);
    for (size_t i = 0; sorted && i < dict->count; i++)
        sorted[i] = &dict->pairs[i];
    if (sorted)
        qsort(sorted, dict->count, sizeof *sorted, by_key);
    return sorted;
}

static bool json_pairs(const struct tx_dict *dict, const struct tx_json_style *style, int level,
                       struct hs_buffer *out)
{
    const struct tx_pair **sorted = style->sort_keys ? sorted_pairs(dict) : NULL;
    bool done = sorted || !style->sort_keys;
    for (size_t i = 0; done && i < dict->count; i++) {
        const struct tx_pair *pair = sorted ? sorted[i] : &dict->pairs[i];
        if (i)
            put_str(style->item_separator, out);
        json_break(style, level + 1, out);
        done = json_key(&pair->key, style, out);
        put_str(style->key_separator, out);
        done = done && json_value(&pair->value, style, level + 1, out);
    }
    hs_free(sorted);
    return done;
}

static bool json_items(const struct tx_value *value, const struct tx_json_style *style, int level,
                       struct hs_buffer *out)
{
    bool is_dict = value->kind == TX_DICT;
    size_t count = is_dict ? value->dict->count : value->list->count;
    put(out, is_dict ? "{" : "[");
    if (is_dict && !json_pairs(value->dict, style, level, out))
        return false;
    for (size_t i = 0; !is_dict && i < count; i++) {
        if (i)
            put_str(style->item_separator, out);
        json_break(style, level + 1, out);
        if (!json_value(&value->list->items[i], style, level + 1, out))
            return false;
    }
    if (count)
        json_break(style, level, out);
    put(out, is_dict ? "}" : "]");
    return true;
}

static bool json_value(const struct tx_value *value, const struct tx_json_style *style, int level,
                       struct hs_buffer *out)
{
    switch (value->kind) {
    case TX_NONE:
        put(out, "null");
        return true;
    case TX_BOOL:
        put(out, value->boolean ? "true" : "false");
        return true;
    case TX_INT:
        hs_buffer_printf(out, "%lld", (long long)value->integer);
        return true;
    case TX_FLOAT:
        json_float(value->real, out);
        return true;
    case TX_STRING:
        json_text(value->string, style->ascii, out);
        return true;
    case TX_LIST:
    case TX_TUPLE:
    case TX_DICT:
        return json_items(value, style, level, out);
    default:
        return false;
    }
}

bool tx_json(const struct tx_value *value, const struct tx_json_style *style, struct hs_buffer *out)
{
    return json_value(value, style, 0, out);
}

/* --- characters --------------------------------------------------------------------------- */

size_t tx_length(struct hs_str text)
{
    size_t count = 0;
    for (size_t at = 0; at < text.size_bytes; count++) {
        int length;
        (void)tx_utf8_next(text.data + at, text.size_bytes - at, &length);
        at += (size_t)length;
    }
    return count;
}

struct hs_str tx_characters(struct hs_str text, size_t first, size_t last)
{
    size_t at = 0, begin = text.size_bytes, count = 0;
    for (; at < text.size_bytes && count < last; count++) {
        int length;
        if (count == first)
            begin = at;
        (void)tx_utf8_next(text.data + at, text.size_bytes - at, &length);
        at += (size_t)length;
    }
    if (begin > at)
        begin = at;
    return (struct hs_str){text.data + begin, at - begin};
}

bool tx_may_have_case(uint32_t point)
{
    /* Latin, Greek, Cyrillic, Armenian; Georgian; Cherokee; letterlike; Glagolitic, Coptic;
     * Cyrillic and Latin additions; full width; Deseret and later. */
    static const uint32_t ranges[][2] = {{0x80, 0x58f},      {0x10a0, 0x10ff},   {0x13a0, 0x13ff},
                                         {0x1c80, 0x1cbf},   {0x1d00, 0x1fff},   {0x2100, 0x218f},
                                         {0x24b6, 0x24e9},   {0x2c00, 0x2dff},   {0xa640, 0xa7ff},
                                         {0xab30, 0xabbf},   {0xfb00, 0xfb1c},   {0xff21, 0xff5a},
                                         {0x10400, 0x105ff}, {0x10c80, 0x10cff}, {0x118a0, 0x118df},
                                         {0x16e40, 0x16e7f}, {0x1e900, 0x1e95f}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (point >= ranges[i][0] && point <= ranges[i][1])
            return true;
    return false;
}

bool tx_is_space(uint32_t point)
{
    return (point >= 0x09 && point <= 0x0d) || (point >= 0x1c && point <= 0x20) || point == 0x85 ||
           point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) ||
           point == 0x2028 || point == 0x2029 || point == 0x202f || point == 0x205f ||
           point == 0x3000;
}

static bool strips(uint32_t point, const struct hs_str *set)
{
    if (!set)
        return tx_is_space(point);
    for (size_t at = 0; at < set->size_bytes;) {
        int length;
        if (tx_utf8_next(set->data + at, set->size_bytes - at, &length) == point)
            return true;
        at += (size_t)length;
    }
    return false;
}

struct hs_str tx_strip(struct hs_str text, const struct hs_str *set, bool left, bool right)
{
    int length;
    while (left && text.size_bytes &&
           strips(tx_utf8_next(text.data, text.size_bytes, &length), set)) {
        text.data += length;
        text.size_bytes -= (size_t)length;
    }
    while (right && text.size_bytes) {
        size_t last = text.size_bytes - 1; /* back to the first byte of the last character */
        while (last > 0 && text.size_bytes - last < 4 && ((uint8_t)text.data[last] & 0xc0) == 0x80)
            last--;
        uint32_t point = tx_utf8_next(text.data + last, text.size_bytes - last, &length);
        if (last + (size_t)length != text.size_bytes) { /* malformed end: a byte of its own */
            point = 0xfffd;
            last = text.size_bytes - 1;
        }
        if (!strips(point, set))
            break;
        text.size_bytes = last;
    }
    return text;
}
