/*
 * Pre-tokenizer: runs the patterns of a rule with PCRE2 (UTF, UCP, JIT).
 *
 * Each pattern is run over each piece on its own, so that a lookahead or `$` sees the end of the
 * piece; gaps between matches are pieces too. Effort is bounded by a match limit proportional to
 * the piece, and an empty match cuts but never loops. JIT code uses 32 KiB of machine stack; a
 * match that needs more gets a JIT stack once, and if even that is too small PCRE2's interpreter,
 * which works on the heap.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pretokenizer.h"

#include <pcre2.h>

#include "text/text_utf8.h"

/* Unicode White_Space, as the members of a class. */
#define WHITE_SPACE                                                                                \
    "\\t-\\r\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}"          \
    "\\x{205F}\\x{3000}"

enum { JIT_STACK_START = 64 * 1024, JIT_STACK_MAX = 64 * 1024 * 1024 };
enum { MATCH_LIMIT_BASE = 1000000, MATCH_LIMIT_PER_BYTE = 64 };

struct tx_pretokenizer {
    const struct tx_pretokenizer_rule *rule;
    pcre2_general_context *memory;
    pcre2_code *codes[TX_RULE_PATTERNS];
    int code_count;
};

struct cuts {
    uint32_t *ends;
    size_t count, capacity;
};

struct tx_splitter {
    const struct tx_pretokenizer *pretokenizer;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *jit_stack; /* NULL until a match needs it */
    struct cuts now, before;
};

static void *pcre_alloc(size_t size, void *context)
{
    (void)context;
    return hs_alloc(size);
}

static void pcre_free(void *block, void *context)
{
    (void)context;
    hs_free(block);
}

/* --- finding a rule ----------------------------------------------------------------------- */

static bool names_contain(const char *names, struct hs_str name)
{
    for (const char *at = names; *at;) {
        size_t length = strcspn(at, " ");
        if (hs_str_equal((struct hs_str){at, length}, name))
            return true;
        at += length;
        at += *at == ' ';
    }
    return false;
}

static const struct tx_pretokenizer_rule *find_rule(struct hs_str name)
{
    if (name.size_bytes == 0)
        name = hs_str_of("default");
    for (int i = 0; i < tx_pretokenizer_rule_count; i++)
        if (names_contain(tx_pretokenizer_rules[i].names, name))
            return &tx_pretokenizer_rules[i];
    return NULL;
}

static enum hasten_status fail_unknown(struct hs_str name, struct hs_error *error)
{
    struct hs_buffer known = {0};
    for (int i = 0; i < tx_pretokenizer_rule_count; i++) {
        const char *names = tx_pretokenizer_rules[i].names;
        hs_buffer_printf(&known, "%s%.*s", i ? ", " : "known: ", (int)strcspn(names, " "), names);
    }
    if (name.size_bytes > 64)
        name.size_bytes = 64;
    enum hasten_status status = hs_fail(error, HASTEN_UNSUPPORTED, known.failed ? NULL : known.data,
                                        "pre-tokenizer '%.*s' is not known", HS_STR(name));
    hs_buffer_free(&known);
    return status;
}

/* --- compiling ---------------------------------------------------------------------------- */

/* Copies a pattern with \s and \S written out as white-space classes. */
static void expand_white_space(const char *pattern, struct hs_buffer *out)
{
    bool inside = false; /* a class */
    for (const char *at = pattern; *at; at++) {
        if (*at == '\\' && (at[1] == 's' || at[1] == 'S')) {
            at++;
            if (inside)
                hs_buffer_printf(out, "%s", WHITE_SPACE);
            else
                hs_buffer_printf(out, "[%s%s]", *at == 'S' ? "^" : "", WHITE_SPACE);
            continue;
        }
        if (*at == '\\') {
            hs_buffer_append(out, at, 1);
            at++;
        } else if (*at == '[') {
            inside = true;
        } else if (*at == ']') {
            inside = false;
        }
        hs_buffer_append(out, at, 1);
    }
}

