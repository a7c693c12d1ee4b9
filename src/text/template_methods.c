/*
 * Template methods (of str, list, dict, loop) and global functions: one table of methods.
 *
 * Methods that would change a list or dict do not exist here, as in Jinja2's immutable sandbox.
 * Changing case is defined for ASCII; other letters are refused rather than done half.
 */
#include "text/template_eval.h"

#include "text/text_utf8.h"

struct call {
    struct tx_eval *eval;
    struct tx_value object;
    struct hs_str name;
    const struct tx_arguments *arguments;
};

typedef enum hasten_status (*method_fn)(const struct call *call, struct tx_value *value_out);

static enum hasten_status text_at(const struct call *call, int place, struct hs_str *text_out)
{
    *text_out = (struct hs_str){NULL, 0};
    if (place >= call->arguments->count || call->arguments->items[place].kind != TX_STRING)
        return tx_eval_fail(call->eval, HASTEN_INVALID_ARGUMENT, "%.*s needs a str argument",
                            HS_STR(call->name));
    *text_out = call->arguments->items[place].string;
    return HASTEN_OK;
}

/* Last place of needle in text, or SIZE_MAX. */
static size_t find_last(struct hs_str text, struct hs_str needle)
{
    if (needle.size_bytes > text.size_bytes)
        return SIZE_MAX;
    for (size_t at = text.size_bytes - needle.size_bytes + 1; at-- > 0;)
        if (needle.size_bytes == 0 || !memcmp(text.data + at, needle.data, needle.size_bytes))
            return at;
    return SIZE_MAX;
}

/* First place of needle in text from byte `from` on, or SIZE_MAX. */
static size_t find(struct hs_str text, struct hs_str needle, size_t from)
{
    if (needle.size_bytes > text.size_bytes || from > text.size_bytes - needle.size_bytes)
        return SIZE_MAX;
    if (needle.size_bytes == 0)
        return from;
    const char *found =
        memmem(text.data + from, text.size_bytes - from, needle.data, needle.size_bytes);
    return found ? (size_t)(found - text.data) : SIZE_MAX;
}

/* --- texts -------------------------------------------------------------------------------- */

enum hasten_status tx_text_case(struct tx_eval *eval, struct hs_str text, bool upper,
                                struct tx_value *value_out)
{
    void *memory;
    HS_TRY(tx_eval_alloc(eval, text.size_bytes + 1, 1, &memory));
    char *copy = memory;
    for (size_t i = 0; i < text.size_bytes;) {
        char c = text.data[i];
        int length = 1;
        if ((uint8_t)c >= 0x80) {
            uint32_t point = tx_utf8_next(text.data + i, text.size_bytes - i, &length);
            if (tx_may_have_case(point))
                return tx_eval_fail(eval, HASTEN_UNSUPPORTED,
                                    "changing the case of letters beyond ASCII is not supported");
            memcpy(copy + i, text.data + i, (size_t)length);
        } else {
            bool turns = upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
            copy[i] = turns ? (char)(c ^ 0x20) : c;
        }
        i += (size_t)length;
    }
    *value_out = tx_text((struct hs_str){copy, text.size_bytes});
    return HASTEN_OK;
}

enum hasten_status tx_text_capitalize(struct tx_eval *eval, struct hs_str text,
                                      struct tx_value *value_out)
{
    HS_TRY(tx_text_case(eval, text, false, value_out));
    struct hs_str lower = value_out->string;
    if (lower.size_bytes && lower.data[0] >= 'a' && lower.data[0] <= 'z') {
        char first = (char)(lower.data[0] ^ 0x20);
        HS_TRY(tx_eval_copy(eval, lower, value_out));
        memcpy((char *)(uintptr_t)value_out->string.data, &first, 1);
    }
    return HASTEN_OK;
}

