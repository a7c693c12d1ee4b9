/*
 * Template formatting: indent, title, escape, round, tojson; Python's % and str.format as far as
 * templates use them; strftime_now. Conversions that are not in the tables here are refused by
 * name. Widths are capped, so that a short template makes no long text.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/template_filters.h"

#include "text/text_utf8.h"

enum { WIDTH_MAX = 1000, PRECISION_MAX = 60, INDENT_MAX = 64 };

static enum hasten_status text_of(const struct tx_eval *eval, const struct tx_value *value,
                                  const char *what, struct hs_str *text_out)
{
    *text_out = value->string;
    if (value->kind == TX_STRING)
        return HASTEN_OK;
    return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "%s is a %s, expected str", what,
                        tx_type_name(value));
}

static void put_str(struct hs_str text, struct hs_buffer *out)
{
    hs_buffer_append(out, text.data, text.size_bytes);
}

/* --- filters over texts ------------------------------------------------------------------- */

static const char spaces[INDENT_MAX + 1] =
    "                                                                ";

/* Text of an indentation: a text, or a number of spaces. */
static enum hasten_status indentation(const struct tx_eval *eval, const struct tx_value *value,
                                      struct hs_str *text_out)
{
    int64_t width;
    if (value->kind == TX_STRING) {
        *text_out = value->string;
        return HASTEN_OK;
    }
    if (!tx_integer(value, &width))
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "indent by a %s", tx_type_name(value));
    if (width > INDENT_MAX)
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "indent by more than %d is not supported",
                            INDENT_MAX);
    *text_out = (struct hs_str){spaces, width > 0 ? (size_t)width : 0};
    return HASTEN_OK;
}

enum hasten_status tx_filter_indent(struct tx_eval *eval, const struct tx_value *value,
                                    const struct tx_arguments *arguments,
                                    struct tx_value *value_out)
{
    const struct tx_value *width = tx_argument(arguments, 0, "width");
    const struct tx_value *first = tx_argument(arguments, 1, "first");
    const struct tx_value *blank = tx_argument(arguments, 2, "blank");
    struct hs_str text, unit = {spaces, 4};
    struct hs_buffer out = {0};
    struct tx_value lines;
    HS_TRY(text_of(eval, value, "what is indented", &text));
    if (width)
        HS_TRY(indentation(eval, width, &unit));
    HS_TRY(tx_text_lines(eval, text, &lines));
    /* Jinja2 adds a newline before it splits: a last line that is empty counts. */
    char last = text.size_bytes ? text.data[text.size_bytes - 1] : '\n';
    bool ends = last == '\n' || last == 0x0b || last == 0x0c || (last >= 0x1c && last <= 0x1e);
    size_t count = lines.list->count + ends;
    for (size_t i = 0; i < count; i++) {
        struct hs_str line = {"", 0};
        if (i < lines.list->count)
            line = lines.list->items[i].string;
        bool is_indented =
            i == 0 ? first && tx_truth(first) : line.size_bytes > 0 || (blank && tx_truth(blank));
        hs_buffer_append(&out, "\n", i > 0);
        if (is_indented)
            put_str(unit, &out);
        put_str(line, &out);
        enum hasten_status status = tx_eval_charge(eval, 1 + unit.size_bytes / 16);
        if (status == HASTEN_OK && out.size_bytes > TX_OUTPUT_LIMIT)
            status = tx_eval_fail(eval, HASTEN_LIMIT, "template needs too much memory");
        if (status != HASTEN_OK) {
            hs_buffer_free(&out);
            return status;
        }
    }
    return tx_eval_take(eval, &out, value_out);
}