static enum hasten_status compile(struct tx_pretokenizer *pretokenizer, const char *pattern,
                                  struct hs_error *error)
{
    struct hs_buffer expanded = {0};
    expand_white_space(pattern, &expanded);
    pcre2_compile_context *context = pcre2_compile_context_create(pretokenizer->memory);
    pcre2_code *code = NULL;
    int failure = 0;
    size_t offset = 0;
    if (context && !expanded.failed)
        code = pcre2_compile((PCRE2_SPTR)expanded.data, expanded.size_bytes,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY | PCRE2_NO_AUTO_CAPTURE,
                             &failure, &offset, context);
    bool out_of_memory = !context || expanded.failed || failure == PCRE2_ERROR_HEAP_FAILED;
    pcre2_compile_context_free(context);
    hs_buffer_free(&expanded);
    if (!code)
        return out_of_memory ? hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory")
                             : hs_fail(error, HASTEN_INTERNAL, NULL,
                                       "pre-tokenizer pattern fails at byte %zu (pcre2 error %d)",
                                       offset, failure);
    /* Without JIT (not built in, or no executable memory) matching still works, only slower. */
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    pretokenizer->codes[pretokenizer->code_count++] = code;
    return HASTEN_OK;
}

enum hasten_status tx_pretokenizer_open(struct hs_str name, struct hs_error *error,
                                        struct tx_pretokenizer **pretokenizer_out)
{
    const struct tx_pretokenizer_rule *rule = find_rule(name);
    if (!rule)
        return fail_unknown(name, error);
    struct tx_pretokenizer *pretokenizer = hs_calloc(1, sizeof *pretokenizer);
    if (!pretokenizer)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory");
    pretokenizer->rule = rule;
    pretokenizer->memory = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    enum hasten_status status = HASTEN_OK;
    if (!pretokenizer->memory)
        status = hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory");
    for (int i = 0; status == HASTEN_OK && i < TX_RULE_PATTERNS && rule->patterns[i]; i++)
        status = compile(pretokenizer, rule->patterns[i], error);
    if (status != HASTEN_OK) {
        tx_pretokenizer_close(&pretokenizer);
        return status;
    }
    *pretokenizer_out = pretokenizer;
    return HASTEN_OK;
}

void tx_pretokenizer_close(struct tx_pretokenizer **pretokenizer)
{
    if (!*pretokenizer)
        return;
    for (int i = 0; i < (*pretokenizer)->code_count; i++)
        pcre2_code_free((*pretokenizer)->codes[i]);
    pcre2_general_context_free((*pretokenizer)->memory);
    hs_free(*pretokenizer);
    *pretokenizer = NULL;
}

bool tx_pretokenizer_ignores_merges(const struct tx_pretokenizer *pretokenizer)
{
    return pretokenizer->rule->ignore_merges;
}

/* --- cutting ------------------------------------------------------------------------------ */

static enum hasten_status out_of_memory(struct hs_error *error)
{
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory while splitting text");
}

enum hasten_status tx_splitter_open(const struct tx_pretokenizer *pretokenizer,
                                    struct hs_error *error, struct tx_splitter **splitter_out)
{
    struct tx_splitter *splitter = hs_calloc(1, sizeof *splitter);
    if (!splitter)
        return out_of_memory(error);
    splitter->pretokenizer = pretokenizer;
    splitter->match = pcre2_match_data_create(1, pretokenizer->memory);
    splitter->context = pcre2_match_context_create(pretokenizer->memory);
    if (!splitter->match || !splitter->context) {
        tx_splitter_close(&splitter);
        return out_of_memory(error);
    }
    *splitter_out = splitter;
    return HASTEN_OK;
}

void tx_splitter_close(struct tx_splitter **splitter)
{
    if (!*splitter)
        return;
    pcre2_match_data_free((*splitter)->match);
    pcre2_match_context_free((*splitter)->context);
    pcre2_jit_stack_free((*splitter)->jit_stack);
    hs_free((*splitter)->now.ends);
    hs_free((*splitter)->before.ends);
    hs_free(*splitter);
    *splitter = NULL;
}

