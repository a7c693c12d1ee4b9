/*
 * Tokenizer, the part that all kinds share: opening and checks, special tokens, BOS and EOS,
 * decoding, the streaming decoder.
 *
 * Special tokens are cut out of the text before anything else, the longest first and everywhere it
 * stands, then the next one in what is left: the order that other engines use, which matters where
 * two overlap. Which of them occur at all is found in one pass, so a vocabulary with a thousand of
 * them costs nothing on plain text.
 */
#include "text/tokenizer.h"

#include <stdlib.h>

#include "text/text_utf8.h"
#include "text/tokenizer_kind.h"

struct special {
    struct hs_str text;
    int32_t id;
};

struct tx_tokenizer {
    const struct tx_vocab *vocab;
    const struct tx_kind *kind;
    void *model;
    struct special *specials; /* longest first, then by id */
    int32_t special_count;
    int32_t *by_first_byte;   /* [special_count] indices into specials, grouped by first byte */
    int32_t group_start[257]; /* group of byte b: by_first_byte[group_start[b]..[b + 1]) */
    int32_t end_ids[8];       /* eos, eot and well-known names */
    int end_count;
};

static const char *const end_names[] = {"<|im_end|>", "<|endoftext|>", "<end_of_turn>",
                                        "<|eot_id|>", "<|end|>"};

/* --- ids ---------------------------------------------------------------------------------- */

enum hasten_status tx_ids_push(struct tx_ids *ids, int32_t id)
{
    if (ids->count == ids->capacity) {
        if (ids->capacity > INT32_MAX / 2)
            return HASTEN_OUT_OF_MEMORY;
        int32_t capacity = ids->capacity ? ids->capacity * 2 : 64;
        int32_t *bigger = hs_realloc(ids->ids, (size_t)capacity, sizeof *bigger);
        if (!bigger)
            return HASTEN_OUT_OF_MEMORY;
        ids->ids = bigger;
        ids->capacity = capacity;
    }
    ids->ids[ids->count++] = id;
    return HASTEN_OK;
}

void tx_ids_free(struct tx_ids *ids)
{
    hs_free(ids->ids);
    *ids = (struct tx_ids){0};
}

/* --- opening ------------------------------------------------------------------------------ */

static enum hasten_status out_of_memory(struct hs_error *error)
{
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in tokenizer");
}

static enum hasten_status check_vocab(const struct tx_vocab *vocab, struct hs_error *error)
{
    const struct {
        const char *name;
        int32_t id;
    } named[] = {{"bos", vocab->bos},
                 {"eos", vocab->eos},
                 {"eot", vocab->eot},
                 {"unknown", vocab->unknown},
                 {"padding", vocab->padding}};
    if (vocab->count <= 0 || !vocab->pieces)
        return hs_fail(error, HASTEN_CORRUPT_INPUT, NULL, "vocabulary has no tokens");
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        if (named[i].id < -1 || named[i].id >= vocab->count)
            return hs_fail(error, HASTEN_CORRUPT_INPUT, "download the model file again",
                           "%s token id is %d, vocabulary has %d tokens", named[i].name,
                           (int)named[i].id, (int)vocab->count);
    return HASTEN_OK;
}

static bool is_special(const struct tx_vocab *vocab, int32_t id)
{
    enum tx_token_type type = tx_vocab_type(vocab, id);
    return vocab->pieces[id].size_bytes &&
           (type == TX_TOKEN_CONTROL || type == TX_TOKEN_USER_DEFINED || type == TX_TOKEN_UNKNOWN);
}

