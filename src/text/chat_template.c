/*
 * Chat templates: the public functions. Parsing: lexer, parser, tree in an arena of the template.
 * Rendering: the variables that transformers hands to a template (messages, add_generation_prompt,
 * bos_token, eos_token, tools, documents and further ones), then the evaluator.
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

/* A copy of a value from a builder, of this rendering's own: checked and counted. */
static enum hasten_status import(struct tx_eval *eval, const struct tx_value *value, int depth,
                                 struct tx_value *value_out)
{
    if (depth > TX_VALUE_DEPTH)
        return tx_eval_fail(eval, HASTEN_LIMIT, "a value is nested too deeply");
    HS_TRY(tx_eval_charge(eval, 1));
    *value_out = *value;
    if (value->kind == TX_LIST) {
        const struct tx_list *list = value->list;
        HS_TRY(tx_eval_list(eval, TX_LIST, list->count, value_out));
        for (size_t i = 0; i < list->count; i++)
            HS_TRY(import(eval, &list->items[i], depth + 1, &value_out->list->items[i]));
        return tx_eval_seal(eval, value_out);
    }
    if (value->kind != TX_DICT)
        return HASTEN_OK;
    HS_TRY(tx_eval_dict(eval, TX_DICT, value_out));
    for (size_t i = 0; i < value->dict->count; i++) {
        const struct tx_pair *pair = &value->dict->pairs[i];
        struct tx_value item;
        HS_TRY(import(eval, &pair->value, depth + 1, &item));
        HS_TRY(tx_eval_put(eval, value_out->dict, &pair->key, &item));
    }
    return HASTEN_OK;
}

static enum hasten_status put_text(struct tx_eval *eval, struct tx_value *dict, const char *name,
                                   struct hs_str text)
{
    struct tx_value key = tx_text(hs_str_of(name)), value = tx_text(text);
    return text.data ? tx_eval_put(eval, dict->dict, &key, &value) : HASTEN_OK;
}

static enum hasten_status make_message(struct tx_eval *eval, const struct tx_message *message,
                                       struct tx_value *value_out)
{
    struct tx_value extra;
    HS_TRY(tx_eval_dict(eval, TX_DICT, value_out));
    HS_TRY(put_text(eval, value_out, "role", message->role));
    HS_TRY(put_text(eval, value_out, "content", message->content));
    if (!message->extra)
        return HASTEN_OK;
    if (message->extra->kind != TX_DICT)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "fields of a message are no dict");
    HS_TRY(import(eval, message->extra, 1, &extra));
    for (size_t i = 0; i < extra.dict->count; i++)
        HS_TRY(tx_eval_put(eval, value_out->dict, &extra.dict->pairs[i].key,
                           &extra.dict->pairs[i].value));
    return HASTEN_OK;
}

/* The value, or none. */
static enum hasten_status set_value(struct tx_eval *eval, const char *name,
                                    const struct tx_value *value)
{
    struct tx_value copy = tx_none();
    if (value)
        HS_TRY(import(eval, value, 1, &copy));
    return tx_eval_set(eval, hs_str_of(name), &copy);
}

static enum hasten_status set_variables(struct tx_eval *eval, const struct tx_value *variables)
{
    struct tx_value copy;
    if (!variables)
        return HASTEN_OK;
    if (variables->kind != TX_DICT)
        return tx_eval_fail(eval, HASTEN_INVALID_ARGUMENT, "variables are no dict");
    HS_TRY(import(eval, variables, 1, &copy));
    for (size_t i = 0; i < copy.dict->count; i++)
        HS_TRY(tx_eval_set(eval, copy.dict->pairs[i].key.string, &copy.dict->pairs[i].value));
    return HASTEN_OK;
}

static enum hasten_status set_token(struct tx_eval *eval, const char *name, struct hs_str token)
{
    struct tx_value value = tx_text(token);
    return token.data ? tx_eval_set(eval, hs_str_of(name), &value) : HASTEN_OK;
}

static enum hasten_status set_input(struct tx_eval *eval, const struct tx_template_input *input)
{
    struct tx_value messages, prompt = tx_bool(input->add_generation_prompt);
    HS_TRY(tx_eval_list(eval, TX_LIST, (size_t)input->message_count, &messages));
    for (int32_t i = 0; i < input->message_count; i++)
        HS_TRY(make_message(eval, &input->messages[i], &messages.list->items[i]));
    HS_TRY(tx_eval_seal(eval, &messages));
    HS_TRY(tx_eval_set(eval, hs_str_of("messages"), &messages));
    HS_TRY(tx_eval_set(eval, hs_str_of("add_generation_prompt"), &prompt));
    HS_TRY(set_value(eval, "tools", input->tools));
    HS_TRY(set_value(eval, "documents", input->documents));
    HS_TRY(set_token(eval, "bos_token", input->bos_token));
    HS_TRY(set_token(eval, "eos_token", input->eos_token));
    return set_variables(eval, input->variables);
}

enum hasten_status tx_template_render(const struct tx_template *chat_template,
                                      const struct tx_template_input *input, struct hs_error *error,
                                      struct hs_buffer *out)
{
    const struct tm *now = input->now;
    if (now && (now->tm_mon < 0 || now->tm_mon > 11 || now->tm_year < -1899 ||
                now->tm_year > 8099 || now->tm_mday < 1 || now->tm_mday > 31))
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "the date is out of range");
    if (input->message_count < 0)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "message count is negative");
    size_t before = out->size_bytes, limit;
    if (out->failed || !hs_size_add(before, TX_OUTPUT_LIMIT, &limit))
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in chat template");
    struct tx_scope scope = {0};
    struct tx_eval eval = {
        .error = error, .out = out, .out_limit = limit, .scope = &scope, .now = input->now};
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
