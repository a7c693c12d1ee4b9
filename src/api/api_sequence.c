/*
 * Public functions on sequences (sequence.h).
 *
 * A sequence remembers its tokens, for the penalties' window and for whole_prompt. `tokens` has
 * room for the whole context from the start, so that generating allocates nothing.
 */
#include <hasten/sequence.h>
#include <string.h>

#include "api/api_priv.h"

struct hasten_sequence {
    struct hasten_model *model; /* one hold */
    struct rt_sequence *engine;
    int32_t *tokens;    /* [context + 1] those it holds, and what is being generated */
    int64_t count;      /* of tokens; may be ahead of the engine's by what it has not read yet */
    atomic_bool cancel; /* of the running call */
};

static struct en_model *engine_of(const struct hasten_sequence *sequence)
{
    return sequence->model->engine;
}

enum hasten_status hasten_sequence_open(struct hasten_model *model, struct hasten_error *error,
                                        struct hasten_sequence **sequence_out)
{
    hs_error_clear(error);
    struct hasten_sequence *sequence = hs_calloc(1, sizeof *sequence);
    if (!sequence)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a sequence");
    atomic_fetch_add_explicit(&model->holds, 1, memory_order_relaxed);
    sequence->model = model;
    sequence->tokens = hs_calloc((size_t)en_context(model->engine) + 1, sizeof *sequence->tokens);
    enum hasten_status status =
        sequence->tokens ? en_sequence_open(model->engine, error, &sequence->engine)
                         : hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a sequence");
    if (status == HASTEN_OK)
        *sequence_out = sequence;
    else
        hasten_sequence_close(&sequence);
    return status;
}

void hasten_sequence_close(struct hasten_sequence **sequence_inout)
{
    if (!sequence_inout || !*sequence_inout)
        return;
    struct hasten_sequence *sequence = *sequence_inout;
    en_sequence_close(engine_of(sequence), &sequence->engine);
    ap_model_release(sequence->model);
    hs_free(sequence->tokens);
    hs_free(sequence);
    *sequence_inout = NULL;
}

int64_t hasten_sequence_length(const struct hasten_sequence *sequence)
{
    return rt_sequence_length(sequence->engine);
}

enum hasten_status hasten_sequence_rewind(struct hasten_sequence *sequence, int64_t length,
                                          struct hasten_error *error)
{
    hs_error_clear(error);
    HS_TRY(en_sequence_rewind(engine_of(sequence), sequence->engine, length, error));
    sequence->count = length;
    return HASTEN_OK;
}

static void push(struct hasten_sequence *sequence, int32_t token)
{
    if (sequence->count <= en_context(engine_of(sequence)))
        sequence->tokens[sequence->count++] = token;
}

static enum hasten_status check_tokens(const struct hasten_sequence *sequence,
                                       const int32_t *tokens, size_t count, struct hs_error *error)
{
    int64_t context = en_context(engine_of(sequence));
    if (!tokens || count < 1)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "give at least one token",
                       "there are no tokens");
    if (count > (size_t)context)
        return hs_fail(error, HASTEN_LIMIT, "open the model with a larger context, or shorten",
                       "the prompt has %zu tokens, the context holds %lld", count,
                       (long long)context);
    return HASTEN_OK;
}

/* What was not read by the engine is not held, whatever ended the call. */
static void end_call(struct hasten_sequence *sequence)
{
    sequence->count = rt_sequence_length(sequence->engine);
}

enum hasten_status hasten_sequence_feed(struct hasten_sequence *sequence, const int32_t *tokens,
                                        size_t count, struct hasten_error *error, float *logits_out)
{
    hs_error_clear(error);
    HS_TRY(check_tokens(sequence, tokens, count, error));
    atomic_store_explicit(&sequence->cancel, false, memory_order_relaxed);
    for (size_t i = 0; i < count; i++)
        push(sequence, tokens[i]);
    enum hasten_status status = en_read(engine_of(sequence), sequence->engine, tokens,
                                        (int64_t)count, &sequence->cancel, error, logits_out);
    end_call(sequence);
    return status;
}

/* --- generation --- */

struct call { /* what a generation's callbacks need */
    struct hasten_sequence *sequence;
    struct hasten_generate_options options;
};

static bool on_text(void *context, const char *text, size_t size_bytes)
{
    const struct call *call = context;
    return call->options.on_text(call->options.context, text, size_bytes);
}

static void on_token(void *context, int32_t token)
{
    const struct call *call = context;
    push(call->sequence, token);
    if (call->options.on_token)
        call->options.on_token(call->options.context, token);
}

static enum hasten_status take_sampling(const struct hasten_sampling *given, struct hs_error *error,
                                        struct tx_sampling *sampling)
{
    struct hasten_sampling own;
    hasten_sampling_init(&own);
    HS_TRY(ap_take(given, AP_SIZED(own, "hasten_sampling"), error));
    if (own.logit_bias_count > 0 && !own.logit_bias)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "logit_bias must be given");
    *sampling = (struct tx_sampling){
        .temperature = own.temperature,
        .top_k = own.top_k,
        .top_p = own.top_p,
        .min_p = own.min_p,
        .seed = own.seed,
        .typical_p = own.typical_p,
        .last_n = own.last_n,
        .repetition_penalty = own.repetition_penalty,
        .presence_penalty = own.presence_penalty,
        .frequency_penalty = own.frequency_penalty,
        .logit_bias_count = own.logit_bias_count,
    };
    return HASTEN_OK;
}

