/*
 * The server over libmicrohttpd: listening, routing, bodies, answers, the end.
 *
 * One epoll thread does all of HTTP. A connection that waits for the engine, or for the preparer,
 * is suspended, and woken from there; MHD_stop_daemon does not take suspended connections, so
 * closing first lets every job end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve/http_exchange.h"

enum {
    BACKLOG = 1024,
    MEMORY_BYTES = 32 << 10,
    WAIT_NS = 2000000,
    QUIET_WAITS = 20,
    SKIP_BODIES = 4,
    BODIES_TOGETHER = 64
};

static const struct {
    const char *method, *path;
    void (*handle)(struct sv_exchange *exchange);
} routes[] = {
#define SV_ROUTE(method, path, handler) {method, path, handler},
    SV_ROUTE_TABLE(SV_ROUTE)
#undef SV_ROUTE
};
enum { ROUTES = sizeof routes / sizeof routes[0] };

struct sv_options sv_options_default(void)
{
    return (struct sv_options){
        .port = 8080, .body_bytes_max = 4 << 20, .connections_max = 1024, .idle_s = 60};
}

/* ---- replies ---- */

void sv_reply(struct sv_exchange *exchange, int http_status, const char *type,
              struct hs_buffer *body)
{
    exchange->reply = (struct sv_reply){.http_status = http_status, .type = type, .body = *body};
    *body = (struct hs_buffer){0};
}

void sv_reply_json(struct sv_exchange *exchange, struct hs_buffer *body)
{
    sv_reply(exchange, 200, "application/json", body);
}

void sv_reply_problem(struct sv_exchange *exchange, const struct sv_problem *problem)
{
    struct hs_buffer body = {0};
    sv_problem_json(problem, &body);
    hs_buffer_append(&body, "\n", 1);
    sv_reply(exchange, problem->http_status, "application/json", &body);
    exchange->reply.retry_after_s = problem->retry_after_s;
}

/* Without memory there is none: the connection is closed. */
static struct MHD_Response *response_of(struct sv_reply *reply)
{
    struct MHD_Response *response = NULL;
    struct hs_buffer *body = &reply->body;
    char seconds[16];
    if (!body->failed && body->data)
        response = MHD_create_response_from_buffer_with_free_callback(body->size_bytes, body->data,
                                                                      hs_free);
    if (!response)
        return NULL;
    *body = (struct hs_buffer){0}; /* the response has it */
    (void)MHD_add_response_header(response, "Content-Type", reply->type);
    if (reply->retry_after_s > 0) {
        (void)snprintf(seconds, sizeof seconds, "%d", reply->retry_after_s);
        (void)MHD_add_response_header(response, "Retry-After", seconds);
    }
    if (reply->allow)
        (void)MHD_add_response_header(response, "Allow", reply->allow);
    return response;
}

enum MHD_Result sv_send_reply(struct sv_exchange *exchange)
{
    struct MHD_Response *response = response_of(&exchange->reply);
    if (!response)
        return MHD_NO;
    enum MHD_Result result =
        MHD_queue_response(exchange->connection, (unsigned)exchange->reply.http_status, response);
    MHD_destroy_response(response);
    return result;
}

struct hs_str sv_body(const struct sv_exchange *exchange)
{
    return (struct hs_str){exchange->body.data ? exchange->body.data : "",
                           exchange->body.size_bytes};
}

static void free_body(struct sv_exchange *exchange)
{
    atomic_fetch_sub(&exchange->server->body_bytes, exchange->body.size_bytes);
    hs_buffer_free(&exchange->body);
}

struct sv_model *sv_find_model(struct sv_server *server, struct hs_str name,
                               struct sv_problem *problem)
{
    if (!name.data)
        return &server->models[0];
    for (int i = 0; i < server->model_count; i++)
        if (hs_str_is(name, server->models[i].name))
            return &server->models[i];
    sv_fail(problem, 404, "model", "the model '%.*s' is not served here: see /v1/models",
            name.size_bytes < 100 ? (int)name.size_bytes : 100, name.data);
    problem->code = "model_not_found";
    return NULL;
}

