/*
 * Byte-level BPE: words are written in the byte alphabet and their symbols merged by rank.
 *
 * Algorithm: Sennrich et al. 2016 with a binary heap of (rank, position), so a word of n symbols
 * takes O(n log n); the lowest rank is merged first, the leftmost among equals. A heap entry is
 * stale when the pair at its position has another rank by now (rank_at says which): a rank names
 * one pair of symbols, so comparing ranks is enough.
 *
 * Symbols are ids. A merge may name texts that are no tokens; such texts get ids behind the
 * vocabulary ("hidden" symbols) and are written as the tokens of their characters in the end. Bytes
 * that the vocabulary has no token for are left out, as other engines do.
 *
 * Model data is immutable after opening; each tx_encode call works on its own struct work.
 */
#include "text/byte_alphabet.h"
#include "text/merge_heap.h"
#include "text/pretokenizer.h"
#include "text/text_utf8.h"
#include "text/token_index.h"
#include "text/tokenizer_kind.h"

#define NO_RANK   UINT32_MAX
#define NO_SYMBOL UINT32_MAX

enum { PAIR_PROBES_MOST = 512 };

struct pair_slot {
    uint64_t key;  /* left << 32 | right */
    uint32_t rank; /* NO_RANK: free */
};

struct bpe {
    const struct tx_vocab *vocab;
    struct tx_pretokenizer *pretokenizer;
    struct tx_token_index index;
    struct hs_arena arena; /* texts of hidden symbols, which are added to the index */
    struct pair_slot *pairs;
    size_t pair_capacity; /* a power of two, at least twice the merges */
    int32_t *merged;      /* [merge_count] symbol that the merge of a rank gives */
    int32_t byte_symbols[256];
    size_t longest_piece_bytes;
};

/* --- opening ------------------------------------------------------------------------------ */

static enum hasten_status out_of_memory(struct hs_error *error)
{
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in tokenizer");
}

static size_t pair_place(const struct bpe *bpe, uint64_t key)
{
    key ^= key >> 29;
    return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 24) & (bpe->pair_capacity - 1);
}

/* The pair's slot, or the free one where it belongs; NULL when merges made to collide make the way
 * there too long (see token_index.c). */
static struct pair_slot *pair_slot(const struct bpe *bpe, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t at = pair_place(bpe, key);
    for (int i = 0; i < PAIR_PROBES_MOST; i++, at = (at + 1) & (bpe->pair_capacity - 1))
        if (bpe->pairs[at].rank == NO_RANK || bpe->pairs[at].key == key)
            return &bpe->pairs[at];
    return NULL;
}

/* Symbol of a text; a hidden one is made when no token has it. -1 when out of memory. */
static int32_t intern(struct bpe *bpe, struct hs_str text)
{
    int32_t symbol = tx_token_index_find(&bpe->index, text);
    if (symbol >= 0)
        return symbol;
    char *copy = hs_arena_strndup(&bpe->arena, text.data, text.size_bytes);
    return copy ? tx_token_index_add(&bpe->index, (struct hs_str){copy, text.size_bytes}) : -1;
}

static enum hasten_status index_bytes(struct bpe *bpe, struct hs_error *error)
{
    for (int byte = 0; byte < 256; byte++) {
        char character[4];
        int length = tx_byte_to_alphabet((uint8_t)byte, character);
        bpe->byte_symbols[byte] = intern(bpe, (struct hs_str){character, (size_t)length});
        if (bpe->byte_symbols[byte] < 0)
            return tx_token_index_fail(&bpe->index, error);
    }
    return HASTEN_OK;
}

