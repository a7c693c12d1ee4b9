/*
 * Which file of a model hub's repository a name without a file means.
 *
 * Asked is {endpoint}/api/models/OWNER/NAME[/revision/REVISION], of whose answer only the file
 * names
 * ("siblings") are used. Candidates are .gguf files that are no projector (mmproj) and no
 * importance matrix (imatrix), of split models the first part. With a QUANT: those that have it as
 * a word, in any case. Without: the first type of the preference list below that a candidate has as
 * a word; when none has any and there is one candidate, that one. Among several the shortest name,
 * then the first in byte order. The answer depends on nothing but the list.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "catalog/remote.h"

#define LIST_BYTES_MOST ((size_t)8 << 20)
#define FILES_MOST      4096

/* About 4.5 to 5 bits first: the usual compromise; then larger and exacter, then smaller. */
static const char *const preferred[] = {
    "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "MXFP4",
    "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q6_K",   "Q8_0",   "Q3_K_L",
    "Q3_K_M", "Q3_K_S", "Q2_K", "BF16", "F16",    "FP16",   "F32",
};

static bool is_word_letter(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Whether the text holds the word, in any case, with no letter, digit or '_' beside it. */
static bool has_word(const char *text, struct hs_str word)
{
    for (const char *at = text; *at; at++)
        if (strncasecmp(at, word.data, word.size_bytes) == 0 &&
            (at == text || !is_word_letter(at[-1])) && !is_word_letter(at[word.size_bytes]))
            return true;
    return false;
}

static bool is_candidate(const char *file)
{
    size_t length = strlen(file);
    if (length <= 5 || strcasecmp(file + length - 5, ".gguf") != 0)
        return false;
    for (const char *at = file; *at; at++)
        if (strncasecmp(at, "mmproj", 6) == 0 || strncasecmp(at, "imatrix", 7) == 0)
            return false;
    int parts = ct_split_count(file);
    return parts == 1 || (parts > 1 && strstr(file, "-00001-of-"));
}

static bool is_better(const char *file, const char *best)
{
    size_t a = strlen(file), b = strlen(best);
    return a != b ? a < b : strcmp(file, best) < 0;
}

/* Best candidate with a word (size 0: any); *count_out: how many there are. */
static int best_with(const char *const *files, int count, struct hs_str word, int *count_out)
{
    int best = -1;
    *count_out = 0;
    for (int i = 0; i < count; i++) {
        if (!is_candidate(files[i]) || (word.size_bytes && !has_word(files[i], word)))
            continue;
        ++*count_out;
        if (best < 0 || is_better(files[i], files[best]))
            best = i;
    }
    return best;
}

int ct_hub_rank(const char *const *files, int count, struct hs_str quant)
{
    int matches;
    if (quant.size_bytes)
        return best_with(files, count, quant, &matches);
    for (size_t i = 0; i < sizeof(preferred) / sizeof(preferred[0]); i++) {
        int best = best_with(files, count, hs_str_of(preferred[i]), &matches);
        if (best >= 0)
            return best;
    }
    int only = best_with(files, count, (struct hs_str){"", 0}, &matches);
    return matches == 1 ? only : -1;
}

/* ---- Asking ---- */

struct answer_text {
    struct hs_buffer text;
    const struct ct_pull *pull;
};

static bool take_text(void *context, const void *data, size_t size_bytes)
{
    struct answer_text *answer = context;
    if (size_bytes > LIST_BYTES_MOST - answer->text.size_bytes)
        return false;
    hs_buffer_append(&answer->text, data, size_bytes);
    return !answer->text.failed;
}

static bool begin_text(void *context, const struct ct_http_answer *http)
{
    struct answer_text *answer = context;
    (void)http;
    hs_buffer_clear(&answer->text);
    return true;
}

static bool asking(void *context)
{
    const struct answer_text *answer = context;
    return ct_pull_progress(answer->pull, "asking for the list of files", 0, 0);
}

static enum hasten_status ask(const char *url, const char *token, struct answer_text *answer,
                              struct hs_error *error)
{
    struct ct_http_answer http;
    struct ct_retry retry = ct_retry_new();
    struct ct_http_request request = {.url = url,
                                      .bearer = token,
                                      .begin = begin_text,
                                      .body = take_text,
                                      .continues = asking,
                                      .context = answer};
    for (;;) {
        if (!asking(answer))
            return ct_cancelled(error);
        ct_http_get(&request, &http);
        if (http.end == CT_HTTP_ANSWERED && http.code == 200)
            return HASTEN_OK;
        if (http.end == CT_HTTP_STOPPED && answer->text.size_bytes)
            return hs_fail(error, HASTEN_LIMIT, "name the file", "the list of files is too long");
        if (http.end == CT_HTTP_STOPPED)
            return ct_cancelled(error);
        if (!ct_retry_allows(&retry, &http))
            return ct_http_failed(&http, true, error);
        if (!ct_retry_wait(&retry, &http, asking, answer))
            return ct_cancelled(error);
    }
}

static enum hasten_status no_choice(const char *const *files, int count, struct hs_str quant,
                                    struct hs_error *error)
{
    char hint[256];
    int at = snprintf(hint, sizeof(hint), "name one of its files:");
    int shown = 0;
    for (int i = 0; i < count && at < (int)sizeof(hint); i++)
        if (is_candidate(files[i])) {
            at += snprintf(hint + at, sizeof(hint) - (size_t)at, " %s", files[i]);
            shown++;
        }
    if (!shown)
        return hs_fail(error, HASTEN_NOT_FOUND, "look for a repository whose name ends in GGUF",
                       "the repository has no .gguf file");
    if (quant.size_bytes)
        return hs_fail(error, HASTEN_NOT_FOUND, hint, "no file of the repository has type '%.*s'",
                       HS_STR(quant));
    return hs_fail(error, HASTEN_NOT_FOUND, hint,
                   "the repository has several models and none of a usual type");
}

static enum hasten_status choose_from(const json_t *list, struct hs_str quant,
                                      struct hs_arena *arena, struct hs_error *error,
                                      const char **file_out)
{
    const json_t *siblings = json_object_get(list, "siblings");
    size_t total = json_array_size(siblings);
    int count = 0;
    const char **files = hs_alloc(FILES_MOST * sizeof(*files));
    if (!files)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for the list");
    for (size_t i = 0; i < total && count < FILES_MOST; i++) {
        const json_t *entry = json_array_get(siblings, i);
        const char *file = json_string_value(json_object_get(entry, "rfilename"));
        if (file)
            files[count++] = file;
    }
    int best = ct_hub_rank(files, count, quant);
    enum hasten_status status = best >= 0 ? HASTEN_OK : no_choice(files, count, quant, error);
    const char *file = best >= 0 ? hs_arena_strndup(arena, files[best], strlen(files[best])) : NULL;
    if (status == HASTEN_OK && !file)
        status = hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a name");
    if (status == HASTEN_OK)
        *file_out = file;
    hs_free(files);
    return status;
}

enum hasten_status ct_hub_choose(const struct ct_hf *parts, const struct ct_pull *pull,
                                 struct hs_arena *arena, struct hs_error *error,
                                 const char **file_out)
{
    struct answer_text answer = {.pull = pull};
    char url[CT_URL_BYTES];
    bool is_main = hs_str_is(parts->revision, "main");
    const char *token = getenv("HF_TOKEN");
    char *path = ct_text("/api/models/%.*s/%.*s%s%.*s", HS_STR(parts->owner), HS_STR(parts->name),
                         is_main ? "" : "/revision/", is_main ? 0 : (int)parts->revision.size_bytes,
                         parts->revision.data);
    if (!path || !ct_hub_url(path, url)) {
        hs_free(path);
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "the address is too long");
    }
    hs_free(path);
    enum hasten_status status = ask(url, token && token[0] ? token : NULL, &answer, error);
    json_t *list = status == HASTEN_OK && answer.text.data
                       ? json_loadb(answer.text.data, answer.text.size_bytes, 0, NULL)
                       : NULL;
    if (status == HASTEN_OK && !list)
        status = hs_fail(error, HASTEN_CORRUPT_INPUT, "check HF_ENDPOINT",
                         "the server's list of files is no JSON");
    if (status == HASTEN_OK)
        status = choose_from(list, parts->quant, arena, error, file_out);
    if (status != HASTEN_OK)
        (void)hs_error_at(error, "%s", url);
    json_decref(list);
    hs_buffer_free(&answer.text);
    return status;
}
