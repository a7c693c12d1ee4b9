/*
 * Tokenizer, the part that all kinds share: opening and checks, special tokens, BOS and EOS,
 * decoding, the streaming decoder.
 *
 * Special tokens are cut out of the text before anything else (special_tokens.h).
 */
#include "text/tokenizer.h"

#include "text/special_tokens.h"
#include "text/text_utf8.h"
#include "text/tokenizer_kind.h"

enum { END_NAMES = 5, MAX_ENDS = 2 + END_NAMES };

struct tx_tokenizer {
    const struct tx_vocab *vocab;
    const struct tx_kind *kind;
    void *model;
    struct tx_specials *specials;
    bool prefix_space;         /* plain runs begin with a space that was not in the text */
    int32_t end_ids[MAX_ENDS]; /* eos, eot and well-known names */
    int end_count;
};

static const char *const end_names[END_NAMES] = {"<|im_end|>", "<|endoftext|>", "<end_of_turn>",
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

static void add_end(struct tx_tokenizer *tokenizer, int32_t id)
{
    if (id >= 0)
        tokenizer->end_ids[tokenizer->end_count++] = id;
}

static bool is_end_name(struct hs_str piece)
{
    for (size_t i = 0; i < END_NAMES; i++)
        if (hs_str_is(piece, end_names[i]))
            return true;
    return false;
}

/* A vocabulary without types cannot mark control tokens: the name alone counts there. */
static void index_ends(struct tx_tokenizer *tokenizer)
{
    const struct tx_vocab *vocab = tokenizer->vocab;
    add_end(tokenizer, vocab->eos);
    add_end(tokenizer, vocab->eot);
    for (int32_t id = 0; id < vocab->count && tokenizer->end_count < MAX_ENDS; id++)
        if ((!vocab->types || vocab->types[id] == TX_TOKEN_CONTROL) &&
            is_end_name(vocab->pieces[id]))
            add_end(tokenizer, id);
}

static enum hasten_status open_specials(struct tx_tokenizer *tokenizer, struct hs_error *error)
{
    enum hasten_status status = tx_specials_open(tokenizer->vocab, &tokenizer->specials);
    if (status == HASTEN_LIMIT)
        return hs_fail(error, status, "take the model from another source",
                       "the special tokens are too many or too long");
    return status == HASTEN_OK ? HASTEN_OK : out_of_memory(error);
}

enum hasten_status tx_tokenizer_open(const struct tx_vocab *vocab, struct hs_error *error,
                                     struct tx_tokenizer **tokenizer_out)
{
    HS_TRY(check_vocab(vocab, error));
    struct tx_tokenizer *tokenizer = hs_calloc(1, sizeof *tokenizer);
    if (!tokenizer)
        return out_of_memory(error);
    tokenizer->vocab = vocab;
    tokenizer->kind = vocab->kind == TX_TOKENIZER_SPM ? &tx_kind_spm : &tx_kind_bpe;
    tokenizer->prefix_space = vocab->kind == TX_TOKENIZER_SPM && vocab->add_space_prefix;
    enum hasten_status status = tokenizer->kind->open(vocab, error, &tokenizer->model);
    if (status == HASTEN_OK)
        status = open_specials(tokenizer, error);
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
    tx_specials_close(&(*tokenizer)->specials);
    hs_free(*tokenizer);
    *tokenizer = NULL;
}

const struct tx_vocab *tx_tokenizer_vocab(const struct tx_tokenizer *tokenizer)
{
    return tokenizer->vocab;
}

/* --- encoding ----------------------------------------------------------------------------- */

static enum hasten_status encode_fragments(const struct tx_tokenizer *tokenizer,
                                           const struct tx_fragments *fragments,
                                           struct hs_error *error, struct tx_ids *ids)
{
    for (size_t i = 0; i < fragments->count; i++) {
        const struct tx_fragment *fragment = &fragments->items[i];
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
    struct tx_fragments fragments = {0};
    enum hasten_status status =
        tx_specials_cut(tokenizer->specials, text, options.parse_special, &fragments);
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
        tokenizer->kind->decode(tokenizer->model, id, out);
    }
}

/* The space that encoding put in front of a plain run is taken away again: in front of the first
 * plain token and of one behind a special token that was written. */
void tx_decode(const struct tx_tokenizer *tokenizer, const int32_t *ids, int32_t count,
               bool special, struct hs_buffer *out)
{
    bool run_begins = true;
    for (int32_t i = 0; i < count; i++) {
        size_t before = out->size_bytes;
        tx_decode_token(tokenizer, ids[i], special, out);
        if (!tokenizer->prefix_space || out->failed || out->size_bytes == before)
            continue;
        bool is_special = tx_is_special(tokenizer->vocab, ids[i]);
        if (run_begins && !is_special && out->data[before] == ' ') {
            out->size_bytes--;
            memmove(out->data + before, out->data + before + 1, out->size_bytes - before);
            out->data[out->size_bytes] = 0;
        }
        run_begins = is_special;
    }
}

int32_t tx_token_id(const struct tx_tokenizer *tokenizer, const char *piece)
{
    struct hs_str text = hs_str_of(piece);
    int32_t id = tx_specials_find(tokenizer->specials, text);
    if (id >= 0)
        return id;
    id = tokenizer->kind->find(tokenizer->model, text);
    return id >= 0 && !tx_is_special(tokenizer->vocab, id) ? id : -1;
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

/* Writes bytes as whole characters; what is unfinished stays in the stream. */
static void stream_bytes(struct tx_stream *stream, const char *bytes, size_t size_bytes,
                         struct hs_buffer *out)
{
    for (size_t i = 0; i < size_bytes; i++)
        stream_byte(stream, (uint8_t)bytes[i], out);
}

void tx_stream_push(struct tx_stream *stream, const struct tx_tokenizer *tokenizer, int32_t id,
                    bool special, struct hs_buffer *out)
{
    char held[256]; /* the bytes of a token; decoding must not allocate, so only a giant goes on */
    size_t before = out->size_bytes;
    tx_decode_token(tokenizer, id, special, out);
    struct hs_str fresh = {out->data ? out->data + before : NULL, out->size_bytes - before};
    if (out->failed || fresh.size_bytes == 0)
        return;
    if (stream->tail_bytes == 0 && tx_utf8_valid_prefix(fresh) == fresh.size_bytes)
        return;
    char *bytes = fresh.size_bytes <= sizeof held ? held : hs_alloc(fresh.size_bytes);
    out->size_bytes = before;
    out->failed = !bytes;
    if (bytes) {
        memcpy(bytes, fresh.data, fresh.size_bytes);
        stream_bytes(stream, bytes, fresh.size_bytes, out);
    }
    out->data[out->size_bytes] = 0;
    if (bytes != held)
        hs_free(bytes);
}

void tx_stream_flush(struct tx_stream *stream, struct hs_buffer *out)
{
    if (stream->tail_bytes)
        hs_buffer_append(out, replacement, 3);
    stream->tail_bytes = 0;
}
