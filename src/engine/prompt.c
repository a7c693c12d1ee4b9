/*
 * Prompts: from a text or a conversation to what a model reads. Any thread: an opened model's
 * tokenizer and template never change.
 */
#include <string.h>
#include <time.h>

#include "engine/model_priv.h"

static enum hasten_status no_memory(struct hs_error *error)
{
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the conversation");
}

/* Gives the reason why the model has no tokenizer or no template; false when it has. */
static bool has_reason(const struct hs_error *reason, struct hs_error *error)
{
    if (reason->status != HASTEN_OK && error)
        *error = *reason;
    return reason->status != HASTEN_OK;
}

/* Appends the bytes of a special token that may not exist (-1). */
static void append_piece(const struct tx_tokenizer *tokenizer, int32_t id, struct hs_buffer *out)
{
    hs_buffer_append(out, "", 0); /* data is set from now on */
    if (id >= 0)
        tx_decode_token(tokenizer, id, true, out);
}

static struct hs_str view(const struct hs_buffer *buffer)
{
    return (struct hs_str){buffer->data ? buffer->data : "", buffer->size_bytes};
}

static bool starts_with(struct hs_str text, struct hs_str start)
{
    return start.size_bytes > 0 && text.size_bytes >= start.size_bytes &&
           memcmp(text.data, start.data, start.size_bytes) == 0;
}

enum hasten_status en_prompt_ids(const struct en_model *model, struct hs_str text,
                                 struct hs_error *error, struct tx_ids *ids)
{
    const struct tx_tokenizer *tokenizer = model->tokenizer;
    if (!tokenizer && has_reason(&model->tokenizer_error, error))
        return model->tokenizer_error.status;
    const struct tx_vocab *vocab = tx_tokenizer_vocab(tokenizer);
    struct tx_encode_options encode = {.add_special = false, .parse_special = true};
    struct hs_buffer bos = {0};
    append_piece(tokenizer, vocab->bos, &bos);
    bool wants_bos = vocab->add_bos && vocab->bos >= 0 && !starts_with(text, view(&bos));
    bool failed = bos.failed || (wants_bos && tx_ids_push(ids, vocab->bos) != HASTEN_OK);
    hs_buffer_free(&bos);
    if (failed)
        return no_memory(error);
    return tx_encode(tokenizer, text, encode, error, ids);
}

enum hasten_status en_text_ids(const struct en_model *model, struct hs_str text,
                               struct hs_error *error, struct tx_ids *ids)
{
    HS_TRY(en_prompt_ids(model, text, error, ids));
    const struct tx_vocab *vocab = tx_tokenizer_vocab(model->tokenizer);
    if (vocab->add_eos && tx_ids_push(ids, vocab->eos) != HASTEN_OK)
        return no_memory(error);
    return HASTEN_OK;
}

static enum hasten_status check_template(const struct en_model *model, struct hs_error *error)
{
    const struct hs_error *reason = &model->template_error;
    if (!model->tokenizer && has_reason(&model->tokenizer_error, error))
        return model->tokenizer_error.status;
    if (model->chat_template)
        return HASTEN_OK;
    if (reason->status != HASTEN_OK)
        return hs_fail(error, reason->status, "continue plain text instead",
                       "the model's chat template cannot be used: %s", reason->message);
    return hs_fail(error, HASTEN_UNSUPPORTED, "continue plain text instead",
                   "the model has no chat template, so it cannot chat");
}

enum hasten_status en_chat_render(const struct en_model *model, const struct tx_message *messages,
                                  int32_t count, struct hs_error *error, struct hs_buffer *text)
{
    HS_TRY(check_template(model, error));
    const struct tx_vocab *vocab = tx_tokenizer_vocab(model->tokenizer);
    struct hs_buffer bos = {0}, eos = {0};
    append_piece(model->tokenizer, vocab->bos, &bos);
    append_piece(model->tokenizer, vocab->eos, &eos);
    time_t seconds = time(NULL);
    struct tm now; /* what templates that name the date go by */
    struct tx_template_input input = {
        .messages = messages,
        .message_count = count,
        .add_generation_prompt = true,
        .bos_token = view(&bos),
        .eos_token = view(&eos),
        .now = localtime_r(&seconds, &now),
    };
    enum hasten_status status = tx_template_render(model->chat_template, &input, error, text);
    if (status == HASTEN_OK && (bos.failed || eos.failed || text->failed))
        status = no_memory(error);
    hs_buffer_free(&bos);
    hs_buffer_free(&eos);
    return status;
}
