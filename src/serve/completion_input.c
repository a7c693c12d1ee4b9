/*
 * Prompts and messages; see completion_input.h. A message's further fields (name, tool_calls, ...)
 * go to the template as they are: trees of at most SV_JSON_DEPTH_MAX, so recursion is bounded.
 */
#include "serve/completion_input.h"

#include <string.h>

#include "serve/json_source.h"

static bool no_memory(struct sv_problem *problem)
{
    return sv_fail(problem, 503, NULL, "no memory for the request");
}

/* ---- values for templates ---- */

static struct tx_value *value_of(struct tx_pool *pool, const json_t *json);

static struct tx_value *list_of(struct tx_pool *pool, const json_t *json)
{
    struct tx_value *list = tx_pool_list(pool);
    for (size_t i = 0; i < json_array_size(json); i++)
        tx_pool_append(pool, list, value_of(pool, json_array_get(json, i)));
    return list;
}

static struct tx_value *dict_of(struct tx_pool *pool, const json_t *json)
{
    struct tx_value *dict = tx_pool_dict(pool);
    json_t *object = (json_t *)(uintptr_t)json; /* iterators do not change it */
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
        tx_pool_put(pool, dict, hs_str_of(json_object_iter_key(at)),
                    value_of(pool, json_object_iter_value(at)));
    return dict;
}

static struct tx_value *value_of(struct tx_pool *pool, const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return dict_of(pool, json);
    case JSON_ARRAY:
        return list_of(pool, json);
    case JSON_STRING:
        return tx_pool_text(pool, sv_json_view(json));
    case JSON_INTEGER:
        return tx_pool_int(pool, json_integer_value(json));
    case JSON_REAL:
        return tx_pool_float(pool, json_real_value(json));
    case JSON_TRUE:
    case JSON_FALSE:
        return tx_pool_bool(pool, json_is_true(json));
    case JSON_NULL:
        break;
    }
    return tx_pool_none(pool);
}

/* Everything but role and content; NULL when there is nothing else. */
static const struct tx_value *further_fields(struct tx_pool *pool, const json_t *message)
{
    struct tx_value *dict = NULL;
    json_t *object = (json_t *)(uintptr_t)message;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        if (strcmp(key, "role") == 0 || strcmp(key, "content") == 0)
            continue;
        if (!dict)
            dict = tx_pool_dict(pool);
        tx_pool_put(pool, dict, hs_str_of(key), value_of(pool, json_object_iter_value(at)));
    }
    return dict;
}

/* ---- messages ---- */

/* Parts of text, with newlines between them. */
static bool join_parts(struct sv_spec *spec, const json_t *parts, struct sv_problem *problem,
                       struct hs_str *content_out)
{
    const char *const param = "messages";
    struct hs_buffer joined = {0};
    bool is_good = true;
    for (size_t i = 0; i < json_array_size(parts) && is_good; i++) {
        const json_t *part = json_array_get(parts, i);
        const json_t *kind = json_object_get(part, "type"), *text = json_object_get(part, "text");
        if (!json_is_string(kind))
            is_good = sv_fail(problem, 400, param, "a part of a content has no type");
        else if (strcmp(json_string_value(kind), "text") != 0)
            is_good = sv_fail(problem, 400, param, "this server takes parts of type text only");
        else if (!json_is_string(text))
            is_good = sv_fail(problem, 400, param, "a part of type text has no text");
        if (!is_good)
            break;
        if (i > 0)
            hs_buffer_append(&joined, "\n", 1);
        hs_buffer_append(&joined, json_string_value(text), json_string_length(text));
    }
    if (is_good) {
        char *copy = joined.failed ? NULL
                                   : hs_arena_strndup(&spec->arena, joined.data ? joined.data : "",
                                                      joined.size_bytes);
        *content_out = (struct hs_str){copy, joined.size_bytes};
        is_good = copy || no_memory(problem);
    }
    hs_buffer_free(&joined);
    return is_good;
}

