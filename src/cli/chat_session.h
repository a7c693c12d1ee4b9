/*
 * A conversation over one sequence: messages, their rendering through the model's template, and the
 * token ids that the sequence already holds.
 *
 * Every turn renders the whole conversation and tokenizes it anew, since a template may treat
 * earlier turns differently once later ones exist. What agrees with the ids in the sequence is
 * kept (rewind to the common prefix), the rest is fed: exact, because results depend on a
 * sequence's own tokens only. One thread.
 */
#ifndef HASTEN_CLI_CHAT_SESSION_H
#define HASTEN_CLI_CHAT_SESSION_H

#include "engine/engine.h"

struct chat_session {
    struct en_model *model;
    struct rt_sequence *sequence;
    struct tx_ids fed;           /* what was given to the sequence; it holds the first
                                    rt_sequence_length(sequence) of them */
    struct tx_message *messages; /* contents are heap copies */
    int32_t message_count, message_capacity;
};

HS_MUST_USE enum hasten_status chat_session_open(struct en_model *model, struct hs_error *error,
                                                 struct chat_session *session_out);
void chat_session_close(struct chat_session *session);

/* Appends a message; role is a literal. */
HS_MUST_USE enum hasten_status chat_session_say(struct chat_session *session, const char *role,
                                                struct hs_str content, struct hs_error *error);
/* Drops the messages from `count` on. */
void chat_session_truncate(struct chat_session *session, int32_t count);

/* Ids of the conversation with the start of an answer, appended to ids. */
HS_MUST_USE enum hasten_status chat_session_ids(const struct chat_session *session,
                                                struct hs_error *error, struct tx_ids *ids);
/* Generates after the prompt `ids`, of which only what differs from the sequence is computed.
 * LIMIT when they do not fit the context. result_out->prompt_tokens counts all of ids;
 * *computed_out those that were fed now. */
HS_MUST_USE enum hasten_status chat_session_answer(struct chat_session *session,
                                                   const struct tx_ids *ids,
                                                   const struct en_generate_options *options,
                                                   struct hs_error *error,
                                                   struct en_generated *result_out,
                                                   int64_t *computed_out);

#endif
