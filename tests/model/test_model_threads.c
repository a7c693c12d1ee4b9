/*
 * A whole model under the thread sanitizer: teams of one to four, two models at once, cancels from
 * another thread at random moments. Answers are the same whatever goes on beside them.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "base/rng.h"
#include "tiny_run.h"

static const struct tiny_recipe recipe = {.dtype = TN_Q4_1};
static const struct tiny_recipe other_recipe = {.is_gemma3 = true, .dtype = TN_Q8_0};

static struct tiny_answer alone(const struct tiny_recipe *of, int threads)
{
    tiny_begin(of);
    struct en_options options = tiny_options(threads);
    struct en_model *model = mt_open(tiny_path, &options);
    struct tiny_answer answer = tiny_answer_of(model);
    en_close(&model);
    tiny_end();
    return answer;
}

TEST(teams_of_one_to_four)
{
    const struct tiny_answer one = alone(&recipe, 1), other_one = alone(&other_recipe, 1);
    CHECK(!tiny_same(&one, &other_one));
    for (int threads = 2; threads <= 4; threads++) {
        const struct tiny_answer many = alone(&recipe, threads);
        const struct tiny_answer other_many = alone(&other_recipe, threads);
        CHECK(tiny_same(&one, &many));
        CHECK(tiny_same(&other_one, &other_many));
    }
}

/* --- two models --- */

struct runner {
    struct en_model *model;
    struct tiny_answer expected;
    int wrong;
};

static void *run_often(void *context)
{
    struct runner *runner = context;
    for (int i = 0; i < 5; i++) {
        struct hs_error error = {0};
        struct tiny_answer answer;
        if (tiny_generate(runner->model, &error, &answer) != HASTEN_OK ||
            !tiny_same(&answer, &runner->expected))
            runner->wrong++;
    }
    return NULL;
}

TEST(two_models_at_once)
{
    const struct tiny_recipe *const recipes[] = {&recipe, &other_recipe};
    struct runner runners[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        struct en_options options = tiny_options(2);
        runners[i].wrong = 0;
        runners[i].expected = alone(recipes[i], 1);
        tiny_begin(recipes[i]);
        runners[i].model = mt_open(tiny_path, &options);
        tiny_end(); /* the model needs its file no longer */
    }
    for (int i = 0; i < 2; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, run_often, &runners[i]), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_INT(runners[i].wrong, 0);
        en_close(&runners[i].model);
    }
}

/* --- cancel --- */

struct canceller {
    struct en_model *model;
    atomic_bool stop;
    uint64_t seed, answer_ns; /* what an answer takes that nobody cancels */
};

static void *cancel_at_random(void *context)
{
    struct canceller *canceller = context;
    for (uint64_t i = 0; !atomic_load(&canceller->stop); i++) {
        uint64_t ns = hs_rng_u64(canceller->seed, 0, i) % (3 * canceller->answer_ns);
        struct timespec pause = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
        nanosleep(&pause, NULL);
        en_cancel(canceller->model);
    }
    return NULL;
}

TEST(cancelled_at_random_moments)
{
    struct en_options options = tiny_options(2);
    tiny_begin(&recipe);
    struct canceller canceller = {.model = mt_open(tiny_path, &options),
                                  .seed = test_seed(20261121)};
    uint64_t start_ns = hs_clock_ns();
    const struct tiny_answer expected = tiny_answer_of(canceller.model);
    canceller.answer_ns = hs_clock_ns() - start_ns;
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, cancel_at_random, &canceller), 0);
    int cancelled = 0, wrong = 0;
    for (int i = 0; i < 200; i++) {
        struct hs_error error = {0};
        struct tiny_answer answer;
        enum hasten_status status = tiny_generate(canceller.model, &error, &answer);
        wrong +=
            status != HASTEN_OK ||
            memcmp(answer.ids, expected.ids, (size_t)answer.count * sizeof answer.ids[0]) != 0 ||
            (answer.finish != EN_FINISH_CANCEL && answer.count != TINY_ANSWER);
        cancelled += answer.finish == EN_FINISH_CANCEL;
    }
    atomic_store(&canceller.stop, true);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(wrong, 0);
    const struct tiny_answer after =
        tiny_answer_of(canceller.model); /* an old cancel is forgotten */
    CHECK(tiny_same(&after, &expected));
    CHECK_INT(rt_cache_pages_free(en_cache(canceller.model), 0),
              rt_cache_pages_total(en_cache(canceller.model), 0));
    printf("     %d of 200 answers were cancelled\n", cancelled);
    en_close(&canceller.model);
    tiny_end();
}

TEST_MAIN()
