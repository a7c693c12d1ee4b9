/* See bits_test.h. The same file is opened again for each way: nothing is carried over. */
#include "bits_test.h"

#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "engine/pass_list.h"
#include "model_test.h"

enum { PROMPT_MOST = 1000, DECODE = 6, SEQUENCES = 8, STEP_MOST = 48, PASSES_MOST = 32 };

/* Logits of sequence 0: after the prompt and after each of DECODE tokens. */
struct trace {
    float *logits; /* [1 + DECODE][vocab] */
    int64_t vocab;
};

static int32_t token_of(const struct en_model *model, int q, int64_t i)
{
    return (int32_t)(hs_rng_u64(17, (uint64_t)q, (uint64_t)i) % (uint64_t)en_facts(model)->vocab);
}

static int prompt_length(const struct bt_case *c, int q)
{
    return q == 0 ? c->prompt : 20 + 37 * q % c->prompt;
}

static struct en_options with_threads(const struct bt_case *c, int threads)
{
    struct en_options options = c->options;
    options.threads = threads;
    options.context = c->prompt + 64;
    options.cache_positions = options.context * SEQUENCES;
    return options;
}

static struct trace new_trace(const struct en_model *model)
{
    struct trace trace = {.vocab = en_facts(model)->vocab};
    trace.logits = hs_calloc((size_t)(1 + DECODE) * (size_t)trace.vocab, sizeof(float));
    if (!trace.logits)
        mt_fail("no memory for a trace");
    return trace;
}

static void keep(struct trace *trace, int64_t index, const float *logits)
{
    memcpy(trace->logits + index * trace->vocab, logits, (size_t)trace->vocab * sizeof(float));
}

/* Sequence 0 alone, prompt in chunks of `chunk`. */
static struct trace run_alone(const struct bt_case *c, const struct en_options *options, int chunk)
{
    static int32_t tokens[PROMPT_MOST + DECODE];
    struct hs_error error = {0};
    struct en_model *model = mt_open(c->path, options);
    struct trace trace = new_trace(model);
    struct rt_sequence *sequence = NULL;
    const float *logits;
    for (int i = 0; i < c->prompt + DECODE; i++)
        tokens[i] = token_of(model, 0, i);
    mt_must(en_sequence_open(model, &error, &sequence), &error);
    mt_must(en_feed(model, sequence, tokens, c->prompt, chunk, &error, &logits), &error);
    keep(&trace, 0, logits);
    for (int i = 0; i < DECODE; i++) {
        mt_must(en_feed(model, sequence, tokens + c->prompt + i, 1, 0, &error, &logits), &error);
        keep(&trace, 1 + i, logits);
    }
    rt_sequence_close(&sequence);
    en_close(&model);
    return trace;
}

/* Next `count` tokens of sequence q as an item. */
static struct en_item next_item(const struct en_model *model, struct rt_sequence *sequence, int q,
                                int count, int32_t *tokens)
{
    int64_t at = rt_sequence_length(sequence);
    for (int i = 0; i < count; i++)
        tokens[i] = token_of(model, q, at + i);
    return (struct en_item){sequence, tokens, count, RT_WANT_LAST};
}

/* Tokens that sequence q takes in a step: a piece of its prompt, or one. */
static int share(const struct bt_case *c, const struct rt_sequence *sequence, int q, int step)
{
    int64_t left = prompt_length(c, q) - rt_sequence_length(sequence);
    int count = 1 + (7 * q + 13 * step) % STEP_MOST;
    return left <= 0 ? 1 : count > left ? (int)left : count;
}

/* Sequence 0 together with others: some already decode while others are in the middle of their
 * prompt; 0 is never first in the batch. */
