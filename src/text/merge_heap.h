/*
 * Merge heap: the queue of both BPE kinds. Entries are order << 32 | position, smallest first, so
 * the best merge comes first and the leftmost among equals.
 *
 * Eight children a node, each group of children in one cache line: a word of a mebibyte makes a
 * heap of megabytes, and a pop then waits once a level, on a third of the levels of a binary heap.
 * Belongs to one thread.
 */
#ifndef HASTEN_TEXT_MERGE_HEAP_H
#define HASTEN_TEXT_MERGE_HEAP_H

#include "base/memory.h"

enum { TX_HEAP_WAYS = 8 };

struct tx_merge_heap {
    uint64_t *entries; /* the root; its children and theirs begin a cache line each */
    size_t count, capacity;
    void *block;
};

/* Makes an empty heap with room for `entries`; false when out of memory (then nothing is held). */
static inline bool tx_heap_reserve(struct tx_merge_heap *heap, size_t entries)
{
    const size_t line = TX_HEAP_WAYS * sizeof *heap->entries;
    size_t bytes;
    heap->count = 0;
    if (entries <= heap->capacity)
        return true;
    hs_free(heap->block);
    *heap = (struct tx_merge_heap){0};
    /* Not zeroed: of a long word's heap only a part is touched. */
    if (!hs_size_mul(entries, sizeof *heap->entries, &bytes) ||
        !hs_size_add(bytes, 2 * line, &bytes) || !(heap->block = hs_alloc(bytes)))
        return false;
    uintptr_t first = ((uintptr_t)heap->block + 2 * line - 1) / line * line;
    heap->entries = (uint64_t *)first - 1;
    heap->capacity = entries;
    return true;
}

/* The symbols of a word beside its heap: what both BPE kinds grow together. */
struct tx_merge_symbols {
    void *data;      /* [capacity] of the kind's symbols */
    size_t capacity; /* symbols; the heap holds three times as many entries */
};

/* Room for `count` symbols of size_bytes each, contents lost, and an empty heap for their merges;
 * false when out of memory. */
static inline bool tx_merge_reserve(struct tx_merge_symbols *symbols, size_t size_bytes,
                                    size_t count, struct tx_merge_heap *heap)
{
    if (count <= symbols->capacity)
        return true;
    size_t capacity = 2 * symbols->capacity > 256 ? 2 * symbols->capacity : 256;
    if (capacity < count)
        capacity = count;
    hs_free(symbols->data);
    *symbols = (struct tx_merge_symbols){0};
    size_t bytes; /* not zeroed: of a long word's symbols only a part is touched */
    if (!hs_size_mul(capacity, size_bytes, &bytes) || !(symbols->data = hs_alloc(bytes)) ||
        !tx_heap_reserve(heap, 3 * capacity))
        return false;
    symbols->capacity = capacity;
    return true;
}

static inline void tx_heap_free(struct tx_merge_heap *heap)
{
    hs_free(heap->block);
    *heap = (struct tx_merge_heap){0};
}

static inline void tx_heap_push(struct tx_merge_heap *heap, uint64_t entry)
{
    size_t at = heap->count++;
    while (at > 0 && heap->entries[(at - 1) / TX_HEAP_WAYS] > entry) {
        heap->entries[at] = heap->entries[(at - 1) / TX_HEAP_WAYS];
        at = (at - 1) / TX_HEAP_WAYS;
    }
    heap->entries[at] = entry;
}

/* Removes the smallest entry; count > 0. */
static inline uint64_t tx_heap_pop(struct tx_merge_heap *heap)
{
    uint64_t *entries = heap->entries;
    uint64_t top = entries[0], moved = entries[--heap->count];
    size_t at = 0;
    for (;;) {
        size_t first = TX_HEAP_WAYS * at + 1, child = first;
        if (first >= heap->count)
            break;
        size_t last = first + TX_HEAP_WAYS < heap->count ? first + TX_HEAP_WAYS : heap->count;
        uint64_t least = entries[first];
        for (size_t other = first + 1; other < last; other++) {
            child = entries[other] < least ? other : child;
            least = entries[other] < least ? entries[other] : least;
        }
        if (least >= moved)
            break;
        entries[at] = least;
        at = child;
    }
    entries[at] = moved;
    return top;
}

#endif
