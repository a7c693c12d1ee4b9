/*
 * The public functions on small random models: several threads and models at once give the same
 * tokens as runs alone, cancelling one disturbs no other, structs of other versions, errors. Text
 * needs a real vocabulary: tests/e2e/test_install.py. Labelled threads: runs under TSan, too.
 */
#include <hasten/hasten.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/memory.h"
#include "harness/test.h"
#include "random_gguf.h"

enum { STREAMS = 4, TOKENS = 40, CONTEXT = 256, VOCAB = 203 };

static struct hasten_error error;

static void must(enum hasten_status status)
{
    if (status != HASTEN_OK)
        TEST_FAIL("%s: %s", hasten_status_name(status), error.message);
}

static struct hasten_model *open_random(const char *recipe, int32_t threads)
{
    char path[80];
    struct hasten_model *model = NULL;
    struct hasten_model_options options;
    snprintf(path, sizeof path, "/tmp/hasten-test-api-%d.gguf", (int)getpid());
    must(rg_write(rg_find(recipe), path, &error));
    hasten_model_options_init(&options);
    options.threads = threads;
    options.context = CONTEXT;
    enum hasten_status status = hasten_model_open(path, &options, &error, &model);
    unlink(path);
    must(status);
    return model;
}

/* --- streams --- */

struct stream {
    struct hasten_model *model;
    int32_t prompt[24];
    int32_t prompt_count;
    struct hasten_sampling sampling;
    int64_t max_tokens;
    atomic_int count;
    int32_t tokens[CONTEXT];
    enum hasten_status status;
    struct hasten_result result;
    struct hasten_sequence *sequence;
    pthread_t thread;
};

static void make_stream(struct stream *s, struct hasten_model *model, int number)
{
    memset(s, 0, sizeof *s);
    s->model = model;
    s->prompt_count = 3 + 5 * number;
    for (int32_t i = 0; i < s->prompt_count; i++)
        s->prompt[i] = (7 + 31 * number + 13 * i) % VOCAB;
    s->max_tokens = TOKENS;
    hasten_sampling_init(&s->sampling);
    s->sampling.temperature = number % 2 ? 0.9 : 0.0;
    s->sampling.seed = (uint64_t)number;
    s->sampling.presence_penalty = number % 3 ? 0.3 : 0.0;
}

static void keep_token(void *context, int32_t token)
{
    struct stream *s = context;
    int count = atomic_load_explicit(&s->count, memory_order_relaxed);
    if (count < CONTEXT)
        s->tokens[count] = token;
    atomic_store_explicit(&s->count, count + 1, memory_order_release);
}

static void *run_stream(void *context)
{
    struct stream *s = context;
    struct hasten_generate_options options;
    hasten_generate_options_init(&options);
    options.max_tokens = s->max_tokens;
    options.sampling = &s->sampling;
    options.ignore_end = true;
    options.on_token = keep_token;
    options.context = s;
    hasten_result_init(&s->result);
    s->status = hasten_sequence_generate(s->sequence, s->prompt, (size_t)s->prompt_count, &options,
                                         NULL, &s->result);
    return NULL;
}

static void open_stream(struct stream *s)
{
    must(hasten_sequence_open(s->model, &error, &s->sequence));
}

static void start_stream(struct stream *s)
{
    open_stream(s);
    CHECK_INT(pthread_create(&s->thread, NULL, run_stream, s), 0);
}

static void end_stream(struct stream *s)
{
    pthread_join(s->thread, NULL);
    hasten_sequence_close(&s->sequence);
    CHECK_INT(s->status, HASTEN_OK);
}

static void run_alone(struct stream *s)
{
    open_stream(s);
    run_stream(s);
    hasten_sequence_close(&s->sequence);
    must(s->status);
    CHECK_INT(s->result.completion_tokens, TOKENS);
    CHECK_INT(s->result.finish, HASTEN_FINISH_LENGTH);
}

static void same_tokens(const struct stream *a, const struct stream *b)
{
    CHECK_INT(a->count, b->count);
    for (int i = 0; i < a->count; i++)
        CHECK_INT(a->tokens[i], b->tokens[i]);
}

static char opened_path[80];

