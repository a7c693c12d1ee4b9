/*
 * Token index: text to id. Open addressing with slots of 8 bytes (hash and id), so that the index
 * of 262,144 tokens is 4 MiB and filling it reads no text twice. Texts are borrowed, keep their
 * place and live longer than the index. Immutable after filling, then shared by threads.
 */
#ifndef HASTEN_TEXT_TOKEN_INDEX_H
#define HASTEN_TEXT_TOKEN_INDEX_H

#include "base/bytes.h"
#include "base/memory.h"
#include "base/status.h"

struct tx_token_slot {
    uint32_t hash;
    int32_t id_plus_1; /* 0: free */
};

struct tx_token_index {
    const struct hs_str *pieces; /* [piece_count] texts of the ids 0, 1, ... */
    int32_t piece_count;
    struct hs_str *added; /* texts of the ids piece_count, piece_count + 1, ... */
    size_t added_count, added_capacity;
    struct tx_token_slot *slots;
    size_t capacity, count; /* capacity: a power of two */
    bool crowded;           /* texts chosen to collide were refused */
};

/* An empty index over pieces with room for expected entries (it grows when more come); false when
 * out of memory. What opening, putting and adding fail with is told by tx_token_index_fail. */
bool tx_token_index_open(struct tx_token_index *index, const struct hs_str *pieces,
                         int32_t piece_count, size_t expected);
void tx_token_index_close(struct tx_token_index *index);
/* Id of a text, or -1. */
int32_t tx_token_index_find(const struct tx_token_index *index, struct hs_str text);
/* Makes the pieces of ids known, of equal texts the last one; false on failure. */
bool tx_token_index_put(struct tx_token_index *index, const int32_t *ids, size_t count);
/* Gives a text that is not known an id behind the pieces; -1 on failure. */
int32_t tx_token_index_add(struct tx_token_index *index, struct hs_str text);
/* Why it failed: LIMIT for texts made to collide, else OUT_OF_MEMORY. */
enum hasten_status tx_token_index_fail(const struct tx_token_index *index, struct hs_error *error);
/* Text of an id. */
static inline struct hs_str tx_token_index_text(const struct tx_token_index *index, int32_t id)
{
    return id < index->piece_count ? index->pieces[id] : index->added[id - index->piece_count];
}

#endif
