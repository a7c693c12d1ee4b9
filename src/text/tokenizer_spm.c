/*
 * SentencePiece BPE: spaces are written as U+2581, characters merged by score.
 *
 * Algorithm (Kudo and Richardson 2018): the text's characters are the first symbols; of all
 * neighbours whose joined text is a token the pair with the highest score is merged, the leftmost
 * among equals, until none is left. A heap of (score, position) makes that O(n log n). A heap entry
 * is stale when the pair at its position has another score by now; one with the same score is the
 * same entry, so comparing scores is enough. What is no token in the end is written as byte tokens
 * <0xXX>, or as the unknown token where the vocabulary lacks them.
 *
 * Neighbours are contiguous in the escaped text, so a pair's text needs no copy. The text is cut
 * in front of each U+2581 that no token has behind the byte before it: no merge can cross such a
 * place, and nearly every word begins with one, so a heap holds a word and stays in the cache.
 *
 * Control, unknown and byte tokens are never the result of a merge: plain text cannot spell them.
 * Model data is immutable after opening; each tx_encode call works on its own struct work.
 */
#include "text/merge_heap.h"
#include "text/text_utf8.h"
#include "text/token_index.h"
#include "text/tokenizer_kind.h"

#define NO_SYMBOL UINT32_MAX
#define SPACE     "\xe2\x96\x81" /* U+2581 */

enum { SPACE_BYTES = 3 };

struct spm {
    const struct tx_vocab *vocab;
    struct tx_token_index index;
    size_t longest_piece_bytes;
    int32_t byte_ids[256];  /* -1: none */
    bool before_space[256]; /* some token has U+2581 behind this byte */
};

/* --- opening ------------------------------------------------------------------------------ */

