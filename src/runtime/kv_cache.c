/* Pools, sequences and their page tables; see kv_cache.h. */
#include "runtime/kv_cache.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"

struct pool {
    uint8_t *data; /* pages * page_bytes, touched lazily */
    size_t page_bytes;
    int32_t pages;
    int32_t *stack; /* free page numbers, next one at stack[free-1] */
    int32_t free;
    uint16_t *references;
    uint8_t *was_used;
    int32_t touched;
    int32_t window;
};

struct rt_cache {
    struct pool pools[KN_PAGE_GROUPS];
    int32_t groups;
};

struct table {
    int32_t *entries; /* page number per 32 positions */
    int32_t first;    /* entries before it were given back (windows) */
    int32_t pages;    /* entries in use: first..pages-1 */
};

struct rt_sequence {
    struct rt_cache *cache;
    int64_t length, max;
    struct table tables[KN_PAGE_GROUPS];
};

static int32_t pages_for(int64_t positions)
{
    return (int32_t)((positions + TN_PAGE_POSITIONS - 1) / TN_PAGE_POSITIONS);
}

/* Fills the free stack; page 0 comes first, or a seeded Fisher-Yates order for tests. */
static void fill_stack(struct pool *pool, uint64_t seed)
{
    for (int32_t i = 0; i < pool->pages; i++)
        pool->stack[i] = pool->pages - 1 - i;
    for (int32_t i = pool->pages - 1; seed && i > 0; i--) {
        int32_t j = (int32_t)(hs_rng_u64(seed, 0, (uint64_t)i) % (uint64_t)(i + 1));
        int32_t swap = pool->stack[i];
        pool->stack[i] = pool->stack[j];
        pool->stack[j] = swap;
    }
    pool->free = pool->pages;
}

static enum hasten_status open_pool(struct pool *pool, const struct ir_page_group *group,
                                    const struct rt_cache_options *options, struct hs_error *error)
{
    size_t total;
    pool->window = group->window;
    pool->pages = pages_for(options->positions);
    if (!hs_size_mul((size_t)group->layers, group->layout.layer_bytes, &pool->page_bytes) ||
        !hs_size_mul(pool->page_bytes, (size_t)pool->pages, &total) || total == 0)
        return hs_fail(error, HASTEN_LIMIT, "ask for a smaller context",
                       "a KV cache of %" PRId64 " positions exceeds the address space",
                       options->positions);
    pool->stack = hs_calloc((size_t)pool->pages, sizeof *pool->stack);
    pool->references = hs_calloc((size_t)pool->pages, sizeof *pool->references);
    pool->was_used = hs_calloc((size_t)pool->pages, 1);
    pool->data = hs_block_new(total);
    if (!pool->stack || !pool->references || !pool->was_used || !pool->data)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "ask for a smaller context",
                       "no memory for a KV cache of %" PRId64 " positions (%zu MiB)",
                       options->positions, total >> 20);
    fill_stack(pool, options->shuffle_seed);
    return HASTEN_OK;
}

enum hasten_status rt_cache_open(const struct pl_plan *plan, const struct rt_cache_options *options,
                                 struct hs_error *error, struct rt_cache **cache_out)
{
    if (options->positions < 1 || options->positions > INT32_MAX / 2)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "a KV cache of %" PRId64 " positions is out of range", options->positions);
    struct rt_cache *cache = hs_calloc(1, sizeof *cache);
    if (!cache)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the KV cache");
    cache->groups = plan->group_count;
    for (int32_t g = 0; g < cache->groups; g++) {
        enum hasten_status status = open_pool(&cache->pools[g], &plan->groups[g], options, error);
        if (status != HASTEN_OK) {
            rt_cache_close(&cache);
            return status;
        }
    }
    *cache_out = cache;
    return HASTEN_OK;
}

void rt_cache_close(struct rt_cache **cache)
{
    if (!*cache)
        return;
    for (int32_t g = 0; g < (*cache)->groups; g++) {
        struct pool *pool = &(*cache)->pools[g];
        hs_block_free(pool->data, pool->page_bytes * (size_t)pool->pages);
        hs_free(pool->stack);
        hs_free(pool->references);
        hs_free(pool->was_used);
    }
    hs_free(*cache);
    *cache = NULL;
}

int32_t rt_cache_groups(const struct rt_cache *cache)
{
    return cache->groups;
}

int64_t rt_cache_pages_free(const struct rt_cache *cache, int32_t group)
{
    return cache->pools[group].free;
}

int64_t rt_cache_pages_total(const struct rt_cache *cache, int32_t group)
{
    return cache->pools[group].pages;
}

size_t rt_cache_touched_bytes(const struct rt_cache *cache)
{
    size_t bytes = 0;
    for (int32_t g = 0; g < cache->groups; g++)
        bytes += cache->pools[g].page_bytes * (size_t)cache->pools[g].touched;
    return bytes;
}

struct kn_state rt_cache_state(const struct rt_cache *cache, const struct pl_plan *plan,
                               int32_t state)
{
    int32_t group = plan->states[state].group;
    const struct pool *pool = &cache->pools[group];
    return (struct kn_state){pool->data, pool->page_bytes, plan->groups[group].layout, group};
}

