/* Reads requests; see completion_spec.h. Prompts and messages: completion_input.c. */
#include "serve/completion_spec.h"

#include <math.h>
#include <string.h>

#include "serve/completion_input.h"
#include "serve/json_source.h"
#include "text/stop_strings.h"

enum { COMPLETION_TOKENS_DEFAULT = 16 };

static bool read_seed(struct sv_spec *spec, struct sv_problem *problem)
{
    int64_t seed = 0;
    spec->has_seed = sv_json_field(spec->root, "seed") != NULL;
    if (!sv_json_int(spec->root, "seed", (struct sv_json_range){-0x1p63, 0x1p63}, problem, &seed))
        return false;
    spec->sampling.seed = (uint64_t)seed;
    return true;
}

static bool read_sampling(struct sv_spec *spec, struct sv_problem *problem)
{
    const json_t *root = spec->root;
    struct tx_sampling *s = &spec->sampling;
    *s = tx_sampling_default();
    s->temperature = 1;
    s->last_n = -1; /* penalties see prompt and answer */
    const struct sv_json_range share = {0, 1}, factor = {0.01, 100}, penalty = {-2, 2};
    if (!sv_json_real(root, "temperature", (struct sv_json_range){0, 100}, problem,
                      &s->temperature) ||
        !sv_json_real(root, "top_p", share, problem, &s->top_p) ||
        !sv_json_real(root, "min_p", share, problem, &s->min_p) ||
        !sv_json_real(root, "typical_p", share, problem, &s->typical_p) ||
        !sv_json_int(root, "top_k", (struct sv_json_range){-1, 1e9}, problem, &s->top_k) ||
        !sv_json_real(root, "repetition_penalty", factor, problem, &s->repetition_penalty) ||
        !sv_json_real(root, "presence_penalty", penalty, problem, &s->presence_penalty) ||
        !sv_json_real(root, "frequency_penalty", penalty, problem, &s->frequency_penalty))
        return false;
    s->top_k = s->top_k < 0 ? 0 : s->top_k;
    return read_seed(spec, problem);
}

/* "123" to 123; -1 when it is none. */
static int32_t token_id(const char *text)
{
    int64_t id = 0;
    if (!text[0] || strlen(text) > 9)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        id = id * 10 + (*text - '0');
    }
    return (int32_t)id;
}

static bool read_bias(struct sv_spec *spec, struct sv_problem *problem)
{
    const char *name = "logit_bias", *key;
    const json_t *value = sv_json_field(spec->root, name);
    if (!value)
        return true;
    if (!json_is_object(value) || json_object_size(value) > TX_LOGIT_BIASES_MAX)
        return sv_fail(problem, 400, name, "logit_bias must be an object of at most %d token ids",
                       TX_LOGIT_BIASES_MAX);
    size_t count = json_object_size(value), i = 0;
    struct tx_logit_bias *biases = hs_arena_alloc(&spec->arena, count + 1, sizeof *biases);
    if (!biases)
        return sv_fail(problem, 503, NULL, "no memory for the request");
    for (void *at = json_object_iter((json_t *)(uintptr_t)value); at && i < count;
         at = json_object_iter_next((json_t *)(uintptr_t)value, at)) {
        const json_t *bias = json_object_iter_value(at);
        double number = json_number_value(bias);
        key = json_object_iter_key(at);
        int32_t id = token_id(key);
        if (id < 0 || !json_is_number(bias) || !(fabs(number) <= 100))
            return sv_fail(problem, 400, name,
                           "logit_bias must give token ids numbers from -100 to 100");
        biases[i++] = (struct tx_logit_bias){id, number};
    }
    spec->sampling.logit_bias = biases;
    spec->sampling.logit_bias_count = (int32_t)i;
    return true;
}

