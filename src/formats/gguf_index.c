/*
 * Name index of GGUF files: open addressing with linear probing, at most half full.
 *
 * Hash: FNV-1a, 64 bit (Fowler, Noll, Vo), with the finalizer of MurmurHash3 so that all bits are
 * usable. A run of more than PROBES_MOST slots does not happen with honest names (expected longest
 * run at this load: some tens of slots); it means names chosen to collide. Not thread-safe while
 * names are added, lookups are.
 */
#include "formats/gguf_internal.h"

#define PROBES_MOST 1024

static uint64_t hash_of(struct hs_str name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < name.size_bytes; i++)
        hash = (hash ^ (uint8_t)name.data[i]) * 0x100000001b3u;
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdu;
    return hash ^ (hash >> 33);
}

static const struct hs_str *name_at(const void *records, size_t stride, size_t number)
{
    return (const void *)((const char *)records + stride * number);
}

/* Slot that holds the name, or the free slot where it belongs; NULL when the run is too long. */
static struct gguf_index_slot *probe(const struct gguf_index *index, const void *records,
                                     size_t stride, struct hs_str name)
{
    uint64_t hash = hash_of(name);
    uint32_t tag = (uint32_t)(hash >> 32);
    for (size_t i = 0; i < PROBES_MOST && i < index->capacity; i++) {
        struct gguf_index_slot *slot = &index->slots[(hash + i) & (index->capacity - 1)];
        if (slot->number == 0)
            return slot;
        if (slot->tag == tag && hs_str_equal(*name_at(records, stride, slot->number - 1), name))
            return slot;
    }
    return NULL;
}

bool gguf_index_reserve(struct gguf_index *index, const void *records, size_t stride, size_t count)
{
    if (index->capacity > 2 * count)
        return true;
    if (count >= UINT32_MAX / 4)
        return false;
    struct gguf_index larger = {NULL, 16, 0};
    while (larger.capacity <= 2 * count)
        larger.capacity *= 2;
    larger.slots = hs_calloc(larger.capacity, sizeof(*larger.slots));
    if (!larger.slots)
        return false;
    /* Numbers 0..count-1 are in, except those that ended as duplicate or crowded: then the table
     * is not used further. */
    for (size_t i = 0; i < index->count; i++)
        (void)gguf_index_add(&larger, records, stride, i);
    hs_free(index->slots);
    *index = larger;
    return true;
}

enum gguf_index_result gguf_index_add(struct gguf_index *index, const void *records, size_t stride,
                                      size_t number)
{
    struct hs_str name = *name_at(records, stride, number);
    struct gguf_index_slot *slot = probe(index, records, stride, name);
    if (!slot)
        return GGUF_INDEX_CROWDED;
    if (slot->number)
        return GGUF_INDEX_DUPLICATE;
    slot->tag = (uint32_t)(hash_of(name) >> 32);
    slot->number = (uint32_t)number + 1;
    index->count++;
    return GGUF_INDEX_ADDED;
}

int64_t gguf_index_find(const struct gguf_index *index, const void *records, size_t stride,
                        struct hs_str name)
{
    if (index->count == 0)
        return -1;
    const struct gguf_index_slot *slot = probe(index, records, stride, name);
    return slot ? (int64_t)slot->number - 1 : -1;
}

void gguf_index_free(struct gguf_index *index)
{
    hs_free(index->slots);
    *index = (struct gguf_index){NULL, 0, 0};
}

bool gguf_name_ok(struct hs_str name, size_t bytes_most)
{
    if (name.size_bytes == 0 || name.size_bytes > bytes_most)
        return false;
    for (size_t i = 0; i < name.size_bytes; i++)
        if ((uint8_t)name.data[i] < 0x20 || name.data[i] == 0x7f)
            return false;
    return true;
}

bool gguf_alignment_ok(uint64_t alignment)
{
    return alignment >= GGUF_ALIGNMENT_LEAST && alignment <= GGUF_ALIGNMENT_MOST &&
           (alignment & (alignment - 1)) == 0;
}
