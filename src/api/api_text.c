/* Public functions on text (text.h): tokenizing, and conversations by the model's template. */
#include <hasten/text.h>
#include <string.h>

#include "api/api_priv.h"

static enum hasten_status need_tokenizer(const struct hasten_model *model, struct hs_error *error,
                                         const struct tx_tokenizer **tokenizer_out)
{
    const struct hs_error *reason = en_tokenizer_error(model->engine);
    *tokenizer_out = en_tokenizer(model->engine);
    if (*tokenizer_out)
        return HASTEN_OK;
    if (error)
        *error = *reason;
    return reason->status;
}

static enum hasten_status encode(const struct hasten_model *model, struct hs_str text,
                                 unsigned forms, struct hs_error *error, struct tx_ids *ids)
{
    const struct tx_tokenizer *tokenizer;
    struct tx_encode_options plain = {false, (forms & HASTEN_TOKENIZE_SPECIAL) != 0};
    HS_TRY(need_tokenizer(model, error, &tokenizer));
    if (forms == HASTEN_TOKENIZE_PROMPT)
        return en_prompt_ids(model->engine, text, error, ids);
    if (forms & HASTEN_TOKENIZE_BEGIN) {
        const struct tx_vocab *vocab = tx_tokenizer_vocab(tokenizer);
        if (vocab->add_bos && vocab->bos >= 0 && tx_ids_push(ids, vocab->bos) != HASTEN_OK)
            return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for tokens");
    }
    return tx_encode(tokenizer, text, plain, error, ids);
}

enum hasten_status hasten_text_tokenize(const struct hasten_model *model, const char *text,
                                        size_t size_bytes, unsigned forms,
                                        struct hasten_error *error, int32_t **tokens_out,
                                        size_t *count_out)
{
    struct tx_ids ids = {0};
    hs_error_clear(error);
    if ((!text && size_bytes > 0) || (forms & ~(unsigned)HASTEN_TOKENIZE_PROMPT))
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "no text, or an unknown form");
    enum hasten_status status =
        encode(model, (struct hs_str){text ? text : "", size_bytes}, forms, error, &ids);
    if (status == HASTEN_OK && !ids.ids && !(ids.ids = hs_alloc(sizeof *ids.ids)))
        status = hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for tokens");
    if (status != HASTEN_OK) {
        tx_ids_free(&ids);
        return status;
    }
    *tokens_out = ids.ids;
    *count_out = (size_t)ids.count;
    return HASTEN_OK;
}

/* Hands a filled buffer out as text. */
static enum hasten_status give_text(struct hs_buffer *buffer, struct hs_error *error,
                                    char **text_out, size_t *size_bytes_out)
{
    hs_buffer_append(buffer, "", 0); /* data is set, and ends with a 0 byte */
    if (buffer->failed) {
        hs_buffer_free(buffer);
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a text");
    }
    *text_out = buffer->data;
    *size_bytes_out = buffer->size_bytes;
    return HASTEN_OK;
}

enum hasten_status hasten_text_detokenize(const struct hasten_model *model, const int32_t *tokens,
                                          size_t count, bool special, struct hasten_error *error,
                                          char **text_out, size_t *size_bytes_out)
{
    const struct tx_tokenizer *tokenizer;
    struct hs_buffer text = {0};
    hs_error_clear(error);
    HS_TRY(need_tokenizer(model, error, &tokenizer));
    if ((!tokens && count > 0) || count > INT32_MAX)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "no tokens, or too many");
    tx_decode(tokenizer, tokens, (int32_t)count, special, &text);
    return give_text(&text, error, text_out, size_bytes_out);
}

enum hasten_status hasten_chat_render(const struct hasten_model *model,
                                      const struct hasten_message *messages, size_t count,
                                      struct hasten_error *error, char **text_out,
                                      size_t *size_bytes_out)
{
    struct hs_buffer text = {0};
    hs_error_clear(error);
    if ((!messages && count > 0) || count > INT32_MAX)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "no messages, or too many");
    struct tx_message *own = hs_calloc(count + 1, sizeof *own);
    if (!own)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the conversation");
    for (size_t i = 0; i < count; i++)
        own[i] = (struct tx_message){
            .role = hs_str_of(messages[i].role ? messages[i].role : "user"),
            .content = hs_str_of(messages[i].content ? messages[i].content : ""),
        };
    enum hasten_status status = en_chat_render(model->engine, own, (int32_t)count, error, &text);
    hs_free(own);
    if (status != HASTEN_OK) {
        hs_buffer_free(&text);
        return status;
    }
    return give_text(&text, error, text_out, size_bytes_out);
}

void hasten_memory_free(void *memory)
{
    hs_free(memory);
}
