/*
 * Chat templates: the restricted Jinja that model files carry, parsed once, rendered per request.
 *
 * Semantics are those of Jinja2's ImmutableSandboxedEnvironment set up as transformers does it
 * (trim_blocks, lstrip_blocks, loop controls, tojson without escaping, raise_exception). Untrusted
 * text: steps, depth and output are capped; an unsupported construct is an UNSUPPORTED error that
 * names line and construct. Parsed templates are immutable and shared by threads.
 */
#ifndef HASTEN_TEXT_CHAT_TEMPLATE_H
#define HASTEN_TEXT_CHAT_TEMPLATE_H

#include "base/bytes.h"
#include "base/memory.h"
#include "base/status.h"

struct tm;
struct tx_value;
struct tx_template;

HS_MUST_USE enum hasten_status tx_template_parse(struct hs_str source, struct hs_error *error,
                                                 struct tx_template **template_out);
void tx_template_free(struct tx_template **chat_template);

/* Values that are more than text come from a builder (value_builder.h). */
struct tx_message {
    struct hs_str role;           /* "system", "user", "assistant", "tool"...; no data: left out */
    struct hs_str content;        /* UTF-8; no data: left out */
    const struct tx_value *extra; /* dict of further fields (tool_calls, name, a content of parts,
                                   * ...), or NULL; they win over role and content */
};

struct tx_template_input {
    const struct tx_message *messages;
    int32_t message_count;
    bool add_generation_prompt;
    struct hs_str bos_token, eos_token;       /* texts of those tokens, may be empty */
    const struct tx_value *tools, *documents; /* lists, or NULL: none */
    const struct tx_value *variables; /* dict of further variables (enable_thinking, ...) or NULL */
    const struct tm *now; /* local time for strftime_now (only tm_sec to tm_year are read); NULL:
                           * there is no such function, and templates fall back on a fixed date */
};

/* Renders into out (appended). INVALID_ARGUMENT when the template calls raise_exception, LIMIT when
 * a cap is hit. */
HS_MUST_USE enum hasten_status tx_template_render(const struct tx_template *chat_template,
                                                  const struct tx_template_input *input,
                                                  struct hs_error *error, struct hs_buffer *out);

#endif
