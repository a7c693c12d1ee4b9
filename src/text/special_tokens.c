/*
 * Special tokens: a trie finds the longest one at each position; then the lengths that occur are
 * gone through from the longest to the shortest, each time over the positions that are still open.
 * A position that a longer token covers is closed for good, so a text of one special character
 * closes nearly all of its positions in the first pass, and a vocabulary of thousands of special
 * tokens (Gemma: 6,414) costs plain text one table look-up a byte.
 */
#include "text/special_tokens.h"

#include <stdlib.h>

struct node {
    int32_t first_child, next; /* children of one node are a list; -1: none */
    int32_t id;                /* token that ends here, or -1 */
    int32_t shorter;           /* the nearest node above where a token ends, or -1 */
    uint32_t depth;            /* bytes from the root */
    uint8_t byte;
    bool always; /* cut without parse_special too */
    bool strips; /* white space behind it goes with it */
};

struct tx_specials {
    struct node *nodes;
    int32_t node_count, node_capacity;
    int32_t root[256]; /* first nodes by byte, -1: none */
    size_t longest_bytes;
};

/* Tokens of these names end a text. Some files call them user-defined; like other engines we do
 * not take them out of plain text then. */
static const char *const end_marks[] = {"</s>",       "<eos>",   "<|endoftext|>", "<|end_of_text|>",
                                        "<|im_end|>", "<|end|>", "<end_of_turn>", "<|eot_id|>",
                                        "<|eom_id|>", "<EOT>",   "<|return|>",    "<|call|>"};
/* Phi-3's tokens strip the white space behind them, except these. */
static const char *const never_strip[] = {"<unk>", "<s>", "<|endoftext|>"};

/* Longer texts are no special tokens: nobody writes them, and the trie takes 28 bytes a byte. So it
 * has a bound of its own (117 MB); Gemma's 6,414 special tokens take some 30,000 nodes. */
enum { MAX_SPECIAL_BYTES = 4096, MAX_NODES = 1 << 22 };

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static bool is_one_of(struct hs_str text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (hs_str_is(text, names[i]))
            return true;
    return false;
}

static enum tx_token_type type_of(const struct tx_vocab *vocab, int32_t id)
{
    return vocab->types ? (enum tx_token_type)vocab->types[id] : TX_TOKEN_NORMAL;
}

bool tx_is_special(const struct tx_vocab *vocab, int32_t id)
{
    enum tx_token_type type = type_of(vocab, id);
    return (type == TX_TOKEN_CONTROL || type == TX_TOKEN_USER_DEFINED ||
            type == TX_TOKEN_UNKNOWN) &&
           vocab->pieces[id].size_bytes > 0 && vocab->pieces[id].size_bytes <= MAX_SPECIAL_BYTES;
}

/* --- the trie ----------------------------------------------------------------------------- */

static int32_t child_of(const struct tx_specials *specials, int32_t parent, uint8_t byte)
{
    int32_t node = parent < 0 ? specials->root[byte] : specials->nodes[parent].first_child;
    while (node >= 0 && specials->nodes[node].byte != byte)
        node = specials->nodes[node].next;
    return node;
}

/* A new child of parent (-1: the root), or -1 when out of memory or room. */
static int32_t add_child(struct tx_specials *specials, int32_t parent, uint8_t byte)
{
    if (specials->node_count == MAX_NODES)
        return -1;
    if (specials->node_count == specials->node_capacity) {
        int32_t capacity = specials->node_capacity ? 2 * specials->node_capacity : 256;
        struct node *nodes = hs_realloc(specials->nodes, (size_t)capacity, sizeof *nodes);
        if (!nodes)
            return -1;
        specials->nodes = nodes;
        specials->node_capacity = capacity;
    }
    int32_t at = specials->node_count++;
    struct node *node = &specials->nodes[at];
    *node = (struct node){.first_child = -1, .next = -1, .id = -1, .byte = byte, .depth = 1};
    if (parent < 0) {
        specials->root[byte] = at;
    } else {
        node->depth = specials->nodes[parent].depth + 1;
        node->next = specials->nodes[parent].first_child;
        specials->nodes[parent].first_child = at;
    }
    return at;
}

/* Of tokens with one text the first counts. */
static bool add_special(struct tx_specials *specials, const struct tx_vocab *vocab, int32_t id)
{
    struct hs_str text = vocab->pieces[id];
    int32_t at = -1;
    for (size_t i = 0; i < text.size_bytes; i++) {
        int32_t child = child_of(specials, at, (uint8_t)text.data[i]);
        if (child < 0)
            child = add_child(specials, at, (uint8_t)text.data[i]);
        if (child < 0)
            return false;
        at = child;
    }
    struct node *node = &specials->nodes[at];
    if (node->id >= 0)
        return true;
    node->id = id;
    node->always = type_of(vocab, id) == TX_TOKEN_USER_DEFINED &&
                   !is_one_of(text, end_marks, COUNT_OF(end_marks));
    node->strips =
        vocab->strip_after_special && !is_one_of(text, never_strip, COUNT_OF(never_strip));
    if (text.size_bytes > specials->longest_bytes)
        specials->longest_bytes = text.size_bytes;
    return true;
}

