/* Pages are conserved, zeroed when taken, given back by windows, rewinds and closing. */
#include "base/rng.h"
#include "harness/test.h"
#include "runtime/batch_builder.h"

static struct pl_plan plan;

static struct rt_cache *open_cache(int64_t positions, int32_t window, uint64_t shuffle)
{
    struct rt_cache *cache = NULL;
    struct rt_cache_options options = {.positions = positions, .shuffle_seed = shuffle};
    plan.group_count = 2;
    for (int g = 0; g < 2; g++) {
        plan.groups[g].layers = 2;
        plan.groups[g].window = g ? window : 0;
        CHECK_INT(tn_kv_layout_init(TN_F16, 2, 32, NULL, &plan.groups[g].layout), HASTEN_OK);
    }
    CHECK_INT(rt_cache_open(&plan, &options, NULL, &cache), HASTEN_OK);
    return cache;
}

TEST(pages_are_conserved_under_random_use)
{
    uint64_t seed = test_seed(3);
    struct rt_cache *cache = open_cache(32 * 40, 64, 99);
    struct rt_sequence *sequences[4] = {0};
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t r = hs_rng_u64(seed, 0, i);
        struct rt_sequence **s = &sequences[r % 4];
        if (!*s)
            CHECK_INT(rt_sequence_open(cache, 32 * 30, NULL, s), HASTEN_OK);
        int64_t count = (int64_t)(r >> 8) % 70;
        if ((r >> 20) % 10 == 0) {
            rt_sequence_close(s);
        } else if (rt_sequence_reserve(*s, count, NULL) == HASTEN_OK) {
            rt_sequence_commit(*s, NULL, count);
        } else {
            CHECK_INT(rt_sequence_rewind(*s, 0, NULL), HASTEN_OK);
        }
    }
    for (int i = 0; i < 4; i++)
        rt_sequence_close(&sequences[i]);
    for (int g = 0; g < 2; g++)
        CHECK_INT(rt_cache_pages_free(cache, g), rt_cache_pages_total(cache, g));
    rt_cache_close(&cache);
}

TEST(a_window_gives_pages_back)
{
    struct rt_cache *cache = open_cache(32 * 40, 64, 0);
    struct rt_sequence *s = NULL;
    int32_t first, pages;
    CHECK_INT(rt_sequence_open(cache, 32 * 40, NULL, &s), HASTEN_OK);
    for (int i = 0; i < 320; i++) {
        CHECK_INT(rt_sequence_reserve(s, 1, NULL), HASTEN_OK);
        rt_sequence_commit(s, NULL, 1);
    }
    CHECK_INT(rt_cache_pages_free(cache, 0), 30);
    /* The next position 320 sees 257..320: pages 8 and 9 are needed. */
    rt_sequence_table(s, 1, &first, &pages);
    CHECK_INT(first, 8);
    CHECK_INT(pages, 10);
    CHECK_INT(rt_cache_pages_free(cache, 1), 38);
    CHECK_INT(rt_sequence_rewind(s, 310, NULL), HASTEN_LIMIT);
    CHECK_INT(rt_sequence_rewind(s, 0, NULL), HASTEN_OK);
    CHECK_INT(rt_cache_pages_free(cache, 1), 40);
    rt_sequence_close(&s);
    rt_cache_close(&cache);
}

TEST(a_taken_page_is_zero)
{
    struct rt_cache *cache = open_cache(32, 0, 0);
    struct rt_sequence *s = NULL;
    struct pl_state state = {0, 0};
    plan.states = &state;
    plan.state_count = 1;
    struct kn_state operand = rt_cache_state(cache, &plan, 0);
    for (int round = 0; round < 2; round++) {
        CHECK_INT(rt_sequence_open(cache, 32, NULL, &s), HASTEN_OK);
        CHECK_INT(rt_sequence_reserve(s, 1, NULL), HASTEN_OK);
        for (size_t i = 0; i < operand.page_bytes; i++)
            CHECK_INT(operand.pool[i], 0);
        memset(operand.pool, 0xff, operand.page_bytes);
        rt_sequence_close(&s);
    }
    rt_cache_close(&cache);
}

TEST(reserving_too_much_changes_nothing)
{
    struct rt_cache *cache = open_cache(64, 0, 0);
    struct rt_sequence *a = NULL, *b = NULL;
    struct hs_error error = {0};
    CHECK_INT(rt_sequence_open(cache, 1000, NULL, &a), HASTEN_OK);
    CHECK_INT(rt_sequence_open(cache, 10, NULL, &b), HASTEN_OK);
    CHECK_INT(rt_sequence_reserve(a, 65, &error), HASTEN_AGAIN);
    CHECK_INT(rt_sequence_reserve(b, 11, &error), HASTEN_LIMIT);
    CHECK(strstr(error.message, "context of 10") != NULL);
    CHECK_INT(rt_cache_pages_free(cache, 0), 2);
    rt_sequence_close(&a);
    rt_sequence_close(&b);
    rt_cache_close(&cache);
}

TEST(batch_views_describe_the_step)
{
    struct rt_cache *cache = open_cache(320, 0, 0);
    struct rt_sequence *a = NULL, *b = NULL;
    struct rt_batch *batch = NULL;
    struct rt_batch_limits limits = {8, 2, 4, 2, 4};
    int32_t tokens[8] = {10, 11, 12, 13, 14, 15, 16, 17};
    CHECK_INT(rt_batch_open(&limits, NULL, &batch), HASTEN_OK);
    CHECK_INT(rt_sequence_open(cache, 128, NULL, &a), HASTEN_OK);
    CHECK_INT(rt_sequence_open(cache, 128, NULL, &b), HASTEN_OK);
    CHECK_INT(rt_sequence_reserve(a, 40, NULL), HASTEN_OK);
    rt_sequence_commit(a, NULL, 40);
    CHECK_INT(rt_sequence_reserve(a, 1, NULL), HASTEN_OK);
    CHECK_INT(rt_sequence_reserve(b, 5, NULL), HASTEN_OK);
    rt_batch_begin(batch);
    CHECK_INT(rt_batch_add(batch, a, tokens, 1, RT_WANT_LAST, NULL), HASTEN_OK);
    CHECK_INT(rt_batch_add(batch, b, tokens + 1, 5, RT_WANT_LAST, NULL), HASTEN_OK);
    const struct kn_batch *view = rt_batch_view(batch);
    CHECK_INT(view->tokens, 6);
    CHECK_INT(view->sequences, 2);
    CHECK_INT(view->wanted_rows, 2);
    CHECK_INT(view->rows[0], 0);
    CHECK_INT(view->rows[1], 5);
    CHECK_INT(view->kv_len[0], 41);
    CHECK_INT(view->position[0], 40);
    CHECK_INT(view->position[5], 4);
    CHECK_INT(kn_kv_index(view, 0), 40);
    CHECK_INT(kn_kv_index(view, 1), 0);
    CHECK_INT(rt_batch_add(batch, b, tokens, 3, RT_WANT_NONE, NULL), HASTEN_LIMIT);
    CHECK_INT(view->sequences, 2);
    rt_batch_close(&batch);
    rt_sequence_close(&a);
    rt_sequence_close(&b);
    rt_cache_close(&cache);
}

TEST_MAIN()
