/* Pools, sequences and their page tables, prefixes that are kept; see kv_cache.h. */
#include "runtime/kv_cache.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "runtime/prefix_index.h"

struct pool {
    uint8_t *data; /* pages * page_bytes, touched lazily */
    size_t page_bytes;
    int32_t pages;
    int32_t *stack; /* free page numbers, next one at stack[free-1] */
    int32_t free;
    uint16_t *references; /* sequences that hold the page, and 1 for the index */
    uint8_t *was_used;
    uint8_t *is_indexed; /* a node of the prefix index names the page */
    int32_t cached;      /* pages that only the index holds: taken when the stack is empty */
    int32_t touched;
    int32_t window;
};

struct rt_cache {
    struct pool pools[KN_PAGE_GROUPS];
    int32_t groups;
    struct rt_prefix_index *index; /* NULL: prefixes are not kept */
    struct rt_prefix_counts counts;
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
    /* Prefix index: the node of the last full page and how many nodes lead to it; the tokens of
     * the page that is being filled. */
    int32_t node, depth;
    int32_t tail[TN_PAGE_POSITIONS];
    bool is_traced; /* all tokens are known and every full page is in the index */
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
    pool->pages = pages_for(group->window && options->window_positions ? options->window_positions
                                                                       : options->positions);
    if (!hs_size_mul((size_t)group->layers, group->layout.layer_bytes, &pool->page_bytes) ||
        !hs_size_mul(pool->page_bytes, (size_t)pool->pages, &total) || total == 0)
        return hs_fail(error, HASTEN_LIMIT, "ask for a smaller context",
                       "a KV cache of %" PRId64 " positions exceeds the address space",
                       options->positions);
    pool->stack = hs_calloc((size_t)pool->pages, sizeof *pool->stack);
    pool->references = hs_calloc((size_t)pool->pages, sizeof *pool->references);
    pool->was_used = hs_calloc((size_t)pool->pages, 1);
    pool->is_indexed = hs_calloc((size_t)pool->pages, 1);
    pool->data = hs_block_new(total);
    if (!pool->stack || !pool->references || !pool->was_used || !pool->is_indexed || !pool->data)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "ask for a smaller context",
                       "no memory for a KV cache of %" PRId64 " positions (%zu MiB)",
                       options->positions, total >> 20);
    fill_stack(pool, options->shuffle_seed);
    return HASTEN_OK;
}

enum hasten_status rt_cache_open(const struct pl_plan *plan, const struct rt_cache_options *options,
                                 struct hs_error *error, struct rt_cache **cache_out)
{
    if (options->positions < 1 || options->positions > INT32_MAX / 2 ||
        options->window_positions < 0 || options->window_positions > options->positions)
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
    if (options->keep_prefixes) {
        int32_t nodes = pages_for(options->positions);
        enum hasten_status status = rt_prefix_open(nodes, options->hash_seed, error, &cache->index);
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
        hs_free(pool->is_indexed);
    }
    rt_prefix_close(&(*cache)->index);
    hs_free(*cache);
    *cache = NULL;
}

int32_t rt_cache_groups(const struct rt_cache *cache)
{
    return cache->groups;
}