static bool push_cut(struct cuts *cuts, size_t end)
{
    if (cuts->count == cuts->capacity) {
        size_t capacity = cuts->capacity ? cuts->capacity * 2 : 64;
        uint32_t *ends = hs_realloc(cuts->ends, capacity, sizeof *ends);
        if (!ends)
            return false;
        cuts->ends = ends;
        cuts->capacity = capacity;
    }
    cuts->ends[cuts->count++] = (uint32_t)end;
    return true;
}

/* Next match of code in piece from byte `from` on: PCRE2's result code. */
static int match_next(struct tx_splitter *splitter, const pcre2_code *code, struct hs_str piece,
                      size_t from)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)piece.data;
    int result = pcre2_match(code, subject, piece.size_bytes, from, PCRE2_NO_UTF_CHECK,
                             splitter->match, splitter->context);
    if (result != PCRE2_ERROR_JIT_STACKLIMIT)
        return result;
    if (!splitter->jit_stack) {
        splitter->jit_stack =
            pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, splitter->pretokenizer->memory);
        pcre2_jit_stack_assign(splitter->context, NULL, splitter->jit_stack);
        if (splitter->jit_stack) /* else without: the interpreter needs less at once */
            return match_next(splitter, code, piece, from);
    }
    return pcre2_match(code, subject, piece.size_bytes, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                       splitter->match, splitter->context);
}

/* Cuts text[begin..end) by one pattern into splitter->now. */
static enum hasten_status cut_piece(struct tx_splitter *splitter, const pcre2_code *code,
                                    struct hs_str text, size_t begin, size_t end,
                                    struct hs_error *error)
{
    struct hs_str piece = {text.data + begin, end - begin};
    const size_t *bounds = pcre2_get_ovector_pointer(splitter->match);
    size_t done = 0, from = 0; /* bytes cut off so far; where to look on */
    uint64_t limit = MATCH_LIMIT_BASE + (uint64_t)MATCH_LIMIT_PER_BYTE * piece.size_bytes;
    pcre2_set_match_limit(splitter->context, limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit);
    while (from < piece.size_bytes) {
        int result = match_next(splitter, code, piece, from);
        if (result == PCRE2_ERROR_NOMATCH)
            break;
        if (result < 0)
            return result == PCRE2_ERROR_NOMEMORY
                       ? out_of_memory(error)
                       : hs_fail(error, HASTEN_LIMIT, "shorten the text",
                                 "splitting text into words takes too much effort "
                                 "(pcre2 error %d)",
                                 result);
        if (bounds[0] > done && !push_cut(&splitter->now, begin + bounds[0]))
            return out_of_memory(error);
        if (bounds[1] > bounds[0] && !push_cut(&splitter->now, begin + bounds[1]))
            return out_of_memory(error);
        done = from = bounds[1];
        if (bounds[1] == bounds[0] && from < piece.size_bytes) {
            int length;
            (void)tx_utf8_next(piece.data + from, piece.size_bytes - from, &length);
            from += (size_t)length;
        }
    }
    if (done < piece.size_bytes && !push_cut(&splitter->now, end))
        return out_of_memory(error);
    return HASTEN_OK;
}

enum hasten_status tx_split(struct tx_splitter *splitter, struct hs_str text,
                            struct hs_error *error, const uint32_t **ends_out, size_t *count_out)
{
    if (text.size_bytes > INT32_MAX)
        return hs_fail(error, HASTEN_LIMIT, NULL, "text of %zu bytes is too long", text.size_bytes);
    splitter->now.count = 0;
    if (text.size_bytes && !push_cut(&splitter->now, text.size_bytes))
        return out_of_memory(error);
    for (int i = 0; i < splitter->pretokenizer->code_count; i++) {
        struct cuts before = splitter->now;
        splitter->now = splitter->before;
        splitter->before = before;
        splitter->now.count = 0;
        size_t begin = 0;
        for (size_t k = 0; k < before.count; k++) {
            HS_TRY(cut_piece(splitter, splitter->pretokenizer->codes[i], text, begin,
                             before.ends[k], error));
            begin = before.ends[k];
        }
    }
    *ends_out = splitter->now.ends;
    *count_out = splitter->now.count;
    return HASTEN_OK;
}
