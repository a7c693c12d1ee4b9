/*
 * Generation for one sequence: prompt in chunks, then token by token. Everything is allocated
 * before the first token; the loop itself allocates nothing (tests count).
 */
#include "base/clock.h"
#include "engine/model_priv.h"
#include "observe/samples.h"

/* What a buffer must hold without growing: a token's text, or what was held back and that. */
enum { TEXT_BYTES = 512, SHOWN_BYTES = TEXT_BYTES + TX_STOP_BYTES_MAX };

/* Tokens that penalties look at: the last `window` stand at the end of tokens[0..count). */
struct recent {
    int32_t *tokens; /* [2 * window] */
    int64_t window, count;
};

struct generation {
    struct en_model *model;
    struct rt_sequence *sequence;
    const struct en_generate_options *options;
    struct tx_sampler *sampler;
    struct ob_samples gaps;
    struct tx_stream stream;
    struct tx_stops *stops;       /* NULL: none */
    struct hs_buffer text, shown; /* characters of the current token; what of them goes out */
    struct recent recent;
    struct tx_logprobs logprobs;
    bool is_stopped; /* by a stop string */
    struct en_generated result;
};

const char *en_finish_name(enum en_finish finish)
{
    static const char *const names[] = {"stop", "length", "cancel"};
    return names[finish];
}

static bool is_cancelled(const struct en_model *model)
{
    return atomic_load_explicit(&model->cancel, memory_order_relaxed);
}

static void remember(struct recent *recent, int32_t token)
{
    if (recent->window == 0)
        return;
    if (recent->count == 2 * recent->window) {
        memcpy(recent->tokens, recent->tokens + recent->window,
               (size_t)recent->window * sizeof *recent->tokens);
        recent->count = recent->window;
    }
    recent->tokens[recent->count++] = token;
}

/* Hands out what g->text holds, as far as it can be no stop string; false when the receiver wants
 * no more. */
static bool show(struct generation *g)
{
    const struct en_generate_options *options = g->options;
    const struct hs_buffer *shown = &g->text;
    if (g->stops) {
        struct hs_str text = {g->text.data, g->text.size_bytes};
        hs_buffer_clear(&g->shown);
        g->is_stopped = tx_stops_push(g->stops, text, &g->shown);
        shown = &g->shown;
    }
    return shown->size_bytes == 0 || !options->on_text ||
           options->on_text(options->context, shown->data, shown->size_bytes);
}

/* Hands the token on; false when the receiver wants no more. */
static bool emit(struct generation *g, int32_t token)
{
    const struct en_generate_options *options = g->options;
    if (options->on_token)
        options->on_token(options->context, token);
    if ((!options->on_text && !g->stops) || !g->model->tokenizer)
        return true;
    hs_buffer_clear(&g->text);
    tx_stream_push(&g->stream, g->model->tokenizer, token, false, &g->text);
    return show(g);
}

/* Hands out what is held back at the end. */
static void flush(struct generation *g)
{
    const struct en_generate_options *options = g->options;
    if (!options->on_text || g->is_stopped)
        return;
    hs_buffer_clear(&g->text);
    tx_stream_flush(&g->stream, &g->text);
    (void)show(g);
    hs_buffer_clear(&g->text);
    if (g->stops && !g->is_stopped)
        tx_stops_flush(g->stops, &g->text);
    if (g->text.size_bytes > 0)
        (void)options->on_text(options->context, g->text.data, g->text.size_bytes);
}

static enum hasten_status next_token(struct generation *g, const float *logits,
                                     struct hs_error *error, int32_t *token_out)
{
    const struct en_generate_options *options = g->options;
    struct tx_sample_input input = {
        .logits = logits,
        .output_index = (uint64_t)g->result.completion_tokens,
        .recent = g->recent.tokens,
        .recent_count = g->recent.count,
    };
    HS_TRY(tx_sample(g->sampler, &options->sampling, &input, error, token_out));
    remember(&g->recent, *token_out);
    return HASTEN_OK;
}

static void tell_logprobs(struct generation *g, const float *logits, int32_t token)
{
    const struct en_generate_options *options = g->options;
    if (!options->on_logprobs)
        return;
    tx_logprobs_of(logits, (int32_t)g->model->facts.vocab, token, options->logprobs_top,
                   &g->logprobs);
    options->on_logprobs(options->context, &g->logprobs);
}

static bool ends_generation(const struct generation *g, int32_t token)
{
    return !g->options->ignore_end && g->model->tokenizer && tx_is_end(g->model->tokenizer, token);
}