/* Arguments: old, new[, count]. */
enum hasten_status tx_text_replace(struct tx_eval *eval, struct hs_str text,
                                   const struct tx_arguments *arguments, struct tx_value *value_out)
{
    struct hs_str old, new;
    int64_t left = -1;
    const struct tx_value *count = tx_argument(arguments, 2, "count");
    HS_TRY(tx_eval_text(eval, &arguments->items[0], &old));
    HS_TRY(tx_eval_text(eval, &arguments->items[1], &new));
    if (count && count->kind != TX_NONE && !tx_integer(count, &left))
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "replace count is a %s",
                            tx_type_name(count));
    struct hs_buffer out = {0};
    size_t at = 0, done = 0;
    enum hasten_status status = HASTEN_OK;
    while (left != 0 && status == HASTEN_OK) {
        at = find(text, old, at);
        if (at == SIZE_MAX)
            break;
        hs_buffer_append(&out, text.data + done, at - done);
        hs_buffer_append(&out, new.data, new.size_bytes);
        done = at;
        left -= left > 0;
        if (old.size_bytes == 0) { /* an empty text stands before every character */
            int length = 0;
            if (at < text.size_bytes)
                (void)tx_utf8_next(text.data + at, text.size_bytes - at, &length);
            at += length ? (size_t)length : 1;
        } else {
            done = at += old.size_bytes;
        }
        status = tx_eval_charge(eval, new.size_bytes / 64 + 1);
        if (status == HASTEN_OK && out.size_bytes > TX_OUTPUT_LIMIT)
            status = tx_eval_fail(eval, HASTEN_LIMIT, "template needs too much memory");
    }
    if (status == HASTEN_OK && done < text.size_bytes)
        hs_buffer_append(&out, text.data + done, text.size_bytes - done);
    if (status == HASTEN_OK)
        return tx_eval_take(eval, &out, value_out);
    hs_buffer_free(&out);
    return status;
}

enum hasten_status tx_text_join(struct tx_eval *eval, struct hs_str separator,
                                const struct tx_value *list, bool convert,
                                struct tx_value *value_out)
{
    struct hs_buffer out = {0};
    enum hasten_status status = HASTEN_OK;
    for (size_t i = 0; status == HASTEN_OK && i < list->list->count; i++) {
        const struct tx_value *item = &list->list->items[i];
        struct hs_str text = {NULL, 0};
        if (!convert && item->kind != TX_STRING)
            status = tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "join of a %s, expected str",
                                  tx_type_name(item));
        else
            status = tx_eval_text(eval, item, &text);
        if (status == HASTEN_OK)
            status = tx_eval_charge(eval, (separator.size_bytes + text.size_bytes) / 64 + 1);
        if (status == HASTEN_OK && out.size_bytes > TX_OUTPUT_LIMIT)
            status = tx_eval_fail(eval, HASTEN_LIMIT, "template needs too much memory");
        if (i)
            hs_buffer_append(&out, separator.data, separator.size_bytes);
        hs_buffer_append(&out, text.data, text.size_bytes);
    }
    if (status == HASTEN_OK)
        return tx_eval_take(eval, &out, value_out);
    hs_buffer_free(&out);
    return status;
}

static enum hasten_status method_strip(const struct call *call, struct tx_value *value_out)
{
    struct hs_str set;
    bool given = call->arguments->count && call->arguments->items[0].kind != TX_NONE;
    if (given)
        HS_TRY(text_at(call, 0, &set));
    HS_TRY(tx_eval_charge(call->eval, call->object.string.size_bytes / 16 + 1));
    *value_out =
        tx_text(tx_strip(call->object.string, given ? &set : NULL, !hs_str_is(call->name, "rstrip"),
                         !hs_str_is(call->name, "lstrip")));
    return HASTEN_OK;
}

static enum hasten_status method_case(const struct call *call, struct tx_value *value_out)
{
    if (hs_str_is(call->name, "capitalize"))
        return tx_text_capitalize(call->eval, call->object.string, value_out);
    return tx_text_case(call->eval, call->object.string, hs_str_is(call->name, "upper"), value_out);
}

static bool has_affix(struct hs_str text, struct hs_str affix, bool at_end)
{
    if (affix.size_bytes > text.size_bytes)
        return false;
    const char *data = text.data + (at_end ? text.size_bytes - affix.size_bytes : 0);
    return affix.size_bytes == 0 || !memcmp(data, affix.data, affix.size_bytes);
}