static bool add_stop(struct sv_spec *spec, const json_t *value, struct sv_problem *problem)
{
    struct hs_str text = sv_json_view(value);
    if (!json_is_string(value) || text.size_bytes == 0 || text.size_bytes > TX_STOP_BYTES_MAX)
        return sv_fail(problem, 400, "stop", "stop must be strings of 1 to %d bytes",
                       TX_STOP_BYTES_MAX);
    char *copy = hs_arena_strndup(&spec->arena, text.data, text.size_bytes);
    if (!copy)
        return sv_fail(problem, 503, NULL, "no memory for the request");
    spec->stops[spec->stop_count++] = (struct hs_str){copy, text.size_bytes};
    return true;
}

static bool read_stops(struct sv_spec *spec, struct sv_problem *problem)
{
    const json_t *value = sv_json_field(spec->root, "stop");
    if (!value)
        return true;
    spec->stops = hs_arena_alloc(&spec->arena, SV_STOPS_MAX, sizeof *spec->stops);
    if (!spec->stops)
        return sv_fail(problem, 503, NULL, "no memory for the request");
    if (json_is_string(value))
        return add_stop(spec, value, problem);
    if (!json_is_array(value) || json_array_size(value) > SV_STOPS_MAX)
        return sv_fail(problem, 400, "stop", "stop must be a string or at most %d strings",
                       SV_STOPS_MAX);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!add_stop(spec, json_array_get(value, i), problem))
            return false;
    return true;
}

static bool read_lengths(struct sv_spec *spec, struct sv_problem *problem)
{
    const struct sv_json_range range = {0, 1e9};
    int64_t n = 1;
    spec->max_tokens = spec->form == SV_CHAT ? -1 : COMPLETION_TOKENS_DEFAULT;
    if (!sv_json_int(spec->root, "max_tokens", range, problem, &spec->max_tokens) ||
        !sv_json_int(spec->root, "max_completion_tokens", range, problem, &spec->max_tokens) ||
        !sv_json_int(spec->root, "n", (struct sv_json_range){1, SV_N_MAX}, problem, &n))
        return false;
    spec->n = (int32_t)n;
    return true;
}

static bool read_stream(struct sv_spec *spec, struct sv_problem *problem)
{
    const json_t *options = sv_json_field(spec->root, "stream_options");
    if (!sv_json_bool(spec->root, "stream", problem, &spec->is_stream))
        return false;
    if (options && !json_is_object(options))
        return sv_fail(problem, 400, "stream_options", "stream_options must be an object");
    return !options || sv_json_bool(options, "include_usage", problem, &spec->include_usage);
}

/* Chat has a switch and a count, completions a count alone. */
static bool read_logprobs(struct sv_spec *spec, struct sv_problem *problem)
{
    const struct sv_json_range range = {0, SV_LOGPROBS_MAX};
    int64_t count = spec->form == SV_CHAT ? 0 : -1;
    bool is_wanted = true;
    if (spec->form == SV_CHAT) {
        is_wanted = false;
        if (!sv_json_bool(spec->root, "logprobs", problem, &is_wanted) ||
            !sv_json_int(spec->root, "top_logprobs", range, problem, &count))
            return false;
        if (count > 0 && !is_wanted)
            return sv_fail(problem, 400, "top_logprobs", "top_logprobs needs logprobs: true");
    } else if (!sv_json_int(spec->root, "logprobs", range, problem, &count)) {
        return false;
    }
    spec->logprobs = is_wanted ? (int32_t)count : -1;
    return true;
}

static bool is_set(const json_t *value)
{
    if (!value || json_is_false(value))
        return false;
    if (json_is_array(value))
        return json_array_size(value) > 0;
    if (json_is_string(value))
        return json_string_length(value) > 0;
    return true;
}