/* Capitals after the start, white space and - ( { [ <; the rest in lower case. */
enum hasten_status tx_filter_title(struct tx_eval *eval, const struct tx_value *value,
                                   const struct tx_arguments *arguments, struct tx_value *value_out)
{
    struct hs_str text;
    (void)arguments;
    HS_TRY(tx_eval_text(eval, value, &text));
    HS_TRY(tx_text_case(eval, text, false, value_out));
    char *at = (char *)(uintptr_t)value_out->string.data;
    bool starts = true;
    for (size_t i = 0; i < text.size_bytes;) {
        int length;
        uint32_t point = tx_utf8_next(at + i, text.size_bytes - i, &length);
        if (starts && point >= 'a' && point <= 'z')
            at[i] = (char)(at[i] - 'a' + 'A');
        starts = tx_is_space(point) || (point < 0x80 && point && strchr("-({[<", (int)point));
        i += (size_t)length;
    }
    return HASTEN_OK;
}

enum hasten_status tx_text_escape(struct tx_eval *eval, struct hs_str text,
                                  struct tx_value *value_out)
{
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    static const char characters[] = "&<>'\"";
    struct hs_buffer out = {0};
    HS_TRY(tx_eval_charge(eval, text.size_bytes / 16 + 1));
    size_t done = 0;
    for (size_t i = 0; i < text.size_bytes; i++) {
        const char *found = text.data[i] ? strchr(characters, text.data[i]) : NULL;
        if (!found)
            continue;
        hs_buffer_append(&out, text.data + done, i - done);
        hs_buffer_append(&out, entities[found - characters], strlen(entities[found - characters]));
        done = i + 1;
    }
    if (done < text.size_bytes)
        hs_buffer_append(&out, text.data + done, text.size_bytes - done);
    HS_TRY(tx_eval_take(eval, &out, value_out));
    value_out->is_markup = true;
    return HASTEN_OK;
}

enum hasten_status tx_filter_escape(struct tx_eval *eval, const struct tx_value *value,
                                    const struct tx_arguments *arguments,
                                    struct tx_value *value_out)
{
    struct hs_str text;
    (void)arguments;
    *value_out = *value;
    if (value->kind == TX_STRING && value->is_markup)
        return HASTEN_OK;
    HS_TRY(tx_eval_text(eval, value, &text));
    return tx_text_escape(eval, text, value_out);
}

/* --- tojson ------------------------------------------------------------------------------- */

static enum hasten_status json_style(const struct tx_eval *eval,
                                     const struct tx_arguments *arguments,
                                     struct tx_json_style *style)
{
    const struct tx_value *ascii = tx_argument(arguments, 0, "ensure_ascii");
    const struct tx_value *indent = tx_argument(arguments, 1, "indent");
    const struct tx_value *separators = tx_argument(arguments, 2, "separators");
    const struct tx_value *sort_keys = tx_argument(arguments, 3, "sort_keys");
    style->ascii = ascii && tx_truth(ascii);
    style->sort_keys = sort_keys && tx_truth(sort_keys);
    style->has_indent = indent && indent->kind != TX_NONE;
    if (style->has_indent)
        HS_TRY(indentation(eval, indent, &style->indent));
    style->item_separator = hs_str_of(style->has_indent ? "," : ", ");
    style->key_separator = hs_str_of(": ");
    if (!separators || separators->kind == TX_NONE)
        return HASTEN_OK;
    if (!tx_is_sequence(separators) || separators->list->count != 2)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "separators are no pair");
    HS_TRY(text_of(eval, &separators->list->items[0], "a separator", &style->item_separator));
    return text_of(eval, &separators->list->items[1], "a separator", &style->key_separator);
}

enum hasten_status tx_filter_tojson(struct tx_eval *eval, const struct tx_value *value,
                                    const struct tx_arguments *arguments,
                                    struct tx_value *value_out)
{
    static const char *const names[] = {"ensure_ascii", "indent", "separators", "sort_keys"};
    struct tx_json_style style = {0};
    for (int i = arguments->positional; i < arguments->count; i++) {
        bool known = false;
        for (int k = 0; k < 4; k++)
            known |= hs_str_is(arguments->names[i], names[k]);
        if (!known)
            return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "unknown argument of tojson");
    }
    HS_TRY(json_style(eval, arguments, &style));
    HS_TRY(tx_eval_charge_text(eval, value));
    /* What an item adds beside its own text: at most its place's indentation and separators. */
    size_t extra = style.indent.size_bytes * (size_t)(tx_depth(value) + 1) +
                   style.item_separator.size_bytes + style.key_separator.size_bytes;
    size_t weight = tx_weight(value), added;
    if (!hs_size_mul(weight, extra, &added) || added > TX_OUTPUT_LIMIT)
        return tx_eval_fail(eval, HASTEN_LIMIT, "text of a value is too long");
    HS_TRY(tx_eval_charge(eval, added / 64));
    struct hs_buffer buffer = {0};
    if (tx_json(value, &style, &buffer))
        return tx_eval_take(eval, &buffer, value_out);
    hs_buffer_free(&buffer);
    return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT,
                        "tojson does not work on a value that is or contains undefined, a "
                        "namespace or a function");
}

