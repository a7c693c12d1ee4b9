/*
 * One HTTP request and its answer, and the server behind it; for the files of this room only.
 *
 * A handler runs when the whole body is there, on the I/O thread or, for large bodies, on the
 * preparer's. It leaves a reply in the exchange, or a job: the connection sleeps until the job
 * wakes it. Everything that is sent is sent by the I/O thread.
 */
#ifndef HASTEN_SERVE_HTTP_EXCHANGE_H
#define HASTEN_SERVE_HTTP_EXCHANGE_H

#include <microhttpd.h>

#include "serve/completion_job.h"
#include "serve/server.h"

enum { SV_MODELS_MAX = 16, SV_INLINE_BYTES = 8 << 10 };
enum sv_state { SV_LOADING, SV_READY, SV_DRAINING };

/* Of large requests (prepare_requests.c). */
struct sv_preparer {
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* under lock */
    struct sv_exchange *first, *last;
    bool is_closing;
};

struct sv_server {
    struct sv_options options;
    struct MHD_Daemon *daemon;
    int port;
    bool is_loopback;
    _Atomic int state; /* enum sv_state; models are fixed from SV_READY on */
    struct sv_model models[SV_MODELS_MAX];
    int model_count;
    _Atomic int64_t active;    /* jobs, and requests that wait for the preparer */
    _Atomic size_t body_bytes; /* that all exchanges hold */
    struct sv_preparer preparer;
    /* Watcher (watch_clients.c). */
    pthread_t watcher;
    bool has_watcher;
    int epoll, stop_event;
    pthread_mutex_t lock;
    struct sv_job *jobs; /* under lock: of exchanges that are open */
};

struct sv_reply {
    int http_status; /* 0: none yet */
    const char *type;
    struct hs_buffer body;
    int retry_after_s;
    const char *allow; /* NULL: no such header */
};

struct sv_exchange {
    struct sv_server *server;
    struct MHD_Connection *connection;
    void (*handle)(struct sv_exchange *exchange);
    struct hs_buffer body;
    size_t received; /* bytes of the body */
    bool is_crowded; /* there was no room for it among all bodies */
    uint64_t received_ns;
    struct sv_reply reply;
    struct sv_job *job;
    struct sv_exchange *next; /* in the preparer's queue */
};

/* What will be sent (http_server.c). Buffers are taken over. */
void sv_reply(struct sv_exchange *exchange, int http_status, const char *type,
              struct hs_buffer *body);
void sv_reply_json(struct sv_exchange *exchange, struct hs_buffer *body);
void sv_reply_problem(struct sv_exchange *exchange, const struct sv_problem *problem);
/* I/O thread: sends it. */
enum MHD_Result sv_send_reply(struct sv_exchange *exchange);
/* Any thread, once: from the whole body to a reply or a job. */
void sv_handle(struct sv_exchange *exchange);
struct hs_str sv_body(const struct sv_exchange *exchange);
/* No data: the first one. NULL, with a 404, when there is none of that name. */
struct sv_model *sv_find_model(struct sv_server *server, struct hs_str name,
                               struct sv_problem *problem);

/* Handlers (serve_routes.c, serve_completions.c), by the rows of route_table.h. */
#define SV_DECLARE(method, path, handler) void handler(struct sv_exchange *exchange);
#include "serve/route_table.h"
SV_ROUTE_TABLE(SV_DECLARE)
#undef SV_DECLARE
/* I/O thread: sleeps until the job has something, and sends it. */
enum MHD_Result sv_continue_completion(struct sv_exchange *exchange);

/* Preparer: runs sv_handle and wakes the connection; an opened one must be closed, after the HTTP
 * library. */
HS_MUST_USE enum hasten_status sv_preparer_open(struct sv_server *server, struct hs_error *error);
void sv_preparer_close(struct sv_server *server);
void sv_prepare_later(struct sv_exchange *exchange);

/* Watcher (watch_clients.c). */
HS_MUST_USE enum hasten_status sv_watch_open(struct sv_server *server, struct hs_error *error);
void sv_watch_close(struct sv_server *server);
void sv_watch_job(struct sv_server *server, struct sv_job *job, int socket);
void sv_unwatch_job(struct sv_server *server, struct sv_job *job);
void sv_cancel_jobs(struct sv_server *server, const struct sv_problem *problem);

#endif
