/*
 * What a client asks for in POST /v1/completions, /v1/chat/completions or /v1/embeddings.
 *
 * Reading is pure: no model, no clock, no sockets (the fuzz target and the unit tests call it as
 * the server does). The meaning of the fields is OpenAI's, of the further ones vLLM's; fields that
 * are unknown are ignored, fields that we know and cannot do are refused.
 */
#ifndef HASTEN_SERVE_COMPLETION_SPEC_H
#define HASTEN_SERVE_COMPLETION_SPEC_H

#include <jansson.h>

#include "base/bytes.h"
#include "serve/serve_problem.h"
#include "text/chat_template.h"
#include "text/sampler.h"
#include "text/value_builder.h"

enum {
    SV_N_MAX = 16,        /* answers to one prompt */
    SV_PROMPTS_MAX = 32,  /* of one request */
    SV_CHOICES_MAX = 64,  /* prompts times n */
    SV_INPUTS_MAX = 2048, /* texts of one request for embeddings */
    SV_MESSAGES_MAX = 1024,
    SV_STOPS_MAX = 16,
    SV_LOGPROBS_MAX = 20
};

struct sv_prompt { /* a text, or token ids when text.data is NULL */
    struct hs_str text;
    const int32_t *ids; /* [id_count] */
    int64_t id_count;
};

enum sv_form { SV_COMPLETION, SV_CHAT, SV_EMBEDDING };

struct sv_spec {
    enum sv_form form;
    struct hs_str model; /* no data: the default one */
    struct tx_message *messages;
    int32_t message_count;
    struct sv_prompt *prompts;
    int32_t prompt_count;
    int32_t n;
    int64_t max_tokens;          /* -1: as many as there is room for */
    struct tx_sampling sampling; /* seed counts with has_seed only */
    bool has_seed, ignore_eos;
    bool is_stream, include_usage;
    int32_t logprobs; /* how many beside the chosen one; -1: none at all */
    struct hs_str *stops;
    int32_t stop_count;
    bool is_base64;     /* embeddings as base64 of little-endian f32 */
    int64_t dimensions; /* of embeddings; 0: not given */
    /* Memory of all of the above: the text of messages and prompts lives in the tree. */
    json_t *root;
    struct hs_arena arena;
    struct tx_pool pool;
};

/* False with the problem set; the spec is to be freed in either case. */
bool sv_spec_read(struct hs_str body, enum sv_form form, struct sv_problem *problem,
                  struct sv_spec *spec_out);
/* The field that holds what is read: "prompt", "messages" or "input". */
const char *sv_input_field(const struct sv_spec *spec);
/* Frees what only the prompts need (tree and template values); prompts, messages and the model's
 * name are gone. Stops and biases stay. */
void sv_spec_drop_source(struct sv_spec *spec);
void sv_spec_free(struct sv_spec *spec);

#endif