/* Arrays in the engine's own types: stop texts and biases. */
struct lists {
    struct hs_str *stop;
    struct tx_logit_bias *bias;
};

static enum hasten_status copy_lists(const struct hasten_generate_options *options,
                                     struct en_generate_options *engine, struct hs_error *error,
                                     struct lists *lists)
{
    int32_t biases = engine->sampling.logit_bias_count;
    if (biases < 0 || biases > TX_LOGIT_BIASES_MAX || options->stop_count < 0 ||
        (options->stop_count > 0 && !options->stop))
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "stop or logit_bias has an impossible count");
    lists->stop = hs_calloc((size_t)options->stop_count + 1, sizeof *lists->stop);
    lists->bias = hs_calloc((size_t)biases + 1, sizeof *lists->bias);
    if (!lists->stop || !lists->bias)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a generation");
    for (int32_t i = 0; i < options->stop_count; i++)
        lists->stop[i] = hs_str_of(options->stop[i] ? options->stop[i] : "");
    for (int32_t i = 0; i < biases; i++)
        lists->bias[i] = (struct tx_logit_bias){options->sampling->logit_bias[i].id,
                                                options->sampling->logit_bias[i].bias};
    engine->stop = lists->stop;
    engine->stop_count = options->stop_count;
    engine->sampling.logit_bias = lists->bias;
    return HASTEN_OK;
}

_Static_assert((int)EN_FINISH_STOP == HASTEN_FINISH_STOP &&
                   (int)EN_FINISH_LENGTH == HASTEN_FINISH_LENGTH &&
                   (int)EN_FINISH_CANCEL == HASTEN_FINISH_CANCEL,
               "finish reasons are cast");

static void give_result(const struct en_generated *generated, int64_t reused,
                        struct hasten_result *result)
{
    const struct hasten_result own = {
        .size = sizeof own,
        .finish = (enum hasten_finish)generated->finish,
        .prompt_tokens = generated->prompt_tokens + reused,
        .reused_tokens = reused,
        .completion_tokens = generated->completion_tokens,
        .prompt_ns = generated->prompt_ns,
        .first_token_ns = generated->first_token_ns,
        .decode_ns = generated->decode_ns,
        .gap_p50_ns = generated->gap_p50_ns,
        .gap_p99_ns = generated->gap_p99_ns,
    };
    ap_give(&own, sizeof own, result, result->size);
}

struct prompt {
    const int32_t *tokens; /* [count] */
    int64_t count;
    int64_t reused; /* of them, held already */
};

/* Feeds what of the prompt is not held yet, and generates. */
static enum hasten_status generate(struct hasten_sequence *sequence, struct prompt *prompt,
                                   bool is_whole, struct en_generate_options *engine,
                                   struct en_generated *generated, struct hs_error *error)
{
    struct en_prefix prefix = {sequence->engine, sequence->tokens, sequence->count, prompt->tokens,
                               prompt->count};
    if (is_whole) {
        HS_TRY(en_keep_prefix(engine_of(sequence), &prefix, error, &prompt->reused));
        sequence->count = prompt->reused;
    }
    engine->history = sequence->tokens;
    engine->history_count = sequence->count;
    for (int64_t i = prompt->reused; i < prompt->count; i++)
        push(sequence, prompt->tokens[i]);
    return en_generate(engine_of(sequence), sequence->engine, prompt->tokens + prompt->reused,
                       prompt->count - prompt->reused, engine, error, generated);
}

/* Checks what the caller gave and puts it into the engine's form. */
static enum hasten_status take_generate_options(const struct hasten_generate_options *given,
                                                struct hs_error *error, struct call *call,
                                                struct en_generate_options *engine)
{
    HS_TRY(ap_take(given, AP_SIZED(call->options, "hasten_generate_options"), error));
    HS_TRY(take_sampling(call->options.sampling, error, &engine->sampling));
    engine->max_tokens = call->options.max_tokens;
    engine->ignore_end = call->options.ignore_end;
    engine->on_text = call->options.on_text ? on_text : NULL;
    engine->on_token = on_token;
    engine->context = call;
    engine->cancel = &call->sequence->cancel;
    return HASTEN_OK;
}

enum hasten_status hasten_sequence_generate(struct hasten_sequence *sequence, const int32_t *tokens,
                                            size_t count,
                                            const struct hasten_generate_options *options,
                                            struct hasten_error *error,
                                            struct hasten_result *result)
{
    struct call call = {.sequence = sequence};
    struct en_generate_options engine = {0};
    struct en_generated generated;
    struct lists lists = {0};
    struct prompt prompt = {tokens, (int64_t)count, 0};
    hs_error_clear(error);
    atomic_store_explicit(&sequence->cancel, false, memory_order_relaxed);
    hasten_generate_options_init(&call.options);
    if (result && result->size <= sizeof result->size)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "call hasten_result_init first",
                       "struct hasten_result has no size");
    HS_TRY(check_tokens(sequence, tokens, count, error));
    HS_TRY(take_generate_options(options, error, &call, &engine));
    enum hasten_status status = copy_lists(&call.options, &engine, error, &lists);
    if (status == HASTEN_OK)
        status = generate(sequence, &prompt, call.options.whole_prompt, &engine, &generated, error);
    if (status == HASTEN_OK && result)
        give_result(&generated, prompt.reused, result);
    end_call(sequence);
    hs_free(lists.stop);
    hs_free(lists.bias);
    return status;
}

void hasten_sequence_cancel(struct hasten_sequence *sequence)
{
    atomic_store_explicit(&sequence->cancel, true, memory_order_relaxed);
}
