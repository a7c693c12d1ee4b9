/*
 * Template lexer: Jinja2's token rules with trim_blocks and lstrip_blocks on (as chat templates are
 * always read), keep_trailing_newline off.
 *
 * White-space control: '-' at a tag strips all white space on that side; without it a block or
 * comment tag takes the newline after it, and the blanks between the start of its line and it; '+'
 * switches that off. A tag's end is recognised only outside brackets, so `{{ {'a': {}} }}` works.
 * Newlines are normalised to \n and one at the end of the source is dropped.
 */
#include "base/status.h"
#include "text/template_ast.h"

#include <stdlib.h>

#include "text/text_utf8.h"

struct lexer {
    struct hs_str source;
    size_t at;
    int line;
    bool line_starting; /* the last tag took a newline with it */
    struct hs_arena *arena;
    struct hs_error *error;
    struct tx_token *tokens;
    size_t count, capacity;
};

static enum hasten_status out_of_memory(const struct lexer *lexer)
{
    return hs_fail(lexer->error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in chat template");
}

static enum hasten_status push(struct lexer *lexer, struct tx_token token)
{
    if (lexer->count == lexer->capacity) {
        size_t capacity = lexer->capacity ? lexer->capacity * 2 : 128;
        struct tx_token *tokens = hs_realloc(lexer->tokens, capacity, sizeof *tokens);
        if (!tokens)
            return out_of_memory(lexer);
        lexer->tokens = tokens;
        lexer->capacity = capacity;
    }
    token.line = token.line ? token.line : lexer->line;
    lexer->tokens[lexer->count++] = token;
    return HASTEN_OK;
}

/* Byte at an offset from the current place, 0 behind the end. */
static char peek(const struct lexer *lexer, size_t offset)
{
    size_t at = lexer->at + offset;
    return at < lexer->source.size_bytes ? lexer->source.data[at] : 0;
}

static bool looking_at(const struct lexer *lexer, const char *text)
{
    size_t length = strlen(text);
    return lexer->source.size_bytes - lexer->at >= length &&
           !memcmp(lexer->source.data + lexer->at, text, length);
}

/* Moves on, counting lines. */
static void advance(struct lexer *lexer, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        lexer->line += lexer->source.data[lexer->at + i] == '\n';
    lexer->at += bytes;
}

static void skip_spaces(struct lexer *lexer)
{
    while (lexer->at < lexer->source.size_bytes) {
        int length;
        uint32_t point = tx_utf8_next(lexer->source.data + lexer->at,
                                      lexer->source.size_bytes - lexer->at, &length);
        if (!tx_is_space(point))
            break;
        advance(lexer, (size_t)length);
    }
}

static enum hasten_status normalise(struct lexer *lexer, struct hs_str source)
{
    if (source.size_bytes > TX_SOURCE_LIMIT)
        return hs_fail(lexer->error, HASTEN_LIMIT, NULL, "chat template of %zu bytes is too long",
                       source.size_bytes);
    char *copy = hs_arena_alloc(lexer->arena, source.size_bytes + 1, 1);
    if (!copy)
        return out_of_memory(lexer);
    size_t length = 0;
    for (size_t i = 0; i < source.size_bytes; i++) {
        if (source.data[i] == '\r' && i + 1 < source.size_bytes && source.data[i + 1] == '\n')
            continue;
        copy[length++] = source.data[i] == '\r' ? '\n' : source.data[i];
    }
    if (length && copy[length - 1] == '\n')
        length--;
    lexer->source = (struct hs_str){copy, length};
    return HASTEN_OK;
}

/* --- text between tags -------------------------------------------------------------------- */

/* Text in front of a tag after its white-space control. */
static struct hs_str trim_text(const struct lexer *lexer, struct hs_str text, char sign,
                               bool is_print)
{
    if (sign == '-')
        return tx_strip(text, NULL, false, true);
    if (sign == '+' || is_print)
        return text;
    size_t line = text.size_bytes; /* where the tag's line starts */
    while (line > 0 && text.data[line - 1] != '\n')
        line--;
    if (line == 0 && !lexer->line_starting)
        return text;
    struct hs_str blanks = {text.data + line, text.size_bytes - line};
    if (tx_strip(blanks, NULL, true, false).size_bytes == 0)
        text.size_bytes = line;
    return text;
}

static enum hasten_status push_text(struct lexer *lexer, struct hs_str text, int line)
{
    if (text.size_bytes == 0)
        return HASTEN_OK;
    return push(lexer, (struct tx_token){.kind = TX_T_DATA, .line = line, .text = text});
}

/* Takes the end of a tag ("%}", "}}", "#}") with its sign and what it strips; false when the text
 * here is no such end. */
static bool take_end(struct lexer *lexer, const char *end, bool trims)
{
    char sign = peek(lexer, 0);
    size_t skip = sign == '-' || (sign == '+' && trims);
    lexer->at += skip;
    bool here = looking_at(lexer, end);
    lexer->at -= skip;
    if (!here)
        return false;
    lexer->at += skip + 2;
    size_t before = lexer->at;
    if (skip && sign == '-')
        skip_spaces(lexer);
    else if (!skip && trims && peek(lexer, 0) == '\n')
        advance(lexer, 1);
    lexer->line_starting = lexer->at > before && lexer->source.data[lexer->at - 1] == '\n';
    return true;
}

static enum hasten_status lex_comment(struct lexer *lexer)
{
    int line = lexer->line;
    while (lexer->at < lexer->source.size_bytes) {
        if (take_end(lexer, "#}", true))
            return HASTEN_OK;
        advance(lexer, 1);
    }
    return hs_fail(lexer->error, HASTEN_CORRUPT_INPUT, NULL,
                   "chat template line %d: comment has no end", line);
}

/* With the place behind "{%" and its sign: takes "raw %}" (or "endraw %}") or nothing. */
static bool take_raw_tag(struct lexer *lexer, const char *name, bool trims)
{
    struct lexer saved = *lexer;
    skip_spaces(lexer);
    if (looking_at(lexer, name)) {
        lexer->at += strlen(name);
        skip_spaces(lexer);
        if ((trims || peek(lexer, 0) != '+') && take_end(lexer, "%}", trims))
            return true;
    }
    *lexer = saved;
    return false;
}

static enum hasten_status lex_raw(struct lexer *lexer)
{
    size_t begin = lexer->at;
    int line = lexer->line;
    for (; lexer->at < lexer->source.size_bytes; advance(lexer, 1)) {
        if (!looking_at(lexer, "{%"))
            continue;
        struct hs_str text = {lexer->source.data + begin, lexer->at - begin};
        struct lexer saved = *lexer;
        lexer->at += 2;
        char sign = peek(lexer, 0);
        if (sign == '-' || sign == '+')
            lexer->at++;
        else
            sign = 0;
        text = trim_text(lexer, text, sign, false);
        if (take_raw_tag(lexer, "endraw", true))
            return push_text(lexer, text, line);
        *lexer = saved;
    }
    return hs_fail(lexer->error, HASTEN_CORRUPT_INPUT, NULL,
                   "chat template line %d: raw block has no end", line);
}

/* --- inside tags -------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) ||
           (uint8_t)c >= 0x80;
}

/* Digits from the current place on, '_' between two of them. */
static size_t digits(const struct lexer *lexer, size_t from)
{
    size_t length = from;
    while (is_digit(peek(lexer, length)) ||
           (length > from && peek(lexer, length) == '_' && is_digit(peek(lexer, length + 1))))
        length++;
    return length;
}

static enum hasten_status lex_number(struct lexer *lexer)
{
    size_t whole = digits(lexer, 0), length = whole;
    bool after_dot = lexer->at > 0 && lexer->source.data[lexer->at - 1] == '.';
    if (!after_dot && peek(lexer, length) == '.' && is_digit(peek(lexer, length + 1)))
        length = digits(lexer, length + 1);
    if (!after_dot && (peek(lexer, length) == 'e' || peek(lexer, length) == 'E')) {
        size_t sign = peek(lexer, length + 1) == '+' || peek(lexer, length + 1) == '-';
        if (is_digit(peek(lexer, length + 1 + sign)))
            length = digits(lexer, length + 1 + sign);
    }
    char text[64];
    size_t used = 0;
    for (size_t i = 0; i < length && used < sizeof text - 1; i++)
        if (peek(lexer, i) != '_')
            text[used++] = peek(lexer, i);
    text[used] = 0;
    struct tx_token token = {.kind = length > whole ? TX_T_FLOAT : TX_T_INT};
    token.text = (struct hs_str){lexer->source.data + lexer->at, length};
    bool prefixed = text[0] == '0' && whole == 1 && strchr("xXoObB", peek(lexer, length)) &&
                    peek(lexer, length);
    uint64_t integer = strtoull(text, NULL, 10);
    if (used == sizeof text - 1 || prefixed ||
        (token.kind == TX_T_INT && (used > 19 || integer > INT64_MAX)))
        return hs_fail(lexer->error, HASTEN_UNSUPPORTED, NULL,
                       "chat template line %d: number %.*s is not supported", lexer->line,
                       (int)(length < 40 ? length + prefixed : 40), token.text.data);
    token.integer = token.kind == TX_T_INT ? (int64_t)integer : 0;
    token.real = token.kind == TX_T_FLOAT ? strtod(text, NULL) : 0;
    lexer->at += length;
    return push(lexer, token);
}

/* Value of up to `count` digits of a base at text[0..size); *used_out: how many there are. */
static uint32_t read_digits(const char *text, size_t size, size_t count, int base, size_t *used_out)
{
    uint32_t value = 0;
    size_t used = 0;
    for (; used < count && used < size; used++) {
        char c = text[used];
        int digit = is_digit(c)              ? c - '0'
                    : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                    : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                             : 99;
        if (digit >= base)
            break;
        value = value * (uint32_t)base + (uint32_t)digit;
    }
    *used_out = used;
    return value;
}

/* Resolves the escape behind a backslash: writes to out[4], sets *written_out; gives the source
 * bytes it took (0: malformed or not supported). */
static size_t unescape(const char *text, size_t size, char out[4], size_t *written_out)
{
    static const char simple[] = "n\nt\tr\r\\\\''\"\"a\ab\bf\fv\v";
    *written_out = 1;
    for (size_t i = 0; simple[i]; i += 2)
        if (text[0] == simple[i]) {
            out[0] = simple[i + 1];
            return 1;
        }
    if (text[0] == '\n') { /* line continuation */
        *written_out = 0;
        return 1;
    }
    size_t used, wanted = text[0] == 'x' ? 2 : text[0] == 'u' ? 4 : text[0] == 'U' ? 8 : 0;
    uint32_t point;
    if (wanted) {
        point = read_digits(text + 1, size - 1, wanted, 16, &used);
        if (used != wanted || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return 0;
        used++;
    } else {
        point = read_digits(text, size, 3, 8, &used);
        if (used == 0) { /* not an escape: the backslash stays */
            out[0] = '\\';
            return text[0] == 'N' ? 0 : SIZE_MAX;
        }
    }
    *written_out = (size_t)tx_utf8_put(point, out);
    return used;
}

static enum hasten_status lex_string(struct lexer *lexer)
{
    char quote = peek(lexer, 0);
    size_t length = 1;
    while (lexer->at + length < lexer->source.size_bytes && peek(lexer, length) != quote)
        length += peek(lexer, length) == '\\' ? 2 : 1;
    if (lexer->at + length >= lexer->source.size_bytes)
        return hs_fail(lexer->error, HASTEN_CORRUPT_INPUT, NULL,
                       "chat template line %d: string has no end", lexer->line);
    const char *text = lexer->source.data + lexer->at + 1;
    size_t size = length - 1, used = 0;
    char *copy = hs_arena_alloc(lexer->arena, size + 4, 1);
    if (!copy)
        return out_of_memory(lexer);
    for (size_t i = 0; i < size;) {
        if (text[i] != '\\') {
            copy[used++] = text[i++];
            continue;
        }
        char out[4];
        size_t written, taken = unescape(text + i + 1, size - i - 1, out, &written);
        if (taken == 0)
            return hs_fail(lexer->error, HASTEN_UNSUPPORTED, NULL,
                           "chat template line %d: escape in string is not supported", lexer->line);
        memcpy(copy + used, out, written); /* an escape is never shorter than what it stands for */
        used += written;
        i += taken == SIZE_MAX ? 1 : 1 + taken;
    }
    struct tx_token token = {.kind = TX_T_STRING, .line = lexer->line, .text = {copy, used}};
    advance(lexer, length + 1);
    return push(lexer, token);
}

static enum hasten_status lex_operator(struct lexer *lexer, int *open)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                            "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (!looking_at(lexer, operators[i]))
            continue;
        size_t length = strlen(operators[i]);
        *open += strchr("[({", operators[i][0]) != NULL;
        *open -= strchr("])}", operators[i][0]) != NULL;
        if (*open < 0)
            break;
        lexer->at += length;
        return push(lexer,
                    (struct tx_token){.kind = TX_T_OPERATOR, .text = {operators[i], length}});
    }
    return hs_fail(lexer->error, HASTEN_CORRUPT_INPUT, NULL,
                   "chat template line %d: unexpected character '%c'", lexer->line,
                   peek(lexer, 0) < 0x20 ? '?' : peek(lexer, 0));
}