/* --- round -------------------------------------------------------------------------------- */

static double power_of_ten(int64_t exponent)
{
    double power = 1;
    for (int64_t i = 0; i < (exponent < 0 ? -exponent : exponent); i++)
        power *= 10;
    return power;
}

/* Python's round(): to even, of the exact value. */
static double round_decimal(double value, int64_t digits)
{
    char text[400];
    if (digits < 0)
        return nearbyint(value / power_of_ten(digits)) * power_of_ten(digits);
    (void)snprintf(text, sizeof text, "%.*f", (int)digits, value);
    return strtod(text, NULL);
}

enum hasten_status tx_filter_round(struct tx_eval *eval, const struct tx_value *value,
                                   const struct tx_arguments *arguments, struct tx_value *value_out)
{
    const struct tx_value *precision = tx_argument(arguments, 0, "precision");
    const struct tx_value *method = tx_argument(arguments, 1, "method");
    struct hs_str name = hs_str_of("common");
    int64_t digits = 0;
    double number;
    if (method)
        HS_TRY(text_of(eval, method, "method", &name));
    bool ceils = hs_str_is(name, "ceil"), floors = hs_str_is(name, "floor");
    if (!tx_number(value, &number) || (precision && !tx_integer(precision, &digits)) ||
        !(ceils || floors || hs_str_is(name, "common")))
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "round of a %s", tx_type_name(value));
    if (digits < -15 || digits > 15)
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "this precision is not supported");
    double power = power_of_ten(digits);
    *value_out = *value;
    if (ceils || floors) {
        number = digits < 0 ? number / power : number * power;
        number = ceils ? ceil(number) : floor(number);
        *value_out = tx_float(digits < 0 ? number * power : number / power);
    } else if (value->kind == TX_FLOAT) {
        *value_out = tx_float(isfinite(number) ? round_decimal(number, digits) : number);
    } else if (digits < 0) {
        *value_out = tx_int((int64_t)round_decimal(number, digits));
    } else if (value->kind == TX_BOOL) {
        *value_out = tx_int(value->boolean);
    }
    return HASTEN_OK;
}

/* --- % and str.format --------------------------------------------------------------------- */

struct conversion {
    int64_t width, precision; /* precision -1: not given */
    bool left, zero, plus;
    char type; /* s r d f e g x X */
};

static enum hasten_status bad_format(const struct tx_eval *eval, char type)
{
    if (!type)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "format ends too early");
    return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "format character '%c' is not supported",
                        type >= 0x20 && type < 0x7f ? type : '?');
}

/* Pads text to the width: zeros go behind the sign. */
static void pad(const struct conversion *conversion, struct hs_str text, bool left,
                struct hs_buffer *out)
{
    size_t length = tx_length(text), fill = 0;
    if ((size_t)conversion->width > length)
        fill = (size_t)conversion->width - length;
    bool zero = conversion->zero && !left;
    if (zero && text.size_bytes && (text.data[0] == '-' || text.data[0] == '+')) {
        hs_buffer_append(out, text.data, 1);
        text = (struct hs_str){text.data + 1, text.size_bytes - 1};
    }
    for (size_t i = 0; !left && i < fill; i++)
        hs_buffer_append(out, zero ? "0" : " ", 1);
    put_str(text, out);
    for (size_t i = 0; left && i < fill; i++)
        hs_buffer_append(out, " ", 1);
}

