/*
 * Kept prefixes: whatever sequences do, each finds on its pages what it would have computed. The
 * test writes into every position of every group a number that depends on all tokens up to there,
 * as a model would, and compares after each action.
 */
#include "base/rng.h"
#include "harness/test.h"
#include "runtime/kv_cache.h"
#include "runtime/prefix_index.h"

enum { WINDOW = 70, PAGES = 24, WINDOW_PAGES = 16, SEQUENCES = 5, LONGEST = 32 * 14 };

static struct pl_plan plan;
static struct pl_state states[2];

static struct rt_cache *open_cache(int32_t window)
{
    struct rt_cache *cache = NULL;
    struct rt_cache_options options = {.positions = 32 * PAGES,
                                       .window_positions = 32 * WINDOW_PAGES,
                                       .shuffle_seed = 5,
                                       .keep_prefixes = true,
                                       .hash_seed = 77};
    plan.group_count = window ? 2 : 1;
    plan.states = states;
    for (int g = 0; g < plan.group_count; g++) {
        states[g].group = g;
        plan.groups[g].layers = 1;
        plan.groups[g].window = g ? window : 0;
        CHECK_INT(tn_kv_layout_init(TN_F32, 1, 32, NULL, &plan.groups[g].layout), HASTEN_OK);
    }
    CHECK_INT(rt_cache_open(&plan, &options, NULL, &cache), HASTEN_OK);
    return cache;
}

struct stream {
    struct rt_sequence *sequence;
    int32_t tokens[LONGEST];
    uint32_t sums[LONGEST]; /* what stands on the page of each position */
};

static uint32_t *cell(const struct rt_cache *cache, const struct stream *s, int32_t group,
                      int64_t position)
{
    int32_t first, pages;
    const int32_t *table = rt_sequence_table(s->sequence, group, &first, &pages);
    int32_t entry = (int32_t)(position / 32);
    if (entry < first)
        return NULL;
    CHECK(entry < pages);
    struct kn_state state = rt_cache_state(cache, &plan, group);
    uint8_t *page = state.pool + (size_t)table[entry] * state.page_bytes;
    return (uint32_t *)(void *)page + position % 32;
}

static void feed(struct rt_cache *cache, struct stream *s, int64_t count)
{
    int64_t at = rt_sequence_length(s->sequence);
    for (int64_t i = at; i < at + count; i++) {
        uint32_t before = i ? s->sums[i - 1] : 1;
        s->sums[i] = (before * 31 + (uint32_t)s->tokens[i]) * 2654435761u;
        for (int32_t g = 0; g < plan.group_count; g++)
            *cell(cache, s, g, i) = s->sums[i];
    }
    rt_sequence_commit(s->sequence, s->tokens + at, count);
}

static void check_pages(const struct rt_cache *cache, const struct stream *s)
{
    uint32_t sum = 1;
    for (int64_t i = 0; i < rt_sequence_length(s->sequence); i++) {
        sum = (sum * 31 + (uint32_t)s->tokens[i]) * 2654435761u;
        for (int32_t g = 0; g < plan.group_count; g++) {
            const uint32_t *held = cell(cache, s, g, i);
            if (held && *held != sum)
                TEST_FAIL("position %d, group %d: another prefix's page", (int)i, (int)g);
            if (!held && i > rt_sequence_length(s->sequence) - WINDOW)
                TEST_FAIL("position %d, group %d: page in sight is gone", (int)i, (int)g);
        }
    }
}

/* Texts that share beginnings: token i depends on i and on a few choices made at multiples of 50.
 */
static void choose_text(struct stream *s, uint64_t r)
{
    for (int32_t i = 0; i < LONGEST; i++)
        s->tokens[i] = i + 1000 * (int32_t)(r >> (8 * (i / 50 % 8)) & (i < 100 ? 1 : 3));
}

static void open_stream(struct rt_cache *cache, struct stream *s, uint64_t r)
{
    choose_text(s, r);
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &s->sequence), HASTEN_OK);
    int64_t count = 1 + (int64_t)(r % LONGEST),
            got = rt_sequence_adopt(s->sequence, s->tokens, count);
    CHECK(got % 32 == 0 && got < count && got == rt_sequence_length(s->sequence));
    uint32_t sum = 1;
    for (int64_t i = 0; i < got; i++)
        s->sums[i] = sum = (sum * 31 + (uint32_t)s->tokens[i]) * 2654435761u;
}

static void act(struct rt_cache *cache, struct stream *s, uint64_t r)
{
    uint64_t action = (r >> 3) % 16;
    int64_t length;
    if (!s->sequence) {
        open_stream(cache, s, r >> 8);
        return;
    }
    length = rt_sequence_length(s->sequence);
    if (action == 0) {
        rt_sequence_close(&s->sequence);
    } else if (action == 1) { /* other tokens from there on */
        int64_t back = (int64_t)(r >> 8) % (length + 1);
        if (rt_sequence_rewind(s->sequence, back, NULL) == HASTEN_OK)
            for (int64_t i = back; i < LONGEST; i++)
                s->tokens[i] += 500 * (int32_t)(r >> 60);
    } else {
        int64_t count = (int64_t)(r >> 8) % 90;
        if (count <= LONGEST - length && rt_sequence_reserve(s->sequence, count, NULL) == HASTEN_OK)
            feed(cache, s, count);
        else
            rt_sequence_close(&s->sequence);
    }
}