/* Static: large, and threads of a failed test may still write to them. */
static struct stream alone[2 * STREAMS], together[2 * STREAMS];

TEST(threads_on_one_model_get_what_runs_alone_get)
{
    struct hasten_model *model = open_random("llama-q4_k", 2);
    for (int i = 0; i < STREAMS; i++) {
        make_stream(&alone[i], model, i);
        run_alone(&alone[i]);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < STREAMS; i++) {
            make_stream(&together[i], model, i);
            start_stream(&together[i]);
        }
        for (int i = 0; i < STREAMS; i++) {
            end_stream(&together[i]);
            same_tokens(&together[i], &alone[i]);
        }
    }
    hasten_model_close(&model);
}

TEST(two_models_at_once_get_what_they_get_alone)
{
    struct hasten_model *models[2] = {open_random("llama-q8_0", 2), open_random("gemma3-q4_0", 2)};
    for (int i = 0; i < 2 * STREAMS; i++) {
        make_stream(&alone[i], models[i % 2], i / 2);
        run_alone(&alone[i]);
    }
    for (int i = 0; i < 2 * STREAMS; i++) {
        make_stream(&together[i], models[i % 2], i / 2);
        start_stream(&together[i]);
    }
    for (int i = 0; i < 2 * STREAMS; i++) {
        end_stream(&together[i]);
        same_tokens(&together[i], &alone[i]);
    }
    hasten_model_close(&models[0]);
    hasten_model_close(&models[1]);
}

TEST(cancelling_one_disturbs_no_other)
{
    struct hasten_model *model = open_random("llama-q4_0", 2);
    make_stream(&alone[0], model, 1);
    run_alone(&alone[0]);
    for (int round = 0; round < 5; round++) {
        make_stream(&together[0], model, 1);
        make_stream(&together[1], model, 2);
        together[1].max_tokens = -1;
        start_stream(&together[0]);
        start_stream(&together[1]);
        while (atomic_load_explicit(&together[1].count, memory_order_acquire) < 5 + round)
            usleep(50);
        hasten_sequence_cancel(together[1].sequence);
        pthread_join(together[1].thread, NULL);
        CHECK_INT(together[1].status, HASTEN_OK);
        CHECK(together[1].result.finish == HASTEN_FINISH_CANCEL ||
              together[1].result.completion_tokens + together[1].prompt_count > CONTEXT);
        /* A cancelled sequence goes on where it was. */
        make_stream(&together[2], model, 2);
        together[2].sequence = together[1].sequence;
        must(hasten_sequence_rewind(together[2].sequence, 0, &error));
        run_stream(&together[2]);
        must(together[2].status);
        for (int i = 0; i < TOKENS && i < together[1].count; i++)
            CHECK_INT(together[1].tokens[i], together[2].tokens[i]);
        hasten_sequence_close(&together[1].sequence);
        end_stream(&together[0]);
        same_tokens(&together[0], &alone[0]);
    }
    hasten_model_close(&model);
}

TEST(a_cancel_ends_only_the_call_that_runs)
{
    struct hasten_model *model = open_random("llama-f32", 1);
    make_stream(&alone[0], model, 0);
    open_stream(&alone[0]);
    hasten_sequence_cancel(alone[0].sequence);
    run_stream(&alone[0]);
    CHECK_INT(alone[0].result.finish, HASTEN_FINISH_LENGTH);
    hasten_sequence_close(&alone[0].sequence);
    hasten_model_close(&model);
}

static void *open_run_close(void *context)
{
    struct stream *s = context;
    const struct hasten_model_options options = {
        .size = sizeof options, .threads = 1 + (int32_t)s->sampling.seed % 3, .context = CONTEXT};
    s->status = hasten_model_open(opened_path, &options, NULL, &s->model);
    if (s->status == HASTEN_OK)
        s->status = hasten_sequence_open(s->model, NULL, &s->sequence);
    if (s->status == HASTEN_OK)
        run_stream(s);
    hasten_sequence_close(&s->sequence);
    hasten_model_close(&s->model);
    return NULL;
}