static enum hasten_status index_tokens(struct bpe *bpe, struct hs_error *error)
{
    const struct tx_vocab *vocab = bpe->vocab;
    int32_t *ids = hs_calloc((size_t)vocab->count, sizeof *ids);
    if (!ids)
        return out_of_memory(error);
    size_t count = 0;
    for (int32_t id = 0; id < vocab->count; id++) {
        size_t piece_bytes = vocab->pieces[id].size_bytes;
        if (piece_bytes)
            ids[count++] = id;
        if (piece_bytes > bpe->longest_piece_bytes)
            bpe->longest_piece_bytes = piece_bytes;
    }
    bool done = tx_token_index_open(&bpe->index, vocab->pieces, vocab->count, count + 256) &&
                tx_token_index_put(&bpe->index, ids, count);
    hs_free(ids);
    return done ? index_bytes(bpe, error) : tx_token_index_fail(&bpe->index, error);
}

static enum hasten_status add_merge(struct bpe *bpe, int32_t rank, struct hs_buffer *joined,
                                    struct hs_error *error)
{
    struct hs_str merge = bpe->vocab->merges[rank];
    /* The first character of the left part may itself be a space. */
    const char *space =
        merge.size_bytes > 1 ? memchr(merge.data + 1, ' ', merge.size_bytes - 1) : NULL;
    size_t left_bytes = space ? (size_t)(space - merge.data) : 0;
    if (!space || left_bytes + 1 == merge.size_bytes)
        return hs_fail(error, HASTEN_CORRUPT_INPUT, "download the model file again",
                       "merge %d of the tokenizer is no pair of texts", (int)rank);
    struct hs_str left = {merge.data, left_bytes};
    struct hs_str right = {space + 1, merge.size_bytes - left_bytes - 1};
    hs_buffer_clear(joined);
    hs_buffer_append(joined, left.data, left.size_bytes);
    hs_buffer_append(joined, right.data, right.size_bytes);
    if (joined->failed)
        return out_of_memory(error);
    int32_t left_symbol = intern(bpe, left), right_symbol = intern(bpe, right);
    bpe->merged[rank] = intern(bpe, (struct hs_str){joined->data, joined->size_bytes});
    if (left_symbol < 0 || right_symbol < 0 || bpe->merged[rank] < 0)
        return tx_token_index_fail(&bpe->index, error);
    struct pair_slot *slot = pair_slot(bpe, left_symbol, right_symbol);
    if (!slot)
        return hs_fail(error, HASTEN_LIMIT, "take the model from another source",
                       "too many merges of the tokenizer with the same hash value");
    if (slot->rank == NO_RANK) /* of merges that stand twice the first counts */
        *slot = (struct pair_slot){(uint64_t)(uint32_t)left_symbol << 32 | (uint32_t)right_symbol,
                                   (uint32_t)rank};
    return HASTEN_OK;
}

static enum hasten_status index_merges(struct bpe *bpe, struct hs_error *error)
{
    size_t merge_count = (size_t)bpe->vocab->merge_count;
    bpe->pair_capacity = 64;
    while (bpe->pair_capacity < 2 * merge_count)
        bpe->pair_capacity *= 2;
    bpe->pairs = hs_calloc(bpe->pair_capacity, sizeof *bpe->pairs);
    bpe->merged = hs_calloc(merge_count, sizeof *bpe->merged);
    if (!bpe->pairs || !bpe->merged)
        return out_of_memory(error);
    for (size_t i = 0; i < bpe->pair_capacity; i++)
        bpe->pairs[i].rank = NO_RANK;
    struct hs_buffer joined = {0};
    enum hasten_status status = HASTEN_OK;
    for (int32_t rank = 0; status == HASTEN_OK && rank < bpe->vocab->merge_count; rank++)
        status = add_merge(bpe, rank, &joined, error);
    hs_buffer_free(&joined);
    return status;
}

static void bpe_close(void *model)
{
    struct bpe *bpe = model;
    if (!bpe)
        return;
    tx_pretokenizer_close(&bpe->pretokenizer);
    tx_token_index_close(&bpe->index);
    hs_arena_free(&bpe->arena);
    hs_free(bpe->pairs);
    hs_free(bpe->merged);
    hs_free(bpe);
}