/* startswith and endswith: a text or a tuple of texts. */
static enum hasten_status method_affix(const struct call *call, struct tx_value *value_out)
{
    const struct tx_value *argument = &call->arguments->items[0];
    bool at_end = hs_str_is(call->name, "endswith"), holds = false;
    size_t count = argument->kind == TX_TUPLE ? argument->list->count : 1;
    HS_TRY(tx_eval_charge(call->eval, count));
    for (size_t i = 0; i < count; i++) {
        const struct tx_value *affix =
            argument->kind == TX_TUPLE ? &argument->list->items[i] : argument;
        if (affix->kind != TX_STRING)
            return tx_eval_fail(call->eval, HASTEN_INVALID_ARGUMENT,
                                "%.*s needs a str or a tuple of str", HS_STR(call->name));
        holds |= has_affix(call->object.string, affix->string, at_end);
    }
    *value_out = tx_bool(holds);
    return HASTEN_OK;
}

static enum hasten_status method_remove_affix(const struct call *call, struct tx_value *value_out)
{
    struct hs_str affix, text = call->object.string;
    bool at_end = hs_str_is(call->name, "removesuffix");
    HS_TRY(text_at(call, 0, &affix));
    if (has_affix(text, affix, at_end)) {
        text.data += at_end ? 0 : affix.size_bytes;
        text.size_bytes -= affix.size_bytes;
    }
    *value_out = tx_text(text);
    return HASTEN_OK;
}

static enum hasten_status method_replace(const struct call *call, struct tx_value *value_out)
{
    struct hs_str ignored;
    HS_TRY(text_at(call, 0, &ignored));
    HS_TRY(text_at(call, 1, &ignored));
    return tx_text_replace(call->eval, call->object.string, call->arguments, value_out);
}

static enum hasten_status method_join(const struct call *call, struct tx_value *value_out)
{
    struct tx_value items;
    HS_TRY(tx_eval_items(call->eval, &call->arguments->items[0], &items));
    return tx_text_join(call->eval, call->object.string, &items, false, value_out);
}

/* A growing list of views into the text that is split. */
struct parts {
    struct tx_value *items;
    size_t count, capacity;
};

static enum hasten_status add_part(struct tx_eval *eval, struct parts *parts, const char *data,
                                   size_t size)
{
    if (parts->count == parts->capacity) {
        size_t capacity = parts->capacity ? parts->capacity * 2 : 8;
        void *items;
        HS_TRY(tx_eval_alloc(eval, capacity, sizeof(struct tx_value), &items));
        if (parts->count)
            memcpy(items, parts->items, parts->count * sizeof(struct tx_value));
        parts->items = items;
        parts->capacity = capacity;
    }
    parts->items[parts->count++] = tx_text((struct hs_str){data, size});
    return HASTEN_OK;
}

static enum hasten_status finish_parts(struct tx_eval *eval, const struct parts *parts,
                                       struct tx_value *value_out)
{
    HS_TRY(tx_eval_list(eval, TX_LIST, parts->count, value_out));
    for (size_t i = 0; i < parts->count; i++)
        value_out->list->items[i] = parts->items[i];
    return tx_eval_seal(eval, value_out);
}

/* split() without separator: runs of white space separate, none at the ends. */
static enum hasten_status split_spaces(struct tx_eval *eval, struct hs_str text, int64_t most,
                                       struct parts *parts)
{
    for (;;) {
        text = tx_strip(text, NULL, true, false);
        if (text.size_bytes == 0)
            return HASTEN_OK;
        size_t at = 0;
        if (most == 0)
            at = text.size_bytes;
        while (at < text.size_bytes) {
            int length;
            if (tx_is_space(tx_utf8_next(text.data + at, text.size_bytes - at, &length)))
                break;
            at += (size_t)length;
        }
        HS_TRY(add_part(eval, parts, text.data, at));
        HS_TRY(tx_eval_charge(eval, at / 16 + 1));
        text.data += at;
        text.size_bytes -= at;
        most -= most > 0;
    }
}

static enum hasten_status split_at(struct tx_eval *eval, struct hs_str text,
                                   struct hs_str separator, int64_t most, struct parts *parts)
{
    size_t done = 0;
    for (; most != 0; most -= most > 0) {
        size_t at = find(text, separator, done);
        if (at == SIZE_MAX)
            break;
        HS_TRY(add_part(eval, parts, text.data + done, at - done));
        done = at + separator.size_bytes;
    }
    return add_part(eval, parts, text.data + done, text.size_bytes - done);
}