static enum hasten_status convert_number(struct tx_eval *eval, const struct conversion *conversion,
                                         const struct tx_value *value, char text[400])
{
    static const char real_types[] = "feg";
    double number;
    int64_t integer;
    bool is_real = strchr(real_types, conversion->type) != NULL;
    int precision = conversion->precision < 0 ? 6 : (int)conversion->precision;
    if (!tx_number(value, &number))
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "a number is needed, not %s",
                            tx_type_name(value));
    if (is_real && !isfinite(number))
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "formatting nan or inf is not supported");
    if (!tx_integer(value, &integer)) {
        if (!is_real && !(fabs(number) < 9e18 && conversion->type == 'd'))
            return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "an int is needed, not float");
        integer = is_real ? 0 : (int64_t)number;
    }
    if (conversion->type == 'f')
        (void)snprintf(text, 400, conversion->plus ? "%+.*f" : "%.*f", precision, number);
    else if (conversion->type == 'e')
        (void)snprintf(text, 400, conversion->plus ? "%+.*e" : "%.*e", precision, number);
    else if (conversion->type == 'g')
        (void)snprintf(text, 400, conversion->plus ? "%+.*g" : "%.*g", precision, number);
    else if (conversion->type == 'd')
        (void)snprintf(text, 400, conversion->plus ? "%+lld" : "%lld", (long long)integer);
    else
        (void)snprintf(text, 400, conversion->type == 'x' ? "%s%llx" : "%s%llX",
                       integer < 0 ? "-" : "",
                       integer < 0 ? 0 - (unsigned long long)integer : (unsigned long long)integer);
    return HASTEN_OK;
}

static enum hasten_status convert(struct tx_eval *eval, const struct conversion *conversion,
                                  const struct tx_value *value, struct hs_buffer *out)
{
    struct hs_str text;
    char digits[400];
    HS_TRY(tx_eval_charge(eval, 1 + (size_t)conversion->width / 16));
    if (conversion->type == 'r') {
        struct hs_buffer repr = {0};
        struct tx_value taken;
        HS_TRY(tx_eval_charge_text(eval, value));
        if (!tx_print(value, true, &repr)) {
            hs_buffer_free(&repr);
            return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "printing a %s is not supported",
                                tx_type_name(value));
        }
        HS_TRY(tx_eval_take(eval, &repr, &taken));
        text = taken.string;
    } else if (conversion->type == 's') {
        HS_TRY(tx_eval_text(eval, value, &text));
    } else {
        HS_TRY(convert_number(eval, conversion, value, digits));
        text = hs_str_of(digits);
    }
    if (conversion->precision >= 0 && (conversion->type == 's' || conversion->type == 'r'))
        text = tx_characters(text, 0, (size_t)conversion->precision);
    HS_TRY(tx_eval_charge(eval, text.size_bytes / 16));
    pad(conversion, text, conversion->left, out);
    return out->size_bytes > TX_OUTPUT_LIMIT
               ? tx_eval_fail(eval, HASTEN_LIMIT, "template needs too much memory")
               : HASTEN_OK;
}

struct reader {
    struct hs_str text;
    size_t at;
};

static char peek(const struct reader *reader)
{
    return reader->at < reader->text.size_bytes ? reader->text.data[reader->at] : 0;
}

/* Decimal digits, at most `limit`; -1 when there are none. */
static int64_t take_digits(struct reader *reader, int64_t limit)
{
    int64_t value = -1;
    for (; peek(reader) >= '0' && peek(reader) <= '9'; reader->at++) {
        value = (value < 0 ? 0 : value) * 10 + (peek(reader) - '0');
        value = value > limit ? limit : value;
    }
    return value;
}

