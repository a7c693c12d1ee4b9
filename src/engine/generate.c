/*
 * Generation for one sequence on the caller's thread: prompt in chunks, then token by token.
 * Everything is allocated before the first token; the loop itself allocates nothing (tests count).
 *
 * The model's turn is held from a step to the sampling of its logits, which the next step of
 * anybody overwrites; callbacks run without it, so that other threads step meanwhile.
 */
#include "base/clock.h"
#include "engine/answer.h"

struct generation {
    struct en_model *model;
    struct rt_sequence *sequence;
    struct en_watch watch;
    struct tx_sampler *sampler;
    struct en_answer answer;
};

/* Feeds tokens and samples what follows: the part of the loop that has the model's turn. */
static enum hasten_status compute(struct generation *g, const int32_t *tokens, int64_t count,
                                  struct hs_error *error, int32_t *token_out)
{
    struct en_answer *answer = &g->answer;
    struct en_feed feed = {g->sequence, tokens, count, 0};
    const float *logits;
    hs_turn_take(&g->model->turn);
    enum hasten_status status = en_feed_in_turn(g->model, &feed, &g->watch, error, &logits);
    if (!answer->previous_ns)
        answer->result.prompt_ns = hs_clock_ns() - answer->start_ns;
    if (status == HASTEN_OK && answer->options->max_tokens != 0)
        status = en_answer_sample(answer, g->sampler, logits, error, token_out);
    hs_turn_give(&g->model->turn);
    return status;
}

static enum hasten_status decode(struct generation *g, const int32_t *prompt, int64_t prompt_count,
                                 struct hs_error *error)
{
    int32_t token;
    HS_TRY(compute(g, prompt, prompt_count, error, &token));
    if (g->answer.options->max_tokens == 0)
        return HASTEN_OK;
    for (;;) {
        int64_t room = rt_sequence_max(g->sequence) - rt_sequence_length(g->sequence);
        if (!en_answer_accept(&g->answer, token, room))
            return HASTEN_OK;
        int32_t fed = token;
        HS_TRY(compute(g, &fed, 1, error, &token));
    }
}

/* From now on the generation ends on its own flag and on later calls of en_cancel. */
static void begin_watch(struct generation *g, const atomic_bool *cancel)
{
    struct en_model *model = g->model;
    g->watch.flag = cancel;
    g->watch.cancels = atomic_load_explicit(&model->cancels, memory_order_relaxed);
    atomic_store_explicit(&model->cancels_seen, g->watch.cancels, memory_order_relaxed);
}

void en_count_request(struct en_model *model, const struct en_generated *result,
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
    struct generation g = {.model = model, .sequence = sequence};
    if (prompt_count < 1)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "write something", "the prompt is empty");
    begin_watch(&g, options->cancel);
    enum hasten_status status =
        en_answer_open(model, options, prompt, prompt_count, hs_clock_ns(), error, &g.answer);
    if (status == HASTEN_OK)
        status = tx_sampler_open((int32_t)model->facts.vocab, error, &g.sampler);
    if (status == HASTEN_OK)
        status = decode(&g, prompt, prompt_count, error);
    if (status == HASTEN_CANCELLED && en_is_cancelled(model, &g.watch)) {
        hs_error_clear(error);
        g.answer.result.finish = EN_FINISH_CANCEL;
        status = HASTEN_OK;
    }
    if (status == HASTEN_OK)
        status = en_answer_end(&g.answer, error);
    if (status == HASTEN_OK)
        *result_out = g.answer.result;
    en_count_request(model, &g.answer.result, status);
    en_answer_close(&g.answer);
    tx_sampler_close(&g.sampler);
    return status;
}