static enum hasten_status lex_tag(struct lexer *lexer, bool is_print)
{
    int open = 0; /* brackets */
    int line = lexer->line;
    HS_TRY(push(lexer, (struct tx_token){.kind = is_print ? TX_T_PRINT_BEGIN : TX_T_BLOCK_BEGIN}));
    for (;;) {
        skip_spaces(lexer);
        if (lexer->at >= lexer->source.size_bytes)
            return hs_fail(lexer->error, HASTEN_CORRUPT_INPUT, NULL,
                           "chat template line %d: tag has no end", line);
        int end_line = lexer->line;
        if (open == 0 && take_end(lexer, is_print ? "}}" : "%}", !is_print))
            return push(lexer, (struct tx_token){.kind = is_print ? TX_T_PRINT_END : TX_T_BLOCK_END,
                                                 .line = end_line});
        char c = peek(lexer, 0);
        if (is_digit(c)) {
            HS_TRY(lex_number(lexer));
        } else if (c == '"' || c == '\'') {
            HS_TRY(lex_string(lexer));
        } else if (is_name(c)) {
            size_t length = 0;
            while (is_name(peek(lexer, length)))
                length++;
            struct hs_str name = {lexer->source.data + lexer->at, length};
            lexer->at += length;
            HS_TRY(push(lexer, (struct tx_token){.kind = TX_T_NAME, .text = name}));
        } else {
            HS_TRY(lex_operator(lexer, &open));
        }
    }
}

