/* Problems and their JSON; see serve_problem.h. */
#include "serve/serve_problem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "serve/json_out.h"

bool sv_fail(struct sv_problem *problem, int http_status, const char *param, const char *format,
             ...)
{
    va_list arguments;
    *problem = (struct sv_problem){.http_status = http_status};
    (void)snprintf(problem->param, sizeof problem->param, "%s", param ? param : "");
    va_start(arguments, format);
    (void)vsnprintf(problem->message, sizeof problem->message, format, arguments);
    va_end(arguments);
    return false;
}

bool sv_fail_from(struct sv_problem *problem, const struct hs_error *error)
{
    int http_status = 500;
    switch (error->status) {
    case HASTEN_INVALID_ARGUMENT:
    case HASTEN_LIMIT:
    case HASTEN_UNSUPPORTED:
        http_status = 400;
        break;
    case HASTEN_AGAIN:
        http_status = 429;
        break;
    case HASTEN_CANCELLED:
    case HASTEN_OUT_OF_MEMORY:
        http_status = 503;
        break;
    default:
        break;
    }
    sv_fail(problem, http_status, NULL, "%s%s%s", error->message, error->hint[0] ? ": " : "",
            error->hint);
    if (http_status == 429) {
        problem->code = "queue_full";
        problem->retry_after_s = 1;
    } else if (http_status == 503) {
        problem->retry_after_s = 5;
    }
    return false;
}

const char *sv_problem_type(const struct sv_problem *problem)
{
    switch (problem->http_status) {
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    case 500:
        return "server_error";
    case 503:
        return "unavailable_error";
    default:
        if (problem->code && strcmp(problem->code, "context_length_exceeded") == 0)
            return "exceed_context_size_error"; /* what routers of llama-server look for */
        return "invalid_request_error";
    }
}

static void put_optional(struct hs_buffer *out, const char *text)
{
    if (text && text[0])
        sv_put_text(out, hs_str_of(text));
    else
        hs_buffer_printf(out, "null");
}

void sv_problem_json(const struct sv_problem *problem, struct hs_buffer *out)
{
    hs_buffer_printf(out, "{\"error\":{\"message\":");
    sv_put_text(out, hs_str_of(problem->message));
    hs_buffer_printf(out, ",\"type\":\"%s\",\"param\":", sv_problem_type(problem));
    put_optional(out, problem->param);
    hs_buffer_printf(out, ",\"code\":");
    put_optional(out, problem->code);
    if (problem->context > 0)
        hs_buffer_printf(out, ",\"n_prompt_tokens\":%" PRId64 ",\"n_ctx\":%" PRId64,
                         problem->prompt_tokens, problem->context);
    hs_buffer_printf(out, "}}");
}