/* Flags, width, precision and type behind "%" or ":"; the type may be left out (def). */
static struct conversion take_conversion(struct reader *reader, const char *flags, char def)
{
    struct conversion made = {.precision = -1};
    for (; peek(reader) && strchr(flags, peek(reader)); reader->at++) {
        made.left |= peek(reader) == '-' || peek(reader) == '<';
        made.zero |= peek(reader) == '0';
        made.plus |= peek(reader) == '+';
    }
    int64_t width = take_digits(reader, WIDTH_MAX);
    made.width = width < 0 ? 0 : width;
    if (peek(reader) == '.') {
        reader->at++;
        made.precision = take_digits(reader, PRECISION_MAX);
        made.precision = made.precision < 0 ? 0 : made.precision;
    }
    made.type = peek(reader);
    if (made.type && strchr("srdiufFegxX", made.type))
        reader->at++;
    else
        made.type = def;
    if (made.type == 'i' || made.type == 'u')
        made.type = 'd';
    if (made.type == 'F')
        made.type = 'f';
    return made;
}

/* The value for a conversion of `%`: the next argument, or a named one. */
static enum hasten_status percent_value(const struct tx_eval *eval, struct reader *reader,
                                        const struct tx_value *values, size_t *next,
                                        const struct tx_value **value_out)
{
    if (peek(reader) != '(') {
        size_t count = values->kind == TX_TUPLE ? values->list->count : 1;
        if (*next >= count)
            return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "not enough arguments for %%");
        *value_out = values->kind == TX_TUPLE ? &values->list->items[*next] : values;
        ++*next;
        return HASTEN_OK;
    }
    size_t begin = ++reader->at;
    while (peek(reader) && peek(reader) != ')')
        reader->at++;
    struct tx_value key = tx_text((struct hs_str){reader->text.data + begin, reader->at - begin});
    *value_out = values->kind == TX_DICT ? tx_dict_find(values->dict, &key) : NULL;
    if (!*value_out || !peek(reader))
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "no such key for %%");
    reader->at++;
    return HASTEN_OK;
}

static enum hasten_status percent(struct tx_eval *eval, struct hs_str format,
                                  const struct tx_value *values, struct hs_buffer *out)
{
    struct reader reader = {format, 0};
    size_t next = 0;
    while (reader.at < format.size_bytes) {
        const struct tx_value *value = NULL;
        char c = format.data[reader.at++];
        if (c != '%') {
            hs_buffer_append(out, &c, 1);
            continue;
        }
        if (peek(&reader) == '%') {
            hs_buffer_append(out, "%", 1);
            reader.at++;
            continue;
        }
        HS_TRY(percent_value(eval, &reader, values, &next, &value));
        struct conversion conversion = take_conversion(&reader, "-0+ #", 0);
        if (!conversion.type)
            return bad_format(eval, peek(&reader));
        HS_TRY(convert(eval, &conversion, value, out));
    }
    size_t count = values->kind == TX_TUPLE ? values->list->count : 1;
    /* As Python has it: only a tuple or a plain value must be used. */
    bool may_be_left =
        values->kind == TX_DICT || values->kind == TX_LIST || values->kind == TX_UNDEFINED;
    if (next < count && !may_be_left)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "not all arguments are used by %%");
    return HASTEN_OK;
}

static enum hasten_status take_or_free(struct tx_eval *eval, enum hasten_status status,
                                       struct hs_buffer *out, struct tx_value *value_out)
{
    if (status == HASTEN_OK)
        return tx_eval_take(eval, out, value_out);
    hs_buffer_free(out);
    return status;
}

enum hasten_status tx_text_percent(struct tx_eval *eval, struct hs_str format,
                                   const struct tx_value *values, struct tx_value *value_out)
{
    struct hs_buffer out = {0};
    HS_TRY(tx_eval_charge(eval, format.size_bytes / 8 + 1));
    return take_or_free(eval, percent(eval, format, values, &out), &out, value_out);
}

