/* Conversations; see chat_session.h. */
#include "cli/chat_session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

enum hasten_status chat_session_ids(const struct chat_session *session, struct hs_error *error,
                                    struct tx_ids *ids)
{
    struct hs_buffer text = {0};
    enum hasten_status status =
        en_chat_render(session->model, session->messages, session->message_count, error, &text);
    if (status == HASTEN_OK)
        status =
            en_prompt_ids(session->model, (struct hs_str){text.data, text.size_bytes}, error, ids);
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
    struct en_prefix prefix = {session->sequence, session->fed.ids, session->fed.count, ids->ids,
                               ids->count};
    HS_TRY(en_keep_prefix(session->model, &prefix, error, kept_out));
    session->fed.count = (int32_t)*kept_out;
    for (int64_t i = *kept_out; i < ids->count; i++)
        if (tx_ids_push(&session->fed, ids->ids[i]) != HASTEN_OK)
            return no_memory(error);
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