static enum hasten_status method_split(const struct call *call, struct tx_value *value_out)
{
    const struct tx_value *separator = tx_argument(call->arguments, 0, "sep");
    const struct tx_value *limit = tx_argument(call->arguments, 1, "maxsplit");
    struct hs_str text = call->object.string;
    struct parts parts = {0};
    int64_t most = -1;
    if ((limit && !tx_integer(limit, &most)) ||
        (separator && separator->kind != TX_NONE &&
         (separator->kind != TX_STRING || separator->string.size_bytes == 0)))
        return tx_eval_fail(call->eval, HASTEN_INVALID_ARGUMENT, "split has wrong arguments");
    HS_TRY(tx_eval_charge(call->eval, text.size_bytes / 64 + 1));
    if (!separator || separator->kind == TX_NONE) {
        if (most == 0)
            text = tx_strip(text, NULL, true, false);
        HS_TRY(split_spaces(call->eval, text, most, &parts));
    } else {
        HS_TRY(split_at(call->eval, text, separator->string, most, &parts));
    }
    return finish_parts(call->eval, &parts, value_out);
}

/* rsplit(separator, limit): from the right. */
static enum hasten_status method_rsplit(const struct call *call, struct tx_value *value_out)
{
    const struct tx_value *limit = tx_argument(call->arguments, 1, "maxsplit");
    struct hs_str separator, text = call->object.string;
    struct parts parts = {0};
    int64_t most = -1;
    if (!limit || !tx_integer(limit, &most) || most < 0) /* all: the side does not matter */
        return method_split(call, value_out);
    HS_TRY(text_at(call, 0, &separator));
    if (separator.size_bytes == 0)
        return tx_eval_fail(call->eval, HASTEN_INVALID_ARGUMENT, "split has wrong arguments");
    for (; most > 0; most--) {
        size_t at = find_last(text, separator);
        HS_TRY(tx_eval_charge(call->eval, (text.size_bytes - (at == SIZE_MAX ? 0 : at)) / 16 + 1));
        if (at == SIZE_MAX)
            break;
        HS_TRY(add_part(call->eval, &parts, text.data + at + separator.size_bytes,
                        text.size_bytes - at - separator.size_bytes));
        text.size_bytes = at;
    }
    HS_TRY(add_part(call->eval, &parts, text.data, text.size_bytes));
    for (size_t i = 0; i < parts.count / 2; i++) {
        struct tx_value part = parts.items[i];
        parts.items[i] = parts.items[parts.count - 1 - i];
        parts.items[parts.count - 1 - i] = part;
    }
    return finish_parts(call->eval, &parts, value_out);
}

/* partition and rpartition: before, separator, after. */
static enum hasten_status method_partition(const struct call *call, struct tx_value *value_out)
{
    struct hs_str separator, text = call->object.string;
    bool last = hs_str_is(call->name, "rpartition");
    HS_TRY(text_at(call, 0, &separator));
    if (separator.size_bytes == 0)
        return tx_eval_fail(call->eval, HASTEN_INVALID_ARGUMENT, "empty separator");
    HS_TRY(tx_eval_charge(call->eval, text.size_bytes / 16 + 1));
    size_t at = last ? find_last(text, separator) : find(text, separator, 0);
    struct hs_str parts[3] = {{text.data, 0}, {text.data, 0}, {text.data, 0}};
    if (at == SIZE_MAX) {
        parts[last ? 2 : 0] = text;
    } else {
        size_t end = at + separator.size_bytes;
        parts[0].size_bytes = at;
        parts[1] = separator;
        parts[2] = (struct hs_str){text.data + end, text.size_bytes - end};
    }
    HS_TRY(tx_eval_list(call->eval, TX_TUPLE, 3, value_out));
    for (int i = 0; i < 3; i++)
        value_out->list->items[i] = tx_text(parts[i]);
    return tx_eval_seal(call->eval, value_out);
}