/* Numbers of threads differ, so some share a team and some do not. */
TEST(models_opened_and_closed_by_many_threads)
{
    struct hasten_model *model = open_random("llama-q4_0", 2);
    for (int i = 0; i < STREAMS; i++) {
        make_stream(&alone[i], model, i);
        run_alone(&alone[i]);
        make_stream(&together[i], NULL, i);
    }
    hasten_model_close(&model);
    snprintf(opened_path, sizeof opened_path, "/tmp/hasten-test-api-%d.gguf", (int)getpid());
    must(rg_write(rg_find("llama-q4_0"), opened_path, &error));
    for (int i = 0; i < STREAMS; i++)
        CHECK_INT(pthread_create(&together[i].thread, NULL, open_run_close, &together[i]), 0);
    for (int i = 0; i < STREAMS; i++)
        pthread_join(together[i].thread, NULL);
    unlink(opened_path);
    for (int i = 0; i < STREAMS; i++) {
        must(together[i].status);
        same_tokens(&together[i], &alone[i]);
    }
}

/* --- sequences --- */

TEST(logits_of_feed_are_those_that_generate_chooses_from)
{
    struct hasten_model *model = open_random("llama-q6_k", 2);
    make_stream(&alone[0], model, 0);
    run_alone(&alone[0]);
    struct hasten_sequence *sequence = NULL;
    float logits[VOCAB];
    must(hasten_sequence_open(model, &error, &sequence));
    must(hasten_sequence_feed(sequence, alone[0].prompt, (size_t)alone[0].prompt_count, &error,
                              logits));
    for (int i = 0; i < 5; i++) {
        int32_t best = 0;
        for (int32_t id = 1; id < VOCAB; id++)
            best = logits[id] > logits[best] ? id : best;
        CHECK_INT(best, alone[0].tokens[i]);
        must(hasten_sequence_feed(sequence, &best, 1, &error, logits));
    }
    CHECK_INT(hasten_sequence_length(sequence), alone[0].prompt_count + 5);
    hasten_sequence_close(&sequence);
    hasten_model_close(&model);
}

TEST(a_whole_prompt_keeps_what_is_held)
{
    struct hasten_model *model = open_random("llama-q5_1", 2);
    struct hasten_generate_options options;
    struct hasten_sequence *sequence = NULL;
    struct hasten_result result;
    make_stream(&alone[0], model, 3); /* sampled, with penalties: they see what was reused */
    run_alone(&alone[0]);
    make_stream(&together[0], model, 3);
    must(hasten_sequence_open(model, &error, &sequence));
    must(hasten_sequence_feed(sequence, alone[0].prompt, 10, &error, NULL));
    int32_t other[2] = {1, 2};
    must(hasten_sequence_feed(sequence, other, 2, &error, NULL));
    hasten_generate_options_init(&options);
    hasten_result_init(&result);
    options.whole_prompt = options.ignore_end = true;
    options.max_tokens = TOKENS;
    options.sampling = &together[0].sampling;
    options.on_token = keep_token;
    options.context = &together[0];
    must(hasten_sequence_generate(sequence, alone[0].prompt, (size_t)alone[0].prompt_count,
                                  &options, &error, &result));
    CHECK_INT(result.reused_tokens, 10);
    CHECK_INT(result.prompt_tokens, alone[0].prompt_count);
    CHECK_INT(hasten_sequence_length(sequence), alone[0].prompt_count + TOKENS - 1);
    same_tokens(&together[0], &alone[0]);
    hasten_sequence_close(&sequence);
    hasten_model_close(&model);
}

TEST(a_model_outlives_its_handle_while_it_has_sequences)
{
    struct hasten_model *model = open_random("llama-f16", 2);
    uint64_t seen = 0;
    make_stream(&alone[0], model, 0);
    open_stream(&alone[0]);
    hasten_model_close(&model);
    CHECK(!model);
    run_stream(&alone[0]);
    must(alone[0].status);
    seen += (uint64_t)alone[0].result.completion_tokens;
    hasten_sequence_close(&alone[0].sequence);
    hasten_sequence_close(&alone[0].sequence); /* closing nothing is fine */
    CHECK_INT(seen, TOKENS);
}

