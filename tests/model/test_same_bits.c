/*
 * Same bits: the logits of a sequence do not depend on its neighbours in the batch, on how its
 * prompt is cut, on the number of threads, on page order, on which passes ran or on packing;
 * compared with == over all logits of every step.
 */
#include "base/memory.h"
#include "base/rng.h"
#include "harness/test.h"
#include "model_test.h"

enum { PROMPT = 300, DECODE = 6, SEQUENCES = 8 };

static char *model_path(void)
{
    static char *path;
    if (!path)
        path = mt_model_path("smollm2-135m");
    return path;
}

/* Token s of sequence q: any fixed text will do. */
static int32_t token_of(int q, int i)
{
    return (int32_t)(hs_rng_u64(17, (uint64_t)q, (uint64_t)i) % 40000);
}

static int prompt_length(int q)
{
    return q == 0 ? PROMPT : 20 + 37 * q;
}

static struct en_options options_with(int threads, enum tn_dtype kv)
{
    struct en_options options = en_options_default();
    options.threads = threads;
    options.kv_dtype = kv;
    options.context = 512;
    options.cache_positions = 512 * SEQUENCES;
    return options;
}

/* Logits of sequence 0: after the prompt and after each of DECODE tokens. */
struct trace {
    float *logits; /* [1 + DECODE][vocab] */
    int64_t vocab;
};

static struct trace new_trace(const struct en_model *model)
{
    struct trace trace = {.vocab = en_facts(model)->vocab};
    trace.logits = hs_calloc((size_t)(1 + DECODE) * (size_t)trace.vocab, sizeof(float));
    CHECK(trace.logits != NULL);
    return trace;
}

static void keep(struct trace *trace, int index, const float *logits)
{
    memcpy(trace->logits + index * trace->vocab, logits, (size_t)trace->vocab * sizeof(float));
}

/* Sequence 0 alone, prompt in chunks of `chunk`. */
static struct trace run_alone(const struct en_options *options, int chunk)
{
    struct hs_error error = {0};
    struct en_model *model = mt_open(model_path(), options);
    struct trace trace = new_trace(model);
    struct rt_sequence *sequence = NULL;
    const float *logits;
    int32_t tokens[PROMPT + DECODE];
    for (int i = 0; i < PROMPT + DECODE; i++)
        tokens[i] = token_of(0, i);
    mt_must(en_sequence_open(model, &error, &sequence), &error);
    mt_must(en_feed(model, sequence, tokens, PROMPT, chunk, &error, &logits), &error);
    keep(&trace, 0, logits);
    for (int i = 0; i < DECODE; i++) {
        mt_must(en_feed(model, sequence, tokens + PROMPT + i, 1, 0, &error, &logits), &error);
        keep(&trace, 1 + i, logits);
    }
    rt_sequence_close(&sequence);
    en_close(&model);
    return trace;
}

/* Next `count` tokens of sequence q as an item. */
static struct en_item next_item(struct rt_sequence *sequence, int q, int count, int32_t *tokens)
{
    int64_t at = rt_sequence_length(sequence);
    for (int i = 0; i < count; i++)
        tokens[i] = token_of(q, (int)at + i);
    return (struct en_item){sequence, tokens, count, RT_WANT_LAST};
}

/* Sequence 0 together with others: prompts are fed in mixed steps, some already decode while
 * others are in the middle of their prompt; 0 is never first in the batch. */
static struct trace run_in_batch(const struct en_options *options, int sequences)
{
    struct hs_error error = {0};
    struct en_model *model = mt_open(model_path(), options);
    struct trace trace = new_trace(model);
    struct rt_sequence *sequence[SEQUENCES];
    static int32_t tokens[SEQUENCES][64];
    for (int q = 0; q < sequences; q++)
        mt_must(en_sequence_open(model, &error, &sequence[q]), &error);
    for (int step = 0; rt_sequence_length(sequence[0]) < PROMPT + DECODE; step++) {
        struct en_item items[SEQUENCES];
        const float *logits;
        for (int q = 0; q < sequences; q++) {
            int64_t left = prompt_length(q) - rt_sequence_length(sequence[q]);
            int count = left > 0 ? 1 + (7 * q + 13 * step) % 48 : 1;
            count = left > 0 && count > left ? (int)left : count;
            items[sequences - 1 - q] = next_item(sequence[q], q, count, tokens[q]);
        }
        mt_must(en_step(model, items, sequences, &error, &logits), &error);
        int64_t done = rt_sequence_length(sequence[0]) - PROMPT;
        if (done >= 0)
            keep(&trace, (int)done, logits + (sequences - 1) * trace.vocab);
    }
    for (int q = 0; q < sequences; q++)
        rt_sequence_close(&sequence[q]);
    en_close(&model);
    return trace;
}

static void check_equal(struct trace *expected, struct trace actual, const char *what)
{
    for (int64_t i = 0; i < (1 + DECODE) * expected->vocab; i++)
        if (memcmp(&expected->logits[i], &actual.logits[i], sizeof(float)) != 0)
            TEST_FAIL("%s: step %lld, logit %lld: %.9g against %.9g", what,
                      (long long)(i / expected->vocab), (long long)(i % expected->vocab),
                      (double)actual.logits[i], (double)expected->logits[i]);
    hs_free(actual.logits);
}

static void check_all_ways(enum tn_dtype kv, enum hs_cpu_class class_max)
{
    struct en_options options = options_with(1, kv);
    options.cpu_class_max = class_max;
    struct trace expected = run_alone(&options, 0);
    static const int chunks[] = {1, 7, 64, 299};
    for (int i = 0; i < 4; i++)
        check_equal(&expected, run_alone(&options, chunks[i]), "chunks");
    options.threads = 2;
    check_equal(&expected, run_alone(&options, 0), "2 threads");
    options.page_shuffle_seed = 12345;
    check_equal(&expected, run_alone(&options, 33), "2 threads, shuffled pages, chunks of 33");
    check_equal(&expected, run_in_batch(&options, 2), "batch of 2");
    check_equal(&expected, run_in_batch(&options, 3), "batch of 3");
    options.threads = 1;
    check_equal(&expected, run_in_batch(&options, 8), "batch of 8, 1 thread");
    hs_free(expected.logits);
}

TEST(same_bits_f16_pages)
{
    check_all_ways(TN_F16, HS_CPU_CLASS_COUNT);
}

TEST(same_bits_f32_pages)
{
    check_all_ways(TN_F32, HS_CPU_CLASS_COUNT);
}

TEST(same_bits_with_avx2_cap)
{
    check_all_ways(TN_F16, HS_CPU_CLASS_AVX2);
}

TEST(every_pass_can_be_switched_off_without_changing_a_bit)
{
    static const char *const passes[] = {"cse",       "pack",          "merge-linear",
                                         "fuse-rope", "fuse-append",   "fuse-residual",
                                         "fuse-glu",  "fuse-quantize", "narrow-rows"};
    struct en_options options = options_with(2, TN_F16);
    struct trace expected = run_alone(&options, 0);
    for (int i = 0; i < 9; i++) {
        options.disabled_passes = &passes[i];
        options.disabled_pass_count = 1;
        check_equal(&expected, run_alone(&options, 0), passes[i]);
    }
    options.disabled_passes = passes;
    options.disabled_pass_count = 9;
    check_equal(&expected, run_alone(&options, 0), "all passes off");
    hs_free(expected.logits);
}

TEST_MAIN()