/* An answer that leaves them out would be a wrong one. */
static bool refuse_unsupported(const struct sv_spec *spec, struct sv_problem *problem)
{
    static const char *const names[] = {"echo",
                                        "suffix",
                                        "functions",
                                        "audio",
                                        "guided_json",
                                        "guided_regex",
                                        "guided_choice",
                                        "guided_grammar",
                                        "structured_outputs",
                                        "use_beam_search",
                                        "prompt_logprobs",
                                        "stop_token_ids",
                                        "bad_words",
                                        "allowed_token_ids"};
    int64_t best_of = 1;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (is_set(sv_json_field(spec->root, names[i])))
            return sv_fail(problem, 400, names[i], "%s is not supported by this server", names[i]);
    const json_t *choice = sv_json_field(spec->root, "tool_choice");
    bool no_tools = json_is_string(choice) && strcmp(json_string_value(choice), "none") == 0;
    if (!no_tools && is_set(sv_json_field(spec->root, "tools")))
        return sv_fail(problem, 400, "tools", "tools are not supported by this server yet");
    const json_t *format = sv_json_field(spec->root, "response_format");
    const json_t *kind = json_object_get(format, "type");
    if (format && !(json_is_string(kind) && strcmp(json_string_value(kind), "text") == 0))
        return sv_fail(problem, 400, "response_format",
                       "response_format can only be {\"type\": \"text\"} on this server");
    if (!sv_json_int(spec->root, "best_of", (struct sv_json_range){1, 1e9}, problem, &best_of))
        return false;
    if (best_of > spec->n)
        return sv_fail(problem, 400, "best_of", "best_of is not supported by this server");
    return true;
}

const char *sv_input_field(const struct sv_spec *spec)
{
    static const char *const names[] = {
        [SV_COMPLETION] = "prompt", [SV_CHAT] = "messages", [SV_EMBEDDING] = "input"};
    return names[spec->form];
}

static bool read_embedding(struct sv_spec *spec, struct sv_problem *problem)
{
    struct hs_str format = {0};
    spec->n = 1;
    spec->logprobs = -1;
    spec->sampling = tx_sampling_default();
    if (!sv_json_text(spec->root, "encoding_format", problem, &format) ||
        !sv_json_int(spec->root, "dimensions", (struct sv_json_range){1, 1e9}, problem,
                     &spec->dimensions))
        return false;
    spec->is_base64 = format.data && hs_str_is(format, "base64");
    if (format.data && !spec->is_base64 && !hs_str_is(format, "float"))
        return sv_fail(problem, 400, "encoding_format", "encoding_format must be float or base64");
    if (is_set(sv_json_field(spec->root, "truncate_prompt_tokens")))
        return sv_fail(problem, 400, "truncate_prompt_tokens",
                       "truncate_prompt_tokens is not supported by this server");
    return sv_read_prompts(spec, problem);
}

static bool read_completion(struct sv_spec *spec, struct sv_problem *problem)
{
    if (!sv_json_bool(spec->root, "ignore_eos", problem, &spec->ignore_eos) ||
        !read_lengths(spec, problem) || !read_sampling(spec, problem) ||
        !read_bias(spec, problem) || !read_stops(spec, problem) || !read_stream(spec, problem) ||
        !read_logprobs(spec, problem) || !refuse_unsupported(spec, problem))
        return false;
    if (!(spec->form == SV_CHAT ? sv_read_messages(spec, problem) : sv_read_prompts(spec, problem)))
        return false;
    if (spec->prompt_count * spec->n > SV_CHOICES_MAX)
        return sv_fail(problem, 400, "n", "prompts times n may be at most %d", SV_CHOICES_MAX);
    return true;
}

bool sv_spec_read(struct hs_str body, enum sv_form form, struct sv_problem *problem,
                  struct sv_spec *spec_out)
{
    struct sv_spec *spec = spec_out;
    *spec = (struct sv_spec){.form = form};
    if (!sv_json_read(body, problem, &spec->root) ||
        !sv_json_text(spec->root, "model", problem, &spec->model))
        return false;
    return form == SV_EMBEDDING ? read_embedding(spec, problem) : read_completion(spec, problem);
}

void sv_spec_drop_source(struct sv_spec *spec)
{
    json_decref(spec->root);
    tx_pool_free(&spec->pool);
    spec->root = NULL;
    spec->messages = NULL;
    spec->prompts = NULL;
    spec->model = (struct hs_str){0};
}

void sv_spec_free(struct sv_spec *spec)
{
    sv_spec_drop_source(spec);
    hs_arena_free(&spec->arena);
}