/* ---- checks before a body is read ---- */

static const char *header(struct sv_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

/* A page of another site can make a browser ask for a name that it lets point to this machine (DNS
 * rebinding): a server for this machine only answers to its numbers and to localhost. */
static bool is_own_name(const char *host)
{
    char name[64], number[16];
    if (!host)
        return true; /* HTTP/1.0 */
    if (host[0] == '[')
        return true; /* an IPv6 number */
    size_t length = strcspn(host, ":");
    if (length >= sizeof name)
        return false;
    memcpy(name, host, length);
    name[length] = 0;
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, number) == 1;
}

static bool check_post(struct sv_exchange *exchange, struct sv_problem *problem)
{
    const char *type = header(exchange, "Content-Type"),
               *length = header(exchange, "Content-Length");
    const struct sv_options *options = &exchange->server->options;
    size_t word = type ? strcspn(type, "; \t") : 0;
    if (word != 16 || strncasecmp(type, "application/json", 16) != 0)
        return sv_fail(problem, 415, NULL,
                       "the body must be JSON: send Content-Type: application/json");
    /* MHD has checked that it is a number. An answer before the end of a body is lost on clients
     * that send it all first, so what is a little too large is read and told then. */
    size_t most = options->body_bytes_max * (header(exchange, "Expect") ? 1 : SKIP_BODIES);
    if (length && (strlen(length) > 18 || strtoull(length, NULL, 10) > most))
        return sv_fail(problem, 413, NULL, "the body is larger than %zu bytes",
                       options->body_bytes_max);
    return true;
}

static bool check_state(struct sv_exchange *exchange, struct sv_problem *problem)
{
    int state = atomic_load(&exchange->server->state);
    if (state == SV_READY || exchange->handle == sv_get_live || exchange->handle == sv_get_ready ||
        (state == SV_DRAINING && exchange->handle == sv_get_metrics))
        return true;
    sv_fail(problem, 503, NULL,
            state == SV_LOADING ? "the model is being loaded" : "the server is shutting down");
    problem->retry_after_s = state == SV_LOADING ? 1 : 5;
    return false;
}

static enum MHD_Result begin(struct sv_exchange *exchange, const char *method, const char *path)
{
    struct sv_problem problem = {0};
    const char *allow = NULL;
    bool is_head = strcmp(method, "HEAD") == 0;
    for (int i = 0; i < ROUTES; i++) {
        if (strcmp(routes[i].path, path) != 0)
            continue;
        allow = routes[i].method;
        if (strcmp(allow, is_head ? "GET" : method) == 0)
            exchange->handle = routes[i].handle;
    }
    if (exchange->server->is_loopback && !is_own_name(header(exchange, "Host")))
        sv_fail(&problem, 403, NULL, "this server answers to localhost only");
    else if (!allow)
        sv_fail(&problem, 404, NULL, "there is no such path: see docs/SERVING.md");
    else if (!exchange->handle)
        sv_fail(&problem, 405, NULL, "this path takes %s only", allow);
    else if (check_state(exchange, &problem) && strcmp(allow, "POST") == 0)
        (void)check_post(exchange, &problem);
    if (problem.http_status == 0)
        return MHD_YES;
    sv_reply_problem(exchange, &problem);
    exchange->reply.allow = problem.http_status == 405 ? allow : NULL;
    return sv_send_reply(exchange);
}

/* ---- a request ---- */

static enum MHD_Result add_body(struct sv_exchange *exchange, const char *data, size_t *size)
{
    struct sv_server *server = exchange->server;
    size_t most = server->options.body_bytes_max, count = *size;
    *size = 0;
    exchange->received += count;
    if (exchange->received <= most &&
        atomic_load(&server->body_bytes) + count > most * BODIES_TOGETHER)
        exchange->is_crowded = true;
    if (exchange->received > most || exchange->is_crowded) {
        free_body(exchange);
        return exchange->received > SKIP_BODIES * most ? MHD_NO
                                                       : MHD_YES; /* told when it has ended */
    }
    size_t before = exchange->body.size_bytes;
    hs_buffer_append(&exchange->body, data, count);
    atomic_fetch_add(&server->body_bytes, exchange->body.size_bytes - before);
    return MHD_YES;
}

