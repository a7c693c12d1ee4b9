/* Token index: linear probing at a load of at most one half; FNV-1a hash with a final mix. */
#include "text/token_index.h"

static size_t hash_text(struct hs_str text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < text.size_bytes; i++)
        hash = (hash ^ (uint8_t)text.data[i]) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    return (size_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 20);
}

static struct tx_token_slot *slots_new(size_t capacity)
{
    struct tx_token_slot *slots = hs_calloc(capacity, sizeof *slots);
    for (size_t i = 0; slots && i < capacity; i++)
        slots[i].id = -1;
    return slots;
}

bool tx_token_index_open(struct tx_token_index *index, size_t expected)
{
    size_t capacity = 64;
    while (capacity / 2 < expected) {
        if (capacity > SIZE_MAX / 4)
            return false;
        capacity *= 2;
    }
    *index = (struct tx_token_index){slots_new(capacity), capacity, 0};
    return index->slots != NULL;
}

void tx_token_index_close(struct tx_token_index *index)
{
    hs_free(index->slots);
    *index = (struct tx_token_index){0};
}

/* Slot that holds text, or the free one where it belongs. */
static struct tx_token_slot *slot_of(const struct tx_token_index *index, struct hs_str text)
{
    size_t at = hash_text(text) & (index->capacity - 1);
    while (index->slots[at].id >= 0 && !hs_str_equal(index->slots[at].text, text))
        at = (at + 1) & (index->capacity - 1);
    return &index->slots[at];
}

int32_t tx_token_index_find(const struct tx_token_index *index, struct hs_str text)
{
    return slot_of(index, text)->id;
}

static bool grow(struct tx_token_index *index)
{
    struct tx_token_index bigger = {NULL, index->capacity * 2, index->count};
    bigger.slots = slots_new(bigger.capacity);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < index->capacity; i++)
        if (index->slots[i].id >= 0)
            *slot_of(&bigger, index->slots[i].text) = index->slots[i];
    hs_free(index->slots);
    *index = bigger;
    return true;
}

bool tx_token_index_put(struct tx_token_index *index, struct hs_str text, int32_t id)
{
    if (index->count >= index->capacity / 2 && !grow(index))
        return false;
    struct tx_token_slot *slot = slot_of(index, text);
    index->count += slot->id < 0;
    *slot = (struct tx_token_slot){text, id};
    return true;
}