static void check_random_use(int32_t window)
{
    uint64_t seed = test_seed(11);
    static struct stream streams[SEQUENCES];
    memset(streams, 0, sizeof streams);
    struct rt_cache *cache = open_cache(window);
    for (uint64_t i = 0; i < 6000; i++) {
        uint64_t r = hs_rng_u64(seed, (uint64_t)window, i);
        act(cache, &streams[r % SEQUENCES], r / SEQUENCES);
        for (int q = 0; q < SEQUENCES; q++)
            if (streams[q].sequence)
                check_pages(cache, &streams[q]);
    }
    for (int q = 0; q < SEQUENCES; q++)
        rt_sequence_close(&streams[q].sequence);
    for (int32_t g = 0; g < plan.group_count; g++)
        CHECK_INT(rt_cache_pages_free(cache, g), rt_cache_pages_total(cache, g));
    struct rt_prefix_counts counts = rt_cache_prefix_counts(cache);
    printf("     %llu of %llu tokens found, %llu pages evicted\n",
           (unsigned long long)counts.found_tokens, (unsigned long long)counts.asked_tokens,
           (unsigned long long)counts.evicted_pages);
    CHECK(counts.found_tokens > counts.asked_tokens / 20 && counts.evicted_pages > 100);
    rt_cache_close(&cache);
}

TEST(sequences_find_what_they_would_have_computed)
{
    check_random_use(0);
}

TEST(window_groups_too)
{
    check_random_use(WINDOW);
}

static struct stream one;

static void run_one(struct rt_cache *cache, int64_t count)
{
    CHECK_INT(rt_sequence_reserve(one.sequence, count, NULL), HASTEN_OK);
    feed(cache, &one, count);
}

TEST(a_prefix_is_found_up_to_the_page_before_its_last_token)
{
    struct rt_cache *cache = open_cache(0);
    choose_text(&one, 0);
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &one.sequence), HASTEN_OK);
    CHECK_INT(rt_sequence_adopt(one.sequence, one.tokens, 100), 0);
    run_one(cache, 100);
    rt_sequence_close(&one.sequence);
    static const int64_t counts[] = {1, 32, 33, 64, 65, 96, 97, 200};
    static const int64_t found[] = {0, 0, 32, 32, 64, 64, 96, 96};
    for (int i = 0; i < 8; i++) {
        CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &one.sequence), HASTEN_OK);
        CHECK_INT(rt_sequence_adopt(one.sequence, one.tokens, counts[i]), found[i]);
        rt_sequence_close(&one.sequence);
    }
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &one.sequence), HASTEN_OK);
    one.tokens[40]++;
    CHECK_INT(rt_sequence_adopt(one.sequence, one.tokens, 200), 32);
    rt_sequence_close(&one.sequence);
    rt_cache_close(&cache);
}

/* The prefix of a live sequence is shared, and costs no page. */
TEST(running_sequences_share)
{
    struct rt_cache *cache = open_cache(0);
    struct rt_sequence *other = NULL;
    choose_text(&one, 0);
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &one.sequence), HASTEN_OK);
    run_one(cache, 128);
    CHECK_INT(rt_cache_pages_free(cache, 0), PAGES - 4);
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &other), HASTEN_OK);
    CHECK_INT(rt_sequence_adopt(other, one.tokens, 129), 128);
    CHECK_INT(rt_cache_pages_free(cache, 0), PAGES - 4);
    rt_sequence_close(&one.sequence);
    CHECK_INT(rt_cache_pages_free(cache, 0), PAGES - 4);
    rt_sequence_close(&other);
    CHECK_INT(rt_cache_pages_free(cache, 0), PAGES);
    rt_cache_close(&cache);
}

/* Two sequences that compute the same text side by side end up on the same pages. */
TEST(equal_pages_become_one)
{
    struct rt_cache *cache = open_cache(0);
    static struct stream twin;
    choose_text(&one, 0);
    twin = one;
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &one.sequence), HASTEN_OK);
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &twin.sequence), HASTEN_OK);
    for (int i = 0; i < 4; i++) {
        run_one(cache, 32);
        CHECK_INT(rt_sequence_reserve(twin.sequence, 32, NULL), HASTEN_OK);
        feed(cache, &twin, 32);
    }
    CHECK_INT(rt_cache_pages_free(cache, 0), PAGES - 4);
    rt_sequence_close(&one.sequence);
    rt_sequence_close(&twin.sequence);
    rt_cache_close(&cache);
}