/* Bytes of the line break at text[at], 0 when there is none. */
static size_t line_break(struct hs_str text, size_t at)
{
    if (text.data[at] == '\r' && at + 1 < text.size_bytes && text.data[at + 1] == '\n')
        return 2;
    int length;
    uint32_t point = tx_utf8_next(text.data + at, text.size_bytes - at, &length);
    bool breaks = (point >= 0x0a && point <= 0x0d) || (point >= 0x1c && point <= 0x1e) ||
                  point == 0x85 || point == 0x2028 || point == 0x2029;
    return breaks ? (size_t)length : 0;
}

enum hasten_status tx_text_lines(struct tx_eval *eval, struct hs_str text,
                                 struct tx_value *list_out)
{
    struct parts parts = {0};
    size_t done = 0;
    HS_TRY(tx_eval_charge(eval, text.size_bytes / 16 + 1));
    for (size_t at = 0; at < text.size_bytes;) {
        size_t length = line_break(text, at);
        if (length) {
            HS_TRY(add_part(eval, &parts, text.data + done, at - done));
            done = at + length;
        }
        at += length ? length : 1;
    }
    if (done < text.size_bytes)
        HS_TRY(add_part(eval, &parts, text.data + done, text.size_bytes - done));
    return finish_parts(eval, &parts, list_out);
}

static enum hasten_status method_splitlines(const struct call *call, struct tx_value *value_out)
{
    return tx_text_lines(call->eval, call->object.string, value_out);
}

static enum hasten_status method_find(const struct call *call, struct tx_value *value_out)
{
    struct hs_str needle, text = call->object.string;
    HS_TRY(text_at(call, 0, &needle));
    HS_TRY(tx_eval_charge(call->eval, text.size_bytes / 16 + 1));
    size_t at = find(text, needle, 0);
    *value_out = tx_int(-1);
    if (at != SIZE_MAX)
        *value_out = tx_int((int64_t)tx_length((struct hs_str){text.data, at}));
    return HASTEN_OK;
}

static enum hasten_status method_count(const struct call *call, struct tx_value *value_out)
{
    struct hs_str needle, text = call->object.string;
    int64_t count = 0;
    HS_TRY(text_at(call, 0, &needle));
    HS_TRY(tx_eval_charge(call->eval, text.size_bytes / 16 + 1));
    if (needle.size_bytes == 0)
        count = (int64_t)tx_length(text) + 1;
    else
        for (size_t at = find(text, needle, 0); at != SIZE_MAX;
             at = find(text, needle, at + needle.size_bytes))
            count++;
    *value_out = tx_int(count);
    return HASTEN_OK;
}

static enum hasten_status method_rfind(const struct call *call, struct tx_value *value_out)
{
    struct hs_str needle, text = call->object.string;
    HS_TRY(text_at(call, 0, &needle));
    HS_TRY(tx_eval_charge(call->eval, text.size_bytes / 16 + 1));
    size_t at = find_last(text, needle);
    *value_out = tx_int(-1);
    if (at != SIZE_MAX)
        *value_out = tx_int((int64_t)tx_length((struct hs_str){text.data, at}));
    return HASTEN_OK;
}

static enum hasten_status method_format(const struct call *call, struct tx_value *value_out)
{
    return tx_text_braces(call->eval, call->object.string, call->arguments, value_out);
}

/* Capitals at the start of each run of letters. */
static enum hasten_status method_title(const struct call *call, struct tx_value *value_out)
{
    HS_TRY(tx_text_case(call->eval, call->object.string, false, value_out));
    char *text = (char *)(uintptr_t)value_out->string.data;
    bool starts = true;
    for (size_t i = 0; i < value_out->string.size_bytes; i++) {
        bool letter = text[i] >= 'a' && text[i] <= 'z';
        if (letter && starts)
            text[i] = (char)(text[i] - 'a' + 'A');
        starts = !letter;
    }
    return HASTEN_OK;
}