static int compare_specials(const void *a, const void *b)
{
    const struct special *x = a, *y = b;
    if (x->text.size_bytes != y->text.size_bytes)
        return x->text.size_bytes > y->text.size_bytes ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static enum hasten_status index_specials(struct tx_tokenizer *tokenizer, struct hs_error *error)
{
    const struct tx_vocab *vocab = tokenizer->vocab;
    int32_t count = 0;
    for (int32_t id = 0; id < vocab->count; id++)
        count += is_special(vocab, id);
    tokenizer->specials = hs_calloc((size_t)count, sizeof *tokenizer->specials);
    tokenizer->by_first_byte = hs_calloc((size_t)count, sizeof *tokenizer->by_first_byte);
    if (!tokenizer->specials || !tokenizer->by_first_byte)
        return out_of_memory(error);
    for (int32_t id = 0; id < vocab->count; id++)
        if (is_special(vocab, id))
            tokenizer->specials[tokenizer->special_count++] =
                (struct special){vocab->pieces[id], id};
    qsort(tokenizer->specials, (size_t)count, sizeof *tokenizer->specials, compare_specials);

    for (int32_t i = 0; i < count; i++)
        tokenizer->group_start[(uint8_t)tokenizer->specials[i].text.data[0] + 1]++;
    for (int byte = 0; byte < 256; byte++)
        tokenizer->group_start[byte + 1] += tokenizer->group_start[byte];
    int32_t next[256];
    memcpy(next, tokenizer->group_start, sizeof next);
    for (int32_t i = 0; i < count; i++)
        tokenizer->by_first_byte[next[(uint8_t)tokenizer->specials[i].text.data[0]]++] = i;
    return HASTEN_OK;
}

static void add_end(struct tx_tokenizer *tokenizer, int32_t id)
{
    if (id >= 0)
        tokenizer->end_ids[tokenizer->end_count++] = id;
}

/* A vocabulary without types cannot mark control tokens: the name alone counts there. */
static void index_ends(struct tx_tokenizer *tokenizer)
{
    const struct tx_vocab *vocab = tokenizer->vocab;
    add_end(tokenizer, vocab->eos);
    add_end(tokenizer, vocab->eot);
    for (size_t i = 0; i < sizeof end_names / sizeof end_names[0]; i++)
        for (int32_t id = 0; id < vocab->count; id++)
            if (hs_str_is(vocab->pieces[id], end_names[i]) &&
                (!vocab->types || tx_vocab_type(vocab, id) == TX_TOKEN_CONTROL)) {
                add_end(tokenizer, id);
                break;
            }
}

enum hasten_status tx_tokenizer_open(const struct tx_vocab *vocab, struct hs_error *error,
                                     struct tx_tokenizer **tokenizer_out)
{
    if (vocab->kind != TX_TOKENIZER_BPE)
        return hs_fail(error, HASTEN_UNSUPPORTED,
                       "use a model with a byte-level BPE tokenizer (tokenizer.ggml.model gpt2)",
                       "SentencePiece tokenizers are not supported");
    HS_TRY(check_vocab(vocab, error));
    struct tx_tokenizer *tokenizer = hs_calloc(1, sizeof *tokenizer);
    if (!tokenizer)
        return out_of_memory(error);
    tokenizer->vocab = vocab;
    tokenizer->kind = &tx_kind_bpe;
    enum hasten_status status = tokenizer->kind->open(vocab, error, &tokenizer->model);
    if (status == HASTEN_OK)
        status = index_specials(tokenizer, error);
    if (status != HASTEN_OK) {
        tx_tokenizer_close(&tokenizer);
        return status;
    }
    index_ends(tokenizer);
    *tokenizer_out = tokenizer;
    return HASTEN_OK;
}

void tx_tokenizer_close(struct tx_tokenizer **tokenizer)
{
    if (!*tokenizer)
        return;
    (*tokenizer)->kind->close((*tokenizer)->model);
    hs_free((*tokenizer)->specials);
    hs_free((*tokenizer)->by_first_byte);
    hs_free(*tokenizer);
    *tokenizer = NULL;
}

const struct tx_vocab *tx_tokenizer_vocab(const struct tx_tokenizer *tokenizer)
{
    return tokenizer->vocab;
}

/* --- cutting out special tokens ----------------------------------------------------------- */

struct fragment {
    struct hs_str text;
    int32_t id; /* -1: plain text */
};

struct fragments {
    struct fragment *items;
    size_t count, capacity;
};

static bool add_fragment(struct fragments *fragments, struct hs_str text, int32_t id)
{
    if (fragments->count == fragments->capacity) {
        size_t capacity = fragments->capacity ? fragments->capacity * 2 : 16;
        struct fragment *items = hs_realloc(fragments->items, capacity, sizeof *items);
        if (!items)
            return false;
        fragments->items = items;
        fragments->capacity = capacity;
    }
    fragments->items[fragments->count++] = (struct fragment){text, id};
    return true;
}

/* Marks the special tokens that occur in text; false when there are none. */
static bool mark_present(const struct tx_tokenizer *tokenizer, struct hs_str text,
                         bool parse_special, bool *present)
{
    bool any = false;
    for (size_t at = 0; at < text.size_bytes; at++) {
        uint8_t first = (uint8_t)text.data[at];
        for (int32_t k = tokenizer->group_start[first]; k < tokenizer->group_start[first + 1];
             k++) {
            int32_t i = tokenizer->by_first_byte[k];
            const struct special *special = &tokenizer->specials[i];
            if (present[i] || special->text.size_bytes > text.size_bytes - at ||
                (!parse_special &&
                 tx_vocab_type(tokenizer->vocab, special->id) != TX_TOKEN_USER_DEFINED))
                continue;
            present[i] = !memcmp(text.data + at, special->text.data, special->text.size_bytes);
            any |= present[i];
        }
    }
    return any;
}

/* Cuts one special token out of one plain fragment. */
static bool cut_fragment(struct hs_str text, const struct special *special, struct fragments *after)
{
    while (text.size_bytes) {
        const char *found =
            memmem(text.data, text.size_bytes, special->text.data, special->text.size_bytes);
        size_t plain = found ? (size_t)(found - text.data) : text.size_bytes;
        if (plain && !add_fragment(after, (struct hs_str){text.data, plain}, -1))
            return false;
        if (!found)
            break;
        if (!add_fragment(after, special->text, special->id))
            return false;
        text.data += plain + special->text.size_bytes;
        text.size_bytes -= plain + special->text.size_bytes;
    }
    return true;
}

static bool cut_special(const struct special *special, const struct fragments *before,
                        struct fragments *after)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct fragment *fragment = &before->items[i];
        bool done = fragment->id >= 0 ? add_fragment(after, fragment->text, fragment->id)
                                      : cut_fragment(fragment->text, special, after);
        if (!done)
            return false;
    }
    return true;
}

