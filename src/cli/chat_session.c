/* Conversations; see chat_session.h. */
#include "cli/chat_session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum hasten_status chat_session_open(struct en_model *model, struct hs_error *error,
                                     struct chat_session *session_out)
{
    struct chat_session session = {.model = model};
    HS_TRY(en_sequence_open(model, error, &session.sequence));
    *session_out = session;
    return HASTEN_OK;
}

void chat_session_close(struct chat_session *session)
{
    chat_session_truncate(session, 0);
    hs_free(session->messages);
    tx_ids_free(&session->fed);
    if (session->sequence)
        rt_sequence_close(&session->sequence);
    memset(session, 0, sizeof *session);
}

static enum hasten_status no_memory(struct hs_error *error)
{
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the conversation");
}

enum hasten_status chat_session_say(struct chat_session *session, const char *role,
                                    struct hs_str content, struct hs_error *error)
{
    if (session->message_count == session->message_capacity) {
        int32_t capacity = session->message_capacity ? 2 * session->message_capacity : 8;
        struct tx_message *messages =
            hs_realloc(session->messages, (size_t)capacity, sizeof *messages);
        if (!messages)
            return no_memory(error);
        session->messages = messages;
        session->message_capacity = capacity;
    }
    char *copy = hs_strndup(content.data ? content.data : "", content.size_bytes);
    if (!copy)
        return no_memory(error);
    session->messages[session->message_count++] =
        (struct tx_message){.role = hs_str_of(role), .content = {copy, content.size_bytes}};
    return HASTEN_OK;
}

void chat_session_truncate(struct chat_session *session, int32_t count)
{
    while (session->message_count > count) {
        const struct tx_message *last = &session->messages[--session->message_count];
        hs_free((void *)(uintptr_t)last->content.data);
    }
}

/* --- prompts --- */

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

enum hasten_status chat_plain_ids(struct en_model *model, struct hs_str text,
                                  struct hs_error *error, struct tx_ids *ids)
{
    const struct tx_tokenizer *tokenizer = en_tokenizer(model);
    const struct tx_vocab *vocab = tx_tokenizer_vocab(tokenizer);
    struct tx_encode_options encode = {.add_special = false, .parse_special = true};
    struct hs_buffer bos = {0};
    append_piece(tokenizer, vocab->bos, &bos);
    /* Templates write BOS themselves; once is enough. EOS would end the text before the answer. */
    bool wants_bos = vocab->add_bos && vocab->bos >= 0 && !starts_with(text, view(&bos));
    bool failed = bos.failed || (wants_bos && tx_ids_push(ids, vocab->bos) != HASTEN_OK);
    hs_buffer_free(&bos);
    if (failed)
        return no_memory(error);
    return tx_encode(tokenizer, text, encode, error, ids);
}

enum hasten_status chat_session_ids(const struct chat_session *session, struct hs_error *error,
                                    struct tx_ids *ids)
{
    const struct tx_tokenizer *tokenizer = en_tokenizer(session->model);
    const struct tx_vocab *vocab = tx_tokenizer_vocab(tokenizer);
    struct hs_buffer bos = {0}, eos = {0}, text = {0};
    append_piece(tokenizer, vocab->bos, &bos);
    append_piece(tokenizer, vocab->eos, &eos);
    time_t seconds = time(NULL);
    struct tm now; /* what templates that name the date go by */
    struct tx_template_input input = {
        .messages = session->messages,
        .message_count = session->message_count,
        .add_generation_prompt = true,
        .bos_token = view(&bos),
        .eos_token = view(&eos),
        .now = localtime_r(&seconds, &now),
    };
    enum hasten_status status =
        tx_template_render(en_chat_template(session->model), &input, error, &text);
    if (status == HASTEN_OK && (bos.failed || eos.failed || text.failed))
        status = no_memory(error);
    if (status == HASTEN_OK)
        status = chat_plain_ids(session->model, view(&text), error, ids);
    hs_buffer_free(&bos);
    hs_buffer_free(&eos);
    hs_buffer_free(&text);
    return status;
}

/* --- answers --- */

/* What is told about each token: kept in session.fed, then passed on. */
struct relay {
    const struct en_generate_options *user;
    struct tx_ids *fed;
    bool failed;
};

static void relay_token(void *context, int32_t id)
{
    struct relay *relay = context;
    relay->failed |= tx_ids_push(relay->fed, id) != HASTEN_OK;
    if (relay->user->on_token)
        relay->user->on_token(relay->user->context, id);
}

static void relay_logprobs(void *context, const struct tx_logprobs *logprobs)
{
    const struct relay *relay = context;
    relay->user->on_logprobs(relay->user->context, logprobs);
}

static bool relay_text(void *context, const char *text, size_t size_bytes)
{
    const struct relay *relay = context;
    return !relay->user->on_text || relay->user->on_text(relay->user->context, text, size_bytes);
}

static enum hasten_status check_fits(const struct chat_session *session, const struct tx_ids *ids,
                                     struct hs_error *error)
{
    int64_t context = en_context(session->model);
    char hint[160];
    if (ids->count == 0)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "write something", "the prompt is empty");
    if (ids->count <= context)
        return HASTEN_OK;
    (void)snprintf(hint, sizeof hint, "use -c %" PRId64 " or more, or a shorter prompt",
                   (int64_t)ids->count + 256);
    return hs_fail(error, HASTEN_LIMIT, hint,
                   "the prompt has %d tokens, the context holds %" PRId64, (int)ids->count,
                   context);
}

/* Forgets what differs from ids; at least the last token is left to feed. */
static enum hasten_status keep_common_prefix(struct chat_session *session, const struct tx_ids *ids,
                                             struct hs_error *error, int64_t *kept_out)
{
    int64_t held = rt_sequence_length(session->sequence), kept = 0;
    if (held > session->fed.count)
        held = session->fed.count;
    while (kept < held && kept < ids->count - 1 && session->fed.ids[kept] == ids->ids[kept])
        kept++;
    if (rt_sequence_rewind(session->sequence, kept, NULL) != HASTEN_OK) {
        kept = 0; /* a sliding window cannot go back that far: start over */
        HS_TRY(rt_sequence_rewind(session->sequence, 0, error));
    }
    session->fed.count = (int32_t)kept;
    for (int64_t i = kept; i < ids->count; i++)
        if (tx_ids_push(&session->fed, ids->ids[i]) != HASTEN_OK)
            return no_memory(error);
    *kept_out = kept;
    return HASTEN_OK;
}

enum hasten_status chat_session_answer(struct chat_session *session, const struct tx_ids *ids,
                                       const struct en_generate_options *options,
                                       struct hs_error *error, struct en_generated *result_out,
                                       int64_t *computed_out)
{
    int64_t kept;
    HS_TRY(check_fits(session, ids, error));
    HS_TRY(keep_common_prefix(session, ids, error, &kept));
    struct relay relay = {.user = options, .fed = &session->fed};
    struct en_generate_options own = *options;
    own.on_text = relay_text;
    own.on_token = relay_token;
    own.on_logprobs = options->on_logprobs ? relay_logprobs : NULL;
    own.history = ids->ids;
    own.history_count = kept;
    own.context = &relay;
    struct en_generated result;
    HS_TRY(en_generate(session->model, session->sequence, ids->ids + kept, ids->count - kept, &own,
                       error, &result));
    if (relay.failed)
        return no_memory(error);
    *computed_out = result.prompt_tokens;
    result.prompt_tokens = ids->count;
    *result_out = result;
    return HASTEN_OK;
}