/* isdigit, isalpha, isalnum, isupper, islower, isspace. */
static enum hasten_status method_is(const struct call *call, struct tx_value *value_out)
{
    struct hs_str text = call->object.string;
    bool all = text.size_bytes > 0, upper = false, lower = false;
    HS_TRY(tx_eval_charge(call->eval, text.size_bytes / 64 + 1));
    for (size_t i = 0; i < text.size_bytes; i++) {
        char c = text.data[i];
        if ((uint8_t)c >= 0x80)
            return tx_eval_fail(call->eval, HASTEN_UNSUPPORTED,
                                "%.*s beyond ASCII is not supported", HS_STR(call->name));
        bool digit = c >= '0' && c <= '9', is_upper = c >= 'A' && c <= 'Z';
        bool is_lower = c >= 'a' && c <= 'z';
        upper |= is_upper;
        lower |= is_lower;
        if (hs_str_is(call->name, "isdigit") || hs_str_is(call->name, "isnumeric"))
            all &= digit;
        else if (hs_str_is(call->name, "isalpha"))
            all &= is_upper || is_lower;
        else if (hs_str_is(call->name, "isalnum"))
            all &= digit || is_upper || is_lower;
        else
            all &= tx_is_space((uint8_t)c);
    }
    if (hs_str_is(call->name, "isupper"))
        all = upper && !lower;
    else if (hs_str_is(call->name, "islower"))
        all = lower && !upper;
    *value_out = tx_bool(all);
    return HASTEN_OK;
}

/* --- lists, dicts, loops ------------------------------------------------------------------ */

enum hasten_status tx_dict_items(struct tx_eval *eval, const struct tx_dict *dict,
                                 struct tx_value *value_out)
{
    HS_TRY(tx_eval_list(eval, TX_LIST, dict->count, value_out));
    for (size_t i = 0; i < dict->count; i++) {
        struct tx_value *pair = &value_out->list->items[i];
        HS_TRY(tx_eval_list(eval, TX_TUPLE, 2, pair));
        pair->list->items[0] = dict->pairs[i].key;
        pair->list->items[1] = dict->pairs[i].value;
        HS_TRY(tx_eval_seal(eval, pair));
    }
    return tx_eval_seal(eval, value_out);
}

static enum hasten_status method_items(const struct call *call, struct tx_value *value_out)
{
    return tx_dict_items(call->eval, call->object.dict, value_out);
}

static enum hasten_status method_keys(const struct call *call, struct tx_value *value_out)
{
    const struct tx_dict *dict = call->object.dict;
    bool keys = hs_str_is(call->name, "keys");
    HS_TRY(tx_eval_list(call->eval, TX_LIST, dict->count, value_out));
    for (size_t i = 0; i < dict->count; i++)
        value_out->list->items[i] = keys ? dict->pairs[i].key : dict->pairs[i].value;
    return tx_eval_seal(call->eval, value_out);
}

static enum hasten_status method_get(const struct call *call, struct tx_value *value_out)
{
    HS_TRY(tx_eval_charge(call->eval, call->object.dict->count + 1));
    const struct tx_value *found = tx_dict_find(call->object.dict, &call->arguments->items[0]);
    const struct tx_value *fallback = tx_argument(call->arguments, 1, NULL);
    *value_out = found ? *found : fallback ? *fallback : tx_none();
    return HASTEN_OK;
}

static enum hasten_status method_copy(const struct call *call, struct tx_value *value_out)
{
    *value_out = call->object; /* nothing can change it */
    return HASTEN_OK;
}

/* index and count of an item in a list. */
static enum hasten_status method_place(const struct call *call, struct tx_value *value_out)
{
    const struct tx_list *list = call->object.list;
    int64_t count = 0;
    HS_TRY(tx_eval_charge(call->eval, list->weight));
    for (size_t i = 0; i < list->count; i++) {
        if (!tx_equal(&list->items[i], &call->arguments->items[0]))
            continue;
        count++;
        if (hs_str_is(call->name, "index")) {
            *value_out = tx_int((int64_t)i);
            return HASTEN_OK;
        }
    }
    *value_out = tx_int(count);
    if (hs_str_is(call->name, "count"))
        return HASTEN_OK;
    return tx_eval_fail(call->eval, HASTEN_INVALID_ARGUMENT, "item is not in the list");
}

static enum hasten_status method_cycle(const struct call *call, struct tx_value *value_out)
{
    size_t place = call->object.loop->index0 % (size_t)call->arguments->count;
    *value_out = call->arguments->items[place];
    return HASTEN_OK;
}

