/*
 * Tokenizer: UTF-8 text to token ids and back.
 *
 * Byte-level BPE (GPT-2, Radford et al. 2019): the text is cut by the pre-tokenizer's published
 * patterns (a table row per rule name), each word is mapped to the byte alphabet and merged by rank
 * with a priority queue, O(n log n) in the word's length. SentencePiece BPE (Kudo and Richardson
 * 2018): spaces become U+2581, characters are merged by score, what is no token becomes bytes. A
 * tokenizer is immutable after opening
 * and shared by threads; each call allocates its own work memory.
 */
#ifndef HASTEN_TEXT_TOKENIZER_H
#define HASTEN_TEXT_TOKENIZER_H

#include "text/vocab.h"

struct tx_tokenizer;

struct tx_ids {
    int32_t *ids; /* grows; free with tx_ids_free; zero-initialise */
    int32_t count, capacity;
};
/* Appends one id; OUT_OF_MEMORY. */
HS_MUST_USE enum hasten_status tx_ids_push(struct tx_ids *ids, int32_t id);
void tx_ids_free(struct tx_ids *ids);

/* Builds the index of a vocabulary (borrowed: it and what it points to must outlive the
 * tokenizer). UNSUPPORTED for an unknown pre-tokenizer (message names it, hint lists known ones),
 * CORRUPT_INPUT for impossible tables. Caller owns it: tx_tokenizer_close. */
HS_MUST_USE enum hasten_status tx_tokenizer_open(const struct tx_vocab *vocab,
                                                 struct hs_error *error,
                                                 struct tx_tokenizer **tokenizer_out);
void tx_tokenizer_close(struct tx_tokenizer **tokenizer);
const struct tx_vocab *tx_tokenizer_vocab(const struct tx_tokenizer *tokenizer);

struct tx_encode_options {
    bool add_special;   /* BOS / EOS where the model asks for them */
    bool parse_special; /* control and user-defined tokens written out in the text become ids */
};

/* Appends the ids of text to ids. Any bytes are accepted: broken UTF-8 round-trips byte by byte.
 * User-defined tokens are always recognised, control tokens only with parse_special. */
HS_MUST_USE enum hasten_status tx_encode(const struct tx_tokenizer *tokenizer, struct hs_str text,
                                         struct tx_encode_options options, struct hs_error *error,
                                         struct tx_ids *ids);
/* Appends the bytes of one token; control tokens give nothing unless `special`. Ids outside the
 * vocabulary give nothing. */
void tx_decode_token(const struct tx_tokenizer *tokenizer, int32_t id, bool special,
                     struct hs_buffer *out);
/* Appends the text of ids[0..count), as tx_encode took it: without the spaces that it put in front
 * where the vocabulary asks for them (add_space_prefix). Tokens one by one and streams keep them:
 * what follows a prompt begins with a space of its own. */
void tx_decode(const struct tx_tokenizer *tokenizer, const int32_t *ids, int32_t count,
               bool special, struct hs_buffer *out);
/* Id of a token by its decoded text, or -1. */
int32_t tx_token_id(const struct tx_tokenizer *tokenizer, const char *piece);
/* True for tokens that end generation: eos, eot and control tokens of well-known names
 * (<|im_end|>, <|endoftext|>, <end_of_turn>, <|eot_id|>, <|end|>). */
bool tx_is_end(const struct tx_tokenizer *tokenizer, int32_t id);

/*
 * Streaming decoder: never hands out half a UTF-8 character. Feed tokens; what is complete is
 * appended to out, an unfinished tail is kept (at most 3 bytes). tx_stream_flush replaces a
 * dangling tail by U+FFFD. Zero-initialise.
 */
struct tx_stream {
    uint8_t tail[4];
    int tail_bytes;
};
void tx_stream_push(struct tx_stream *stream, const struct tx_tokenizer *tokenizer, int32_t id,
                    bool special, struct hs_buffer *out);
void tx_stream_flush(struct tx_stream *stream, struct hs_buffer *out);

#endif