static int32_t take_page(struct pool *pool)
{
    int32_t page = pool->stack[--pool->free];
    pool->references[page] = 1;
    if (pool->was_used[page]) {
        memset(pool->data + (size_t)page * pool->page_bytes, 0, pool->page_bytes);
    } else { /* fresh from the system: already zero */
        pool->was_used[page] = 1;
        pool->touched++;
    }
    return page;
}

static void give_page(struct pool *pool, int32_t page)
{
    if (--pool->references[page] == 0)
        pool->stack[pool->free++] = page;
}

enum hasten_status rt_sequence_open(struct rt_cache *cache, int64_t max_positions,
                                    struct hs_error *error, struct rt_sequence **sequence_out)
{
    if (max_positions < 1 || max_positions > INT32_MAX / 2)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "a context of %" PRId64 " positions is out of range", max_positions);
    struct rt_sequence *sequence = hs_calloc(1, sizeof *sequence);
    if (!sequence)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a sequence");
    sequence->cache = cache;
    sequence->max = max_positions;
    for (int32_t g = 0; g < cache->groups; g++) {
        sequence->tables[g].entries =
            hs_calloc((size_t)pages_for(max_positions), sizeof *sequence->tables[g].entries);
        if (!sequence->tables[g].entries) {
            rt_sequence_close(&sequence);
            return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a page table");
        }
    }
    *sequence_out = sequence;
    return HASTEN_OK;
}

/* Gives back the pages from entry `keep` on. */
static void cut_table(struct pool *pool, struct table *table, int32_t keep)
{
    while (table->pages > keep && table->pages > table->first)
        give_page(pool, table->entries[--table->pages]);
}

void rt_sequence_close(struct rt_sequence **sequence)
{
    if (!*sequence)
        return;
    for (int32_t g = 0; g < (*sequence)->cache->groups; g++) {
        cut_table(&(*sequence)->cache->pools[g], &(*sequence)->tables[g], 0);
        hs_free((*sequence)->tables[g].entries);
    }
    hs_free(*sequence);
    *sequence = NULL;
}

int64_t rt_sequence_length(const struct rt_sequence *sequence)
{
    return sequence->length;
}

int64_t rt_sequence_max(const struct rt_sequence *sequence)
{
    return sequence->max;
}

enum hasten_status rt_sequence_reserve(struct rt_sequence *sequence, int64_t count,
                                       struct hs_error *error)
{
    struct rt_cache *cache = sequence->cache;
    if (count < 0 || count > sequence->max - sequence->length)
        return hs_fail(error, HASTEN_LIMIT, "ask for a larger context or shorten the text",
                       "%" PRId64 " more tokens do not fit the context of %" PRId64 " (%" PRId64
                       " are used)",
                       count, sequence->max, sequence->length);
    int32_t pages = pages_for(sequence->length + count);
    for (int32_t g = 0; g < cache->groups; g++)
        if (pages - sequence->tables[g].pages > cache->pools[g].free)
            return hs_fail(error, HASTEN_AGAIN, "close a sequence or open a larger cache",
                           "the KV cache has no free page");
    for (int32_t g = 0; g < cache->groups; g++) {
        struct table *table = &sequence->tables[g];
        while (table->pages < pages)
            table->entries[table->pages++] = take_page(&cache->pools[g]);
    }
    return HASTEN_OK;
}

void rt_sequence_commit(struct rt_sequence *sequence, int64_t count)
{
    sequence->length += count;
    for (int32_t g = 0; g < sequence->cache->groups; g++) {
        struct pool *pool = &sequence->cache->pools[g];
        struct table *table = &sequence->tables[g];
        /* The next position sees length - window + 1 .. length. */
        int64_t oldest = pool->window ? sequence->length - pool->window + 1 : 0;
        int32_t first = oldest > 0 ? (int32_t)(oldest / TN_PAGE_POSITIONS) : 0;
        while (table->first < first && table->first < table->pages)
            give_page(pool, table->entries[table->first++]);
    }
}

enum hasten_status rt_sequence_rewind(struct rt_sequence *sequence, int64_t length,
                                      struct hs_error *error)
{
    struct rt_cache *cache = sequence->cache;
    if (length < 0 || length > sequence->length)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "cannot rewind a sequence of %" PRId64 " positions to %" PRId64,
                       sequence->length, length);
    for (int32_t g = 0; g < cache->groups; g++) {
        int32_t window = cache->pools[g].window;
        int64_t oldest = window && length >= window ? length - window + 1 : 0;
        if (length > 0 && oldest / TN_PAGE_POSITIONS < sequence->tables[g].first)
            return hs_fail(error, HASTEN_LIMIT, "recompute the sequence from its tokens",
                           "pages before position %" PRId64 " were given back", length);
    }
    for (int32_t g = 0; g < cache->groups; g++) {
        cut_table(&cache->pools[g], &sequence->tables[g], pages_for(length));
        if (length == 0)
            sequence->tables[g].first = sequence->tables[g].pages = 0;
    }
    sequence->length = length;
    return HASTEN_OK;
}

const int32_t *rt_sequence_table(const struct rt_sequence *sequence, int32_t group,
                                 int32_t *first_out, int32_t *pages_out)
{
    const struct table *table = &sequence->tables[group];
    *first_out = table->first;
    *pages_out = table->pages;
    return table->entries;
}