/* "..." | format(a, b) or format(a=1) */
enum hasten_status tx_filter_format(struct tx_eval *eval, const struct tx_value *value,
                                    const struct tx_arguments *arguments,
                                    struct tx_value *value_out)
{
    struct hs_str format;
    struct tx_value values;
    HS_TRY(tx_eval_text(eval, value, &format));
    if (arguments->positional && arguments->count > arguments->positional)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "format with arguments of both kinds");
    if (arguments->count > arguments->positional) {
        HS_TRY(tx_eval_dict(eval, TX_DICT, &values));
        for (int i = 0; i < arguments->count; i++) {
            struct tx_value key = tx_text(arguments->names[i]);
            HS_TRY(tx_eval_put(eval, values.dict, &key, &arguments->items[i]));
        }
    } else {
        HS_TRY(tx_eval_list(eval, TX_TUPLE, (size_t)arguments->count, &values));
        for (int i = 0; i < arguments->count; i++)
            values.list->items[i] = arguments->items[i];
        HS_TRY(tx_eval_seal(eval, &values));
    }
    return tx_text_percent(eval, format, &values, value_out);
}

/* The value that the field name ("", "0", "name") stands for. */
static enum hasten_status field_value(const struct tx_eval *eval, struct hs_str name,
                                      const struct tx_arguments *arguments, int *next,
                                      const struct tx_value **value_out)
{
    struct reader reader = {name, 0};
    int64_t place = name.size_bytes ? take_digits(&reader, INT32_MAX) : (*next)++;
    *value_out = NULL;
    if (place >= 0 && reader.at == name.size_bytes) {
        if (place < arguments->positional)
            *value_out = &arguments->items[place];
    } else {
        for (int i = arguments->positional; i < arguments->count; i++)
            if (hs_str_equal(arguments->names[i], name))
                *value_out = &arguments->items[i];
    }
    if (*value_out)
        return HASTEN_OK;
    if (memchr(name.data, '.', name.size_bytes) || memchr(name.data, '[', name.size_bytes))
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "format field '%.*s' is not supported",
                            (int)(name.size_bytes < 60 ? name.size_bytes : 60), name.data);
    return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "no value for a format field");
}

/* A field behind "{": name, !conversion, :format, "}". */
static enum hasten_status format_field(struct tx_eval *eval, struct reader *reader,
                                       const struct tx_arguments *arguments, int *next,
                                       struct hs_buffer *out)
{
    struct conversion conversion = {.precision = -1, .type = 's', .left = true};
    const struct tx_value *value;
    size_t begin = reader->at;
    while (peek(reader) && !strchr("!:}", peek(reader)))
        reader->at++;
    struct hs_str name = {reader->text.data + begin, reader->at - begin};
    HS_TRY(field_value(eval, name, arguments, next, &value));
    bool repr = false;
    if (peek(reader) == '!') {
        reader->at++;
        repr = peek(reader) == 'r';
        if (peek(reader) != 'r' && peek(reader) != 's')
            return bad_format(eval, peek(reader));
        reader->at++;
    }
    if (peek(reader) == ':') {
        double number;
        bool is_number = tx_number(value, &number) && !repr;
        reader->at++;
        bool right = peek(reader) == '>';
        conversion = take_conversion(reader, "<>+0", 's');
        if (conversion.type == 's' && conversion.precision >= 0 && is_number)
            return bad_format(eval, 's');
        conversion.left |= !is_number && !right;
    }
    if (repr)
        conversion.type = 'r';
    if (peek(reader) != '}')
        return bad_format(eval, peek(reader));
    reader->at++;
    return convert(eval, &conversion, value, out);
}

static enum hasten_status braces(struct tx_eval *eval, struct hs_str format,
                                 const struct tx_arguments *arguments, struct hs_buffer *out)
{
    struct reader reader = {format, 0};
    int next = 0;
    while (reader.at < format.size_bytes) {
        char c = format.data[reader.at++];
        bool doubled = (c == '{' || c == '}') && peek(&reader) == c;
        if (c == '{' && !doubled) {
            HS_TRY(format_field(eval, &reader, arguments, &next, out));
            continue;
        }
        if (c == '}' && !doubled)
            return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "single '}' in a format");
        reader.at += doubled;
        hs_buffer_append(out, &c, 1);
    }
    return HASTEN_OK;
}

enum hasten_status tx_text_braces(struct tx_eval *eval, struct hs_str format,
                                  const struct tx_arguments *arguments, struct tx_value *value_out)
{
    struct hs_buffer out = {0};
    HS_TRY(tx_eval_charge(eval, format.size_bytes / 8 + 1));
    return take_or_free(eval, braces(eval, format, arguments, &out), &out, value_out);
}