int64_t rt_cache_pages_free(const struct rt_cache *cache, int32_t group)
{
    return cache->pools[group].free + cache->pools[group].cached;
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

/* ---- pages ---- */

static void hold_page(struct pool *pool, int32_t page)
{
    if (pool->is_indexed[page] && pool->references[page] == 1)
        pool->cached--;
    pool->references[page]++;
}

static void give_page(struct pool *pool, int32_t page)
{
    int32_t left = --pool->references[page];
    if (left == 0)
        pool->stack[pool->free++] = page;
    else if (left == 1 && pool->is_indexed[page])
        pool->cached++;
}

/* The node names this page from now on; the page is held by a sequence. */
static void index_page(struct pool *pool, struct rt_prefix_node *node, int32_t group, int32_t page)
{
    node->page[group] = page;
    pool->references[page]++;
    pool->is_indexed[page] = 1;
}

/* The node no longer names its page of the group (if it does). */
static void drop_page(struct pool *pool, struct rt_prefix_node *node, int32_t group)
{
    int32_t page = node->page[group];
    if (page == RT_NO_PAGE)
        return;
    node->page[group] = RT_NO_PAGE;
    pool->is_indexed[page] = 0;
    if (--pool->references[page] == 0) {
        pool->stack[pool->free++] = page;
        pool->cached--;
    }
}

static bool is_evictable(const struct rt_prefix_node *node)
{
    return node->children == 0 && node->users == 0;
}

static void evict_node(struct rt_cache *cache, int32_t node)
{
    for (int32_t g = 0; g < cache->groups; g++)
        drop_page(&cache->pools[g], rt_prefix_node(cache->index, node), g);
    rt_prefix_remove(cache->index, node);
    cache->counts.evicted_pages++;
}

/* Frees the least recently used page of a group that only the index holds. A page of a window group
 * goes alone: what stands behind it can still be met, only a sequence cannot start right there. */
static void evict_page(struct rt_cache *cache, int32_t group)
{
    struct pool *pool = &cache->pools[group];
    int32_t i = RT_PREFIX_ROOT;
    while ((i = rt_prefix_newer(cache->index, i)) != RT_PREFIX_ROOT) {
        struct rt_prefix_node *node = rt_prefix_node(cache->index, i);
        int32_t page = node->page[group];
        if (page == RT_NO_PAGE || pool->references[page] > 1)
            continue;
        if (is_evictable(node)) {
            evict_node(cache, i);
            return;
        }
        if (pool->window) {
            drop_page(pool, node, group);
            return;
        }
    }
}

/* The caller has checked that there is a free or a cached page. */
static int32_t take_page(struct rt_cache *cache, int32_t group)
{
    struct pool *pool = &cache->pools[group];
    if (pool->free == 0)
        evict_page(cache, group);
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

/* First entry of a group's table that a sequence of `length` positions still needs. */
static int32_t first_needed(const struct pool *pool, int64_t length)
{
    /* The next position sees length - window + 1 .. length. */
    int64_t oldest = pool->window ? length - pool->window + 1 : 0;
    return oldest > 0 ? (int32_t)(oldest / TN_PAGE_POSITIONS) : 0;
}

/* ---- sequences ---- */

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
    sequence->node = RT_PREFIX_ROOT;
    sequence->is_traced = cache->index != NULL;
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

/* Moves the sequence's place in the index, onwards. */
static void stand_on(struct rt_sequence *sequence, int32_t node, int32_t depth)
{
    struct rt_prefix_index *index = sequence->cache->index;
    if (!index)
        return;
    rt_prefix_enter(index, node);
    rt_prefix_leave(index, sequence->node);
    sequence->node = node;
    sequence->depth = depth;
}

/* Moves it back: what the sequence leaves counts as used now. */
static void go_back(struct rt_sequence *sequence, int32_t node, int32_t depth)
{
    if (sequence->cache->index)
        rt_prefix_touch(sequence->cache->index, sequence->node);
    stand_on(sequence, node, depth);
}

void rt_sequence_close(struct rt_sequence **sequence)
{
    if (!*sequence)
        return;
    go_back(*sequence, RT_PREFIX_ROOT, 0);
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
        if (pages - sequence->tables[g].pages > rt_cache_pages_free(cache, g))
            return hs_fail(error, HASTEN_AGAIN, "close a sequence or open a larger cache",
                           "the KV cache has no free page");
    for (int32_t g = 0; g < cache->groups; g++) {
        struct table *table = &sequence->tables[g];
        while (table->pages < pages)
            table->entries[table->pages++] = take_page(cache, g);
    }
    return HASTEN_OK;
}

/* ---- the prefix index of a sequence ---- */

/* A page of the sequence's that is full now meets the node of the same tokens. Their bits are
 * equal: the sequence takes over the node's page, or the node a page that it lacks. */
static void share_page(struct rt_sequence *sequence, int32_t group, int32_t entry,
                       struct rt_prefix_node *node)
{
    struct pool *pool = &sequence->cache->pools[group];
    struct table *table = &sequence->tables[group];
    int32_t theirs = node->page[group], own = table->entries[entry];
    if (entry < table->first || entry >= table->pages || theirs == own)
        return;
    if (theirs == RT_NO_PAGE) {
        index_page(pool, node, group, own);
        return;
    }
    hold_page(pool, theirs);
    table->entries[entry] = theirs;
    give_page(pool, own);
}

/* Room for one more node: the oldest leaf goes when all are in use. */
static int32_t add_node(struct rt_cache *cache, int32_t parent, const int32_t *tokens)
{
    int32_t added = rt_prefix_add(cache->index, parent, tokens), i = RT_PREFIX_ROOT;
    while (added == RT_PREFIX_ROOT && (i = rt_prefix_newer(cache->index, i)) != RT_PREFIX_ROOT) {
        if (i == parent || !is_evictable(rt_prefix_node(cache->index, i)))
            continue;
        evict_node(cache, i);
        return rt_prefix_add(cache->index, parent, tokens);
    }
    return added;
}

/* Entry `entry` of the tables is full, its tokens are in the tail. */
static void register_page(struct rt_sequence *sequence, int32_t entry)
{
    struct rt_cache *cache = sequence->cache;
    int32_t i = rt_prefix_find(cache->index, sequence->node, sequence->tail);
    if (i == RT_PREFIX_ROOT)
        i = add_node(cache, sequence->node, sequence->tail);
    if (i == RT_PREFIX_ROOT) {
        sequence->is_traced = false;
        return;
    }
    for (int32_t g = 0; g < cache->groups; g++)
        share_page(sequence, g, entry, rt_prefix_node(cache->index, i));
    stand_on(sequence, i, entry + 1);
}

static void trace(struct rt_sequence *sequence, const int32_t *tokens, int64_t count)
{
    if (!tokens)
        sequence->is_traced = false;
    for (int64_t i = 0; i < count && sequence->is_traced; i++) {
        int64_t position = sequence->length + i;
        sequence->tail[position % TN_PAGE_POSITIONS] = tokens[i];
        if ((position + 1) % TN_PAGE_POSITIONS == 0)
            register_page(sequence, (int32_t)(position / TN_PAGE_POSITIONS));
    }
}

/* Longest chain of the tokens after which a sequence can start: its full groups have all pages, its
 * window groups those in sight. Leaves at least one token to be computed. */
static int32_t match(const struct rt_cache *cache, const int32_t *tokens, int64_t count,
                     int32_t *depth_out)
{
    int32_t node = RT_PREFIX_ROOT, best = RT_PREFIX_ROOT, held[KN_PAGE_GROUPS] = {0};
    *depth_out = 0;
    for (int32_t depth = 1; (int64_t)depth * TN_PAGE_POSITIONS < count; depth++) {
        node = rt_prefix_find(cache->index, node, tokens + (depth - 1) * TN_PAGE_POSITIONS);
        if (node == RT_PREFIX_ROOT)
            break;
        bool is_whole = true;
        for (int32_t g = 0; g < cache->groups; g++) {
            int32_t page = rt_prefix_node(cache->index, node)->page[g];
            held[g] = page == RT_NO_PAGE ? 0 : held[g] + 1;
            is_whole &= held[g] >=
                        depth - first_needed(&cache->pools[g], (int64_t)depth * TN_PAGE_POSITIONS);
        }
        if (is_whole) {
            best = node;
            *depth_out = depth;
        }
    }
    return best;
}

int64_t rt_sequence_adopt(struct rt_sequence *sequence, const int32_t *tokens, int64_t count)
{
    struct rt_cache *cache = sequence->cache;
    int32_t depth;
    if (!cache->index || sequence->length > 0)
        return 0;
    if (count > sequence->max)
        count = sequence->max;
    int32_t node = match(cache, tokens, count, &depth);
    int64_t length = (int64_t)depth * TN_PAGE_POSITIONS;
    cache->counts.asked_tokens += (uint64_t)count;
    cache->counts.found_tokens += (uint64_t)length;
    for (int32_t g = 0; g < cache->groups; g++) {
        struct table *table = &sequence->tables[g];
        cut_table(&cache->pools[g], table, 0); /* reserved for a step that failed */
        table->first = first_needed(&cache->pools[g], length);
        table->pages = depth;
        int32_t at = node;
        for (int32_t entry = depth - 1; entry >= table->first; entry--) {
            const struct rt_prefix_node *held = rt_prefix_node(cache->index, at);
            hold_page(&cache->pools[g], held->page[g]);
            table->entries[entry] = held->page[g];
            at = held->parent;
        }
    }
    sequence->length = length;
    sequence->is_traced = true;
    stand_on(sequence, node, depth);
    rt_prefix_touch(cache->index, node);
    return length;
}

struct rt_prefix_counts rt_cache_prefix_counts(const struct rt_cache *cache)
{
    return cache->counts;
}

void rt_sequence_commit(struct rt_sequence *sequence, const int32_t *tokens, int64_t count)
{
    trace(sequence, tokens, count);
    sequence->length += count;
    for (int32_t g = 0; g < sequence->cache->groups; g++) {
        struct pool *pool = &sequence->cache->pools[g];
        struct table *table = &sequence->tables[g];
        int32_t first = first_needed(pool, sequence->length);
        while (table->first < first && table->first < table->pages)
            give_page(pool, table->entries[table->first++]);
    }
}

/* ---- rewinding ---- */

/* Does the rest of a page that is cut in the middle belong to somebody else as well? */
static bool must_copy(const struct rt_sequence *sequence, int32_t group, int64_t length)
{
    const struct table *table = &sequence->tables[group];
    int32_t entry = (int32_t)(length / TN_PAGE_POSITIONS);
    return length % TN_PAGE_POSITIONS != 0 &&
           sequence->cache->pools[group].references[table->entries[entry]] > 1;
}

static enum hasten_status check_rewind(const struct rt_sequence *sequence, int64_t length,
                                       struct hs_error *error)
{
    const struct rt_cache *cache = sequence->cache;
    if (length < 0 || length > sequence->length)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "cannot rewind a sequence of %" PRId64 " positions to %" PRId64,
                       sequence->length, length);
    for (int32_t g = 0; g < cache->groups && length > 0; g++) {
        if (first_needed(&cache->pools[g], length) < sequence->tables[g].first)
            return hs_fail(error, HASTEN_LIMIT, "recompute the sequence from its tokens",
                           "pages before position %" PRId64 " were given back", length);
        if (must_copy(sequence, g, length) && rt_cache_pages_free(cache, g) == 0)
            return hs_fail(error, HASTEN_AGAIN, "close a sequence or open a larger cache",
                           "the KV cache has no free page");
    }
    return HASTEN_OK;
}

/* The sequence's own copy of the page that `length` ends in. */
static void copy_partial_page(struct rt_sequence *sequence, int32_t group, int64_t length)
{
    struct pool *pool = &sequence->cache->pools[group];
    int32_t *entry = &sequence->tables[group].entries[length / TN_PAGE_POSITIONS];
    int32_t shared = *entry, own = take_page(sequence->cache, group);
    memcpy(pool->data + (size_t)own * pool->page_bytes,
           pool->data + (size_t)shared * pool->page_bytes, pool->page_bytes);
    *entry = own;
    give_page(pool, shared);
}

/* The place in the index, and the tokens of the page that is cut in the middle. */
static void rewind_trace(struct rt_sequence *sequence, int64_t length)
{
    int32_t keep = (int32_t)(length / TN_PAGE_POSITIONS), node = sequence->node;
    if (!sequence->cache->index)
        return;
    if (sequence->depth > keep || (sequence->depth == keep && length % TN_PAGE_POSITIONS == 0))
        sequence->is_traced = true; /* the tail is known again */
    for (int32_t depth = sequence->depth; depth > keep; depth--) {
        const struct rt_prefix_node *cut = rt_prefix_node(sequence->cache->index, node);
        memcpy(sequence->tail, cut->tokens, sizeof sequence->tail);
        node = cut->parent;
    }
    if (sequence->depth > keep)
        go_back(sequence, node, keep);
}

enum hasten_status rt_sequence_rewind(struct rt_sequence *sequence, int64_t length,
                                      struct hs_error *error)
{
    struct rt_cache *cache = sequence->cache;
    HS_TRY(check_rewind(sequence, length, error));
    rewind_trace(sequence, length);
    for (int32_t g = 0; g < cache->groups; g++) {
        cut_table(&cache->pools[g], &sequence->tables[g], pages_for(length));
        if (length == 0)
            sequence->tables[g].first = sequence->tables[g].pages = 0;
        else if (must_copy(sequence, g, length))
            copy_partial_page(sequence, g, length);
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
