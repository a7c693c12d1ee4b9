/*
 * Prefix index: which full pages hold which tokens, so that a sequence can start where another one
 * has been before.
 *
 * A node stands for one full page of TN_PAGE_POSITIONS tokens behind a given parent node; a chain
 * of nodes from the root is a prefix. Nodes are found by a seeded hash of (parent, tokens) and
 * always compared token by token: a hash collision cannot give a wrong answer. Because a page's
 * bits depend on the model, the recipe and the tokens before only, sharing it is exact.
 *
 * A node names one page per page group, or RT_NO_PAGE where the page was given up (pages of window
 * groups are, without the node). The index owns no pages: its user counts references.
 *
 * Eviction: least recently used first, and only nodes without children and without users (sequences
 * that stand on them); so a chain is eaten from its end and no node is ever unreachable.
 *
 * All memory is taken when the index opens. Not thread-safe.
 */
#ifndef HASTEN_RUNTIME_PREFIX_INDEX_H
#define HASTEN_RUNTIME_PREFIX_INDEX_H

#include "kernels/kernel.h"

#define RT_NO_PAGE     (-1)
#define RT_PREFIX_ROOT (-1) /* parent of first pages; also "no node" */

struct rt_prefix_node {
    int32_t tokens[TN_PAGE_POSITIONS];
    int32_t page[KN_PAGE_GROUPS];
    int32_t parent;          /* node or RT_PREFIX_ROOT */
    int32_t children, users; /* evictable when both are 0 */
    int32_t older, newer;    /* neighbours in the order of use */
    int32_t next;            /* next node of the same hash bucket, or of the free list */
    uint32_t bucket;
};

struct rt_prefix_index;

/* Room for `nodes` nodes (>= 1). seed: secret, against texts made to collide. */
HS_MUST_USE enum hasten_status rt_prefix_open(int32_t nodes, uint64_t seed, struct hs_error *error,
                                              struct rt_prefix_index **index_out);
void rt_prefix_close(struct rt_prefix_index **index);
int32_t rt_prefix_count(const struct rt_prefix_index *index); /* nodes in use */

/* The node behind `parent` that holds these TN_PAGE_POSITIONS tokens, or RT_PREFIX_ROOT. */
int32_t rt_prefix_find(const struct rt_prefix_index *index, int32_t parent, const int32_t *tokens);
/* New node behind parent, most recently used, all pages RT_NO_PAGE, no users. The tokens must not
 * be there yet. RT_PREFIX_ROOT when there is no room (evict first). */
int32_t rt_prefix_add(struct rt_prefix_index *index, int32_t parent, const int32_t *tokens);
struct rt_prefix_node *rt_prefix_node(struct rt_prefix_index *index, int32_t node);
/* Removes a node that has neither children nor users. */
void rt_prefix_remove(struct rt_prefix_index *index, int32_t node);

/* A sequence stands on the node from now on (any node, RT_PREFIX_ROOT is ignored), or no longer. */
void rt_prefix_enter(struct rt_prefix_index *index, int32_t node);
void rt_prefix_leave(struct rt_prefix_index *index, int32_t node);
/* The chain that ends in `node` was used now: its first page becomes the most recent. */
void rt_prefix_touch(struct rt_prefix_index *index, int32_t node);

/* Walks from the least recently used node: pass RT_PREFIX_ROOT to get the oldest, then each node to
 * get the next newer one; RT_PREFIX_ROOT at the end. */
int32_t rt_prefix_newer(const struct rt_prefix_index *index, int32_t node);

#endif
