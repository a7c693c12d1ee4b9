/*
 * Text: tokens of a text, the text of tokens, and conversations written as a model was taught.
 *
 * All functions may be called by any threads at once on one model. Texts are UTF-8 with a length in
 * bytes; broken UTF-8 is accepted and comes back byte by byte. Arrays and texts handed out are the
 * caller's: hasten_memory_free.
 */
#ifndef HASTEN_TEXT_H
#define HASTEN_TEXT_H

#include <hasten/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Forms of tokenizing, added up. */
enum hasten_tokenize {
    HASTEN_TOKENIZE_PLAIN = 0, /* the text and nothing else */
    HASTEN_TOKENIZE_SPECIAL =
        1,                    /* special tokens written out in the text ("<|im_end|>") become ids */
    HASTEN_TOKENIZE_BEGIN = 2 /* the begin token in front, where the model wants one and the text
                               * does not begin with it */
};
/* What to generate from: text of hasten_chat_render, or plain text to be continued. */
#define HASTEN_TOKENIZE_PROMPT (HASTEN_TOKENIZE_SPECIAL | HASTEN_TOKENIZE_BEGIN)

/*
 * Token ids of text[0..size_bytes). forms: a sum of enum hasten_tokenize. *tokens_out: [*count_out]
 * ids, the caller's (hasten_memory_free), never NULL. Errors: NOT_FOUND or UNSUPPORTED (the model
 * has no tokenizer that can be used), INVALID_ARGUMENT, LIMIT, OUT_OF_MEMORY.
 */
HASTEN_API HASTEN_MUST_USE enum hasten_status hasten_text_tokenize(
    const struct hasten_model *model, const char *text, size_t size_bytes, unsigned forms,
    struct hasten_error *error, int32_t **tokens_out, size_t *count_out);

/*
 * Text of tokens[0..count). special: special tokens are written out, else they give nothing. Ids
 * outside the vocabulary give nothing. *text_out: [*size_bytes_out] bytes and a final 0, the
 * caller's (hasten_memory_free). Errors as of hasten_text_tokenize.
 */
HASTEN_API HASTEN_MUST_USE enum hasten_status hasten_text_detokenize(
    const struct hasten_model *model, const int32_t *tokens, size_t count, bool special,
    struct hasten_error *error, char **text_out, size_t *size_bytes_out);

struct hasten_message {
    const char *role;    /* "system", "user", "assistant"; ends with a 0 byte */
    const char *content; /* ends with a 0 byte */
};

/*
 * Writes a conversation by the model's chat template, up to where the model's next answer begins:
 * text to tokenize with HASTEN_TOKENIZE_PROMPT. *text_out as of hasten_text_detokenize. Errors:
 * UNSUPPORTED (no chat template, or one that cannot be used: message says why), INVALID_ARGUMENT
 * (the template refuses the messages), LIMIT, OUT_OF_MEMORY. Templates that name the date see the
 * local time.
 */
HASTEN_API HASTEN_MUST_USE enum hasten_status hasten_chat_render(
    const struct hasten_model *model, const struct hasten_message *messages, size_t count,
    struct hasten_error *error, char **text_out, size_t *size_bytes_out);

/* Gives back an array or text that this library handed out. NULL is allowed. */
HASTEN_API void hasten_memory_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
