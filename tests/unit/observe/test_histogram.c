/* Histogram: bounds, the bucket of a duration by the definition, and the rendered text. */
#include "harness/test.h"

#include "observe/histogram.h"

TEST(bounds_grow_by_at_most_a_quarter)
{
    CHECK_INT(ob_histogram_bound(0), 1 << OB_HISTOGRAM_FIRST_BITS);
    CHECK_INT(ob_histogram_bound(OB_HISTOGRAM_BOUNDS - 1), 1ll << OB_HISTOGRAM_LAST_BITS);
    for (int i = 1; i < OB_HISTOGRAM_BOUNDS; i++) {
        CHECK(ob_histogram_bound(i) > ob_histogram_bound(i - 1));
        CHECK(ob_histogram_bound(i) * 4 <= ob_histogram_bound(i - 1) * 5);
    }
}

static void check_bucket(uint64_t duration_ns)
{
    int expected = 0;
    while (expected < OB_HISTOGRAM_BOUNDS && ob_histogram_bound(expected) < duration_ns)
        expected++;
    CHECK_INT(ob_histogram_bucket(duration_ns), expected);
}

TEST(bucket_is_the_first_bound_not_below)
{
    check_bucket(0);
    check_bucket(1);
    check_bucket(UINT64_MAX);
    for (int i = 0; i < OB_HISTOGRAM_BOUNDS; i++)
        for (uint64_t off = 0; off < 3; off++)
            check_bucket(ob_histogram_bound(i) - 1 + off);
    uint64_t value = 12345;
    for (int i = 0; i < 100000; i++) {
        value = value * 6364136223846793005u + 1442695040888963407u;
        check_bucket(value >> (i % 60));
    }
}

TEST(text_is_cumulative_and_ends_with_sum_and_count)
{
    static struct ob_histogram histogram;
    struct hs_buffer out = {0};
    ob_histogram_add(&histogram, 1);
    ob_histogram_add(&histogram, 1500000); /* 1.5 ms */
    ob_histogram_add(&histogram, 400000000000);
    CHECK_INT(ob_histogram_count(&histogram), 3);
    ob_histogram_render(&histogram, "x_seconds", "m=\"a\"", &out);
    CHECK(!out.failed);
    CHECK(strstr(out.data, "x_seconds_bucket{m=\"a\",le=\"1.6384e-05\"} 1\n"));
    CHECK(strstr(out.data, "x_seconds_bucket{m=\"a\",le=\"0.001310720\"} 1\n") ||
          strstr(out.data, "x_seconds_bucket{m=\"a\",le=\"0.00131072\"} 1\n"));
    CHECK(strstr(out.data, "x_seconds_bucket{m=\"a\",le=\"0.001572864\"} 2\n"));
    CHECK(strstr(out.data, "x_seconds_bucket{m=\"a\",le=\"+Inf\"} 3\n"));
    CHECK(strstr(out.data, "x_seconds_sum{m=\"a\"} 400.001500001\n"));
    CHECK(strstr(out.data, "x_seconds_count{m=\"a\"} 3\n"));
    hs_buffer_free(&out);
}

TEST_MAIN()
