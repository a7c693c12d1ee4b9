/*
 * Perplexity of a text, defined so that two programs get the same figure: the last newline is
 * dropped, the text is tokenized once (special tokens added as the model asks, none parsed), cut
 * into windows of `window` tokens; in each window BOS stands in place of token 0 where the model
 * wants BOS; rows window/2 .. window-2 are scored against the next token; a last partial window is
 * dropped. Standard error: that of the mean negative log likelihood, times the perplexity.
 */
#include <math.h>

#include "engine/model_priv.h"

struct score {
    double sum, sum_squares;
    int64_t count;
};

/* ln sum exp of a row, in double. */
static double log_sum_exp(const float *logits, int64_t count)
{
    double largest = (double)logits[0], sum = 0.0;
    for (int64_t i = 1; i < count; i++)
        largest = (double)logits[i] > largest ? (double)logits[i] : largest;
    for (int64_t i = 0; i < count; i++)
        sum += exp((double)logits[i] - largest);
    return largest + log(sum);
}

static enum hasten_status score_row(struct en_model *model,
                                    const struct en_perplexity_options *options, int32_t target,
                                    const float *logits, struct hs_error *error,
                                    struct score *score)
{
    int64_t vocab = model->facts.vocab;
    HS_TRY(en_check_nan("logits", logits, model->facts.vocab, error));
    double nll = log_sum_exp(logits, vocab) - (double)logits[target];
    score->sum += nll;
    score->sum_squares += nll * nll;
    score->count++;
    return options->on_row ? options->on_row(options->context, target, logits, vocab) : HASTEN_OK;
}

/* Chunks of a window: tokens before the first scored row without logits, then pieces of at most
 * the wanted-row bound. */
static enum hasten_status score_window(struct en_model *model, struct rt_sequence *sequence,
                                       const int32_t *tokens,
                                       const struct en_perplexity_options *options,
                                       struct hs_error *error, struct score *score)
{
    int64_t window = options->window, first = window / 2, last = window - 2;
    const float *logits;
    HS_TRY(rt_sequence_rewind(sequence, 0, error));
    HS_TRY(en_feed(model, sequence, tokens, first, 0, error, &logits));
    int64_t bound = model->plan->limits.wanted_max;
    if (bound > model->plan->limits.tokens_max)
        bound = model->plan->limits.tokens_max;
    for (int64_t at = first; at <= last; at += bound) {
        int64_t n = last + 1 - at < bound ? last + 1 - at : bound;
        struct en_item item = {sequence, tokens + at, (int32_t)n, RT_WANT_ALL};
        HS_TRY(en_step(model, &item, 1, error, &logits));
        for (int64_t i = 0; i < n; i++)
            HS_TRY(score_row(model, options, tokens[at + i + 1], logits + i * model->facts.vocab,
                             error, score));
    }
    return HASTEN_OK;
}

static enum hasten_status score_all(struct en_model *model, struct rt_sequence *sequence,
                                    struct tx_ids *ids, const struct en_perplexity_options *options,
                                    struct hs_error *error, struct en_perplexity *result)
{
    struct score score = {0};
    int64_t windows = ids->count / options->window;
    const struct tx_vocab *vocab = tx_tokenizer_vocab(model->tokenizer);
    if (options->windows_max > 0 && windows > options->windows_max)
        windows = options->windows_max;
    for (int64_t w = 0; w < windows; w++) {
        int32_t *tokens = ids->ids + w * options->window;
        if (vocab->add_bos && vocab->bos >= 0)
            tokens[0] = vocab->bos;
        HS_TRY(score_window(model, sequence, tokens, options, error, &score));
        if (options->on_window)
            options->on_window(options->context, w + 1, windows,
                               exp(score.sum / (double)score.count));
    }
    double n = (double)score.count, mean = score.sum / n;
    double variance = n > 1 ? (score.sum_squares / n - mean * mean) / (n - 1) : 0.0;
    result->perplexity = exp(mean);
    result->standard_error = sqrt(variance > 0 ? variance : 0) * exp(mean);
    result->scored_tokens = score.count;
    result->windows = windows;
    return HASTEN_OK;
}

enum hasten_status en_perplexity(struct en_model *model, struct hs_str text,
                                 const struct en_perplexity_options *options,
                                 struct hs_error *error, struct en_perplexity *result_out)
{
    struct en_perplexity result = {0};
    struct tx_ids ids = {0};
    struct rt_sequence *sequence = NULL;
    if (!model->tokenizer) {
        if (error)
            *error = model->tokenizer_error;
        return model->tokenizer_error.status;
    }
    if (options->window < 4 || options->window > model->context)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "choose a window between 4 and the context",
                       "a window of %lld tokens does not fit the context of %lld",
                       (long long)options->window, (long long)model->context);
    if (text.size_bytes > 0 && text.data[text.size_bytes - 1] == '\n')
        text.size_bytes--;
    struct tx_encode_options encode = {.add_special = true, .parse_special = false};
    enum hasten_status status;
    HS_TRY_GOTO(status, tx_encode(model->tokenizer, text, encode, error, &ids), out);
    if (ids.count < options->window) {
        status = hs_fail(error, HASTEN_INVALID_ARGUMENT, "use a longer text or a smaller window",
                         "the text has %d tokens, one window needs %lld", (int)ids.count,
                         (long long)options->window);
        goto out;
    }
    HS_TRY_GOTO(status, en_sequence_open(model, error, &sequence), out);
    status = score_all(model, sequence, &ids, options, error, &result);
    if (status == HASTEN_OK)
        *result_out = result;
out:
    rt_sequence_close(&sequence);
    tx_ids_free(&ids);
    return status;
}
