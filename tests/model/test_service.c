/*
 * The service under loads that mix everything: what a request gets must be, token for token, what
 * it gets alone, whatever the others do: share its prefix, run out of pages with it, come, go, be
 * cancelled. Small random models, so that thousands of steps take a second.
 */
#include <pthread.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/rng.h"
#include "engine/service.h"
#include "harness/test.h"
#include "model_test.h"
#include "random_gguf.h"

enum { REQUESTS = 60, PROMPT_MOST = 150, ANSWER_MOST = 90, HIDDEN_MOST = 512 };

struct client {
    struct en_request *request;
    int32_t prompt[PROMPT_MOST];
    int64_t prompt_count;
    int32_t tokens[ANSWER_MOST];
    int32_t alone[ANSWER_MOST];
    _Atomic int32_t count;
    int32_t alone_count;
    int32_t stop_after; /* cancelled by its receiver after so many tokens; 0: not */
    bool wants_hidden;
    float hidden[HIDDEN_MOST], hidden_alone[HIDDEN_MOST];
    struct en_generate_options options;
    struct en_request_result result;
    atomic_int ends;
};

static struct client clients[REQUESTS];
static size_t hidden_bytes; /* of the model under test */

static void keep_token(void *context, int32_t id)
{
    struct client *c = context;
    if (c->count < ANSWER_MOST)
        c->tokens[c->count] = id;
    c->count++;
    if (c->stop_after && c->count == c->stop_after)
        en_request_cancel(c->request);
}

static void keep_end(void *context, const struct en_request_result *result)
{
    struct client *c = context;
    c->result = *result;
    if (result->hidden)
        memcpy(c->hidden, result->hidden, hidden_bytes);
    en_request_free(&c->request);
    atomic_fetch_add(&c->ends, 1);
}

static struct en_model *open_recipe(const char *name, int64_t cache_positions)
{
    struct hs_error error = {0};
    struct en_options options = en_options_default();
    char path[64];
    snprintf(path, sizeof path, "/tmp/hasten-test-service-%d.gguf", (int)getpid());
    mt_must(rg_write(rg_find(name), path, &error), &error);
    options.threads = 2;
    options.context = 256;
    options.cache_positions = cache_positions;
    options.step_tokens = 64;
    options.keep_prefixes = true;
    struct en_model *model = mt_open(path, &options);
    unlink(path);
    hidden_bytes = (size_t)en_hidden_size(model) * sizeof(float);
    CHECK(hidden_bytes > 0 && hidden_bytes <= sizeof clients[0].hidden);
    return model;
}

/* Prompts that begin alike in three ways; every other one is sampled. */
static void choose(struct client *c, int q, int64_t vocab, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    c->prompt_count = 1 + (int64_t)(hs_rng_u64(seed, 1, (uint64_t)q) % PROMPT_MOST);
    int64_t alike = (int64_t)(hs_rng_u64(seed, 2, (uint64_t)q) % PROMPT_MOST);
    for (int64_t i = 0; i < c->prompt_count; i++) {
        uint64_t stream = i < alike ? (uint64_t)q % 3 : 100 + (uint64_t)q;
        c->prompt[i] = (int32_t)(hs_rng_u64(seed, stream, (uint64_t)i) % (uint64_t)vocab);
    }
    c->options.sampling = tx_sampling_default();
    c->options.sampling.temperature = q % 2 ? 0.9 : 0;
    c->options.sampling.repetition_penalty = q % 5 ? 0 : 1.2;
    c->options.sampling.seed = (uint64_t)q;
    c->options.max_tokens = q % 17 == 3 ? 0 : 1 + q % ANSWER_MOST;
    c->wants_hidden = q % 7 == 5;
    if (c->wants_hidden)
        c->options.max_tokens = 0;
    c->options.on_token = keep_token;
    c->options.context = c;
}

/* The client's answer without any service. */
static void answer_alone(struct en_model *model, struct client *c)
{
    struct hs_error error = {0};
    struct rt_sequence *sequence = NULL;
    struct en_generated result;
    const float *logits;
    mt_must(en_sequence_open(model, &error, &sequence), &error);
    if (c->wants_hidden) { /* from a step that computes the head, too */
        mt_must(en_feed(model, sequence, c->prompt, c->prompt_count, 0, &error, &logits), &error);
        memcpy(c->hidden_alone, rt_run_hidden(en_run(model)), hidden_bytes);
        mt_must(en_sequence_rewind(model, sequence, 0, &error), &error);
    }
    mt_must(en_generate(model, sequence, c->prompt, c->prompt_count, &c->options, &error, &result),
            &error);
    en_sequence_close(model, &sequence);
    memcpy(c->alone, c->tokens, sizeof c->alone);
    c->alone_count = c->count;
    c->count = 0;
}

static void await_end(struct client *c)
{
    while (atomic_load(&c->ends) == 0)
        usleep(200);
}

static void check_answer(const struct client *c, int q)
{
    CHECK_INT(c->ends, 1);
    CHECK_INT(c->result.status, HASTEN_OK);
    bool is_cancelled = c->result.generated.finish == EN_FINISH_CANCEL;
    CHECK(is_cancelled || c->count == c->alone_count);
    CHECK(!is_cancelled || c->stop_after);
    CHECK(c->count <= c->alone_count);
    if (memcmp(c->tokens, c->alone, (size_t)c->count * sizeof *c->tokens) != 0)
        TEST_FAIL("request %d got other tokens than alone", q);
    CHECK(!c->result.hidden == !(c->wants_hidden && !is_cancelled));
    if (c->result.hidden && memcmp(c->hidden, c->hidden_alone, sizeof c->hidden) != 0)
        TEST_FAIL("request %d got another hidden state than alone", q);
    CHECK(c->result.received_ns <= c->result.queued_ns && c->result.queued_ns <= c->result.end_ns);
    CHECK_INT(c->result.generated.completion_tokens, c->count);
}

