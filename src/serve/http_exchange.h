/*
 * One HTTP request and its answer, and the server behind it; for the files of this room only.
 *
 * A handler runs on the I/O thread when the whole body is there. It answers at once, or starts a
 * job and leaves: the connection sleeps until the job wakes it.
 */
#ifndef HASTEN_SERVE_HTTP_EXCHANGE_H
#define HASTEN_SERVE_HTTP_EXCHANGE_H

#include <microhttpd.h>

#include "serve/completion_job.h"
#include "serve/server.h"

enum { SV_MODELS_MAX = 16 };
enum sv_state { SV_LOADING, SV_READY, SV_DRAINING };

struct sv_server {
    struct sv_options options;
    struct MHD_Daemon *daemon;
    int port;
    bool is_loopback;
    _Atomic int state; /* enum sv_state; models are fixed from SV_READY on */
    struct sv_model models[SV_MODELS_MAX];
    int model_count;
    _Atomic int64_t active;
    /* Watcher (watch_clients.c). */
    pthread_t watcher;
    bool has_watcher;
    int epoll, stop_event;
    pthread_mutex_t lock;
    struct sv_job *jobs; /* under lock: of exchanges that are open */
};

struct sv_exchange {
    struct sv_server *server;
    struct MHD_Connection *connection;
    enum MHD_Result (*handle)(struct sv_exchange *exchange);
    struct hs_buffer body;
    size_t received; /* bytes of the body */
    struct sv_job *job;
};

/* Answers (http_server.c). Buffers are taken over. */
enum MHD_Result sv_reply(struct sv_exchange *exchange, int http_status, const char *type,
                         struct hs_buffer *body);
enum MHD_Result sv_reply_json(struct sv_exchange *exchange, struct hs_buffer *body);
enum MHD_Result sv_reply_problem(struct sv_exchange *exchange, const struct sv_problem *problem);
struct hs_str sv_body(const struct sv_exchange *exchange);
/* No data: the first one. NULL, with a 404, when there is none of that name. */
struct sv_model *sv_find_model(struct sv_server *server, struct hs_str name,
                               struct sv_problem *problem);

/* Handlers (serve_routes.c, serve_completions.c), by the rows of route_table.h. */
#define SV_DECLARE(method, path, handler) enum MHD_Result handler(struct sv_exchange *exchange);
#include "serve/route_table.h"
SV_ROUTE_TABLE(SV_DECLARE)
#undef SV_DECLARE
/* The connection woke up: its job has something. */
enum MHD_Result sv_continue_completion(struct sv_exchange *exchange);

/* Watcher (watch_clients.c). */
HS_MUST_USE enum hasten_status sv_watch_open(struct sv_server *server, struct hs_error *error);
void sv_watch_close(struct sv_server *server);
void sv_watch_job(struct sv_server *server, struct sv_job *job, int socket);
void sv_unwatch_job(struct sv_server *server, struct sv_job *job);
void sv_cancel_jobs(struct sv_server *server, const struct sv_problem *problem);

#endif