/* Token loop: `logits` are those of the last fed token. */
static enum hasten_status decode(struct generation *g, const float *logits, uint64_t start_ns,
                                 struct hs_error *error)
{
    const struct en_generate_options *options = g->options;
    struct en_generated *result = &g->result;
    uint64_t previous_ns = 0;
    result->finish = EN_FINISH_LENGTH;
    while (options->max_tokens < 0 || result->completion_tokens < options->max_tokens) {
        int32_t token;
        HS_TRY(next_token(g, logits, error, &token));
        uint64_t now = hs_clock_ns();
        if (previous_ns)
            ob_samples_add(&g->gaps, now - previous_ns);
        else
            result->first_token_ns = now - start_ns;
        result->decode_ns = now - start_ns - result->first_token_ns;
        previous_ns = now;
        tell_logprobs(g, logits, token);
        if (ends_generation(g, token)) {
            if (options->on_token)
                options->on_token(options->context, token);
            result->finish = EN_FINISH_STOP;
            break;
        }
        result->completion_tokens++;
        if (!emit(g, token)) {
            result->finish = EN_FINISH_CANCEL;
            break;
        }
        if (g->is_stopped) {
            result->finish = EN_FINISH_STOP;
            break;
        }
        if (rt_sequence_length(g->sequence) == rt_sequence_max(g->sequence))
            break; /* context full: finish reason length */
        if (result->completion_tokens == options->max_tokens)
            break;
        HS_TRY(en_feed(g->model, g->sequence, &token, 1, 0, error, &logits));
    }
    return HASTEN_OK;
}

static void remember_all(struct recent *recent, const int32_t *tokens, int64_t count)
{
    for (int64_t i = count > recent->window ? count - recent->window : 0; i < count; i++)
        remember(recent, tokens[i]);
}

static enum hasten_status prepare_recent(struct generation *g, const int32_t *prompt,
                                         int64_t prompt_count, struct hs_error *error)
{
    const struct en_generate_options *options = g->options;
    int64_t window = options->sampling.last_n;
    if (window < 0 || window > g->model->context)
        window = g->model->context;
    g->recent.tokens = hs_calloc((size_t)window * 2, sizeof *g->recent.tokens);
    if (!g->recent.tokens)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a generation");
    g->recent.window = window;
    remember_all(&g->recent, options->history, options->history_count);
    remember_all(&g->recent, prompt, prompt_count);
    return HASTEN_OK;
}

static enum hasten_status prepare(struct generation *g, struct hs_error *error)
{
    const struct en_generate_options *options = g->options;
    int64_t gaps = options->max_tokens;
    if (gaps < 0 || gaps > g->model->context)
        gaps = g->model->context;
    HS_TRY(tx_sampling_check(&options->sampling, error));
    HS_TRY(tx_sampler_open((int32_t)g->model->facts.vocab, error, &g->sampler));
    HS_TRY(ob_samples_open((size_t)gaps + 1, error, &g->gaps));
    if (options->stop_count > 0)
        HS_TRY(tx_stops_open(options->stop, options->stop_count, error, &g->stops));
    /* Room for any piece; both are cleared before use. */
    hs_buffer_printf(&g->text, "%*s", SHOWN_BYTES, "");
    hs_buffer_printf(&g->shown, "%*s", SHOWN_BYTES, "");
    if (g->text.failed || g->shown.failed)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a generation");
    return HASTEN_OK;
}

static enum hasten_status generate(struct generation *g, const int32_t *prompt,
                                   int64_t prompt_count, struct hs_error *error)
{
    const float *logits;
    HS_TRY(prepare(g, error));
    HS_TRY(prepare_recent(g, prompt, prompt_count, error));
    uint64_t start_ns = hs_clock_ns();
    HS_TRY(en_feed(g->model, g->sequence, prompt, prompt_count, 0, error, &logits));
    g->result.prompt_ns = hs_clock_ns() - start_ns;
    return decode(g, logits, start_ns, error);
}

static void count_request(struct en_model *model, const struct en_generated *result,
                          enum hasten_status status)
{
    struct ob_counters *counters = &model->counters;
    ob_count(counters, OB_REQUESTS, 1);
    ob_count(counters, OB_PROMPT_TOKENS, (uint64_t)result->prompt_tokens);
    ob_count(counters, OB_GENERATED_TOKENS, (uint64_t)result->completion_tokens);
    ob_count(counters, OB_REQUESTS_CANCELLED, result->finish == EN_FINISH_CANCEL);
    ob_count(counters, OB_REQUESTS_FAILED, status != HASTEN_OK);
}

enum hasten_status en_generate(struct en_model *model, struct rt_sequence *sequence,
                               const int32_t *prompt, int64_t prompt_count,
                               const struct en_generate_options *options, struct hs_error *error,
                               struct en_generated *result_out)
{
    struct generation g = {.model = model, .sequence = sequence, .options = options};
    if (prompt_count < 1)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "write something", "the prompt is empty");
    g.result.prompt_tokens = prompt_count;
    atomic_store_explicit(&model->cancel, false, memory_order_relaxed);
    enum hasten_status status = generate(&g, prompt, prompt_count, error);
    if (status == HASTEN_CANCELLED && is_cancelled(model)) {
        hs_error_clear(error);
        g.result.finish = EN_FINISH_CANCEL;
        status = HASTEN_OK;
    }
    if (status == HASTEN_OK) {
        flush(&g);
        struct ob_summary gaps = ob_samples_summary(&g.gaps);
        g.result.gap_p50_ns = gaps.p50_ns;
        g.result.gap_p99_ns = gaps.p99_ns;
        *result_out = g.result;
    }
    count_request(model, &g.result, status);
    tx_sampler_close(&g.sampler);
    ob_samples_close(&g.gaps);
    tx_stops_close(&g.stops);
    hs_buffer_free(&g.text);
    hs_buffer_free(&g.shown);
    hs_free(g.recent.tokens);
    return status;
}
