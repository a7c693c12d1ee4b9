/*
 * Token index: linear probing at a load of at most one half. The hash takes eight bytes a step and
 * mixes by multiplying (Knuth's multiplicative hashing); the stored 32 bits of it decide nearly
 * every comparison, so a probe touches a text only when it has probably found it. Filling waits for
 * memory, not for arithmetic: many tokens are hashed and their slots asked for ahead.
 *
 * Vocabularies are untrusted, and no seed would help: pairs of words that differ in their top bits
 * cancel in hash_step whatever stood before. So a text lies at most PROBES_MOST slots behind the
 * one that its hash names, or the index refuses it; looking up ends there too, and n tokens cost at
 * most n * PROBES_MOST comparisons of stored hashes. Honest vocabularies stay far below: the
 * longest way is 16 slots for SmolLM2 (49,152 tokens) and 34 for Gemma (262,144).
 */
#include "text/token_index.h"

enum { AHEAD = 64, PROBES_MOST = 512 };

#define HASH_FACTOR UINT64_C(0x9e3779b97f4a7c15)

static uint64_t hash_step(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * HASH_FACTOR;
    return hash ^ hash >> 32;
}

static uint32_t hash_text(struct hs_str text)
{
    uint64_t hash = text.size_bytes, word = 0;
    const char *data = text.data;
    size_t left = text.size_bytes;
    for (; left >= 8; left -= 8, data += 8) {
        memcpy(&word, data, 8);
        hash = hash_step(hash, word);
    }
    word = 0;
    if (left >= 4) { /* two halves that overlap cover 4 to 7 bytes */
        uint32_t low, high;
        memcpy(&low, data, 4);
        memcpy(&high, data + left - 4, 4);
        word = (uint64_t)high << 32 | low;
    } else if (left > 0) { /* first, middle and last cover 1 to 3 bytes */
        word = (uint64_t)(uint8_t)data[0] | (uint64_t)(uint8_t)data[left / 2] << 8 |
               (uint64_t)(uint8_t)data[left - 1] << 16;
    }
    hash = hash_step(hash_step(hash, word), 0);
    return (uint32_t)hash;
}

bool tx_token_index_open(struct tx_token_index *index, const struct hs_str *pieces,
                         int32_t piece_count, size_t expected)
{
    size_t capacity = 64;
    while (capacity / 2 < expected) {
        if (capacity > SIZE_MAX / 4)
            return false;
        capacity *= 2;
    }
    *index =
        (struct tx_token_index){.pieces = pieces, .piece_count = piece_count, .capacity = capacity};
    index->slots = hs_calloc(capacity, sizeof *index->slots);
    return index->slots != NULL;
}

void tx_token_index_close(struct tx_token_index *index)
{
    hs_free(index->slots);
    hs_free(index->added);
    *index = (struct tx_token_index){0};
}

/* Slot that holds text, or the free one where it belongs; NULL when the way there is too long. */
static struct tx_token_slot *slot_of(const struct tx_token_index *index, struct hs_str text,
                                     uint32_t hash)
{
    size_t mask = index->capacity - 1, at = hash & mask;
    for (int i = 0; i < PROBES_MOST; i++, at = (at + 1) & mask) {
        struct tx_token_slot *slot = &index->slots[at];
        if (slot->id_plus_1 == 0)
            return slot;
        if (slot->hash == hash &&
            hs_str_equal(tx_token_index_text(index, slot->id_plus_1 - 1), text))
            return slot;
    }
    return NULL;
}

int32_t tx_token_index_find(const struct tx_token_index *index, struct hs_str text)
{
    const struct tx_token_slot *slot = slot_of(index, text, hash_text(text));
    return slot ? slot->id_plus_1 - 1 : -1;
}

static bool grow(struct tx_token_index *index)
{
    size_t capacity = index->capacity * 2;
    struct tx_token_slot *slots = hs_calloc(capacity, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < index->capacity; i++) {
        if (index->slots[i].id_plus_1 == 0)
            continue;
        size_t at = index->slots[i].hash & (capacity - 1);
        int probes = 0;
        for (; slots[at].id_plus_1 && probes < PROBES_MOST; probes++)
            at = (at + 1) & (capacity - 1);
        index->crowded |= probes == PROBES_MOST;
        slots[at] = index->slots[i];
    }
    hs_free(index->slots);
    index->slots = slots;
    index->capacity = capacity;
    return true;
}

static bool put(struct tx_token_index *index, struct hs_str text, uint32_t hash, int32_t id)
{
    if (index->count >= index->capacity / 2 && !grow(index))
        return false;
    struct tx_token_slot *slot = slot_of(index, text, hash);
    index->crowded |= !slot;
    if (index->crowded)
        return false;
    index->count += slot->id_plus_1 == 0;
    *slot = (struct tx_token_slot){hash, id + 1};
    return true;
}

bool tx_token_index_put(struct tx_token_index *index, const int32_t *ids, size_t count)
{
    uint32_t hashes[AHEAD];
    for (size_t begin = 0; begin < count; begin += AHEAD) {
        size_t block = count - begin < AHEAD ? count - begin : AHEAD;
        for (size_t i = 0; i < block; i++) {
            hashes[i] = hash_text(index->pieces[ids[begin + i]]);
            __builtin_prefetch(&index->slots[hashes[i] & (index->capacity - 1)], 1);
        }
        for (size_t i = 0; i < block; i++) {
            int32_t id = ids[begin + i];
            if (!put(index, index->pieces[id], hashes[i], id))
                return false;
        }
    }
    return true;
}

enum hasten_status tx_token_index_fail(const struct tx_token_index *index, struct hs_error *error)
{
    if (index->crowded)
        return hs_fail(error, HASTEN_LIMIT, "take the model from another source",
                       "too many tokens with the same hash value");
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "out of memory in tokenizer");
}

int32_t tx_token_index_add(struct tx_token_index *index, struct hs_str text)
{
    if (index->added_count >= (size_t)(INT32_MAX - 1 - index->piece_count))
        return -1;
    if (index->added_count == index->added_capacity) {
        size_t capacity = index->added_capacity ? index->added_capacity * 2 : 64;
        struct hs_str *added = hs_realloc(index->added, capacity, sizeof *added);
        if (!added)
            return -1;
        index->added = added;
        index->added_capacity = capacity;
    }
    int32_t id = index->piece_count + (int32_t)index->added_count;
    index->added[index->added_count++] = text;
    return put(index, text, hash_text(text), id) ? id : -1;
}