TEST(generating_allocates_nothing_between_tokens)
{
    struct hasten_model *model = open_random("llama-q4_1", 2);
    make_stream(&alone[0], model, 0);
    open_stream(&alone[0]);
    run_stream(&alone[0]);
    must(hasten_sequence_rewind(alone[0].sequence, 0, &error));
    uint64_t before = hs_alloc_count();
    alone[0].max_tokens = 10;
    run_stream(&alone[0]);
    uint64_t short_run = hs_alloc_count() - before;
    must(hasten_sequence_rewind(alone[0].sequence, 0, &error));
    before = hs_alloc_count();
    alone[0].max_tokens = 200;
    run_stream(&alone[0]);
    CHECK_INT(hs_alloc_count() - before, short_run);
    hasten_sequence_close(&alone[0].sequence);
    hasten_model_close(&model);
}

/* --- structs and errors --- */

TEST(structs_of_other_versions)
{
    struct hasten_model *model = open_random("llama-f32", 1);
    struct hasten_sequence *sequence = NULL;
    int32_t prompt[2] = {1, 2};
    must(hasten_sequence_open(model, &error, &sequence));

    struct hasten_generate_options options;
    memset(&options, 0, sizeof options); /* nobody called the initializer */
    CHECK_INT(hasten_sequence_generate(sequence, prompt, 2, &options, &error, NULL),
              HASTEN_INVALID_ARGUMENT);
    CHECK_TEXT(error.hint, "call its _init function first");

    struct { /* a program that knows more than this library */
        struct hasten_generate_options known;
        uint64_t later;
    } longer = {.later = 0};
    hasten_generate_options_fill(&longer.known, sizeof longer);
    CHECK_INT(longer.known.size, sizeof longer);
    longer.known.max_tokens = 1;
    must(hasten_sequence_generate(sequence, prompt, 2, &longer.known, &error, NULL));
    longer.later = 1;
    CHECK_INT(hasten_sequence_generate(sequence, prompt, 2, &longer.known, &error, NULL),
              HASTEN_INVALID_ARGUMENT);

    struct { /* one that was compiled when there were two members */
        size_t size;
        int64_t max_tokens;
        unsigned char fence[64];
    } shorter;
    memset(&shorter, 0x5a, sizeof shorter);
    hasten_generate_options_fill((struct hasten_generate_options *)(void *)&shorter, 16);
    CHECK_INT(shorter.size, 16);
    CHECK_INT(shorter.max_tokens, -1);
    CHECK_INT(shorter.fence[0], 0x5a);
    shorter.max_tokens = 3;
    struct hasten_result result;
    hasten_result_init(&result);
    must(hasten_sequence_generate(
        sequence, prompt, 2, (struct hasten_generate_options *)(void *)&shorter, &error, &result));
    CHECK(result.completion_tokens <= 3);

    hasten_sequence_close(&sequence);
    hasten_model_close(&model);
}