static bool check_body(struct sv_exchange *exchange, struct sv_problem *problem)
{
    size_t most = exchange->server->options.body_bytes_max;
    if (exchange->received > most)
        return sv_fail(problem, 413, NULL, "the body is larger than %zu bytes", most);
    if (exchange->is_crowded) {
        sv_fail(problem, 503, NULL, "too many large requests at a time");
        problem->retry_after_s = 1;
        return false;
    }
    return !exchange->body.failed || sv_fail(problem, 503, NULL, "no memory for the request");
}

void sv_handle(struct sv_exchange *exchange)
{
    struct sv_problem problem = {0};
    if (check_body(exchange, &problem) && check_state(exchange, &problem))
        exchange->handle(exchange);
    else
        sv_reply_problem(exchange, &problem);
    free_body(exchange);
}

static enum MHD_Result answer(struct sv_exchange *exchange)
{
    return exchange->job ? sv_continue_completion(exchange) : sv_send_reply(exchange);
}

static enum MHD_Result finish(struct sv_exchange *exchange)
{
    exchange->received_ns = hs_clock_ns();
    if (exchange->body.size_bytes > SV_INLINE_BYTES) {
        sv_prepare_later(exchange);
        return MHD_YES;
    }
    sv_handle(exchange);
    return answer(exchange);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **exchange_at)
{
    struct sv_exchange *exchange = *exchange_at;
    (void)version;
    if (!exchange) {
        exchange = hs_calloc(1, sizeof *exchange);
        if (!exchange)
            return MHD_NO;
        exchange->server = context;
        exchange->connection = connection;
        *exchange_at = exchange;
        return begin(exchange, method, url);
    }
    if (*size > 0)
        return add_body(exchange, data, size);
    return exchange->job || exchange->reply.http_status ? answer(exchange) : finish(exchange);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **exchange_at,
                         enum MHD_RequestTerminationCode code)
{
    struct sv_exchange *exchange = *exchange_at;
    (void)context;
    (void)connection;
    (void)code;
    if (!exchange)
        return;
    if (exchange->job) {
        sv_unwatch_job(exchange->server, exchange->job);
        sv_job_cancel(exchange->job, NULL); /* nothing, when it is done */
        sv_job_release(exchange->job);
    }
    free_body(exchange);
    hs_buffer_free(&exchange->reply.body);
    hs_free(exchange);
    *exchange_at = NULL;
}

__attribute__((format(printf, 2, 0))) static void on_log(void *context, const char *format,
                                                         va_list arguments)
{
    char line[256];
    (void)context;
    (void)vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\r\n")] = 0;
    hs_log(HS_LOG_DEBUG, "http: %s", line);
}

/* ---- opening ---- */

static enum hasten_status cannot_listen(struct hs_error *error, const char *host, int port)
{
    const char *hint = errno == EADDRINUSE ? "choose another --port, or 0 for a free one"
                       : errno == EACCES   ? "choose a --port above 1023"
                                           : NULL;
    return hs_fail(error, HASTEN_IO, hint, "cannot listen on %s port %d: %s", host, port,
                   strerror(errno));
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(
            &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    uint32_t number = ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr);
    return number >> 24 == 127;
}

static int port_of(int fd)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &size) != 0)
        return 0;
    const void *address = &bound;
    return ntohs(bound.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                             : ((const struct sockaddr_in *)address)->sin_port);
}

static enum hasten_status listen_on(struct sv_server *server, struct hs_error *error, int *fd_out)
{
    const char *host = server->options.host ? server->options.host : "127.0.0.1";
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *found = NULL;
    char port[8];
    int on = 1;
    (void)snprintf(port, sizeof port, "%d", server->options.port);
    int code = getaddrinfo(host, port, &hints, &found);
    if (code != 0)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "--host takes an address of this machine",
                       "cannot find the address %s: %s", host, gai_strerror(code));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                   bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    enum hasten_status status =
        is_good ? HASTEN_OK : cannot_listen(error, host, server->options.port);
    server->is_loopback = is_good && is_loopback(found->ai_addr);
    freeaddrinfo(found);
    if (!is_good) {
        if (fd >= 0)
            (void)close(fd);
        return status;
    }
    server->port = port_of(fd);
    *fd_out = fd;
    return HASTEN_OK;
}

