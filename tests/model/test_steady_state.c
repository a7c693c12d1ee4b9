/* Steady state: 200 decode steps, sampling and detokenization included, allocate nothing. */
#include "base/memory.h"
#include "harness/test.h"
#include "model_test.h"

struct watch {
    struct mt_watch allocations; /* first */
    int logprobs;
};

static void count_logprobs(void *context, const struct tx_logprobs *logprobs)
{
    struct watch *watch = context;
    watch->logprobs += logprobs->top_count;
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
    struct en_generate_options generate = mt_generate_everything();
    generate.sampling.top_k = 400;
    generate.max_tokens = 220;
    generate.on_text = mt_ignore_text;
    generate.on_token = mt_watch_token;
    generate.on_logprobs = count_logprobs;
    generate.context = &watch;
    mt_must(en_sequence_open(model, &error, &sequence), &error);
    mt_must(en_generate(model, sequence, prompt, 5, &generate, &error, &result), &error);
    CHECK_INT(result.completion_tokens, 220);
    CHECK_INT(watch.allocations.tokens, 220);
    CHECK_INT(watch.allocations.last - watch.allocations.first, 0);
    /* One step for the prompt, one per token but the last; counted, not guessed. */
    CHECK_INT(ob_counter_get(en_counters(model), OB_STEPS), 220);
    CHECK_INT(ob_counter_get(en_counters(model), OB_PROMPT_TOKENS), 5);
    CHECK_INT(ob_counter_get(en_counters(model), OB_GENERATED_TOKENS), 220);
    CHECK_INT(watch.logprobs, 5 * watch.allocations.tokens);
    rt_sequence_close(&sequence);
    en_close(&model);
    hs_free(path);
}

/* What the passes make of a llama layer: rmsnorm+quantize, q k v with rope and append, attention+
 * quantize, output+residual, rmsnorm+quantize, gate up with GLU and quantize, down+residual. */
TEST(a_layer_is_seven_instructions)
{
    char *path = mt_model_path("smollm2-135m");
    struct en_model *model = mt_open(path, NULL);
    const struct pl_plan *plan = en_plan(model);
    int of_layer[30] = {0};
    for (int32_t i = 0; i < plan->instruction_count; i++)
        if (plan->instructions[i].layer >= 0)
            of_layer[plan->instructions[i].layer]++;
    for (int layer = 0; layer < 29; layer++) /* the last one also picks the wanted rows */
        CHECK_INT(of_layer[layer], 7);
    CHECK(of_layer[29] <= 10);
    en_close(&model);
    hs_free(path);
}

TEST_MAIN()
