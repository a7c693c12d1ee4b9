/*
 * The HTTP server: OpenAI's completions over the engine's services. docs/SERVING.md tells users.
 *
 * Threads: one of libmicrohttpd does all of HTTP (epoll); each model's service has its own; the
 * watcher looks for clients that went away. All functions here are for the thread that opened the
 * server. Signals are the program's business: its threads inherit the mask of the opener.
 */
#ifndef HASTEN_SERVE_SERVER_H
#define HASTEN_SERVE_SERVER_H

#include "engine/service.h"

struct sv_options {
    const char *host; /* NULL: 127.0.0.1 */
    int port;         /* 0: a free one */
    size_t body_bytes_max;
    int connections_max;
    int idle_s;    /* a connection that says nothing for so long is closed */
    int request_s; /* an answer that takes longer is ended; 0: none is */
};
struct sv_options sv_options_default(void);

struct sv_server;

/* Listens; until sv_server_ready everything but the health routes answers 503. */
HS_MUST_USE enum hasten_status sv_server_open(const struct sv_options *options,
                                              struct hs_error *error,
                                              struct sv_server **server_out);
/* Ends what runs, waits for its end, stops listening. Models may be closed after. */
void sv_server_close(struct sv_server **server);
int sv_server_port(const struct sv_server *server);

/* Serves a model (borrowed) under a name (copied). Before sv_server_ready. */
HS_MUST_USE enum hasten_status sv_server_add(struct sv_server *server, const char *name,
                                             struct en_model *model,
                                             const struct en_service_options *options,
                                             struct hs_error *error);
void sv_server_ready(struct sv_server *server);
/* New requests get 503, running ones go on. */
void sv_server_drain(struct sv_server *server);
int64_t sv_server_active(const struct sv_server *server); /* requests that are being answered */

#endif