static enum hasten_status bpe_open(const struct tx_vocab *vocab, struct hs_error *error,
                                   void **model_out)
{
    if (vocab->merge_count < 0 || (vocab->merge_count > 0 && !vocab->merges))
        return hs_fail(error, HASTEN_CORRUPT_INPUT, NULL, "tokenizer has no merges");
    struct bpe *bpe = hs_calloc(1, sizeof *bpe);
    if (!bpe)
        return out_of_memory(error);
    bpe->vocab = vocab;
    enum hasten_status status = tx_pretokenizer_open(vocab->pre, error, &bpe->pretokenizer);
    if (status == HASTEN_OK)
        status = index_tokens(bpe, error);
    if (status == HASTEN_OK)
        status = index_merges(bpe, error);
    if (status != HASTEN_OK) {
        bpe_close(bpe);
        return status;
    }
    *model_out = bpe;
    return HASTEN_OK;
}

/* --- merging one word --------------------------------------------------------------------- */

struct symbol {
    int32_t id;
    uint32_t before, after; /* neighbours or NO_SYMBOL */
    uint32_t rank_at;       /* rank of merging this symbol with the one after, or NO_RANK */
};

struct work {
    struct tx_splitter *splitter;
    struct symbol *symbols; /* room.data */
    struct tx_merge_symbols room;
    struct tx_merge_heap heap; /* rank << 32 | position */
    struct hs_buffer alphabet;
};

/* Looks up the pair at a position and queues it. */
static void rate_pair(const struct bpe *bpe, struct work *work, uint32_t at)
{
    struct symbol *symbol = &work->symbols[at];
    symbol->rank_at = NO_RANK;
    if (symbol->after == NO_SYMBOL)
        return;
    const struct pair_slot *slot = pair_slot(bpe, symbol->id, work->symbols[symbol->after].id);
    symbol->rank_at = slot ? slot->rank : NO_RANK;
    if (symbol->rank_at != NO_RANK)
        tx_heap_push(&work->heap, (uint64_t)symbol->rank_at << 32 | at);
}

static void merge_word(const struct bpe *bpe, struct work *work, struct hs_str word)
{
    uint32_t count = (uint32_t)word.size_bytes;
    for (uint32_t i = 0; i < count; i++)
        work->symbols[i] =
            (struct symbol){bpe->byte_symbols[(uint8_t)word.data[i]], i ? i - 1 : NO_SYMBOL,
                            i + 1 < count ? i + 1 : NO_SYMBOL, NO_RANK};
    work->heap.count = 0;
    for (uint32_t i = 0; i < count; i++)
        rate_pair(bpe, work, i);
    while (work->heap.count) {
        uint64_t entry = tx_heap_pop(&work->heap);
        uint32_t at = (uint32_t)entry;
        struct symbol *left = &work->symbols[at];
        if (left->rank_at != entry >> 32)
            continue;
        struct symbol *right = &work->symbols[left->after];
        left->id = bpe->merged[left->rank_at];
        right->rank_at = NO_RANK;
        left->after = right->after;
        if (left->after != NO_SYMBOL)
            work->symbols[left->after].before = at;
        if (left->before != NO_SYMBOL)
            rate_pair(bpe, work, left->before);
        rate_pair(bpe, work, at);
    }
}

/* Appends a symbol; a hidden one as the tokens of its characters. */
static enum hasten_status push_symbol(const struct bpe *bpe, int32_t symbol, struct tx_ids *ids)
{
    if (symbol < bpe->vocab->count)
        return tx_ids_push(ids, symbol);
    struct hs_str text = tx_token_index_text(&bpe->index, symbol);
    for (size_t at = 0; at < text.size_bytes;) {
        int length;
        (void)tx_utf8_next(text.data + at, text.size_bytes - at, &length);
        struct hs_str character = {text.data + at, (size_t)length};
        int32_t id = tx_token_index_find(&bpe->index, character);
        if (id >= 0 && id < bpe->vocab->count)
            HS_TRY(tx_ids_push(ids, id));
        at += (size_t)length;
    }
    return HASTEN_OK;
}

