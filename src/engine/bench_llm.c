/* Speed of a language model; see bench_llm.h. */
#include "engine/bench_llm.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/rng.h"
#include "observe/samples.h"

static void fill_tokens(int32_t *tokens, int64_t count, int64_t vocab, uint64_t seed)
{
    for (int64_t i = 0; i < count; i++)
        tokens[i] = (int32_t)(hs_rng_u64(seed, 0, (uint64_t)i) % (uint64_t)vocab);
}

/* One run from depth on. */
static enum hasten_status run_once(struct en_model *model, struct rt_sequence *sequence,
                                   const int32_t *tokens, const struct en_bench *bench,
                                   struct hs_error *error)
{
    const float *logits;
    if (!bench->is_decode)
        return en_feed(model, sequence, tokens, bench->tokens, bench->batch, error, &logits);
    for (int64_t i = 0; i < bench->tokens; i++)
        HS_TRY(en_feed(model, sequence, tokens + i, 1, 1, error, &logits));
    return HASTEN_OK;
}

static enum hasten_status run_all(struct en_model *model, struct rt_sequence *sequence,
                                  const int32_t *tokens, const struct en_bench *bench,
                                  struct hs_error *error, struct ob_samples *samples)
{
    const float *logits;
    HS_TRY(en_feed(model, sequence, tokens + bench->tokens, bench->depth, 0, error, &logits));
    for (int32_t r = -1; r < bench->repetitions; r++) {
        HS_TRY(rt_sequence_rewind(sequence, bench->depth, error));
        uint64_t start_ns = hs_clock_ns();
        HS_TRY(run_once(model, sequence, tokens, bench, error));
        if (r >= 0)
            ob_samples_add(samples, hs_clock_ns() - start_ns);
    }
    return HASTEN_OK;
}

enum hasten_status en_bench_run(struct en_model *model, const struct en_bench *bench,
                                struct hs_error *error, struct en_bench_rate *rate_out)
{
    struct rt_sequence *sequence = NULL;
    struct ob_samples samples = {0};
    enum hasten_status status;
    int64_t needed = bench->depth + bench->tokens;
    if (bench->tokens < 1 || bench->repetitions < 1 || bench->depth < 0 || bench->batch < 1)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "a measurement needs tokens and runs");
    if (needed > en_context(model))
        return hs_fail(error, HASTEN_LIMIT, "open the model with a larger context",
                       "the measurement needs %" PRId64 " positions, the context holds %" PRId64,
                       needed, en_context(model));
    int32_t *tokens = hs_calloc((size_t)needed, sizeof *tokens);
    if (!tokens)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for %" PRId64 " tokens",
                       needed);
    fill_tokens(tokens, needed, en_facts(model)->vocab, bench->seed);
    HS_TRY_GOTO(status, ob_samples_open((size_t)bench->repetitions, error, &samples), out);
    HS_TRY_GOTO(status, en_sequence_open(model, error, &sequence), out);
    HS_TRY_GOTO(status, run_all(model, sequence, tokens, bench, error, &samples), out);
    struct ob_summary times = ob_samples_summary(&samples);
    double scale = (double)bench->tokens * 1e9;
    rate_out->min = scale / (double)times.max_ns;
    rate_out->median = scale / (double)times.p50_ns;
    rate_out->max = scale / (double)times.min_ns;
out:
    if (sequence)
        rt_sequence_close(&sequence);
    ob_samples_close(&samples);
    hs_free(tokens);
    return status;
}