static void submit(struct en_service *service, struct client *c)
{
    struct hs_error error = {0};
    struct en_submission submission = {.prompt = c->prompt,
                                       .prompt_count = c->prompt_count,
                                       .generate = c->options,
                                       .wants_hidden = c->wants_hidden,
                                       .on_end = keep_end};
    mt_must(en_service_submit(service, &submission, &error, &c->request), &error);
}

/* Everything at once on a cache of `cache_positions`. */
static struct en_service_figures run_load(const char *recipe, int64_t cache_positions, bool cancels)
{
    struct hs_error error = {0};
    struct en_service *service = NULL;
    struct en_service_options options = {.running = 8};
    uint64_t seed = test_seed(3);
    struct en_model *model = open_recipe(recipe, cache_positions);
    for (int q = 0; q < REQUESTS; q++) {
        choose(&clients[q], q, en_facts(model)->vocab, seed);
        if (cache_positions < 512 && !clients[q].wants_hidden) /* tight: all want much */
            clients[q].options.max_tokens = ANSWER_MOST;
        answer_alone(model, &clients[q]);
        clients[q].stop_after = cancels && q % 4 == 0 ? 1 + q % 7 : 0;
    }
    mt_must(en_service_open(model, &options, &error, &service), &error);
    for (int q = 0; q < REQUESTS; q++)
        submit(service, &clients[q]);
    for (int q = 0; q < REQUESTS; q++)
        await_end(&clients[q]);
    for (int q = 0; q < REQUESTS; q++)
        check_answer(&clients[q], q);
    struct en_service_figures figures = en_service_figures(service);
    CHECK_INT(figures.waiting + figures.running, 0);
    CHECK(figures.cache_used == 0 && figures.steps > 0);
    en_service_close(&service);
    for (int32_t g = 0; g < rt_cache_groups(en_cache(model)); g++)
        CHECK_INT(rt_cache_pages_free(en_cache(model), g),
                  rt_cache_pages_total(en_cache(model), g));
    en_close(&model);
    printf("     %s, %d positions: %d requests in %llu steps, %llu preempted, %llu of %llu prompt "
           "tokens found\n",
           recipe, (int)cache_positions, REQUESTS, (unsigned long long)figures.steps,
           (unsigned long long)figures.preemptions,
           (unsigned long long)figures.prefixes.found_tokens,
           (unsigned long long)figures.prefixes.asked_tokens);
    return figures;
}

TEST(answers_are_those_given_alone)
{
    CHECK(run_load("llama-f32", 8 * 256, false).prefixes.found_tokens > 500);
}

TEST(answers_survive_preemption)
{
    CHECK(run_load("llama-f32", 256, false).preemptions > 0);
}

TEST(windows_too)
{
    (void)run_load("gemma3-f32", 8 * 256, false);
    CHECK(run_load("gemma3-f32", 416, false).preemptions > 0);
}

TEST(quantized_models_too)
{
    (void)run_load("llama-q4_k", 1024, false);
}

TEST(cancelled_requests_hurt_nobody)
{
    (void)run_load("llama-f32", 512, true);
}

TEST(closing_ends_what_is_left)
{
    struct hs_error error = {0};
    struct en_service *service = NULL;
    struct en_service_options options = {0};
    struct en_model *model = open_recipe("llama-f32", 512);
    mt_must(en_service_open(model, &options, &error, &service), &error);
    for (int q = 0; q < REQUESTS; q++) {
        choose(&clients[q], q, en_facts(model)->vocab, 1);
        submit(service, &clients[q]);
    }
    en_service_close(&service);
    for (int q = 0; q < REQUESTS; q++)
        CHECK_INT(clients[q].ends, 1);
    en_close(&model);
}

TEST(what_does_not_fit_is_refused)
{
    struct hs_error error = {0};
    struct en_service *service = NULL;
    struct en_service_options options = {.running = 1, .waiting = 1};
    struct en_model *model = open_recipe("llama-f32", 512);
    int32_t prompt[300] = {0};
    struct en_submission submission = {.prompt = prompt, .on_end = keep_end};
    submission.generate.sampling = tx_sampling_default();
    submission.generate.context = &clients[0];
    mt_must(en_service_open(model, &options, &error, &service), &error);
    CHECK_INT(en_service_submit(service, &submission, &error, &clients[0].request),
              HASTEN_INVALID_ARGUMENT); /* empty */
    submission.prompt_count = 256;
    CHECK_INT(en_service_submit(service, &submission, &error, &clients[0].request), HASTEN_LIMIT);
    submission.prompt_count = 3;
    prompt[1] = 100000;
    CHECK_INT(en_service_submit(service, &submission, &error, &clients[0].request),
              HASTEN_INVALID_ARGUMENT);
    prompt[1] = 1;
    submission.generate.sampling.temperature = -1;
    CHECK_INT(en_service_submit(service, &submission, &error, &clients[0].request),
              HASTEN_INVALID_ARGUMENT);
    submission.generate.sampling.temperature = 0;
    submission.generate.max_tokens = 4;
    submission.wants_hidden = true; /* and an answer */
    CHECK_INT(en_service_submit(service, &submission, &error, &clients[0].request),
              HASTEN_INVALID_ARGUMENT);
    CHECK(clients[0].request == NULL);
    en_service_close(&service);
    en_close(&model);
}

TEST_MAIN()