enum { ANY_NUMBER = INT32_MAX };

static const struct {
    enum tx_value_kind kind;
    const char *name;
    method_fn call;
    int least, most;
} methods[] = {
    {TX_STRING, "strip", method_strip, 0, 1},
    {TX_STRING, "lstrip", method_strip, 0, 1},
    {TX_STRING, "rstrip", method_strip, 0, 1},
    {TX_STRING, "split", method_split, 0, 2},
    {TX_STRING, "splitlines", method_splitlines, 0, 0},
    {TX_STRING, "startswith", method_affix, 1, 1},
    {TX_STRING, "endswith", method_affix, 1, 1},
    {TX_STRING, "removeprefix", method_remove_affix, 1, 1},
    {TX_STRING, "removesuffix", method_remove_affix, 1, 1},
    {TX_STRING, "upper", method_case, 0, 0},
    {TX_STRING, "lower", method_case, 0, 0},
    {TX_STRING, "capitalize", method_case, 0, 0},
    {TX_STRING, "replace", method_replace, 2, 3},
    {TX_STRING, "join", method_join, 1, 1},
    {TX_STRING, "find", method_find, 1, 1},
    {TX_STRING, "count", method_count, 1, 1},
    {TX_STRING, "rfind", method_rfind, 1, 1},
    {TX_STRING, "rsplit", method_rsplit, 0, 2},
    {TX_STRING, "partition", method_partition, 1, 1},
    {TX_STRING, "rpartition", method_partition, 1, 1},
    {TX_STRING, "format", method_format, 0, ANY_NUMBER},
    {TX_STRING, "title", method_title, 0, 0},
    {TX_STRING, "isdigit", method_is, 0, 0},
    {TX_STRING, "isnumeric", method_is, 0, 0},
    {TX_STRING, "isalpha", method_is, 0, 0},
    {TX_STRING, "isalnum", method_is, 0, 0},
    {TX_STRING, "isupper", method_is, 0, 0},
    {TX_STRING, "islower", method_is, 0, 0},
    {TX_STRING, "isspace", method_is, 0, 0},
    {TX_LIST, "index", method_place, 1, 1},
    {TX_LIST, "count", method_place, 1, 1},
    {TX_LIST, "copy", method_copy, 0, 0},
    {TX_TUPLE, "index", method_place, 1, 1},
    {TX_TUPLE, "count", method_place, 1, 1},
    {TX_DICT, "copy", method_copy, 0, 0},
    {TX_DICT, "items", method_items, 0, 0},
    {TX_DICT, "keys", method_keys, 0, 0},
    {TX_DICT, "values", method_keys, 0, 0},
    {TX_DICT, "get", method_get, 1, 2},
    {TX_LOOP, "cycle", method_cycle, 1, ANY_NUMBER},
};
enum { METHOD_COUNT = sizeof methods / sizeof methods[0] };

bool tx_has_method(const struct tx_value *object, struct hs_str name)
{
    for (int i = 0; i < METHOD_COUNT; i++)
        if (methods[i].kind == object->kind && hs_str_is(name, methods[i].name))
            return true;
    return false;
}

enum hasten_status tx_call_method(struct tx_eval *eval, const struct tx_method *method,
                                  const struct tx_arguments *arguments, struct tx_value *value_out)
{
    int i = 0;
    while (i < METHOD_COUNT &&
           !(methods[i].kind == method->object.kind && hs_str_is(method->name, methods[i].name)))
        i++;
    if (i == METHOD_COUNT)
        return tx_eval_fail(eval, HASTEN_INTERNAL, "method is gone");
    HS_TRY(tx_check_count(eval, method->name, arguments, methods[i].least, methods[i].most));
    struct call call = {eval, method->object, method->name, arguments};
    return methods[i].call(&call, value_out);
}

/* --- global functions --------------------------------------------------------------------- */