/* Text up to the next tag, then that tag. */
static enum hasten_status lex_next(struct lexer *lexer)
{
    size_t begin = lexer->at;
    int line = lexer->line;
    while (lexer->at < lexer->source.size_bytes && !looking_at(lexer, "{%") &&
           !looking_at(lexer, "{{") && !looking_at(lexer, "{#"))
        advance(lexer, 1);
    struct hs_str text = {lexer->source.data + begin, lexer->at - begin};
    if (lexer->at == lexer->source.size_bytes)
        return push_text(lexer, text, line);
    char kind = peek(lexer, 1), sign = peek(lexer, 2);
    lexer->at += 2;
    if (sign == '-' || sign == '+')
        lexer->at++;
    else
        sign = 0;
    HS_TRY(push_text(lexer, trim_text(lexer, text, sign, kind == '{'), line));
    lexer->line_starting = false;
    if (kind == '#')
        return lex_comment(lexer);
    if (kind == '%' && take_raw_tag(lexer, "raw", false))
        return lex_raw(lexer);
    return lex_tag(lexer, kind == '{');
}

enum hasten_status tx_template_lex(struct hs_str source, struct hs_arena *arena,
                                   struct hs_error *error, struct tx_token **tokens_out)
{
    struct lexer lexer = {.line = 1, .line_starting = true, .arena = arena, .error = error};
    enum hasten_status status = normalise(&lexer, source);
    while (status == HASTEN_OK && lexer.at < lexer.source.size_bytes)
        status = lex_next(&lexer);
    if (status == HASTEN_OK)
        status = push(&lexer, (struct tx_token){.kind = TX_T_END});
    if (status != HASTEN_OK) {
        hs_free(lexer.tokens);
        return status;
    }
    *tokens_out = lexer.tokens;
    return HASTEN_OK;
}