static enum hasten_status cut_specials(const struct tx_tokenizer *tokenizer, struct hs_str text,
                                       bool parse_special, struct fragments *fragments)
{
    if (text.size_bytes && !add_fragment(fragments, text, -1))
        return HASTEN_OUT_OF_MEMORY;
    bool *present = hs_calloc((size_t)tokenizer->special_count, sizeof *present);
    if (!present)
        return HASTEN_OUT_OF_MEMORY;
    bool done = true, any = mark_present(tokenizer, text, parse_special, present);
    struct fragments after = {0};
    for (int32_t i = 0; any && done && i < tokenizer->special_count; i++) {
        if (!present[i])
            continue;
        after.count = 0;
        done = cut_special(&tokenizer->specials[i], fragments, &after);
        struct fragments swap = *fragments;
        *fragments = after;
        after = swap;
    }
    hs_free(after.items);
    hs_free(present);
    return done ? HASTEN_OK : HASTEN_OUT_OF_MEMORY;
}

/* --- encoding ----------------------------------------------------------------------------- */

static enum hasten_status encode_fragments(const struct tx_tokenizer *tokenizer,
                                           const struct fragments *fragments,
                                           struct hs_error *error, struct tx_ids *ids)
{
    for (size_t i = 0; i < fragments->count; i++) {
        const struct fragment *fragment = &fragments->items[i];
        if (fragment->id < 0)
            HS_TRY(tokenizer->kind->encode(tokenizer->model, fragment->text, error, ids));
        else if (tx_ids_push(ids, fragment->id) != HASTEN_OK)
            return out_of_memory(error);
    }
    return HASTEN_OK;
}

enum hasten_status tx_encode(const struct tx_tokenizer *tokenizer, struct hs_str text,
                             struct tx_encode_options options, struct hs_error *error,
                             struct tx_ids *ids)
{
    const struct tx_vocab *vocab = tokenizer->vocab;
    int32_t count_before = ids->count;
    if (text.size_bytes > INT32_MAX)
        return hs_fail(error, HASTEN_LIMIT, NULL, "text of %zu bytes is too long", text.size_bytes);
    struct fragments fragments = {0};
    enum hasten_status status = cut_specials(tokenizer, text, options.parse_special, &fragments);
    if (status == HASTEN_OK && options.add_special && vocab->add_bos && vocab->bos >= 0)
        status = tx_ids_push(ids, vocab->bos);
    if (status != HASTEN_OK)
        status = out_of_memory(error);
    else
        status = encode_fragments(tokenizer, &fragments, error, ids);
    if (status == HASTEN_OK && options.add_special && vocab->add_eos && vocab->eos >= 0 &&
        tx_ids_push(ids, vocab->eos) != HASTEN_OK)
        status = out_of_memory(error);
    hs_free(fragments.items);
    if (status != HASTEN_OK)
        ids->count = count_before;
    return status;
}