static enum hasten_status start_http(struct sv_server *server, struct hs_error *error)
{
    int fd = -1;
    HS_TRY(listen_on(server, error, &fd));
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)server->options.connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)server->options.idle_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_BYTES, MHD_OPTION_SIGPIPE_HANDLED_BY_APP,
        1, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_END);
    if (server->daemon)
        return HASTEN_OK;
    (void)close(fd);
    return hs_fail(error, HASTEN_LIMIT, "raise the limits of threads and files (ulimit -u, -n)",
                   "cannot start the HTTP server");
}

enum hasten_status sv_server_open(const struct sv_options *options, struct hs_error *error,
                                  struct sv_server **server_out)
{
    struct sv_server *server = hs_calloc(1, sizeof *server);
    if (!server)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a server");
    server->options = *options;
    server->epoll = server->stop_event = -1;
    enum hasten_status status = sv_preparer_open(server, error);
    enum hasten_status watch_status = sv_watch_open(server, error);
    if (status == HASTEN_OK)
        status = watch_status;
    if (status == HASTEN_OK)
        status = start_http(server, error);
    if (status != HASTEN_OK) {
        sv_server_close(&server);
        return status;
    }
    *server_out = server;
    return HASTEN_OK;
}

int sv_server_port(const struct sv_server *server)
{
    return server->port;
}

enum hasten_status sv_server_add(struct sv_server *server, const char *name, struct en_model *model,
                                 const struct en_service_options *options, struct hs_error *error)
{
    for (int i = 0; i < server->model_count; i++)
        if (strcmp(server->models[i].name, name) == 0)
            return hs_fail(error, HASTEN_INVALID_ARGUMENT, "name each model once",
                           "two models are called '%s'", name);
    if (server->model_count == SV_MODELS_MAX)
        return hs_fail(error, HASTEN_LIMIT, NULL, "a server has at most %d models", SV_MODELS_MAX);
    struct sv_model *served = &server->models[server->model_count];
    char *copy = hs_strdup(name);
    if (!copy)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a name");
    enum hasten_status status = en_service_open(model, options, error, &served->service);
    if (status != HASTEN_OK) {
        hs_free(copy);
        return status;
    }
    served->name = copy;
    served->model = model;
    served->created_s = (int64_t)time(NULL);
    server->model_count++;
    return HASTEN_OK;
}

void sv_server_ready(struct sv_server *server)
{
    atomic_store(&server->state, SV_READY);
}

void sv_server_drain(struct sv_server *server)
{
    atomic_store(&server->state, SV_DRAINING);
}

int64_t sv_server_active(const struct sv_server *server)
{
    return atomic_load(&server->active);
}

/* ---- the end ---- */

/* Until no request has been running for a while: one whose headers came before the drain may have
 * begun since. What was woken also gets that while to be written. */
static void end_jobs(struct sv_server *server)
{
    const struct timespec pause = {.tv_nsec = WAIT_NS};
    struct sv_problem problem;
    sv_fail(&problem, 503, NULL, "the server is shutting down");
    for (int quiet = 0; quiet < QUIET_WAITS; quiet++) {
        if (sv_server_active(server) > 0) {
            sv_cancel_jobs(server, &problem);
            quiet = 0;
        }
        (void)nanosleep(&pause, NULL);
    }
}

void sv_server_close(struct sv_server **server_in)
{
    struct sv_server *server = *server_in;
    if (!server)
        return;
    sv_server_drain(server);
    if (server->daemon) {
        end_jobs(server);
        MHD_stop_daemon(server->daemon);
    }
    for (int i = 0; i < server->model_count; i++) {
        en_service_close(&server->models[i].service);
        hs_free(server->models[i].name);
    }
    sv_preparer_close(server);
    sv_watch_close(server);
    hs_free(server);
    *server_in = NULL;
}
