/*
 * Special tokens: found in a text and cut out of it before anything else looks at it.
 *
 * The longest token is cut first, everywhere it stands, then the next shorter one in what is left:
 * the order that other engines use, which matters where two overlap (among tokens of one length
 * the leftmost). User-defined tokens are always cut; control and unknown tokens only when asked
 * for. Immutable after opening, then shared by threads.
 */
#ifndef HASTEN_TEXT_SPECIAL_TOKENS_H
#define HASTEN_TEXT_SPECIAL_TOKENS_H

#include "text/vocab.h"

struct tx_specials;

struct tx_fragment {
    struct hs_str text;
    int32_t id; /* -1: plain text, never empty */
};
struct tx_fragments { /* zero-initialise; free with hs_free(items) */
    struct tx_fragment *items;
    size_t count, capacity;
};

/* True for tokens that are matched as a whole. */
bool tx_is_special(const struct tx_vocab *vocab, int32_t id);
/* OUT_OF_MEMORY, or LIMIT when they take too much. The vocabulary is borrowed. */
HS_MUST_USE enum hasten_status tx_specials_open(const struct tx_vocab *vocab,
                                                struct tx_specials **specials_out);
void tx_specials_close(struct tx_specials **specials);
/* Id of the special token with exactly that text, or -1. */
int32_t tx_specials_find(const struct tx_specials *specials, struct hs_str text);
/* Appends the fragments of text (under 2 GiB); OUT_OF_MEMORY. */
HS_MUST_USE enum hasten_status tx_specials_cut(const struct tx_specials *specials,
                                               struct hs_str text, bool parse_special,
                                               struct tx_fragments *fragments);

#endif
