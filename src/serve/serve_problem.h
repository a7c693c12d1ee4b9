/*
 * Why a request gets no answer, in the terms of HTTP and of OpenAI's error shape. Texts are for the
 * client: no addresses, no paths of this machine.
 */
#ifndef HASTEN_SERVE_SERVE_PROBLEM_H
#define HASTEN_SERVE_SERVE_PROBLEM_H

#include "base/memory.h"
#include "base/status.h"

struct sv_problem {
    int http_status;  /* 0: none */
    const char *code; /* static text, e.g. "context_length_exceeded"; NULL: null */
    char param[64];   /* the field that is wrong, "": null */
    char message[640];
    int64_t prompt_tokens, context; /* n_prompt_tokens and n_ctx of the answer; 0: left out */
    int retry_after_s;              /* 0: no header */
};

/* Fills the record and returns false, so that readers write `return sv_fail(...)`. */
bool sv_fail(struct sv_problem *problem, int http_status, const char *param, const char *format,
             ...) __attribute__((format(printf, 4, 5)));
/* From an error of the engine; message and hint are joined. */
bool sv_fail_from(struct sv_problem *problem, const struct hs_error *error);
/* "invalid_request_error", ...: the type that goes with the status. */
const char *sv_problem_type(const struct sv_problem *problem);
/* Appends {"error": {...}}. */
void sv_problem_json(const struct sv_problem *problem, struct hs_buffer *out);

#endif