TEST(errors_are_values)
{
    struct hasten_model *model = open_random("llama-f32", 1), *none = NULL;
    struct hasten_sequence *sequence = NULL;
    struct hasten_model_info info;
    int32_t tokens[CONTEXT + 1] = {VOCAB}, *ids = NULL;
    char *text = NULL;
    size_t count;
    must(hasten_sequence_open(model, &error, &sequence));
    CHECK_INT(hasten_sequence_feed(sequence, tokens, 1, &error, NULL), HASTEN_INVALID_ARGUMENT);
    tokens[0] = 0;
    CHECK_INT(hasten_sequence_feed(sequence, tokens, 0, &error, NULL), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(hasten_sequence_feed(sequence, tokens, CONTEXT + 1, &error, NULL), HASTEN_LIMIT);
    CHECK_INT(hasten_sequence_length(sequence), 0);
    must(hasten_sequence_feed(sequence, tokens, CONTEXT, &error, NULL));
    CHECK_INT(hasten_sequence_feed(sequence, tokens, 1, NULL, NULL), HASTEN_LIMIT);
    CHECK_INT(hasten_sequence_rewind(sequence, CONTEXT + 1, &error), HASTEN_INVALID_ARGUMENT);
    must(hasten_sequence_rewind(sequence, 3, &error));

    CHECK_INT(hasten_text_tokenize(model, "a", 1, HASTEN_TOKENIZE_PLAIN, &error, &ids, &count),
              HASTEN_NOT_FOUND); /* random models have no vocabulary */
    CHECK(error.message[0] && !ids);
    CHECK_INT(hasten_chat_render(model, NULL, 0, &error, &text, &count), HASTEN_NOT_FOUND);

    hasten_model_info_init(&info);
    must(hasten_model_get_info(model, &error, &info));
    CHECK_TEXT(info.architecture, "llama");
    CHECK_INT(info.vocab, VOCAB);
    CHECK_INT(info.context, CONTEXT);
    CHECK(!info.has_tokenizer && !info.has_chat && info.parameters > 1000);

    struct hasten_model_options options;
    hasten_model_options_init(&options);
    CHECK_INT(hasten_model_open("/nowhere.gguf", &options, &error, &none), HASTEN_NOT_FOUND);
    options.kv_type = "f8";
    CHECK_INT(hasten_model_open("/nowhere.gguf", &options, &error, &none), HASTEN_INVALID_ARGUMENT);
    options.kv_type = NULL;
    options.no_download = true;
    CHECK_INT(hasten_model_open_named("smollm2-135n", &options, &error, &none), HASTEN_NOT_FOUND);
    CHECK(strstr(error.hint, "smollm2-135m") && !none);
    hasten_sequence_close(&sequence);
    hasten_model_close(&model);
}

/* One conversation's worth of calls, all allocations of which fail one after the other. */
static enum hasten_status open_generate_close(struct hasten_model *model)
{
    const int32_t prompt[3] = {1, 2, 3};
    static const char *const stop[1] = {"never"};
    const struct hasten_logit_bias bias[1] = {{5, -1}};
    struct hasten_sampling sampling;
    struct hasten_generate_options options;
    struct hasten_sequence *sequence = NULL;
    hasten_sampling_init(&sampling);
    sampling.logit_bias = bias;
    sampling.logit_bias_count = 1;
    hasten_generate_options_init(&options);
    options.max_tokens = 2;
    options.sampling = &sampling;
    options.stop = stop;
    options.stop_count = 1;
    enum hasten_status status = hasten_sequence_open(model, &error, &sequence);
    if (status == HASTEN_OK)
        status = hasten_sequence_generate(sequence, prompt, 3, &options, &error, NULL);
    hasten_sequence_close(&sequence);
    return status;
}

TEST(every_failing_allocation_is_an_error)
{
    struct hasten_model *model = open_random("llama-f32", 1);
    must(open_generate_close(model));
    uint64_t live = hs_alloc_live(), n = 0;
    enum hasten_status status;
    do {
        hs_alloc_fail_at(++n, true);
        status = open_generate_close(model);
        hs_alloc_fail_at(0, false);
        CHECK(status == HASTEN_OK || (status == HASTEN_OUT_OF_MEMORY && error.message[0]));
        CHECK_INT(hs_alloc_live(), live);
    } while (status != HASTEN_OK && n < 1000);
    CHECK(n > 5 && status == HASTEN_OK);
    must(open_generate_close(model));
    hasten_model_close(&model);
}

TEST(a_full_cache_is_an_error_that_passes)
{
    char path[80];
    struct hasten_model *model = NULL;
    struct hasten_sequence *a = NULL, *b = NULL;
    struct hasten_model_options options;
    int32_t tokens[64] = {0};
    snprintf(path, sizeof path, "/tmp/hasten-test-api-%d.gguf", (int)getpid());
    must(rg_write(rg_find("llama-f32"), path, &error));
    hasten_model_options_init(&options);
    options.context = options.cache_positions = 64;
    must(hasten_model_open(path, &options, &error, &model));
    unlink(path);
    must(hasten_sequence_open(model, &error, &a));
    must(hasten_sequence_open(model, &error, &b));
    must(hasten_sequence_feed(a, tokens, 64, &error, NULL));
    CHECK_INT(hasten_sequence_feed(b, tokens, 1, &error, NULL), HASTEN_AGAIN);
    hasten_sequence_close(&a);
    must(hasten_sequence_feed(b, tokens, 1, &error, NULL));
    hasten_sequence_close(&b);
    hasten_model_close(&model);
}

TEST_MAIN()
