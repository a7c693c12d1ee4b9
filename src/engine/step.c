/*
 * Steps: batch in, logits out. The only place where sequences advance.
 *
 * Whoever steps, reads logits or changes page tables has the model's turn meanwhile; the turn of
 * the team, which other models share, is held for the step alone. Calls of several threads thus
 * interleave step by step, in the order they came.
 */
#include <inttypes.h>
#include <string.h>

#include "engine/model_priv.h"

enum hasten_status en_sequence_open(struct en_model *model, struct hs_error *error,
                                    struct rt_sequence **sequence_out)
{
    return rt_sequence_open(model->cache, model->context, error, sequence_out);
}

void en_sequence_close(struct en_model *model, struct rt_sequence **sequence)
{
    hs_turn_take(&model->turn);
    rt_sequence_close(sequence);
    hs_turn_give(&model->turn);
}

enum hasten_status en_sequence_rewind(struct en_model *model, struct rt_sequence *sequence,
                                      int64_t length, struct hs_error *error)
{
    hs_turn_take(&model->turn);
    enum hasten_status status = rt_sequence_rewind(sequence, length, error);
    hs_turn_give(&model->turn);
    return status;
}

enum hasten_status en_keep_prefix(struct en_model *model, const struct en_prefix *prefix,
                                  struct hs_error *error, int64_t *kept_out)
{
    int64_t held = rt_sequence_length(prefix->sequence), kept = 0;
    if (held > prefix->held_count)
        held = prefix->held_count;
    while (kept < held && kept < prefix->count - 1 && prefix->held[kept] == prefix->tokens[kept])
        kept++;
    if (en_sequence_rewind(model, prefix->sequence, kept, NULL) != HASTEN_OK) {
        kept = 0; /* a sliding window cannot go back that far: start over */
        HS_TRY(en_sequence_rewind(model, prefix->sequence, 0, error));
    }
    *kept_out = kept;
    return HASTEN_OK;
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

bool en_is_cancelled(const struct en_model *model, const struct en_watch *watch)
{
    return (watch->flag && atomic_load_explicit(watch->flag, memory_order_relaxed)) ||
           atomic_load_explicit(&model->cancels, memory_order_relaxed) != watch->cancels;
}

/* Calls that are no generation end on every en_cancel since the newest generation began. */
static struct en_watch plain_watch(const struct en_model *model)
{
    return (struct en_watch){NULL,
                             atomic_load_explicit(&model->cancels_seen, memory_order_relaxed)};
}

static enum hasten_status run_step(struct en_model *model, const struct en_watch *watch,
                                   struct hs_error *error, const float **logits_out)
{
    rt_team_enter(model->team);
    rt_run_watch(model->run, watch->flag);
    enum hasten_status status =
        rt_run_step(model->run, model->batch, rt_team_members(model->team), error, logits_out);
    rt_team_leave(model->team);
    return status;
}

enum hasten_status en_step_in_turn(struct en_model *model, const struct en_item *items, int count,
                                   const struct en_watch *watch, struct hs_error *error,
                                   const float **logits_out)
{
    HS_TRY(fill_batch(model, items, count, error));
    enum hasten_status status = run_step(model, watch, error, logits_out);
    while (status == HASTEN_CANCELLED && !en_is_cancelled(model, watch)) {
        hs_error_clear(error);
        status = run_step(model, watch, error, logits_out);
    }
    HS_TRY(status);
    ob_count(&model->counters, OB_STEPS, 1);
    for (int i = 0; i < count; i++)
        rt_sequence_commit(items[i].sequence, items[i].tokens, items[i].count);
    return HASTEN_OK;
}

enum hasten_status en_step(struct en_model *model, const struct en_item *items, int count,
                           struct hs_error *error, const float **logits_out)
{
    struct en_watch watch = plain_watch(model);
    hs_turn_take(&model->turn);
    enum hasten_status status = en_step_in_turn(model, items, count, &watch, error, logits_out);
    hs_turn_give(&model->turn);
    return status;
}

enum hasten_status en_feed_in_turn(struct en_model *model, const struct en_feed *feed,
                                   const struct en_watch *watch, struct hs_error *error,
                                   const float **logits_out)
{
    int32_t bound = (int32_t)model->plan->limits.tokens_max;
    int32_t chunk = feed->chunk > 0 && feed->chunk < bound ? feed->chunk : bound;
    const float *logits = NULL;
    for (int64_t at = 0; at < feed->count;) {
        int64_t left = feed->count - at;
        int32_t n = left < chunk ? (int32_t)left : chunk;
        struct en_item item = {feed->sequence, feed->tokens + at, n,
                               n == left ? RT_WANT_LAST : RT_WANT_NONE};
        if (at > 0) { /* others may go between chunks */
            hs_turn_give(&model->turn);
            hs_turn_take(&model->turn);
        }
        if (en_is_cancelled(model, watch))
            return hs_fail(error, HASTEN_CANCELLED, NULL, "cancelled");
        HS_TRY(en_step_in_turn(model, &item, 1, watch, error, &logits));
        at += n;
    }
    *logits_out = logits;
    return HASTEN_OK;
}

enum hasten_status en_feed(struct en_model *model, struct rt_sequence *sequence,
                           const int32_t *tokens, int64_t count, int32_t chunk,
                           struct hs_error *error, const float **logits_out)
{
    struct en_feed feed = {sequence, tokens, count, chunk};
    struct en_watch watch = plain_watch(model);
    hs_turn_take(&model->turn);
    enum hasten_status status = en_feed_in_turn(model, &feed, &watch, error, logits_out);
    hs_turn_give(&model->turn);
    return status;
}

enum hasten_status en_read(struct en_model *model, struct rt_sequence *sequence,
                           const int32_t *tokens, int64_t count, const atomic_bool *cancel,
                           struct hs_error *error, float *logits_out)
{
    struct en_feed feed = {sequence, tokens, count, 0};
    struct en_watch watch = {cancel, atomic_load_explicit(&model->cancels, memory_order_relaxed)};
    const float *logits;
    hs_turn_take(&model->turn);
    enum hasten_status status = en_feed_in_turn(model, &feed, &watch, error, &logits);
    if (status == HASTEN_OK && logits_out && logits)
        memcpy(logits_out, logits, (size_t)model->facts.vocab * sizeof *logits);
    hs_turn_give(&model->turn);
    return status;
}

void en_cancel(struct en_model *model)
{
    atomic_fetch_add_explicit(&model->cancels, 1, memory_order_relaxed);
    if (model->run)
        rt_run_cancel(model->run);
}
