/* Memory plan: no two values that live at once share a byte, and the total is near the peak. */
#include <stdbool.h>

#include "base/rng.h"
#include "harness/test.h"
#include "plan/memory_plan.h"

static void check_no_overlap(const struct pl_lifetime *values, int count, size_t total)
{
    for (int a = 0; a < count; a++) {
        CHECK(values[a].size_bytes == 0 || values[a].offset % 64 == 0);
        CHECK(values[a].size_bytes == 0 || values[a].offset + values[a].size_bytes <= total);
        for (int b = a + 1; b < count; b++) {
            bool together = values[a].first <= values[b].last && values[b].first <= values[a].last;
            bool apart = values[a].offset + values[a].size_bytes <= values[b].offset ||
                         values[b].offset + values[b].size_bytes <= values[a].offset;
            CHECK(!together || apart || !values[a].size_bytes || !values[b].size_bytes);
        }
    }
}

TEST(random_lifetimes_never_overlap)
{
    uint64_t seed = test_seed(7);
    for (int round = 0; round < 200; round++) {
        struct pl_lifetime values[40];
        for (uint64_t i = 0; i < 40; i++) {
            uint64_t r = hs_rng_u64(seed, (uint64_t)round, i);
            values[i] = (struct pl_lifetime){.size_bytes = r % 5000, .first = (int)(r >> 20) % 50};
            values[i].last = values[i].first + (int)((r >> 40) % 10);
        }
        size_t total = 0;
        CHECK_INT(pl_place(values, 40, NULL, &total), HASTEN_OK);
        check_no_overlap(values, 40, total);
    }
}

TEST(a_chain_reuses_memory)
{
    struct pl_lifetime chain[100];
    for (int i = 0; i < 100; i++)
        chain[i] = (struct pl_lifetime){.size_bytes = 1000, .first = i, .last = i + 1};
    size_t total = 0;
    CHECK_INT(pl_place(chain, 100, NULL, &total), HASTEN_OK);
    CHECK(total <= 2 * (1024 + 64));
}

TEST(sizes_that_overflow_are_refused)
{
    struct pl_lifetime two[2] = {{.size_bytes = SIZE_MAX - 100, .first = 0, .last = 1},
                                 {.size_bytes = SIZE_MAX - 100, .first = 0, .last = 1}};
    size_t total = 42;
    CHECK_INT(pl_place(two, 2, NULL, &total), HASTEN_LIMIT);
    CHECK_INT(total, 42);
}

TEST_MAIN()