/* --- decoding ----------------------------------------------------------------------------- */

void tx_decode_token(const struct tx_tokenizer *tokenizer, int32_t id, bool special,
                     struct hs_buffer *out)
{
    const struct tx_vocab *vocab = tokenizer->vocab;
    if (id < 0 || id >= vocab->count)
        return;
    struct hs_str piece = vocab->pieces[id];
    switch (tx_vocab_type(vocab, id)) {
    case TX_TOKEN_CONTROL:
    case TX_TOKEN_UNKNOWN:
        if (special)
            hs_buffer_append(out, piece.data, piece.size_bytes);
        break;
    case TX_TOKEN_USER_DEFINED:
        hs_buffer_append(out, piece.data, piece.size_bytes);
        break;
    case TX_TOKEN_UNUSED:
        break;
    default:
        tokenizer->kind->decode(tokenizer->model, piece, out);
    }
}

void tx_decode(const struct tx_tokenizer *tokenizer, const int32_t *ids, int32_t count,
               bool special, struct hs_buffer *out)
{
    for (int32_t i = 0; i < count; i++)
        tx_decode_token(tokenizer, ids[i], special, out);
}

int32_t tx_token_id(const struct tx_tokenizer *tokenizer, const char *piece)
{
    struct hs_str text = hs_str_of(piece);
    for (int32_t i = 0; i < tokenizer->special_count; i++)
        if (hs_str_equal(tokenizer->specials[i].text, text))
            return tokenizer->specials[i].id;
    int32_t id = tokenizer->kind->find(tokenizer->model, text);
    return id >= 0 && !is_special(tokenizer->vocab, id) ? id : -1;
}

bool tx_is_end(const struct tx_tokenizer *tokenizer, int32_t id)
{
    for (int i = 0; i < tokenizer->end_count; i++)
        if (tokenizer->end_ids[i] == id)
            return true;
    return false;
}

/* --- streaming ---------------------------------------------------------------------------- */

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* Takes one byte: the tail holds the start of a character, or becomes one, or is written. Each
 * maximal part of a broken character gives one U+FFFD (Unicode 3.9, the common practice). */
static void stream_byte(struct tx_stream *stream, uint8_t byte, struct hs_buffer *out)
{
    stream->tail[stream->tail_bytes++] = byte;
    size_t size = (size_t)stream->tail_bytes;
    if (tx_utf8_length(stream->tail, size) == stream->tail_bytes) {
        hs_buffer_append(out, stream->tail, size);
        stream->tail_bytes = 0;
        return;
    }
    if (tx_utf8_unfinished(stream->tail, size))
        return;
    bool again = stream->tail_bytes > 1; /* the byte broke a character that had begun */
    hs_buffer_append(out, replacement, 3);
    stream->tail_bytes = 0;
    if (again)
        stream_byte(stream, byte, out);
}

void tx_stream_push(struct tx_stream *stream, const struct tx_tokenizer *tokenizer, int32_t id,
                    bool special, struct hs_buffer *out)
{
    size_t before = out->size_bytes;
    tx_decode_token(tokenizer, id, special, out);
    struct hs_str fresh = {out->data ? out->data + before : NULL, out->size_bytes - before};
    if (out->failed || fresh.size_bytes == 0)
        return;
    if (stream->tail_bytes == 0 && tx_utf8_valid_prefix(fresh) == fresh.size_bytes)
        return;
    struct hs_buffer bytes = {0};
    hs_buffer_append(&bytes, fresh.data, fresh.size_bytes);
    out->size_bytes = before;
    out->data[before] = 0;
    for (size_t i = 0; i < bytes.size_bytes; i++)
        stream_byte(stream, (uint8_t)bytes.data[i], out);
    out->failed |= bytes.failed;
    hs_buffer_free(&bytes);
}

void tx_stream_flush(struct tx_stream *stream, struct hs_buffer *out)
{
    if (stream->tail_bytes)
        hs_buffer_append(out, replacement, 3);
    stream->tail_bytes = 0;
}
