/* Completions and embeddings: from a body to a job, from a job to an answer or a stream. */
#include "serve/http_exchange.h"

enum { STREAM_BLOCK_BYTES = 4096, STREAM_WAITING_BYTES = 256 << 10 };

static void suspend(void *context)
{
    MHD_suspend_connection(context);
}

static void resume(void *context)
{
    MHD_resume_connection(context);
}

/* MHD asks for more of a stream. */
static ssize_t read_stream(void *context, uint64_t position, char *data, size_t size)
{
    struct sv_exchange *exchange = context;
    bool is_done;
    (void)position;
    size_t count = sv_job_take(exchange->job, data, size, &is_done);
    if (is_done)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (count == 0)
        (void)sv_job_wait(exchange->job, suspend, exchange->connection);
    return (ssize_t)count;
}

static enum MHD_Result reply_stream(struct sv_exchange *exchange)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, read_stream, exchange, NULL);
    if (!response)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type", "text/event-stream; charset=utf-8");
    (void)MHD_add_response_header(response, "Cache-Control", "no-cache");
    (void)MHD_add_response_header(response, "X-Accel-Buffering", "no");
    enum MHD_Result result = MHD_queue_response(exchange->connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result sv_continue_completion(struct sv_exchange *exchange)
{
    struct sv_problem problem;
    struct hs_buffer body = {0};
    if (sv_job_wait(exchange->job, suspend, exchange->connection))
        return MHD_YES;
    if (sv_job_failed(exchange->job, &problem)) {
        sv_reply_problem(exchange, &problem);
        return sv_send_reply(exchange);
    }
    if (exchange->job->spec.is_stream)
        return reply_stream(exchange);
    sv_job_answer(exchange->job, &body);
    sv_reply_json(exchange, &body);
    return sv_send_reply(exchange);
}

static void start(struct sv_exchange *exchange, enum sv_form form)
{
    struct sv_server *server = exchange->server;
    struct sv_problem problem = {0};
    struct sv_spec spec;
    struct sv_model *model = NULL;
    if (sv_spec_read(sv_body(exchange), form, &problem, &spec))
        model = sv_find_model(server, spec.model, &problem);
    if (!model) {
        sv_spec_free(&spec);
        sv_reply_problem(exchange, &problem);
        return;
    }
    struct sv_job_plan plan = {model,           STREAM_WAITING_BYTES, resume, exchange->connection,
                               &server->active, exchange->received_ns};
    exchange->job = sv_job_start(&plan, &spec, &problem);
    if (!exchange->job) {
        sv_reply_problem(exchange, &problem);
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    sv_watch_job(server, exchange->job, info ? info->connect_fd : -1);
}

void sv_post_completions(struct sv_exchange *exchange)
{
    start(exchange, SV_COMPLETION);
}

void sv_post_chat(struct sv_exchange *exchange)
{
    start(exchange, SV_CHAT);
}

void sv_post_embeddings(struct sv_exchange *exchange)
{
    start(exchange, SV_EMBEDDING);
}