TEST(least_recently_used_pages_go_first)
{
    struct rt_cache *cache = open_cache(0);
    int64_t found[3];
    for (int32_t text = 0; text < 4; text++) { /* 4 texts of 7 pages into 24 */
        for (int32_t i = 0; i < LONGEST; i++)
            one.tokens[i] = 10000 * text + i;
        CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &one.sequence), HASTEN_OK);
        run_one(cache, 7 * 32);
        rt_sequence_close(&one.sequence);
    }
    for (int32_t text = 0; text < 3; text++) {
        for (int32_t i = 0; i < LONGEST; i++)
            one.tokens[i] = 10000 * text + i;
        CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &one.sequence), HASTEN_OK);
        found[text] = rt_sequence_adopt(one.sequence, one.tokens, LONGEST);
        rt_sequence_close(&one.sequence);
    }
    CHECK_INT(found[0], 3 * 32); /* its last four pages made room */
    CHECK_INT(found[1], 7 * 32);
    CHECK_INT(found[2], 7 * 32);
    rt_cache_close(&cache);
}

/* A sequence that goes back to its start has used its prefix until then, as one that closes. */
TEST(going_back_is_a_use)
{
    struct rt_cache *cache = open_cache(0);
    struct rt_sequence *other = NULL;
    choose_text(&one, 0);
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &one.sequence), HASTEN_OK);
    run_one(cache, 7 * 32);
    for (int32_t text = 1; text < 4; text++) { /* 2 younger texts of 7 pages, then a third */
        static struct stream later;
        if (text == 3)
            CHECK_INT(rt_sequence_rewind(one.sequence, 0, NULL), HASTEN_OK);
        for (int32_t i = 0; i < LONGEST; i++)
            later.tokens[i] = 10000 * text + i;
        CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &later.sequence), HASTEN_OK);
        CHECK_INT(rt_sequence_reserve(later.sequence, 7 * 32, NULL), HASTEN_OK);
        feed(cache, &later, 7 * 32);
        rt_sequence_close(&later.sequence);
    }
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &other), HASTEN_OK);
    CHECK_INT(rt_sequence_adopt(other, one.tokens, LONGEST), 7 * 32);
    rt_sequence_close(&other);
    rt_sequence_close(&one.sequence);
    rt_cache_close(&cache);
}

/* Going back into a kept page and on with other tokens makes a page of its own, known by all of its
 * tokens. */
TEST(rewinding_into_a_kept_page)
{
    struct rt_cache *cache = open_cache(0);
    choose_text(&one, 0);
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &one.sequence), HASTEN_OK);
    run_one(cache, 96);
    CHECK_INT(rt_sequence_rewind(one.sequence, 40, NULL), HASTEN_OK);
    for (int i = 40; i < 96; i++)
        one.tokens[i] += 7;
    run_one(cache, 56);
    check_pages(cache, &one);
    for (int way = 0; way < 2; way++) { /* the new text, then the old one */
        static struct stream other;
        other = one;
        for (int i = 40; i < 96 && way; i++)
            other.tokens[i] -= 7;
        CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &other.sequence), HASTEN_OK);
        CHECK_INT(rt_sequence_adopt(other.sequence, other.tokens, 97), 96);
        check_pages(cache, &other);
        rt_sequence_close(&other.sequence);
    }
    rt_sequence_close(&one.sequence);
    rt_cache_close(&cache);
}

TEST(unknown_tokens_are_not_kept)
{
    struct rt_cache *cache = open_cache(0);
    choose_text(&one, 0);
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &one.sequence), HASTEN_OK);
    CHECK_INT(rt_sequence_reserve(one.sequence, 64, NULL), HASTEN_OK);
    rt_sequence_commit(one.sequence, NULL, 64);
    rt_sequence_close(&one.sequence);
    CHECK_INT(rt_sequence_open(cache, LONGEST, NULL, &one.sequence), HASTEN_OK);
    CHECK_INT(rt_sequence_adopt(one.sequence, one.tokens, 64), 0);
    rt_sequence_close(&one.sequence);
    rt_cache_close(&cache);
}

TEST(texts_that_collide_are_compared)
{
    struct rt_prefix_index *index = NULL;
    int32_t tokens[32] = {0}, parent = RT_PREFIX_ROOT;
    CHECK_INT(rt_prefix_open(1, 0, NULL, &index), HASTEN_OK); /* one bucket: all collide */
    parent = rt_prefix_add(index, parent, tokens);
    CHECK_INT(rt_prefix_find(index, RT_PREFIX_ROOT, tokens), parent);
    CHECK_INT(rt_prefix_find(index, parent, tokens), RT_PREFIX_ROOT);
    tokens[31] = 1;
    CHECK_INT(rt_prefix_find(index, RT_PREFIX_ROOT, tokens), RT_PREFIX_ROOT);
    CHECK_INT(rt_prefix_add(index, parent, tokens), RT_PREFIX_ROOT); /* full */
    rt_prefix_remove(index, parent);
    CHECK_INT(rt_prefix_count(index), 0);
    rt_prefix_close(&index);
}

TEST_MAIN()
