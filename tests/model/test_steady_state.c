/* Steady state: 200 decode steps, sampling and detokenization included, allocate nothing. */
#include "base/memory.h"
#include "harness/test.h"
#include "model_test.h"

struct watch {
    uint64_t allocations;
    int tokens;
};

static bool count_text(void *context, const char *text, size_t size_bytes)
{
    (void)context;
    (void)text;
    (void)size_bytes;
    return true;
}

static void count_token(void *context, int32_t id)
{
    struct watch *watch = context;
    (void)id;
    if (watch->tokens++ == 0)
        watch->allocations = hs_alloc_count();
    else if (watch->tokens == 201)
        watch->allocations = hs_alloc_count() - watch->allocations;
}

TEST(decoding_200_tokens_allocates_nothing)
{
    char *path = mt_model_path("smollm2-135m");
    struct hs_error error = {0};
    struct en_options options = en_options_default();
    options.context = 512;
    struct en_model *model = mt_open(path, &options);
    struct rt_sequence *sequence = NULL;
    struct en_generated result;
    struct watch watch = {0};
    int32_t prompt[5] = {28120, 905, 253, 655, 28};
    struct en_generate_options generate = {
        .sampling = {.temperature = 0.8, .top_k = 40, .top_p = 0.95, .seed = 1},
        .max_tokens = 220,
        .ignore_end = true,
        .on_text = count_text,
        .on_token = count_token,
        .context = &watch,
    };
    mt_must(en_sequence_open(model, &error, &sequence), &error);
    mt_must(en_generate(model, sequence, prompt, 5, &generate, &error, &result), &error);
    CHECK_INT(result.completion_tokens, 220);
    CHECK(watch.tokens >= 220);
    CHECK_INT(watch.allocations, 0);
    rt_sequence_close(&sequence);
    en_close(&model);
    hs_free(path);
}

TEST_MAIN()
