/*
 * Token index: text to id. Open addressing over borrowed texts, which keep their place and live
 * longer than the index. Immutable after filling, then shared by threads.
 */
#ifndef HASTEN_TEXT_TOKEN_INDEX_H
#define HASTEN_TEXT_TOKEN_INDEX_H

#include "base/bytes.h"
#include "base/memory.h"

struct tx_token_slot {
    struct hs_str text;
    int32_t id; /* -1: free */
};

struct tx_token_index {
    struct tx_token_slot *slots;
    size_t capacity, count; /* capacity: a power of two */
};

/* Room for expected entries (it grows when more come); false when out of memory. */
bool tx_token_index_open(struct tx_token_index *index, size_t expected);
void tx_token_index_close(struct tx_token_index *index);
/* Id of a text, or -1. */
int32_t tx_token_index_find(const struct tx_token_index *index, struct hs_str text);
/* Sets the id of a text (the last one set counts); false when out of memory. */
bool tx_token_index_put(struct tx_token_index *index, struct hs_str text, int32_t id);

#endif
