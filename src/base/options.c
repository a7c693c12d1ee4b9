/*
 * Command line parser and its help text, driven by option tables.
 *
 * Parsing is one pass over argv. A value is the next argument whatever it looks like (so that
 * "--seed -1" and a prompt that starts with dashes work). Suggestions use the optimal string
 * alignment distance (Damerau-Levenshtein without editing a transposed pair again; R. Wagner, R.
 * Lowrance, "An Extension of the String-to-String Correction Problem", J. ACM 22, 1975), which
 * counts the swaps that typing makes as one error. Thread-safe: no state outside the call.
 */
#include "base/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define NAME_LIMIT       64 /* longer texts get no suggestion */
#define HELP_COLUMNS     100
#define HELP_LEFT_LIMIT  36 /* longer left parts push the text to the next line */
#define LIST_ITEMS_LIMIT ((int)(sizeof((struct hs_text_list *)0)->items / sizeof(const char *)))

/* --- suggestions --- */

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance; INT32_MAX when a text is longer than NAME_LIMIT. */
static int edit_distance(struct hs_str a, struct hs_str b)
{
    int rows[3][NAME_LIMIT + 1]; /* rows i-2, i-1 and i of the table, by i % 3 */
    if (a.size_bytes > NAME_LIMIT || b.size_bytes > NAME_LIMIT)
        return INT32_MAX;
    int a_length = (int)a.size_bytes, b_length = (int)b.size_bytes;
    for (int j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (int i = 1; i <= a_length; i++) {
        int *now = rows[i % 3];
        const int *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= b_length; j++) {
            int change = a.data[i - 1] != b.data[j - 1];
            now[j] = smaller(last[j - 1] + change, smaller(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1])
                now[j] = smaller(now[j], before[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

struct nearest {
    struct hs_str text;
    int best_distance;
    const char *best; /* NULL: none near enough yet */
};

static struct nearest nearest_to(const char *text, size_t length)
{
    int allowed = length / 3 > 1 ? (int)smaller((int)(length / 3), NAME_LIMIT) : 1;
    return (struct nearest){.text = {text, length}, .best_distance = allowed + 1};
}

static void nearest_consider(struct nearest *nearest, const char *name)
{
    struct hs_str candidate = hs_str_of(name);
    int distance = edit_distance(nearest->text, candidate);
    size_t longer = candidate.size_bytes > nearest->text.size_bytes ? candidate.size_bytes
                                                                    : nearest->text.size_bytes;
    /* A distance of the whole length means that nothing is alike ("a" and "b"). */
    if (distance < nearest->best_distance && (size_t)distance < longer + (longer == 0)) {
        nearest->best_distance = distance;
        nearest->best = name;
    }
}

const char *hs_nearest(const char *text, const char *const *names, int count)
{
    struct nearest nearest = nearest_to(text, strlen(text));
    for (int i = 0; i < count; i++)
        nearest_consider(&nearest, names[i]);
    return nearest.best;
}

/* --- parsing --- */

struct parse {
    const struct hs_option *table;
    int argc;
    char *const *argv;
    int at; /* argument being read */
    char *target;
    struct hs_error *error;
};

#define WRONG(parse, hint, ...) hs_fail((parse)->error, HASTEN_INVALID_ARGUMENT, hint, __VA_ARGS__)

static const struct hs_option *find_long(const struct hs_option *table, struct hs_str name)
{
    for (; table->name; table++)
        if (hs_str_is(name, table->name))
            return table;
    return NULL;
}

static const struct hs_option *find_short(const struct hs_option *table, char letter)
{
    for (; table->name; table++)
        if (table->letter && table->letter == letter)
            return table;
    return NULL;
}

/* Place of the option's value in the caller's struct. */
static void *value_place(const struct parse *parse, const struct hs_option *option)
{
    return parse->target + option->offset;
}

static const char *value_name(const struct hs_option *option)
{
    if (option->value_name)
        return option->value_name;
    return option->kind == HS_OPTION_CHOICE && option->choices ? option->choices : "VALUE";
}

static bool has_range(const struct hs_option *option)
{
    return option->min < 0 || option->min > 0 || option->max < 0 || option->max > 0;
}

static enum hasten_status check_range(const struct parse *parse, const struct hs_option *option,
                                      double value, const char *text)
{
    if (!has_range(option) || (value >= option->min && value <= option->max))
        return HASTEN_OK;
    char hint[128];
    (void)snprintf(hint, sizeof hint, "write a number from %.15g to %.15g", option->min,
                   option->max);
    return WRONG(parse, hint, "--%s is %s, which is out of range", option->name, text);
}

/* Whether text starts as a number does; strtoll and strtod would also skip blanks. */
static bool starts_number(const char *text)
{
    if (*text == '-' || *text == '+')
        text++;
    return (*text >= '0' && *text <= '9') || (*text == '.' && text[1] >= '0' && text[1] <= '9');
}

static enum hasten_status store_int(const struct parse *parse, const struct hs_option *option,
                                    const char *text)
{
    const char *digits = text + (*text == '-' || *text == '+');
    int base = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X') ? 16 : 10;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, base);
    /* "0x" alone ends at the x. */
    if (!starts_number(text) || *end)
        return WRONG(parse, "write a whole number, decimal or 0x...",
                     "--%s is '%s', which is no whole number", option->name, text);
    if (errno == ERANGE)
        return WRONG(parse, "write a number of at most 64 bits",
                     "--%s is %s, which is out of range", option->name, text);
    HS_TRY(check_range(parse, option, (double)value, text));
    *(int64_t *)value_place(parse, option) = value;
    return HASTEN_OK;
}

static enum hasten_status store_real(const struct parse *parse, const struct hs_option *option,
                                     const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (!starts_number(text) || *end || strpbrk(text, "xX"))
        return WRONG(parse, "write a decimal number such as 0.5",
                     "--%s is '%s', which is no number", option->name, text);
    if (!isfinite(value))
        return WRONG(parse, "write a smaller number", "--%s is %s, which is out of range",
                     option->name, text);
    HS_TRY(check_range(parse, option, value, text));
    *(double *)value_place(parse, option) = value;
    return HASTEN_OK;
}

/* The next of the choices "a|b|c" that *rest stands on; false after the last. */
static bool next_choice(const char **rest, struct hs_str *choice_out)
{
    if (!*rest)
        return false;
    size_t length = strcspn(*rest, "|");
    *choice_out = (struct hs_str){*rest, length};
    *rest = (*rest)[length] ? *rest + length + 1 : NULL;
    return true;
}

static enum hasten_status store_choice(const struct parse *parse, const struct hs_option *option,
                                       const char *text)
{
    struct hs_str choice;
    for (const char *rest = option->choices; next_choice(&rest, &choice);) {
        if (hs_str_is(choice, text)) {
            *(const char **)value_place(parse, option) = text;
            return HASTEN_OK;
        }
    }
    char hint[200] = "write one of ";
    for (const char *rest = option->choices; next_choice(&rest, &choice);) {
        size_t used = strlen(hint);
        (void)snprintf(hint + used, sizeof hint - used, "%.*s%s", HS_STR(choice), rest ? ", " : "");
    }
    return WRONG(parse, hint, "--%s is '%s', which is no choice", option->name, text);
}

static enum hasten_status store_list(const struct parse *parse, const struct hs_option *option,
                                     const char *text)
{
    struct hs_text_list *list = value_place(parse, option);
    if (list->count >= LIST_ITEMS_LIMIT)
        return WRONG(parse, "leave some out", "--%s is given more than %d times", option->name,
                     LIST_ITEMS_LIMIT);
    list->items[list->count++] = text;
    return HASTEN_OK;
}

static enum hasten_status store_value(const struct parse *parse, const struct hs_option *option,
                                      const char *text)
{
    switch (option->kind) {
    case HS_OPTION_INT:
        return store_int(parse, option, text);
    case HS_OPTION_REAL:
        return store_real(parse, option, text);
    case HS_OPTION_TEXT:
        *(const char **)value_place(parse, option) = text;
        return HASTEN_OK;
    case HS_OPTION_CHOICE:
        return store_choice(parse, option, text);
    case HS_OPTION_LIST:
        return store_list(parse, option, text);
    case HS_OPTION_FLAG:
        break;
    }
    return WRONG(parse, NULL, "--%s takes no value", option->name);
}

/* Stores the attached value, or the next argument when none is attached (NULL). */
static enum hasten_status take_value(struct parse *parse, const struct hs_option *option,
                                     const char *attached)
{
    if (attached)
        return store_value(parse, option, attached);
    if (parse->at + 1 >= parse->argc) {
        char hint[128];
        (void)snprintf(hint, sizeof hint, "write --%s %s", option->name, value_name(option));
        return WRONG(parse, hint, "--%s needs a value", option->name);
    }
    parse->at++;
    return store_value(parse, option, parse->argv[parse->at]);
}

static enum hasten_status unknown_long(const struct parse *parse, struct hs_str name)
{
    struct nearest nearest = nearest_to(name.data, name.size_bytes);
    for (const struct hs_option *option = parse->table; option->name; option++)
        nearest_consider(&nearest, option->name);
    const char *prefix = "";
    if (!nearest.best && name.size_bytes > 3 && memcmp(name.data, "no-", 3) == 0) {
        nearest = nearest_to(name.data + 3, name.size_bytes - 3);
        for (const struct hs_option *option = parse->table; option->name; option++)
            if (option->kind == HS_OPTION_FLAG)
                nearest_consider(&nearest, option->name);
        prefix = "no-";
    }
    char hint[160] = "see --help";
    if (nearest.best)
        (void)snprintf(hint, sizeof hint, "did you mean --%s%s?", prefix, nearest.best);
    return WRONG(parse, hint, "unknown option --%.*s", HS_STR(name));
}

static enum hasten_status parse_long(struct parse *parse, const char *text)
{
    struct hs_str name = {text, strcspn(text, "=")};
    const char *attached = text[name.size_bytes] ? text + name.size_bytes + 1 : NULL;
    const struct hs_option *option = find_long(parse->table, name);
    bool flag_value = true;
    if (!option && name.size_bytes > 3 && memcmp(text, "no-", 3) == 0) {
        option = find_long(parse->table, (struct hs_str){text + 3, name.size_bytes - 3});
        flag_value = false;
        if (option && option->kind != HS_OPTION_FLAG)
            option = NULL;
    }
    if (!option)
        return unknown_long(parse, name);
    if (option->kind != HS_OPTION_FLAG)
        return take_value(parse, option, attached);
    if (attached) {
        char hint[160];
        (void)snprintf(hint, sizeof hint, "write --%s or --no-%s", option->name, option->name);
        return WRONG(parse, hint, "--%s takes no value", option->name);
    }
    *(bool *)value_place(parse, option) = flag_value;
    return HASTEN_OK;
}

static enum hasten_status parse_short(struct parse *parse, const char *text)
{
    const struct hs_option *option = find_short(parse->table, text[0]);
    if (!option)
        return WRONG(parse, "see --help", "unknown option -%c", text[0]);
    if (option->kind != HS_OPTION_FLAG)
        return take_value(parse, option, text[1] ? text + 1 : NULL);
    if (text[1])
        return WRONG(parse, "write short options one by one", "-%c takes no value", text[0]);
    *(bool *)value_place(parse, option) = true;
    return HASTEN_OK;
}

enum hasten_status hs_options_parse(const struct hs_option *table, int argc, char *const argv[],
                                    void *target, const char **positionals, int *count_out,
                                    struct hs_error *error)
{
    struct parse parse = {
        .table = table, .argc = argc, .argv = argv, .target = target, .error = error};
    int count = 0;
    bool options_ended = false;
    for (; parse.at < argc; parse.at++) {
        const char *text = argv[parse.at];
        enum hasten_status status = HASTEN_OK;
        if (options_ended || text[0] != '-' || !text[1])
            positionals[count++] = text;
        else if (strcmp(text, "--") == 0)
            options_ended = true;
        else if (text[1] == '-')
            status = parse_long(&parse, text + 2);
        else
            status = parse_short(&parse, text + 1);
        if (status != HASTEN_OK) {
            hs_error_at(error, "%s", text);
            return status;
        }
    }
    *count_out = count;
    return HASTEN_OK;
}

/* --- help --- */

/* "  -t, --threads N" */
static size_t left_part(const struct hs_option *option, char *text, size_t size_bytes)
{
    char letter[] = "    ";
    if (option->letter)
        (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
    bool valued = option->kind != HS_OPTION_FLAG;
    int length = snprintf(text, size_bytes, "  %.4s--%s%s%s", option->letter ? letter : "    ",
                          option->name, valued ? " " : "", valued ? value_name(option) : "");
    return length < 0 ? 0 : (size_t)length < size_bytes ? (size_t)length : size_bytes - 1;
}

/* Appends text word by word from column `column`, wrapped under `indent`. */
static void append_wrapped(struct hs_buffer *out, const char *text, size_t indent)
{
    size_t column = indent;
    while (*text) {
        size_t word = strcspn(text, " ");
        bool first = column == indent;
        if (!first && column + 1 + word > HELP_COLUMNS) {
            hs_buffer_printf(out, "\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        hs_buffer_printf(out, "%s%.*s", first ? "" : " ", (int)word, text);
        column += word + !first;
        text += word;
        text += strspn(text, " ");
    }
    hs_buffer_append(out, "\n", 1);
}

/* The help text with what the table knows besides: choices that the left part does not show. */
static void append_help_text(const struct hs_option *option, struct hs_buffer *scratch)
{
    hs_buffer_clear(scratch);
    hs_buffer_printf(scratch, "%s", option->help ? option->help : "");
    if (option->kind == HS_OPTION_CHOICE && option->value_name)
        hs_buffer_printf(scratch, " (%s)", option->choices);
    if (option->kind == HS_OPTION_LIST)
        hs_buffer_printf(scratch, " (repeatable)");
}

void hs_options_help(const struct hs_option *table, struct hs_buffer *out)
{
    char left[160];
    size_t widest = 0;
    for (const struct hs_option *option = table; option->name; option++) {
        size_t width = left_part(option, left, sizeof left);
        if (width > widest && width <= HELP_LEFT_LIMIT)
            widest = width;
    }
    size_t indent = widest + 2;
    struct hs_buffer text = {0};
    for (const struct hs_option *option = table; option->name; option++) {
        size_t width = left_part(option, left, sizeof left);
        append_help_text(option, &text);
        if (text.failed) {
            out->failed = true;
            break;
        }
        if (text.size_bytes == 0)
            hs_buffer_printf(out, "%s", left);
        else if (width <= widest)
            hs_buffer_printf(out, "%-*s", (int)indent, left);
        else
            hs_buffer_printf(out, "%s\n%*s", left, (int)indent, "");
        append_wrapped(out, text.data, indent);
    }
    hs_buffer_free(&text);
}
