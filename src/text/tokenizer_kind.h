/*
 * What one kind of tokenizer (byte-level BPE, SentencePiece BPE) has to offer; tokenizer.c does
 * the rest: special tokens, BOS and EOS, streaming. Each kind is a file of its own with one
 * constant of this type.
 */
#ifndef HASTEN_TEXT_TOKENIZER_KIND_H
#define HASTEN_TEXT_TOKENIZER_KIND_H

#include "text/tokenizer.h"

struct tx_kind {
    /* Builds the index; *model_out is the kind's own data. */
    enum hasten_status (*open)(const struct tx_vocab *vocab, struct hs_error *error,
                               void **model_out);
    void (*close)(void *model); /* NULL allowed */
    /* Appends the ids of one run of plain text (any bytes, no special tokens in it). */
    enum hasten_status (*encode)(const void *model, struct hs_str text, struct hs_error *error,
                                 struct tx_ids *ids);
    /* Appends the bytes that a plain token stands for. */
    void (*decode)(const void *model, int32_t id, struct hs_buffer *out);
    /* Id of the plain token with that decoded text, or -1. */
    int32_t (*find)(const void *model, struct hs_str text);
};

extern const struct tx_kind tx_kind_bpe, tx_kind_spm;

static inline enum tx_token_type tx_vocab_type(const struct tx_vocab *vocab, int32_t id)
{
    return vocab->types ? (enum tx_token_type)vocab->types[id] : TX_TOKEN_NORMAL;
}

#endif