static enum hasten_status call_range(struct tx_eval *eval, const struct tx_arguments *arguments,
                                     struct tx_value *value_out)
{
    int64_t bounds[3] = {0, 0, 1};
    HS_TRY(tx_check_count(eval, hs_str_of("range"), arguments, 1, 3));
    for (int i = 0; i < arguments->count; i++)
        if (!tx_integer(&arguments->items[i], &bounds[arguments->count == 1 ? 1 : i]))
            return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "range of a %s",
                                tx_type_name(&arguments->items[i]));
    int64_t first = bounds[0], last = bounds[1], step = bounds[2];
    if (step == 0)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "range step is zero");
    uint64_t span = step > 0 ? (last > first ? (uint64_t)last - (uint64_t)first : 0)
                             : (first > last ? (uint64_t)first - (uint64_t)last : 0);
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    uint64_t count = span ? (span - 1) / stride + 1 : 0;
    if (count > TX_RANGE_LIMIT)
        return tx_eval_fail(eval, HASTEN_LIMIT, "range is too long (most: %d)", TX_RANGE_LIMIT);
    HS_TRY(tx_eval_list(eval, TX_LIST, (size_t)count, value_out));
    for (uint64_t i = 0; i < count; i++)
        value_out->list->items[i] = tx_int((int64_t)((uint64_t)first + i * (uint64_t)step));
    return tx_eval_seal(eval, value_out);
}

/* The entries of a dict, or of a sequence of pairs. */
static enum hasten_status put_entries(struct tx_eval *eval, struct tx_dict *dict,
                                      const struct tx_value *source)
{
    struct tx_value items, pair;
    for (size_t i = 0; source->kind == TX_DICT && i < source->dict->count; i++)
        HS_TRY(tx_eval_put(eval, dict, &source->dict->pairs[i].key, &source->dict->pairs[i].value));
    if (source->kind == TX_DICT)
        return HASTEN_OK;
    HS_TRY(tx_eval_items(eval, source, &items));
    for (size_t i = 0; i < items.list->count; i++) {
        HS_TRY(tx_eval_items(eval, &items.list->items[i], &pair));
        if (pair.list->count != 2 || tx_depth(&pair.list->items[0]))
            return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "dict of what are no pairs");
        HS_TRY(tx_eval_put(eval, dict, &pair.list->items[0], &pair.list->items[1]));
    }
    return HASTEN_OK;
}

/* namespace(entries, a=1, ...) and dict(entries, a=1, ...). */
static enum hasten_status call_dict(struct tx_eval *eval, enum tx_value_kind kind,
                                    const struct tx_arguments *arguments,
                                    struct tx_value *value_out)
{
    HS_TRY(tx_check_count(eval, hs_str_of(kind == TX_DICT ? "dict" : "namespace"), arguments, 0,
                          arguments->count - arguments->positional + 1));
    HS_TRY(tx_eval_dict(eval, kind, value_out));
    if (arguments->positional)
        HS_TRY(put_entries(eval, value_out->dict, &arguments->items[0]));
    for (int i = arguments->positional; i < arguments->count; i++) {
        struct tx_value key = tx_text(arguments->names[i]);
        HS_TRY(tx_eval_put(eval, value_out->dict, &key, &arguments->items[i]));
    }
    return HASTEN_OK;
}

static enum hasten_status call_raise(struct tx_eval *eval, const struct tx_arguments *arguments)
{
    struct hs_str text;
    HS_TRY(tx_check_count(eval, hs_str_of("raise_exception"), arguments, 1, 1));
    HS_TRY(tx_eval_text(eval, &arguments->items[0], &text));
    return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "%.*s",
                        (int)(text.size_bytes < 200 ? text.size_bytes : 200), text.data);
}

enum hasten_status tx_call_function(struct tx_eval *eval, enum tx_function function,
                                    const struct tx_arguments *arguments,
                                    struct tx_value *value_out)
{
    switch (function) {
    case TX_FN_RAISE:
        return call_raise(eval, arguments);
    case TX_FN_RANGE:
        return call_range(eval, arguments, value_out);
    case TX_FN_STRFTIME:
        return tx_call_strftime(eval, arguments, value_out);
    case TX_FN_NAMESPACE:
        return call_dict(eval, TX_NAMESPACE, arguments, value_out);
    default:
        return call_dict(eval, TX_DICT, arguments, value_out);
    }
}
