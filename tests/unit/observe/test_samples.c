/* Sample ring and nearest-rank percentiles against a count by definition; counters. */
#include "observe/samples.h"

#include <pthread.h>

#include "base/memory.h"
#include "base/rng.h"
#include "harness/test.h"
#include "observe/counters.h"

TEST(percentile_by_hand)
{
    static const uint64_t sorted[] = {15, 20, 35, 40, 50};
    CHECK_INT(ob_percentile(sorted, 5, 500), 15);
    CHECK_INT(ob_percentile(sorted, 5, 3000), 20);
    CHECK_INT(ob_percentile(sorted, 5, 4000), 20);
    CHECK_INT(ob_percentile(sorted, 5, 4001), 35);
    CHECK_INT(ob_percentile(sorted, 5, 5000), 35);
    CHECK_INT(ob_percentile(sorted, 5, 10000), 50);
    CHECK_INT(ob_percentile(sorted, 5, 99999), 50);
    CHECK_INT(ob_percentile(sorted, 5, 0), 15);
    CHECK_INT(ob_percentile(sorted, 1, 5000), 15);
    CHECK_INT(ob_percentile(sorted, 0, 5000), 0);
}

/* The definition: the smallest sample with at least p of all samples not above it. */
static uint64_t percentile_by_counting(const uint64_t *values, size_t count, unsigned per_10000)
{
    uint64_t best = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        uint64_t not_above = 0;
        for (size_t k = 0; k < count; k++)
            not_above += values[k] <= values[i];
        if (not_above * 10000 >= (uint64_t)count * per_10000 && values[i] < best)
            best = values[i];
    }
    return best;
}

TEST(summary_agrees_with_the_definition)
{
    uint64_t seed = test_seed(11);
    static uint64_t added[700];
    for (size_t total = 1; total <= 700; total += total < 12 ? 1 : 86) {
        struct ob_samples samples;
        CHECK_INT(ob_samples_open(256, NULL, &samples), HASTEN_OK);
        for (size_t i = 0; i < total; i++) {
            added[i] = hs_rng_u64(seed, total, i) % (i % 3 ? 50 : 100000); /* with repeats */
            ob_samples_add(&samples, added[i]);
        }
        size_t kept = total < 256 ? total : 256;
        const uint64_t *window = added + total - kept;
        struct ob_summary summary = ob_samples_summary(&samples);
        ob_samples_close(&samples);
        double sum = 0;
        for (size_t i = 0; i < kept; i++)
            sum += (double)window[i];
        CHECK_INT(summary.total_count, total);
        CHECK_INT(summary.kept_count, kept);
        CHECK_INT(summary.p50_ns, percentile_by_counting(window, kept, 5000));
        CHECK_INT(summary.p90_ns, percentile_by_counting(window, kept, 9000));
        CHECK_INT(summary.p99_ns, percentile_by_counting(window, kept, 9900));
        CHECK_INT(summary.max_ns, percentile_by_counting(window, kept, 10000));
        CHECK_INT(summary.min_ns, percentile_by_counting(window, kept, 0));
        CHECK_NEAR(summary.mean_ns, sum / (double)kept, 1e-6);
    }
}

TEST(recorder_life)
{
    struct hs_error error;
    struct ob_samples samples = {0};
    CHECK_INT(ob_samples_open(0, &error, &samples), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(ob_samples_open(SIZE_MAX / 4, &error, &samples), HASTEN_OUT_OF_MEMORY);
    for (uint64_t n = 1; n <= 2; n++) {
        hs_alloc_fail_at(n, false);
        enum hasten_status status = ob_samples_open(4, &error, &samples);
        hs_alloc_fail_at(0, false);
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
    }
    CHECK(!samples.ring_ns);
    CHECK_INT(ob_samples_open(1, &error, &samples), HASTEN_OK);
    struct ob_summary summary = ob_samples_summary(&samples);
    CHECK(summary.kept_count == 0 && summary.max_ns == 0 && summary.mean_ns == 0);
    uint64_t before = hs_alloc_count();
    ob_samples_add(&samples, 9);
    ob_samples_add(&samples, UINT64_MAX);
    summary = ob_samples_summary(&samples);
    CHECK_INT(hs_alloc_count(), before);
    CHECK(summary.total_count == 2 && summary.kept_count == 1);
    CHECK(summary.min_ns == UINT64_MAX && summary.max_ns == UINT64_MAX);
    ob_samples_clear(&samples);
    CHECK_INT(ob_samples_summary(&samples).total_count, 0);
    ob_samples_close(&samples);
    CHECK(!samples.ring_ns && !samples.sorted_ns);
    ob_samples_close(&samples);
}

static void *count_main(void *argument)
{
    for (int i = 0; i < 10000; i++)
        ob_count(argument, OB_GENERATED_TOKENS, 3);
    return NULL;
}

TEST(counters_count_from_all_threads)
{
    struct ob_counters counters = {0};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, count_main, &counters) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(ob_counter_get(&counters, OB_GENERATED_TOKENS), 90000);
    CHECK_INT(ob_counter_get(&counters, OB_STEPS), 0);
    for (int i = 0; i < OB_COUNTER_COUNT; i++) {
        CHECK(ob_counter_name((enum ob_counter)i)[0] && ob_counter_help((enum ob_counter)i)[0]);
        for (int k = 0; k < i; k++)
            CHECK(strcmp(ob_counter_name((enum ob_counter)i), ob_counter_name((enum ob_counter)k)));
    }
    CHECK_TEXT(ob_counter_name(OB_PROMPT_TOKENS), "prompt_tokens");
    CHECK_TEXT(ob_counter_name(OB_COUNTER_COUNT), "unknown");
    CHECK_TEXT(ob_counter_help(OB_COUNTER_COUNT), "unknown");
}

TEST_MAIN()