/* Parents stand before their children, so one pass passes the nearest end downwards. */
static void link_shorter(struct tx_specials *specials)
{
    for (int byte = 0; byte < 256; byte++)
        if (specials->root[byte] >= 0)
            specials->nodes[specials->root[byte]].shorter = -1;
    for (int32_t i = 0; i < specials->node_count; i++) {
        const struct node *node = &specials->nodes[i];
        int32_t nearest = node->id >= 0 ? i : node->shorter;
        for (int32_t child = node->first_child; child >= 0; child = specials->nodes[child].next)
            specials->nodes[child].shorter = nearest;
    }
}

enum hasten_status tx_specials_open(const struct tx_vocab *vocab, struct tx_specials **specials_out)
{
    struct tx_specials *specials = hs_calloc(1, sizeof *specials);
    if (!specials)
        return HASTEN_OUT_OF_MEMORY;
    for (int byte = 0; byte < 256; byte++)
        specials->root[byte] = -1;
    for (int32_t id = 0; vocab->types && id < vocab->count; id++)
        if (tx_is_special(vocab, id) && !add_special(specials, vocab, id)) {
            bool is_full = specials->node_count == MAX_NODES;
            tx_specials_close(&specials);
            return is_full ? HASTEN_LIMIT : HASTEN_OUT_OF_MEMORY;
        }
    link_shorter(specials);
    *specials_out = specials;
    return HASTEN_OK;
}

void tx_specials_close(struct tx_specials **specials)
{
    if (!*specials)
        return;
    hs_free((*specials)->nodes);
    hs_free(*specials);
    *specials = NULL;
}

int32_t tx_specials_find(const struct tx_specials *specials, struct hs_str text)
{
    int32_t at = -1;
    for (size_t i = 0; i < text.size_bytes; i++)
        if ((at = child_of(specials, at, (uint8_t)text.data[i])) < 0)
            return -1;
    return at < 0 ? -1 : specials->nodes[at].id;
}

/* --- cutting ------------------------------------------------------------------------------ */

struct match {
    uint32_t at;
    int32_t node; /* the longest token that may still be cut here */
};

struct cut {
    uint32_t at, bytes; /* bytes: with the white space that goes with it */
    int32_t node;
};

struct cutter {
    const struct tx_specials *specials;
    struct hs_str text;
    bool parse_special;
    struct match *matches; /* ascending positions */
    size_t match_count, match_capacity;
    struct cut *cuts;
    size_t cut_count, cut_capacity;
    bool *lengths; /* [longest_bytes + 1] tokens of that length occur */
    bool *taken;   /* [text.size_bytes] */
};

/* The node itself or the nearest above it where a token ends that may be cut; -1: none. */
static int32_t usable(const struct cutter *cutter, int32_t node)
{
    const struct node *nodes = cutter->specials->nodes;
    if (node >= 0 && nodes[node].id < 0)
        node = nodes[node].shorter;
    while (node >= 0 && !cutter->parse_special && !nodes[node].always)
        node = nodes[node].shorter;
    return node;
}

static int32_t longest_at(const struct cutter *cutter, size_t at)
{
    int32_t node = -1, next;
    for (; at < cutter->text.size_bytes; at++, node = next)
        if ((next = child_of(cutter->specials, node, (uint8_t)cutter->text.data[at])) < 0)
            break;
    return usable(cutter, node);
}

static bool add_match(struct cutter *cutter, uint32_t at, int32_t node)
{
    if (cutter->match_count == cutter->match_capacity) {
        size_t capacity = cutter->match_capacity ? 2 * cutter->match_capacity : 64;
        struct match *matches = hs_realloc(cutter->matches, capacity, sizeof *matches);
        if (!matches)
            return false;
        cutter->matches = matches;
        cutter->match_capacity = capacity;
    }
    cutter->matches[cutter->match_count++] = (struct match){at, node};
    return true;
}

