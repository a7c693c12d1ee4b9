/* Sampling, stop strings, text pieces, penalties' window and timings of one answer; see answer.h.
 */
#include "engine/answer.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

/* What a buffer must hold without growing: a token's text, or what was held back and that. */
enum { TEXT_BYTES = 512, SHOWN_BYTES = TEXT_BYTES + TX_STOP_BYTES_MAX };

const char *en_finish_name(enum en_finish finish)
{
    static const char *const names[] = {"stop", "length", "cancel"};
    return names[finish];
}

static void remember(struct en_recent *recent, int32_t token)
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
static bool show(struct en_answer *g)
{
    const struct en_generate_options *options = g->options;
    const struct hs_buffer *shown = &g->text;
    if (g->stops) {
        struct hs_str text = {g->text.data, g->text.size_bytes};
        hs_buffer_clear(&g->shown);
        g->is_stopped = tx_stops_push(g->stops, text, &g->shown);
        shown = &g->shown;
    }
    g->is_lost |= g->text.failed || shown->failed;
    if (g->is_lost)
        return false;
    return shown->size_bytes == 0 || !options->on_text ||
           options->on_text(options->context, shown->data, shown->size_bytes);
}

/* Hands the token on; false when the receiver wants no more. */
static bool emit(struct en_answer *g, int32_t token)
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
static void flush(struct en_answer *g)
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

static bool ends_generation(const struct en_answer *g, int32_t token)
{
    return !g->options->ignore_end && g->model->tokenizer && tx_is_end(g->model->tokenizer, token);
}

static void note_time(struct en_answer *g)
{
    struct en_generated *result = &g->result;
    uint64_t now = hs_clock_ns();
    if (g->previous_ns)
        ob_samples_add(&g->gaps, now - g->previous_ns);
    else
        result->first_token_ns = now - g->start_ns;
    result->decode_ns = now - g->start_ns - result->first_token_ns;
    g->previous_ns = now;
}

enum hasten_status en_answer_sample(struct en_answer *g, struct tx_sampler *sampler,
                                    const float *logits, struct hs_error *error, int32_t *token_out)
{
    const struct en_generate_options *options = g->options;
    HS_TRY(en_check_nan("logits", logits, g->model->facts.vocab, error));
    struct tx_sample_input input = {
        .logits = logits,
        .output_index = (uint64_t)g->result.completion_tokens,
        .recent = g->recent.tokens,
        .recent_count = g->recent.count,
    };
    HS_TRY(tx_sample(sampler, &options->sampling, &input, error, token_out));
    remember(&g->recent, *token_out);
    if (options->on_logprobs)
        tx_logprobs_of(logits, (int32_t)g->model->facts.vocab, *token_out, options->logprobs_top,
                       &g->logprobs);
    return HASTEN_OK;
}

bool en_answer_accept(struct en_answer *g, int32_t token, int64_t room)
{
    const struct en_generate_options *options = g->options;
    struct en_generated *result = &g->result;
    note_time(g);
    if (options->on_logprobs)
        options->on_logprobs(options->context, &g->logprobs);
    if (ends_generation(g, token)) {
        if (options->on_token)
            options->on_token(options->context, token);
        result->finish = EN_FINISH_STOP;
        return false;
    }
    result->completion_tokens++;
    if (!emit(g, token)) {
        result->finish = EN_FINISH_CANCEL;
        return false;
    }
    result->finish = g->is_stopped ? EN_FINISH_STOP : EN_FINISH_LENGTH;
    return !g->is_stopped && room > 0 && result->completion_tokens != options->max_tokens;
}

static void remember_all(struct en_recent *recent, const int32_t *tokens, int64_t count)
{
    for (int64_t i = count > recent->window ? count - recent->window : 0; i < count; i++)
        remember(recent, tokens[i]);
}

static enum hasten_status prepare_recent(struct en_answer *g, const int32_t *prompt,
                                         int64_t prompt_count, struct hs_error *error)
{
    const struct en_generate_options *options = g->options;
    int64_t window = tx_sampling_looks_back(&options->sampling) ? options->sampling.last_n : 0;
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

static enum hasten_status prepare(struct en_answer *g, struct hs_error *error)
{
    const struct en_generate_options *options = g->options;
    int64_t gaps = options->max_tokens;
    if (gaps < 0 || gaps > g->model->context)
        gaps = g->model->context;
    HS_TRY(tx_sampling_check(&options->sampling, error));
    HS_TRY(ob_samples_open((size_t)gaps + 1, error, &g->gaps));
    if (options->stop_count > 0)
        HS_TRY(tx_stops_open(options->stop, options->stop_count, error, &g->stops));
    /* room for any piece */
    hs_buffer_reserve(&g->text, SHOWN_BYTES);
    hs_buffer_reserve(&g->shown, SHOWN_BYTES);
    if (g->text.failed || g->shown.failed)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a generation");
    return HASTEN_OK;
}

enum hasten_status en_answer_open(const struct en_model *model,
                                  const struct en_generate_options *options, const int32_t *prompt,
                                  int64_t prompt_count, uint64_t start_ns, struct hs_error *error,
                                  struct en_answer *answer_out)
{
    *answer_out = (struct en_answer){.model = model, .options = options, .start_ns = start_ns};
    answer_out->result.prompt_tokens = prompt_count;
    answer_out->result.finish = EN_FINISH_LENGTH;
    enum hasten_status status = prepare(answer_out, error);
    if (status == HASTEN_OK)
        status = prepare_recent(answer_out, prompt, prompt_count, error);
    if (status != HASTEN_OK)
        en_answer_close(answer_out);
    return status;
}

void en_answer_close(struct en_answer *g)
{
    ob_samples_close(&g->gaps);
    tx_stops_close(&g->stops);
    hs_buffer_free(&g->text);
    hs_buffer_free(&g->shown);
    hs_free(g->recent.tokens);
    g->recent.tokens = NULL;
}

enum hasten_status en_answer_end(struct en_answer *g, struct hs_error *error)
{
    flush(g);
    if (g->is_lost)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory",
                       "no memory for the answer's text");
    struct ob_summary gaps = ob_samples_summary(&g->gaps);
    g->result.gap_p50_ns = gaps.p50_ns;
    g->result.gap_p99_ns = gaps.p99_ns;
    return HASTEN_OK;
}
