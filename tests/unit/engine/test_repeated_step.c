/*
 * A step that a cancel of somebody else's interrupts is repeated, and gives what it would have
 * given: one thread generates while another stops the run again and again without the generation
 * being meant. Labelled threads.
 */
#include <pthread.h>
#include <unistd.h>

#include "engine/engine.h"
#include "harness/test.h"
#include "random_gguf.h"

enum { TOKENS = 60 };

static struct hs_error error;

static void must(enum hasten_status status)
{
    if (status != HASTEN_OK)
        TEST_FAIL("%s", error.message);
}

struct answer {
    struct en_model *model;
    int32_t tokens[TOKENS];
    int count;
    enum hasten_status status;
    struct en_generated generated;
};

static void keep(void *context, int32_t token)
{
    struct answer *answer = context;
    if (answer->count < TOKENS)
        answer->tokens[answer->count++] = token;
}

static void *generate(void *context)
{
    struct answer *answer = context;
    const int32_t prompt[5] = {1, 20, 33, 7, 150};
    struct rt_sequence *sequence = NULL;
    struct en_generate_options options = {
        .max_tokens = TOKENS, .ignore_end = true, .on_token = keep, .context = answer};
    answer->status = en_sequence_open(answer->model, NULL, &sequence);
    if (answer->status == HASTEN_OK)
        answer->status =
            en_generate(answer->model, sequence, prompt, 5, &options, NULL, &answer->generated);
    en_sequence_close(answer->model, &sequence);
    return NULL;
}

static struct en_model *open_random(void)
{
    char path[80];
    struct en_model *model = NULL;
    struct en_options options = en_options_default();
    options.threads = 2;
    options.context = 128;
    snprintf(path, sizeof path, "/tmp/hasten-test-repeat-%d.gguf", (int)getpid());
    must(rg_write(rg_find("llama-q8_0"), path, &error));
    enum hasten_status status = en_open(path, &options, &error, &model);
    unlink(path);
    must(status);
    return model;
}

TEST(an_interrupted_step_is_repeated)
{
    struct en_model *model = open_random();
    static struct answer calm, disturbed;
    pthread_t thread;
    calm = disturbed = (struct answer){.model = model};
    generate(&calm);
    must(calm.status);
    CHECK_INT(pthread_create(&thread, NULL, generate, &disturbed), 0);
    for (int i = 0; i < 200; i++) {
        rt_run_cancel(en_run(model));
        usleep(20);
    }
    pthread_join(thread, NULL);
    must(disturbed.status);
    CHECK_INT(disturbed.generated.finish, EN_FINISH_LENGTH);
    CHECK_INT(disturbed.count, TOKENS);
    for (int i = 0; i < TOKENS; i++)
        CHECK_INT(disturbed.tokens[i], calm.tokens[i]);
    en_close(&model);
}

TEST_MAIN()
