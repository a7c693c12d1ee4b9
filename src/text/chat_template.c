/*
 * Chat templates: the public functions. Parsing: lexer, parser, tree in an arena of the template.
 * Rendering: the variables that transformers hands to a template (messages, add_generation_prompt,
 * bos_token, eos_token; tools and documents are none), then the evaluator.
 */
#include "text/chat_template.h"

#include "text/template_eval.h"

struct tx_template {
    struct hs_arena arena;
    struct tx_node *tree;
};

enum hasten_status tx_template_parse(struct hs_str source, struct hs_error *error,
                                     struct tx_template **template_out)
{
    struct tx_template *made = hs_calloc(1, sizeof *made);
    if (!made)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in chat template");
    struct tx_token *tokens = NULL;
    enum hasten_status status = tx_template_lex(source, &made->arena, error, &tokens);
    if (status == HASTEN_OK)
        status = tx_template_tree(tokens, &made->arena, error, &made->tree);
    hs_free(tokens);
    if (status != HASTEN_OK) {
        tx_template_free(&made);
        return status;
    }
    *template_out = made;
    return HASTEN_OK;
}

void tx_template_free(struct tx_template **chat_template)
{
    if (!*chat_template)
        return;
    hs_arena_free(&(*chat_template)->arena);
    hs_free(*chat_template);
    *chat_template = NULL;
}

static enum hasten_status make_message(struct tx_eval *eval, const struct tx_message *message,
                                       struct tx_value *value_out)
{
    HS_TRY(tx_eval_dict(eval, TX_DICT, value_out));
    struct tx_value keys[2] = {tx_text(hs_str_of("role")), tx_text(hs_str_of("content"))};
    struct tx_value values[2] = {tx_text(message->role), tx_text(message->content)};
    for (int i = 0; i < 2; i++)
        HS_TRY(tx_eval_put(eval, value_out->dict, &keys[i], &values[i]));
    return HASTEN_OK;
}

static enum hasten_status set_token(struct tx_eval *eval, const char *name, struct hs_str token)
{
    struct tx_value value = tx_text(token);
    return token.data ? tx_eval_set(eval, hs_str_of(name), &value) : HASTEN_OK;
}

static enum hasten_status set_input(struct tx_eval *eval, const struct tx_template_input *input)
{
    struct tx_value messages, none = tx_none(), prompt = tx_bool(input->add_generation_prompt);
    HS_TRY(tx_eval_list(eval, TX_LIST, (size_t)input->message_count, &messages));
    for (int32_t i = 0; i < input->message_count; i++)
        HS_TRY(make_message(eval, &input->messages[i], &messages.list->items[i]));
    HS_TRY(tx_eval_seal(eval, &messages));
    HS_TRY(tx_eval_set(eval, hs_str_of("messages"), &messages));
    HS_TRY(tx_eval_set(eval, hs_str_of("add_generation_prompt"), &prompt));
    HS_TRY(tx_eval_set(eval, hs_str_of("tools"), &none));
    HS_TRY(tx_eval_set(eval, hs_str_of("documents"), &none));
    HS_TRY(set_token(eval, "bos_token", input->bos_token));
    return set_token(eval, "eos_token", input->eos_token);
}

enum hasten_status tx_template_render(const struct tx_template *chat_template,
                                      const struct tx_template_input *input, struct hs_error *error,
                                      struct hs_buffer *out)
{
    if (input->message_count < 0)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "message count is negative");
    size_t before = out->size_bytes, limit;
    if (out->failed || !hs_size_add(before, TX_OUTPUT_LIMIT, &limit))
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in chat template");
    struct tx_scope scope = {0};
    struct tx_eval eval = {.error = error, .out = out, .out_limit = limit, .scope = &scope};
    enum hasten_status status = set_input(&eval, input);
    if (status == HASTEN_OK)
        status = tx_eval_tree(&eval, chat_template->tree);
    hs_arena_free(&eval.arena);
    if (status != HASTEN_OK && out->data) {
        out->size_bytes = before;
        out->data[before] = 0;
    }
    return status;
}