static bool read_message(struct sv_spec *spec, const json_t *json, struct sv_problem *problem,
                         struct tx_message *message_out)
{
    const char *const param = "messages";
    const json_t *role = json_object_get(json, "role"), *content = sv_json_field(json, "content");
    if (!json_is_object(json) || !json_is_string(role) || json_string_length(role) == 0)
        return sv_fail(problem, 400, param, "every message must be an object with a role");
    message_out->role = sv_json_view(role);
    if (hs_str_is(message_out->role, "developer"))
        message_out->role = hs_str_of("system"); /* what templates know */
    message_out->extra = further_fields(&spec->pool, json);
    if (json_is_string(content))
        message_out->content = sv_json_view(content);
    else if (json_is_array(content))
        return join_parts(spec, content, problem, &message_out->content);
    else if (content)
        return sv_fail(problem, 400, param, "content must be a string or an array of parts");
    return true;
}

bool sv_read_messages(struct sv_spec *spec, struct sv_problem *problem)
{
    const json_t *list = sv_json_field(spec->root, "messages");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count < 1 || count > SV_MESSAGES_MAX)
        return sv_fail(problem, 400, "messages", "messages must be an array of 1 to %d messages",
                       SV_MESSAGES_MAX);
    spec->messages = hs_arena_alloc(&spec->arena, count, sizeof *spec->messages);
    if (!spec->messages)
        return no_memory(problem);
    for (size_t i = 0; i < count; i++)
        if (!read_message(spec, json_array_get(list, i), problem, &spec->messages[i]))
            return false;
    spec->message_count = (int32_t)count;
    spec->prompt_count = 1;
    return !spec->pool.failed || no_memory(problem);
}

/* ---- prompts ---- */

static bool read_ids(struct sv_spec *spec, const json_t *list, struct sv_problem *problem,
                     struct sv_prompt *prompt_out)
{
    size_t count = json_array_size(list);
    int32_t *ids = hs_arena_alloc(&spec->arena, count + 1, sizeof *ids);
    if (!ids)
        return no_memory(problem);
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(list, i);
        json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value > INT32_MAX)
            return sv_fail(problem, 400, sv_input_field(spec),
                           "an array of token ids must hold ids only");
        ids[i] = (int32_t)value;
    }
    *prompt_out = (struct sv_prompt){.ids = ids, .id_count = (int64_t)count};
    return true;
}

static bool read_prompt(struct sv_spec *spec, const json_t *json, struct sv_problem *problem,
                        struct sv_prompt *prompt_out)
{
    if (json_is_string(json)) {
        prompt_out->text = sv_json_view(json);
        return true;
    }
    if (json_is_array(json) && json_is_integer(json_array_get(json, 0)))
        return read_ids(spec, json, problem, prompt_out);
    const char *field = sv_input_field(spec);
    return sv_fail(problem, 400, field, "%s must be a string, token ids, or an array of these",
                   field);
}

bool sv_read_prompts(struct sv_spec *spec, struct sv_problem *problem)
{
    const char *field = sv_input_field(spec);
    const json_t *json = sv_json_field(spec->root, field);
    size_t most = spec->form == SV_EMBEDDING ? SV_INPUTS_MAX : SV_PROMPTS_MAX;
    if (!json)
        return sv_fail(problem, 400, field, "%s is missing", field);
    bool is_batch = json_is_array(json) && !json_is_integer(json_array_get(json, 0));
    size_t count = is_batch ? json_array_size(json) : 1;
    if (count < 1 || count > most)
        return sv_fail(problem, 400, field, "%s may have 1 to %zu texts", field, most);
    spec->prompts = hs_arena_alloc(&spec->arena, count, sizeof *spec->prompts);
    if (!spec->prompts)
        return no_memory(problem);
    for (size_t i = 0; i < count; i++)
        if (!read_prompt(spec, is_batch ? json_array_get(json, i) : json, problem,
                         &spec->prompts[i]))
            return false;
    spec->prompt_count = (int32_t)count;
    return true;
}
