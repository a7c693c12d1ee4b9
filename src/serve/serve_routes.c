/* The routes that answer at once. */
#include <hasten/version.h>
#include <inttypes.h>

#include "serve/http_exchange.h"
#include "serve/json_out.h"
#include "serve/json_source.h"

void sv_get_live(struct sv_exchange *exchange)
{
    struct hs_buffer body = {0};
    sv_put(&body, "{\"live\":true}\n");
    sv_reply_json(exchange, &body);
}

void sv_get_ready(struct sv_exchange *exchange)
{
    struct hs_buffer body = {0};
    int state = atomic_load(&exchange->server->state);
    const char *const states[] = {"loading", "ready", "draining"};
    hs_buffer_printf(&body, "{\"ready\":%s,\"state\":\"%s\"}\n",
                     state == SV_READY ? "true" : "false", states[state]);
    sv_reply(exchange, state == SV_READY ? 200 : 503, "application/json", &body);
}

void sv_get_version(struct sv_exchange *exchange)
{
    struct hs_buffer body = {0};
    hs_buffer_printf(&body, "{\"version\":\"%s\"}\n", HASTEN_VERSION);
    sv_reply_json(exchange, &body);
}

void sv_get_models(struct sv_exchange *exchange)
{
    struct sv_server *server = exchange->server;
    struct hs_buffer body = {0};
    sv_put(&body, "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < server->model_count; i++) {
        const struct sv_model *model = &server->models[i];
        hs_buffer_printf(&body, "%s{\"id\":", i ? "," : "");
        sv_put_text(&body, hs_str_of(model->name));
        hs_buffer_printf(&body,
                         ",\"object\":\"model\",\"created\":%" PRId64
                         ",\"owned_by\":\"hasten\",\"max_model_len\":%" PRId64 "}",
                         model->created_s, en_context(model->model));
    }
    sv_put(&body, "]}\n");
    sv_reply_json(exchange, &body);
}

/* Asks each service for its figures as of its last step. */
void sv_get_metrics(struct sv_exchange *exchange)
{
    struct sv_server *server = exchange->server;
    struct sv_series series[SV_MODELS_MAX];
    struct hs_buffer body = {0};
    for (int i = 0; i < server->model_count; i++) {
        struct sv_model *model = &server->models[i];
        series[i] =
            (struct sv_series){model->name, &model->metrics, en_service_figures(model->service)};
    }
    sv_metrics_render(series, server->model_count, &body);
    sv_reply(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

/* ---- tokens ---- */

/* Reads the body and finds its model and tokenizer. */
static struct sv_model *open_body(struct sv_exchange *exchange, struct sv_problem *problem,
                                  json_t **root_out)
{
    struct hs_str name = {0};
    if (!sv_json_read(sv_body(exchange), problem, root_out) ||
        !sv_json_text(*root_out, "model", problem, &name))
        return NULL;
    struct sv_model *model = sv_find_model(exchange->server, name, problem);
    if (model && !en_tokenizer(model->model)) {
        sv_fail_from(problem, en_tokenizer_error(model->model));
        return NULL;
    }
    return model;
}

static bool tokenize(const json_t *root, const struct sv_model *model, struct tx_ids *ids,
                     struct sv_problem *problem)
{
    struct hs_str text = {0};
    struct hs_error error = {0};
    bool add_special = true;
    const char *field = sv_json_field(root, "prompt") ? "prompt" : "content";
    if (!sv_json_text(root, field, problem, &text) ||
        !sv_json_bool(root, "add_special_tokens", problem, &add_special) ||
        !sv_json_bool(root, "add_special", problem, &add_special))
        return false;
    if (!text.data)
        return sv_fail(problem, 400, "prompt", "prompt (or content) must be a string");
    struct tx_encode_options options = {.add_special = false, .parse_special = true};
    enum hasten_status status =
        add_special ? en_prompt_ids(model->model, text, &error, ids)
                    : tx_encode(en_tokenizer(model->model), text, options, &error, ids);
    return status == HASTEN_OK || sv_fail_from(problem, &error);
}

void sv_post_tokenize(struct sv_exchange *exchange)
{
    struct sv_problem problem = {0};
    struct hs_buffer body = {0};
    struct tx_ids ids = {0};
    json_t *root = NULL;
    struct sv_model *model = open_body(exchange, &problem, &root);
    bool is_good = model && tokenize(root, model, &ids, &problem);
    if (is_good) {
        hs_buffer_printf(&body, "{\"count\":%d,\"max_model_len\":%" PRId64 ",\"tokens\":[",
                         (int)ids.count, en_context(model->model));
        for (int32_t i = 0; i < ids.count; i++)
            hs_buffer_printf(&body, "%s%d", i ? "," : "", (int)ids.ids[i]);
        sv_put(&body, "]}\n");
    }
    tx_ids_free(&ids);
    json_decref(root);
    if (is_good)
        sv_reply_json(exchange, &body);
    else
        sv_reply_problem(exchange, &problem);
}

static bool detokenize(const json_t *root, const struct sv_model *model, struct hs_buffer *text,
                       struct sv_problem *problem)
{
    const json_t *list = sv_json_field(root, "tokens");
    int32_t vocab = tx_tokenizer_vocab(en_tokenizer(model->model))->count;
    if (!json_is_array(list))
        return sv_fail(problem, 400, "tokens", "tokens must be an array of token ids");
    size_t count = json_array_size(list);
    int32_t *ids = hs_alloc((count + 1) * sizeof *ids);
    if (!ids)
        return sv_fail(problem, 503, NULL, "no memory for the request");
    bool is_good = true;
    for (size_t i = 0; i < count && is_good; i++) {
        const json_t *id = json_array_get(list, i);
        json_int_t value = json_integer_value(id);
        is_good = json_is_integer(id) && value >= 0 && value < vocab;
        ids[i] = is_good ? (int32_t)value : 0;
    }
    if (is_good)
        tx_decode(en_tokenizer(model->model), ids, (int32_t)count, true, text);
    hs_free(ids);
    return is_good ||
           sv_fail(problem, 400, "tokens", "tokens must be ids from 0 to %d", (int)vocab - 1);
}

void sv_post_detokenize(struct sv_exchange *exchange)
{
    struct sv_problem problem = {0};
    struct hs_buffer body = {0}, text = {0};
    json_t *root = NULL;
    struct sv_model *model = open_body(exchange, &problem, &root);
    bool is_good = model && detokenize(root, model, &text, &problem);
    if (is_good) {
        sv_put(&body, "{\"prompt\":");
        sv_put_text(&body, (struct hs_str){text.data ? text.data : "", text.size_bytes});
        sv_put(&body, "}\n");
        body.failed |= text.failed;
    }
    hs_buffer_free(&text);
    json_decref(root);
    if (is_good)
        sv_reply_json(exchange, &body);
    else
        sv_reply_problem(exchange, &problem);
}