/* --- strftime ----------------------------------------------------------------------------- */

static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

/* Day of the week, 0 is Sunday, and of the year, 0 is the first (Gregorian calendar). */
static void find_days(const struct tm *now, int *weekday, int *yearday)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t year = (int64_t)now->tm_year + 1900, last = year - 1;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    *yearday = before[now->tm_mon] + now->tm_mday - 1 + (leap && now->tm_mon > 1);
    *weekday = (int)((last * 365 + last / 4 - last / 100 + last / 400 + *yearday + 1) % 7);
}

/* One directive; "-" in front drops the leading zero. False when it is not supported. */
static bool put_directive(const struct tm *now, char directive, bool plain, struct hs_buffer *out)
{
    int weekday, yearday, hour12 = now->tm_hour % 12 ? now->tm_hour % 12 : 12;
    long long year = (long long)now->tm_year + 1900;
    find_days(now, &weekday, &yearday);
    const struct {
        char directive;
        int width, value;
    } numbers[] = {
        {'d', 2, now->tm_mday},         {'m', 2, now->tm_mon + 1}, {'y', 2, (int)(year % 100)},
        {'H', 2, now->tm_hour},         {'I', 2, hour12},          {'M', 2, now->tm_min},
        {'S', 2, now->tm_sec},          {'j', 3, yearday + 1},     {'w', 1, weekday},
        {'u', 1, weekday ? weekday : 7}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].directive == directive) {
            hs_buffer_printf(out, "%0*d", plain ? 1 : numbers[i].width, numbers[i].value);
            return true;
        }
    if (directive == 'A' || directive == 'a')
        hs_buffer_printf(out, "%.*s", directive == 'A' ? 20 : 3, days[weekday]);
    else if (directive == 'B' || directive == 'b' || directive == 'h')
        hs_buffer_printf(out, "%.*s", directive == 'B' ? 20 : 3, months[now->tm_mon]);
    else if (directive == 'Y')
        hs_buffer_printf(out, "%lld", year);
    else if (directive == 'e')
        hs_buffer_printf(out, "%*d", plain ? 1 : 2, now->tm_mday);
    else if (directive == 'p')
        hs_buffer_printf(out, "%s", now->tm_hour < 12 ? "AM" : "PM");
    else if (directive == 'F')
        hs_buffer_printf(out, "%lld-%02d-%02d", year, now->tm_mon + 1, now->tm_mday);
    else if (directive == 'T')
        hs_buffer_printf(out, "%02d:%02d:%02d", now->tm_hour, now->tm_min, now->tm_sec);
    else if (directive == '%' || directive == 'n' || directive == 't')
        hs_buffer_append(out, directive == '%' ? "%" : directive == 'n' ? "\n" : "\t", 1);
    else
        return false;
    return true;
}

enum hasten_status tx_call_strftime(struct tx_eval *eval, const struct tx_arguments *arguments,
                                    struct tx_value *value_out)
{
    struct hs_buffer out = {0};
    struct hs_str format;
    HS_TRY(tx_check_count(eval, hs_str_of("strftime_now"), arguments, 1, 1));
    HS_TRY(text_of(eval, &arguments->items[0], "the date format", &format));
    HS_TRY(tx_eval_charge(eval, format.size_bytes + 1));
    for (size_t at = 0; at < format.size_bytes; at++) {
        if (format.data[at] != '%') {
            hs_buffer_append(&out, &format.data[at], 1);
            continue;
        }
        bool plain = at + 1 < format.size_bytes && format.data[at + 1] == '-';
        at += 1 + plain;
        char directive = at < format.size_bytes ? format.data[at] : 0;
        if (put_directive(eval->now, directive, plain, &out))
            continue;
        hs_buffer_free(&out);
        return tx_eval_fail(eval, HASTEN_UNSUPPORTED, "date format '%%%c' is not supported",
                            directive >= 0x20 && directive < 0x7f ? directive : '?');
    }
    return tx_eval_take(eval, &out, value_out);
}