static enum hasten_status out_of_memory(struct hs_error *error)
{
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in tokenizer");
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that a token stands for (<0xXX>), or -1. */
static int byte_of(const struct tx_vocab *vocab, int32_t id)
{
    struct hs_str piece = vocab->pieces[id];
    if (piece.size_bytes != 6 || memcmp(piece.data, "<0x", 3) != 0 || piece.data[5] != '>' ||
        (vocab->types && vocab->types[id] != TX_TOKEN_BYTE))
        return -1;
    int high = hex_digit(piece.data[3]), low = hex_digit(piece.data[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static bool may_be_merged(const struct tx_vocab *vocab, int32_t id)
{
    enum tx_token_type type = tx_vocab_type(vocab, id);
    return vocab->pieces[id].size_bytes > 0 && type != TX_TOKEN_CONTROL &&
           type != TX_TOKEN_UNKNOWN && type != TX_TOKEN_BYTE;
}

/* Notes which bytes stand before a U+2581 inside a token. */
static void note_inner_spaces(struct spm *spm, struct hs_str piece)
{
    const char *at = piece.data + 1, *end = piece.data + piece.size_bytes;
    while (end - at >= SPACE_BYTES &&
           (at = memchr(at, SPACE[0], (size_t)(end - at) - SPACE_BYTES + 1))) {
        if (memcmp(at, SPACE, SPACE_BYTES) == 0)
            spm->before_space[(uint8_t)at[-1]] = true;
        at++;
    }
}

/* Sorts out bytes and looks at the texts; gives how many ids may be merged. */
static size_t scan_tokens(struct spm *spm, int32_t *ids)
{
    const struct tx_vocab *vocab = spm->vocab;
    size_t count = 0;
    for (int32_t id = 0; id < vocab->count; id++) {
        int byte = byte_of(vocab, id);
        if (byte >= 0) {
            spm->byte_ids[byte] = id;
        } else if (may_be_merged(vocab, id)) {
            ids[count++] = id;
            note_inner_spaces(spm, vocab->pieces[id]);
            if (vocab->pieces[id].size_bytes > spm->longest_piece_bytes)
                spm->longest_piece_bytes = vocab->pieces[id].size_bytes;
        }
    }
    return count;
}

static enum hasten_status index_tokens(struct spm *spm, struct hs_error *error)
{
    const struct tx_vocab *vocab = spm->vocab;
    int32_t *ids = hs_calloc((size_t)vocab->count, sizeof *ids);
    if (!ids)
        return out_of_memory(error);
    size_t count = scan_tokens(spm, ids);
    bool done = tx_token_index_open(&spm->index, vocab->pieces, vocab->count, count) &&
                tx_token_index_put(&spm->index, ids, count);
    hs_free(ids);
    return done ? HASTEN_OK : tx_token_index_fail(&spm->index, error);
}

static void spm_close(void *model)
{
    struct spm *spm = model;
    if (!spm)
        return;
    tx_token_index_close(&spm->index);
    hs_free(spm);
}

static enum hasten_status spm_open(const struct tx_vocab *vocab, struct hs_error *error,
                                   void **model_out)
{
    struct spm *spm = hs_calloc(1, sizeof *spm);
    if (!spm)
        return out_of_memory(error);
    spm->vocab = vocab;
    for (int byte = 0; byte < 256; byte++)
        spm->byte_ids[byte] = -1;
    enum hasten_status status = index_tokens(spm, error);
    if (status != HASTEN_OK) {
        spm_close(spm);
        return status;
    }
    *model_out = spm;
    return HASTEN_OK;
}

/* --- merging ------------------------------------------------------------------------------ */

struct symbol {
    uint32_t begin, size;   /* place in the chunk */
    uint32_t before, after; /* neighbours or NO_SYMBOL */
    int32_t id;             /* token with this text, or -1 */
    int32_t joined;         /* token with this text and the next symbol's, or -1 */
};

struct work {
    struct hs_buffer escaped;
    struct symbol *symbols; /* room.data */
    struct tx_merge_symbols room;
    struct tx_merge_heap heap; /* order of score << 32 | position */
};

/* Smallest for the highest score. NaN counts as the lowest score; both zeros are one. */
static uint32_t score_order(const struct tx_vocab *vocab, int32_t id)
{
    float score = vocab->scores ? vocab->scores[id] : 0.0f;
    uint32_t bits;
    if (score != score)
        return UINT32_MAX;
    if (score == 0.0f)
        score = 0.0f;
    memcpy(&bits, &score, 4);
    return bits >> 31 ? bits : ~(bits | UINT32_C(0x80000000));
}

/* Looks up the pair at a position and queues it. */
static void rate_pair(const struct spm *spm, struct work *work, const char *chunk, uint32_t at)
{
    struct symbol *symbol = &work->symbols[at];
    symbol->joined = -1;
    if (symbol->after == NO_SYMBOL)
        return;
    struct hs_str text = {chunk + symbol->begin,
                          (size_t)symbol->size + work->symbols[symbol->after].size};
    if (text.size_bytes > spm->longest_piece_bytes)
        return;
    symbol->joined = tx_token_index_find(&spm->index, text);
    if (symbol->joined >= 0)
        tx_heap_push(&work->heap, (uint64_t)score_order(spm->vocab, symbol->joined) << 32 | at);
}

/* One symbol a character; a malformed byte is a symbol of its own. */
static uint32_t split_symbols(struct work *work, struct hs_str chunk)
{
    uint32_t count = 0;
    for (size_t at = 0; at < chunk.size_bytes; count++) {
        int length = (uint8_t)chunk.data[at] < 0x80 ? 1 : 0;
        if (!length)
            (void)tx_utf8_next(chunk.data + at, chunk.size_bytes - at, &length);
        work->symbols[count] = (struct symbol){
            (uint32_t)at, (uint32_t)length, count ? count - 1 : NO_SYMBOL, count + 1, -1, -1};
        at += (size_t)length;
    }
    work->symbols[count - 1].after = NO_SYMBOL;
    return count;
}

static void merge_chunk(const struct spm *spm, struct work *work, struct hs_str chunk)
{
    uint32_t count = split_symbols(work, chunk);
    work->heap.count = 0;
    for (uint32_t i = 0; i < count; i++)
        rate_pair(spm, work, chunk.data, i);
    while (work->heap.count) {
        uint64_t entry = tx_heap_pop(&work->heap);
        uint32_t at = (uint32_t)entry;
        struct symbol *left = &work->symbols[at];
        if (left->joined < 0 || score_order(spm->vocab, left->joined) != entry >> 32)
            continue;
        struct symbol *right = &work->symbols[left->after];
        left->id = left->joined;
        left->size += right->size;
        right->joined = -1;
        left->after = right->after;
        if (left->after != NO_SYMBOL)
            work->symbols[left->after].before = at;
        if (left->before != NO_SYMBOL)
            rate_pair(spm, work, chunk.data, left->before);
        rate_pair(spm, work, chunk.data, at);
    }
}

/* A text that is no token: its bytes, or the unknown token, or nothing where there is none. */
static enum hasten_status push_bytes(const struct spm *spm, struct hs_str text, struct tx_ids *ids)
{
    bool all = true;
    for (size_t i = 0; i < text.size_bytes; i++)
        all &= spm->byte_ids[(uint8_t)text.data[i]] >= 0;
    if (!all)
        return spm->vocab->unknown >= 0 ? tx_ids_push(ids, spm->vocab->unknown) : HASTEN_OK;
    for (size_t i = 0; i < text.size_bytes; i++)
        HS_TRY(tx_ids_push(ids, spm->byte_ids[(uint8_t)text.data[i]]));
    return HASTEN_OK;
}

static enum hasten_status push_text(const struct spm *spm, struct hs_str text, struct tx_ids *ids)
{
    int32_t id = tx_token_index_find(&spm->index, text);
    return id >= 0 ? tx_ids_push(ids, id) : push_bytes(spm, text, ids);
}

static enum hasten_status encode_chunk(const struct spm *spm, struct work *work,
                                       struct hs_str chunk, struct tx_ids *ids)
{
    if (!tx_merge_reserve(&work->room, sizeof *work->symbols, chunk.size_bytes, &work->heap))
        return HASTEN_OUT_OF_MEMORY;
    work->symbols = work->room.data;
    merge_chunk(spm, work, chunk);
    for (uint32_t at = 0; at != NO_SYMBOL; at = work->symbols[at].after) {
        const struct symbol *symbol = &work->symbols[at];
        if (symbol->id >= 0)
            HS_TRY(tx_ids_push(ids, symbol->id));
        else
            HS_TRY(push_text(spm, (struct hs_str){chunk.data + symbol->begin, symbol->size}, ids));
    }
    return HASTEN_OK;
}

/* --- the kind's functions ----------------------------------------------------------------- */

/* Appends text with its spaces as U+2581. */
static void escape(struct hs_str text, struct hs_buffer *out)
{
    const char *at = text.data, *end = text.data + text.size_bytes;
    while (at < end) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        const char *stop = space ? space : end;
        hs_buffer_append(out, at, (size_t)(stop - at));
        if (space)
            hs_buffer_append(out, SPACE, SPACE_BYTES);
        at = space ? space + 1 : end;
    }
}

/* Bytes up to the first place that no merge can cross. */
static size_t chunk_bytes(const struct spm *spm, struct hs_str text)
{
    const char *at = text.data + 1, *end = text.data + text.size_bytes;
    while (end - at >= SPACE_BYTES && (at = memchr(at, SPACE[0], (size_t)(end - at)))) {
        if (end - at >= SPACE_BYTES && memcmp(at, SPACE, SPACE_BYTES) == 0 &&
            !spm->before_space[(uint8_t)at[-1]])
            return (size_t)(at - text.data);
        at++;
    }
    return text.size_bytes;
}

static enum hasten_status spm_encode(const void *model, struct hs_str text, struct hs_error *error,
                                     struct tx_ids *ids)
{
    const struct spm *spm = model;
    struct work work = {0};
    enum hasten_status status = HASTEN_OK;
    if (spm->vocab->add_space_prefix)
        hs_buffer_append(&work.escaped, SPACE, SPACE_BYTES);
    escape(text, &work.escaped);
    struct hs_str left = {work.escaped.data, work.escaped.size_bytes};
    if (work.escaped.failed)
        status = HASTEN_OUT_OF_MEMORY;
    while (status == HASTEN_OK && left.size_bytes) {
        struct hs_str chunk = {left.data, chunk_bytes(spm, left)};
        /* places in a chunk have 32 bits */
        status = chunk.size_bytes < UINT32_MAX ? encode_chunk(spm, &work, chunk, ids)
                                               : HASTEN_OUT_OF_MEMORY;
        left.data += chunk.size_bytes;
        left.size_bytes -= chunk.size_bytes;
    }
    hs_buffer_free(&work.escaped);
    hs_free(work.room.data);
    tx_heap_free(&work.heap);
    return status == HASTEN_OK ? status : out_of_memory(error);
}

static void spm_decode(const void *model, int32_t id, struct hs_buffer *out)
{
    const struct spm *spm = model;
    struct hs_str piece = spm->vocab->pieces[id];
    int byte = byte_of(spm->vocab, id);
    if (byte >= 0) {
        hs_buffer_append(out, &(char){(char)byte}, 1);
        return;
    }
    while (piece.size_bytes) {
        const char *space = memmem(piece.data, piece.size_bytes, SPACE, SPACE_BYTES);
        size_t plain = space ? (size_t)(space - piece.data) : piece.size_bytes;
        hs_buffer_append(out, piece.data, plain);
        if (!space)
            break;
        hs_buffer_append(out, " ", 1);
        piece.data += plain + SPACE_BYTES;
        piece.size_bytes -= plain + SPACE_BYTES;
    }
}

static int32_t spm_find(const void *model, struct hs_str text)
{
    const struct spm *spm = model;
    struct hs_buffer escaped = {0};
    escape(text, &escaped);
    int32_t id = -1;
    if (!escaped.failed && escaped.size_bytes)
        id = tx_token_index_find(&spm->index, (struct hs_str){escaped.data, escaped.size_bytes});
    hs_buffer_free(&escaped);
    return id < 0 && text.size_bytes == 1 ? spm->byte_ids[(uint8_t)text.data[0]] : id;
}

const struct tx_kind tx_kind_spm = {spm_open, spm_close, spm_encode, spm_decode, spm_find};
