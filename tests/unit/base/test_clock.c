/* Clock never goes back and advances; peak memory follows what was touched. */
#include "base/clock.h"

#include <time.h>

#include "base/memory.h"
#include "harness/test.h"

TEST(clock_is_monotonic_nanoseconds)
{
    uint64_t last = hs_clock_ns();
    for (int i = 0; i < 100000; i++) {
        uint64_t now = hs_clock_ns();
        CHECK(now >= last);
        last = now;
    }
    uint64_t before = hs_clock_ns();
    struct timespec pause = {0, 2000000};
    nanosleep(&pause, NULL);
    CHECK(hs_clock_ns() - before >= 2000000);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK(hs_clock_ns() / 1000000000u - (uint64_t)now.tv_sec <= 60);
}

TEST(peak_memory_grows_with_touched_pages)
{
    uint64_t before = hs_peak_rss_bytes();
    CHECK(before > 0);
    size_t size_bytes = (size_t)before + ((size_t)64 << 20); /* more than ever was resident */
    char *block = hs_block_new(size_bytes);
    CHECK(block);
    memset(block, 1, size_bytes);
    uint64_t after = hs_peak_rss_bytes();
    hs_block_free(block, size_bytes);
    CHECK(after >= size_bytes / 2);
    CHECK(hs_peak_rss_bytes() >= after / 2); /* a high-water mark stays */
}

TEST_MAIN()
