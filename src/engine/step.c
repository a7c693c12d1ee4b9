/* Steps: batch in, logits out. The only place where sequences advance. */
#include <inttypes.h>

#include "engine/model_priv.h"

enum hasten_status en_sequence_open(struct en_model *model, struct hs_error *error,
                                    struct rt_sequence **sequence_out)
{
    return rt_sequence_open(model->cache, model->context, error, sequence_out);
}

static enum hasten_status check_tokens(const struct en_model *model, const struct en_item *item,
                                       struct hs_error *error)
{
    for (int32_t i = 0; i < item->count; i++)
        if (item->tokens[i] < 0 || item->tokens[i] >= model->facts.vocab)
            return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                           "token id %d is outside the vocabulary of %" PRId64,
                           (int)item->tokens[i], model->facts.vocab);
    return HASTEN_OK;
}

static enum hasten_status fill_batch(struct en_model *model, const struct en_item *items, int count,
                                     struct hs_error *error)
{
    rt_batch_begin(model->batch);
    for (int i = 0; i < count; i++) {
        const struct en_item *item = &items[i];
        HS_TRY(check_tokens(model, item, error));
        HS_TRY(rt_sequence_reserve(item->sequence, item->count, error));
        HS_TRY(rt_batch_add(model->batch, item->sequence, item->tokens, item->count, item->wanted,
                            error));
    }
    return HASTEN_OK;
}

enum hasten_status en_step(struct en_model *model, const struct en_item *items, int count,
                           struct hs_error *error, const float **logits_out)
{
    HS_TRY(fill_batch(model, items, count, error));
    HS_TRY(rt_run_step(model->run, model->batch, model->team, error, logits_out));
    ob_count(&model->counters, OB_STEPS, 1);
    for (int i = 0; i < count; i++)
        rt_sequence_commit(items[i].sequence, items[i].tokens, items[i].count);
    return HASTEN_OK;
}

enum hasten_status en_feed(struct en_model *model, struct rt_sequence *sequence,
                           const int32_t *tokens, int64_t count, int32_t chunk,
                           struct hs_error *error, const float **logits_out)
{
    int32_t bound = (int32_t)model->plan->limits.tokens_max;
    const float *logits = NULL;
    if (chunk <= 0 || chunk > bound)
        chunk = bound;
    for (int64_t at = 0; at < count;) {
        int64_t left = count - at;
        int32_t n = left < chunk ? (int32_t)left : chunk;
        struct en_item item = {sequence, tokens + at, n, n == left ? RT_WANT_LAST : RT_WANT_NONE};
        if (atomic_load_explicit(&model->cancel, memory_order_relaxed))
            return hs_fail(error, HASTEN_CANCELLED, NULL, "cancelled");
        HS_TRY(en_step(model, &item, 1, error, &logits));
        at += n;
    }
    *logits_out = logits;
    return HASTEN_OK;
}

void en_cancel(struct en_model *model)
{
    atomic_store_explicit(&model->cancel, true, memory_order_relaxed);
    if (model->run)
        rt_run_cancel(model->run);
}
