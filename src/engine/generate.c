/*
 * Generation for one sequence: prompt in chunks, then token by token. Everything is allocated
 * before the first token; the loop itself allocates nothing (tests count).
 */
#include "base/clock.h"
#include "engine/model_priv.h"
#include "observe/samples.h"

struct generation {
    struct en_model *model;
    struct rt_sequence *sequence;
    const struct en_generate_options *options;
    struct tx_sampler *sampler;
    struct ob_samples gaps;
    struct tx_stream stream;
    struct hs_buffer text; /* characters of the current token */
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

/* Hands the token on; false when the receiver wants no more. */
static bool emit(struct generation *g, int32_t token)
{
    const struct en_generate_options *options = g->options;
    if (options->on_token)
        options->on_token(options->context, token);
    if (!options->on_text || !g->model->tokenizer)
        return true;
    hs_buffer_clear(&g->text);
    tx_stream_push(&g->stream, g->model->tokenizer, token, false, &g->text);
    return g->text.size_bytes == 0 ||
           options->on_text(options->context, g->text.data, g->text.size_bytes);
}

static void flush(struct generation *g)
{
    if (!g->options->on_text)
        return;
    hs_buffer_clear(&g->text);
    tx_stream_flush(&g->stream, &g->text);
    if (g->text.size_bytes > 0)
        (void)g->options->on_text(g->options->context, g->text.data, g->text.size_bytes);
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
        HS_TRY(tx_sample(g->sampler, logits, &options->sampling,
                         (uint64_t)result->completion_tokens, error, &token));
        uint64_t now = hs_clock_ns();
        if (previous_ns)
            ob_samples_add(&g->gaps, now - previous_ns);
        else
            result->first_token_ns = now - start_ns;
        result->decode_ns = now - start_ns - result->first_token_ns;
        previous_ns = now;
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
        if (rt_sequence_length(g->sequence) == rt_sequence_max(g->sequence))
            break; /* context full: finish reason length */
        if (result->completion_tokens == options->max_tokens)
            break;
        HS_TRY(en_feed(g->model, g->sequence, &token, 1, 0, error, &logits));
    }
    return HASTEN_OK;
}

static enum hasten_status prepare(struct generation *g, struct hs_error *error)
{
    int64_t gaps = g->options->max_tokens;
    if (gaps < 0 || gaps > g->model->context)
        gaps = g->model->context;
    HS_TRY(tx_sampler_open((int32_t)g->model->facts.vocab, error, &g->sampler));
    HS_TRY(ob_samples_open((size_t)gaps + 1, error, &g->gaps));
    hs_buffer_printf(&g->text, "%512s", ""); /* room for any piece; cleared before use */
    if (g->text.failed)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a generation");
    return HASTEN_OK;
}

static enum hasten_status generate(struct generation *g, const int32_t *prompt,
                                   int64_t prompt_count, struct hs_error *error)
{
    const float *logits;
    HS_TRY(prepare(g, error));
    uint64_t start_ns = hs_clock_ns();
    HS_TRY(en_feed(g->model, g->sequence, prompt, prompt_count, 0, error, &logits));
    g->result.prompt_ns = hs_clock_ns() - start_ns;
    return decode(g, logits, start_ns, error);
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
    tx_sampler_close(&g.sampler);
    ob_samples_close(&g.gaps);
    hs_buffer_free(&g.text);
    return status;
}
