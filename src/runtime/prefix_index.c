/* Nodes in one array, chained buckets, a doubly linked order of use; see prefix_index.h. */
#include "runtime/prefix_index.h"

#include <string.h>

#include "base/memory.h"
#include "base/rng.h"

struct rt_prefix_index {
    struct rt_prefix_node *nodes;
    int32_t *buckets; /* [bucket_mask + 1] first node or RT_PREFIX_ROOT */
    uint32_t bucket_mask;
    int32_t capacity, count;
    int32_t free;           /* first of the unused nodes */
    int32_t oldest, newest; /* ends of the order of use */
    uint64_t seed;
};

enum hasten_status rt_prefix_open(int32_t nodes, uint64_t seed, struct hs_error *error,
                                  struct rt_prefix_index **index_out)
{
    struct rt_prefix_index *index = hs_calloc(1, sizeof *index);
    uint32_t buckets = 1;
    while (buckets < (uint32_t)nodes)
        buckets *= 2;
    if (index) {
        index->nodes = hs_calloc((size_t)nodes, sizeof *index->nodes);
        index->buckets = hs_alloc(buckets * sizeof *index->buckets);
    }
    if (!index || !index->nodes || !index->buckets) {
        rt_prefix_close(&index);
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "ask for a smaller context",
                       "no memory for an index of %d pages", (int)nodes);
    }
    memset(index->buckets, 0xff, buckets * sizeof *index->buckets); /* RT_PREFIX_ROOT */
    index->bucket_mask = buckets - 1;
    index->capacity = nodes;
    index->seed = seed;
    index->oldest = index->newest = RT_PREFIX_ROOT;
    for (int32_t i = 0; i < nodes; i++)
        index->nodes[i].next = i + 1 < nodes ? i + 1 : RT_PREFIX_ROOT;
    *index_out = index;
    return HASTEN_OK;
}

void rt_prefix_close(struct rt_prefix_index **index)
{
    if (!*index)
        return;
    hs_free((*index)->nodes);
    hs_free((*index)->buckets);
    hs_free(*index);
    *index = NULL;
}

int32_t rt_prefix_count(const struct rt_prefix_index *index)
{
    return index->count;
}

struct rt_prefix_node *rt_prefix_node(struct rt_prefix_index *index, int32_t node)
{
    return &index->nodes[node];
}

/* ---- finding ---- */

/* Chained counter-based generator: each pair of tokens stirs the state. */
static uint32_t bucket_of(const struct rt_prefix_index *index, int32_t parent,
                          const int32_t *tokens)
{
    uint64_t state = index->seed;
    for (int i = 0; i < TN_PAGE_POSITIONS; i += 2)
        state = hs_rng_u64(state, (uint64_t)(uint32_t)tokens[i],
                           (uint64_t)(uint32_t)tokens[i + 1] << 32 | (uint32_t)parent);
    return (uint32_t)state & index->bucket_mask;
}

int32_t rt_prefix_find(const struct rt_prefix_index *index, int32_t parent, const int32_t *tokens)
{
    int32_t i = index->buckets[bucket_of(index, parent, tokens)];
    for (; i != RT_PREFIX_ROOT; i = index->nodes[i].next) {
        const struct rt_prefix_node *node = &index->nodes[i];
        if (node->parent == parent && memcmp(node->tokens, tokens, sizeof node->tokens) == 0)
            break;
    }
    return i;
}

/* ---- order of use ---- */

static void unlink_order(struct rt_prefix_index *index, int32_t i)
{
    const struct rt_prefix_node *node = &index->nodes[i];
    if (node->older == RT_PREFIX_ROOT)
        index->oldest = node->newer;
    else
        index->nodes[node->older].newer = node->newer;
    if (node->newer == RT_PREFIX_ROOT)
        index->newest = node->older;
    else
        index->nodes[node->newer].older = node->older;
}

static void link_newest(struct rt_prefix_index *index, int32_t i)
{
    struct rt_prefix_node *node = &index->nodes[i];
    node->older = index->newest;
    node->newer = RT_PREFIX_ROOT;
    if (index->newest == RT_PREFIX_ROOT)
        index->oldest = i;
    else
        index->nodes[index->newest].newer = i;
    index->newest = i;
}

void rt_prefix_touch(struct rt_prefix_index *index, int32_t node)
{
    for (; node != RT_PREFIX_ROOT; node = index->nodes[node].parent) {
        unlink_order(index, node);
        link_newest(index, node);
    }
}

int32_t rt_prefix_newer(const struct rt_prefix_index *index, int32_t node)
{
    return node == RT_PREFIX_ROOT ? index->oldest : index->nodes[node].newer;
}

/* ---- adding and removing ---- */

int32_t rt_prefix_add(struct rt_prefix_index *index, int32_t parent, const int32_t *tokens)
{
    int32_t i = index->free;
    if (i == RT_PREFIX_ROOT)
        return RT_PREFIX_ROOT;
    struct rt_prefix_node *node = &index->nodes[i];
    index->free = node->next;
    index->count++;
    *node = (struct rt_prefix_node){.parent = parent};
    memcpy(node->tokens, tokens, sizeof node->tokens);
    for (int g = 0; g < KN_PAGE_GROUPS; g++)
        node->page[g] = RT_NO_PAGE;
    node->bucket = bucket_of(index, parent, tokens);
    node->next = index->buckets[node->bucket];
    index->buckets[node->bucket] = i;
    if (parent != RT_PREFIX_ROOT)
        index->nodes[parent].children++;
    link_newest(index, i);
    return i;
}

void rt_prefix_remove(struct rt_prefix_index *index, int32_t i)
{
    struct rt_prefix_node *node = &index->nodes[i];
    int32_t *link = &index->buckets[node->bucket];
    while (*link != i)
        link = &index->nodes[*link].next;
    *link = node->next;
    unlink_order(index, i);
    if (node->parent != RT_PREFIX_ROOT)
        index->nodes[node->parent].children--;
    node->next = index->free;
    index->free = i;
    index->count--;
}

void rt_prefix_enter(struct rt_prefix_index *index, int32_t node)
{
    if (node != RT_PREFIX_ROOT)
        index->nodes[node].users++;
}

void rt_prefix_leave(struct rt_prefix_index *index, int32_t node)
{
    if (node != RT_PREFIX_ROOT)
        index->nodes[node].users--;
}