static bool find_matches(struct cutter *cutter)
{
    for (size_t at = 0; at < cutter->text.size_bytes; at++) {
        if (cutter->specials->root[(uint8_t)cutter->text.data[at]] < 0)
            continue;
        int32_t node = longest_at(cutter, at);
        if (node >= 0 && !add_match(cutter, (uint32_t)at, node))
            return false;
    }
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool add_cut(struct cutter *cutter, const struct match *match)
{
    if (cutter->cut_count == cutter->cut_capacity) {
        size_t capacity = cutter->cut_capacity ? 2 * cutter->cut_capacity : 64;
        struct cut *cuts = hs_realloc(cutter->cuts, capacity, sizeof *cuts);
        if (!cuts)
            return false;
        cutter->cuts = cuts;
        cutter->cut_capacity = capacity;
    }
    const struct node *node = &cutter->specials->nodes[match->node];
    size_t end = match->at + node->depth;
    while (node->strips && end < cutter->text.size_bytes && !cutter->taken[end] &&
           is_space(cutter->text.data[end]))
        end++;
    memset(cutter->taken + match->at, true, end - match->at);
    cutter->cuts[cutter->cut_count++] =
        (struct cut){match->at, (uint32_t)(end - match->at), match->node};
    return true;
}

/* Cuts the tokens of one length and keeps the positions where a shorter one may stand. What is
 * taken so far is at least as long, so looking at both ends of a match finds any overlap. */
static bool cut_length(struct cutter *cutter, uint32_t length)
{
    const struct node *nodes = cutter->specials->nodes;
    size_t kept = 0;
    for (size_t i = 0; i < cutter->match_count; i++) {
        struct match match = cutter->matches[i];
        if (cutter->taken[match.at])
            continue;
        if (nodes[match.node].depth == length) {
            if (!cutter->taken[match.at + length - 1]) {
                if (!add_cut(cutter, &match))
                    return false;
                continue;
            }
            match.node = usable(cutter, nodes[match.node].shorter);
            if (match.node < 0)
                continue;
            cutter->lengths[nodes[match.node].depth] = true;
        }
        cutter->matches[kept++] = match;
    }
    cutter->match_count = kept;
    return true;
}

static int compare_cuts(const void *a, const void *b)
{
    const struct cut *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static bool cut_all(struct cutter *cutter)
{
    const struct node *nodes = cutter->specials->nodes;
    cutter->lengths = hs_calloc(cutter->specials->longest_bytes + 1, sizeof *cutter->lengths);
    cutter->taken = hs_calloc(cutter->text.size_bytes, sizeof *cutter->taken);
    if (!cutter->lengths || !cutter->taken)
        return false;
    for (size_t i = 0; i < cutter->match_count; i++)
        cutter->lengths[nodes[cutter->matches[i].node].depth] = true;
    for (size_t length = cutter->specials->longest_bytes; length > 0; length--)
        if (cutter->lengths[length] && !cut_length(cutter, (uint32_t)length))
            return false;
    qsort(cutter->cuts, cutter->cut_count, sizeof *cutter->cuts, compare_cuts);
    return true;
}

static bool add_fragment(struct tx_fragments *fragments, struct hs_str text, int32_t id)
{
    if (fragments->count == fragments->capacity) {
        size_t capacity = fragments->capacity ? fragments->capacity * 2 : 16;
        struct tx_fragment *items = hs_realloc(fragments->items, capacity, sizeof *items);
        if (!items)
            return false;
        fragments->items = items;
        fragments->capacity = capacity;
    }
    fragments->items[fragments->count++] = (struct tx_fragment){text, id};
    return true;
}

static bool write_fragments(const struct cutter *cutter, struct tx_fragments *fragments)
{
    const char *data = cutter->text.data;
    size_t at = 0;
    for (size_t i = 0; i < cutter->cut_count; i++) {
        const struct cut *cut = &cutter->cuts[i];
        const struct node *node = &cutter->specials->nodes[cut->node];
        if (cut->at > at && !add_fragment(fragments, (struct hs_str){data + at, cut->at - at}, -1))
            return false;
        if (!add_fragment(fragments, (struct hs_str){data + cut->at, node->depth}, node->id))
            return false;
        at = (size_t)cut->at + cut->bytes;
    }
    size_t rest = cutter->text.size_bytes - at;
    return rest == 0 || add_fragment(fragments, (struct hs_str){data + at, rest}, -1);
}

enum hasten_status tx_specials_cut(const struct tx_specials *specials, struct hs_str text,
                                   bool parse_special, struct tx_fragments *fragments)
{
    struct cutter cutter = {.specials = specials, .text = text, .parse_special = parse_special};
    bool done = find_matches(&cutter);
    if (done && cutter.match_count)
        done = cut_all(&cutter);
    if (done)
        done = write_fragments(&cutter, fragments);
    hs_free(cutter.matches);
    hs_free(cutter.cuts);
    hs_free(cutter.lengths);
    hs_free(cutter.taken);
    return done ? HASTEN_OK : HASTEN_OUT_OF_MEMORY;
}