static struct trace run_in_batch(const struct bt_case *c, const struct en_options *options,
                                 int sequences)
{
    static int32_t tokens[SEQUENCES][STEP_MOST];
    struct hs_error error = {0};
    struct en_model *model = mt_open(c->path, options);
    struct trace trace = new_trace(model);
    struct rt_sequence *sequence[SEQUENCES];
    for (int q = 0; q < sequences; q++)
        mt_must(en_sequence_open(model, &error, &sequence[q]), &error);
    for (int step = 0; rt_sequence_length(sequence[0]) < c->prompt + DECODE; step++) {
        struct en_item items[SEQUENCES];
        const float *logits;
        int taking_part = 0;
        for (int q = sequences - 1; q >= 0; q--) {
            int count = share(c, sequence[q], q, step);
            if (rt_sequence_length(sequence[q]) + count <= options->context)
                items[taking_part++] = next_item(model, sequence[q], q, count, tokens[q]);
        }
        mt_must(en_step(model, items, taking_part, &error, &logits), &error);
        int64_t done = rt_sequence_length(sequence[0]) - c->prompt;
        if (done >= 0)
            keep(&trace, done, logits + (taking_part - 1) * trace.vocab);
    }
    for (int q = 0; q < sequences; q++)
        rt_sequence_close(&sequence[q]);
    en_close(&model);
    return trace;
}

static void check_equal(const struct bt_case *c, const struct trace *expected, struct trace actual,
                        const char *what)
{
    for (int64_t i = 0; i < (1 + DECODE) * expected->vocab; i++)
        if (memcmp(&expected->logits[i], &actual.logits[i], sizeof(float)) != 0)
            mt_fail("%s, %s: step %lld, logit %lld: %.9g against %.9g", c->label, what,
                    (long long)(i / expected->vocab), (long long)(i % expected->vocab),
                    (double)actual.logits[i], (double)expected->logits[i]);
    hs_free(actual.logits);
}

static struct trace plainest(const struct bt_case *c)
{
    struct en_options options = with_threads(c, 1);
    return run_alone(c, &options, 0);
}

void bt_check_ways(const struct bt_case *c)
{
    static const int chunks[] = {1, 7, 64};
    struct trace expected = plainest(c);
    struct en_options options = with_threads(c, 1);
    for (int i = 0; i < 3; i++)
        check_equal(c, &expected, run_alone(c, &options, chunks[i]), "chunks");
    check_equal(c, &expected, run_alone(c, &options, c->prompt - 1), "all but one token");
    options = with_threads(c, 2);
    check_equal(c, &expected, run_alone(c, &options, 0), "2 threads");
    options.page_shuffle_seed = 12345;
    check_equal(c, &expected, run_alone(c, &options, 33), "shuffled pages, chunks of 33");
    check_equal(c, &expected, run_in_batch(c, &options, 2), "batch of 2");
    check_equal(c, &expected, run_in_batch(c, &options, 3), "batch of 3");
    options = with_threads(c, 1);
    check_equal(c, &expected, run_in_batch(c, &options, SEQUENCES), "batch of 8, 1 thread");
    hs_free(expected.logits);
}

/* Names of the passes that may be switched off. */
static int optional_passes(const char *names[PASSES_MOST])
{
    int count = 0;
    for (int p = 0; p < ps_count() && count < PASSES_MOST; p++)
        if (!ps_at(p)->required)
            names[count++] = ps_at(p)->name;
    return count;
}

void bt_check_passes(const struct bt_case *c)
{
    const char *names[PASSES_MOST];
    int count = optional_passes(names);
    struct trace expected = plainest(c);
    struct en_options options = with_threads(c, 2);
    for (int i = 0; i < count; i++) {
        options.disabled_passes = &names[i];
        options.disabled_pass_count = 1;
        check_equal(c, &expected, run_alone(c, &options, 64), names[i]);
    }
    options.disabled_passes = names;
    options.disabled_pass_count = count;
    check_equal(c, &expected, run_alone(c, &options, 0), "all passes off");
    hs_free(expected.logits);
}

void bt_check_other_class(const struct bt_case *c)
{
    const char *names[PASSES_MOST];
    struct trace expected = plainest(c);
    struct en_options options = with_threads(c, 2);
    options.disabled_pass_count = optional_passes(names);
    options.disabled_passes = names;
    options.cpu_class_max = HS_CPU_CLASS_AVX2;
    check_equal(c, &expected, run_alone(c, &options, 25), "plain graph on AVX2 kernels");
    hs_free(expected.logits);
}