static enum hasten_status encode_word(const struct bpe *bpe, struct work *work, struct hs_str word,
                                      struct tx_ids *ids)
{
    if (word.size_bytes == 1)
        return push_symbol(bpe, bpe->byte_symbols[(uint8_t)word.data[0]], ids);
    if (tx_pretokenizer_ignores_merges(bpe->pretokenizer) &&
        word.size_bytes <= bpe->longest_piece_bytes) {
        hs_buffer_clear(&work->alphabet);
        tx_alphabet_encode(word, &work->alphabet);
        if (work->alphabet.failed)
            return HASTEN_OUT_OF_MEMORY;
        struct hs_str text = {work->alphabet.data, work->alphabet.size_bytes};
        int32_t id = tx_token_index_find(&bpe->index, text);
        if (id >= 0 && id < bpe->vocab->count)
            return tx_ids_push(ids, id);
    }
    if (!tx_merge_reserve(&work->room, sizeof *work->symbols, word.size_bytes, &work->heap))
        return HASTEN_OUT_OF_MEMORY;
    work->symbols = work->room.data;
    merge_word(bpe, work, word);
    for (uint32_t at = 0; at != NO_SYMBOL; at = work->symbols[at].after)
        HS_TRY(push_symbol(bpe, work->symbols[at].id, ids));
    return HASTEN_OK;
}

/* --- the kind's functions ----------------------------------------------------------------- */

static enum hasten_status encode_run(const struct bpe *bpe, struct work *work, struct hs_str run,
                                     struct hs_error *error, struct tx_ids *ids)
{
    const uint32_t *ends;
    size_t count;
    HS_TRY(tx_split(work->splitter, run, error, &ends, &count));
    uint32_t begin = 0;
    for (size_t i = 0; i < count; i++) {
        struct hs_str word = {run.data + begin, ends[i] - begin};
        if (encode_word(bpe, work, word, ids) != HASTEN_OK)
            return out_of_memory(error);
        begin = ends[i];
    }
    return HASTEN_OK;
}

/* Well-formed runs go through the patterns; a malformed byte is a word of its own. */
static enum hasten_status encode_all(const struct bpe *bpe, struct work *work, struct hs_str text,
                                     struct hs_error *error, struct tx_ids *ids)
{
    while (text.size_bytes) {
        struct hs_str run = {text.data, tx_utf8_valid_prefix(text)};
        if (run.size_bytes) {
            HS_TRY(encode_run(bpe, work, run, error, ids));
        } else {
            run.size_bytes = 1;
            if (encode_word(bpe, work, run, ids) != HASTEN_OK)
                return out_of_memory(error);
        }
        text.data += run.size_bytes;
        text.size_bytes -= run.size_bytes;
    }
    return HASTEN_OK;
}

static enum hasten_status bpe_encode(const void *model, struct hs_str text, struct hs_error *error,
                                     struct tx_ids *ids)
{
    const struct bpe *bpe = model;
    struct work work = {0};
    HS_TRY(tx_splitter_open(bpe->pretokenizer, error, &work.splitter));
    enum hasten_status status = encode_all(bpe, &work, text, error, ids);
    tx_splitter_close(&work.splitter);
    hs_free(work.room.data);
    tx_heap_free(&work.heap);
    hs_buffer_free(&work.alphabet);
    return status;
}

static void bpe_decode(const void *model, int32_t id, struct hs_buffer *out)
{
    const struct bpe *bpe = model;
    tx_alphabet_decode(bpe->vocab->pieces[id], out);
}

static int32_t bpe_find(const void *model, struct hs_str text)
{
    const struct bpe *bpe = model;
    struct hs_buffer alphabet = {0};
    tx_alphabet_encode(text, &alphabet);
    int32_t id = -1;
    if (!alphabet.failed && alphabet.size_bytes)
        id = tx_token_index_find(&bpe->index, (struct hs_str){alphabet.data, alphabet.size_bytes});
    hs_buffer_free(&alphabet);
    return id < bpe->vocab->count ? id : -1;
}

const struct tx_kind tx_kind_bpe = {bpe_open, bpe_close, bpe_encode, bpe_decode, bpe_find};
