/*
 * Sampling options of `run`: from the command line to the engine's structs, and log probabilities
 * from the engine to JSON. They are kept as plain numbers while tokens come and become JSON at the
 * end, so that asking for them costs a token as little as possible.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run_job.h"

/* "ID=BIAS"; the bias may be -inf, which forbids the token. */
static enum hasten_status parse_bias(const char *text, struct tx_logit_bias *bias_out,
                                     struct hs_error *error)
{
    char *end = NULL;
    const char *number = strchr(text, '=');
    unsigned long long id = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    bool is_good = number && end == number && id <= INT32_MAX && number[1];
    double value = is_good ? strtod(number + 1, &end) : 0;
    if (is_good && !*end && value < (double)INFINITY) {
        *bias_out = (struct tx_logit_bias){(int32_t)id, value};
        return HASTEN_OK;
    }
    (void)hs_fail(error, HASTEN_INVALID_ARGUMENT,
                  "write a token id and a number, as in 198=-5 or 198=-inf (ids: hasten tokenize)",
                  "logit bias '%s' cannot be read", text);
    return hs_error_at(error, "--logit-bias");
}

enum hasten_status run_sampling_open(struct run_job *job)
{
    const struct run_options *options = job->options;
    struct run_sampling *made = &job->sampling;
    made->settings = (struct tx_sampling){
        .temperature = options->temperature,
        .top_k = options->top_k,
        .top_p = options->top_p,
        .min_p = options->min_p,
        .seed = (uint64_t)options->seed,
        .typical_p = options->typical_p,
        .last_n = options->repeat_last_n,
        .repetition_penalty = options->repeat_penalty,
        .presence_penalty = options->presence_penalty,
        .frequency_penalty = options->frequency_penalty,
        .logit_bias = made->biases,
        .logit_bias_count = options->logit_bias.count,
    };
    for (int i = 0; i < options->logit_bias.count; i++)
        HS_TRY(parse_bias(options->logit_bias.items[i], &made->biases[i], &job->cli->error));
    for (int i = 0; i < options->stop.count; i++)
        made->stops[i] = hs_str_of(options->stop.items[i]);
    if (options->logprobs >= 0 && !options->json)
        return hs_fail(&job->cli->error, HASTEN_INVALID_ARGUMENT, "add --json",
                       "--logprobs shows in --json only");
    return tx_sampling_check(&made->settings, &job->cli->error);
}

static void on_logprobs(void *context, const struct tx_logprobs *logprobs)
{
    struct run_job *job = context;
    hs_buffer_append(&job->sampling.logprobs, logprobs, sizeof *logprobs);
}

void run_sampling_apply(struct run_job *job, struct en_generate_options *options)
{
    options->sampling = job->sampling.settings;
    options->stop = job->sampling.stops;
    options->stop_count = job->options->stop.count;
    hs_buffer_clear(&job->sampling.logprobs);
    if (job->options->logprobs < 0)
        return;
    options->on_logprobs = on_logprobs;
    options->logprobs_top = (int32_t)job->options->logprobs;
}

/* {"id", "token", "logprob"}; the logarithm of 0 is null. */
static json_t *logprob_json(const struct run_job *job, const struct tx_logprob *one)
{
    struct hs_buffer piece = {0};
    tx_decode_token(en_tokenizer(job->model), one->id, true, &piece);
    json_t *value =
        json_pack("{s:I,s:o,s:o}", "id", (json_int_t)one->id, "token",
                  cli_json_text((struct hs_str){piece.data, piece.size_bytes}), "logprob",
                  isfinite(one->logprob) ? json_real(one->logprob) : json_null());
    hs_buffer_free(&piece);
    return value;
}

json_t *run_logprobs_json(const struct run_job *job, int64_t count)
{
    json_t *list = json_array();
    const struct hs_buffer *logprobs = &job->sampling.logprobs;
    struct tx_logprobs one;
    for (size_t at = 0; at < logprobs->size_bytes && count-- > 0; at += sizeof one) {
        memcpy(&one, logprobs->data + at, sizeof one);
        json_t *value = logprob_json(job, &one.chosen), *top = json_array();
        for (int32_t i = 0; i < one.top_count; i++)
            json_array_append_new(top, logprob_json(job, &one.top[i]));
        json_object_set_new(value, "top", top);
        json_array_append_new(list, value);
    }
    return list;
}

void run_sampling_close(struct run_job *job)
{
    hs_buffer_free(&job->sampling.logprobs);
}
