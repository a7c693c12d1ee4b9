/*
 * A web server on this machine that misbehaves on demand, for catalog tests: one thread, one
 * connection at a time, every answer closes it. The test sets the fields of `server` before it
 * pulls and reads the counts afterwards.
 */
#ifndef HASTEN_TESTS_HTTP_FIXTURE_H
#define HASTEN_TESTS_HTTP_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

#include "catalog_fixture.h"

struct web_server {
    pthread_t thread;
    int socket, port;
    atomic_bool stops;

    /* how it answers */
    const char *data;
    size_t size_bytes;
    const char *etag;        /* with quotes; NULL none */
    const char *linked_etag; /* X-Linked-Etag of redirects; NULL none */
    const char *api;         /* body for paths below /api/ */
    const char *redirect;    /* Location of paths that hold "/resolve/" or "/moved"; NULL none */
    long cut_after;          /* bytes of a body, then the connection breaks; 0: never */
    int cuts;                /* so many times, -1: always */
    bool ignores_range, ignores_if_range, chunked, endless;
    long length_off;          /* added to the announced length */
    int trickle_ms;           /* between pieces of 100 bytes */
    int refusals, refusal;    /* the first answers: how many, code */
    const char *refusal_head; /* header lines of them, with \r\n */

    /* what it saw */
    atomic_int requests, bodies, ranges;
    char last_request[2048], token_paths[512], last_range[64];
};

static struct web_server server;

static inline bool send_all(int client, const char *data, size_t size_bytes)
{
    while (size_bytes) {
        ssize_t sent = send(client, data, size_bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        data += sent;
        size_bytes -= (size_t)sent;
    }
    return true;
}

/* Value of a header in the request that stands in last_request; false when it is not there. */
static inline bool request_header(const char *name, char *value, size_t size_bytes)
{
    char line[64];
    (void)snprintf(line, sizeof(line), "\r\n%s: ", name);
    const char *at = strstr(server.last_request, line);
    if (!at)
        return false;
    at += strlen(line);
    (void)snprintf(value, size_bytes, "%.*s", (int)strcspn(at, "\r\n"), at);
    return true;
}

static inline void answer_code(int client, int code, const char *head, const char *body)
{
    char text[4096];
    int length = snprintf(text, sizeof(text),
                          "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                          code, head, strlen(body), body);
    CHECK(length < (int)sizeof(text));
    (void)send_all(client, text, (size_t)length);
}

/* Body bytes [first, end) as the fields say; more than that when endless. */
static inline void send_body(int client, size_t first, size_t end)
{
    size_t sent = 0, piece_most = server.trickle_ms ? 100 : 4096;
    while (!server.stops && (first < end || server.endless)) {
        size_t left = first < end ? end - first : piece_most;
        size_t piece = left < piece_most ? left : piece_most;
        const char *data = first < end ? server.data + first : server.data;
        char head[32];
        if (server.cut_after && server.cuts && sent + piece > (size_t)server.cut_after) {
            piece = (size_t)server.cut_after - sent;
            (void)send_all(client, data, piece);
            server.cuts -= server.cuts > 0;
            return;
        }
        (void)snprintf(head, sizeof(head), "%zx\r\n", piece);
        if ((server.chunked && !send_all(client, head, strlen(head))) ||
            !send_all(client, data, piece) || (server.chunked && !send_all(client, "\r\n", 2)))
            return;
        first += piece;
        sent += piece;
        if (server.trickle_ms) {
            struct timespec time = {.tv_nsec = server.trickle_ms * 1000000L};
            (void)nanosleep(&time, NULL);
        }
    }
    if (server.chunked)
        (void)send_all(client, "0\r\n\r\n", 5);
}

static inline void answer_file(int client)
{
    char head[1024], range[64], condition[256], etag[256] = "", size_text[64] = "";
    size_t first = 0, total = server.size_bytes;
    bool partial = request_header("Range", range, sizeof(range)) && !server.ignores_range;
    if (request_header("If-Range", condition, sizeof(condition)) && !server.ignores_if_range &&
        (!server.etag || strcmp(condition, server.etag) != 0))
        partial = false;
    if (partial)
        first = strtoull(range + strlen("bytes="), NULL, 10);
    if (server.etag)
        (void)snprintf(etag, sizeof(etag), "ETag: %s\r\n", server.etag);
    if (partial && first >= total) {
        (void)snprintf(head, sizeof(head), "Content-Range: bytes */%zu\r\n%s", total, etag);
        answer_code(client, 416, head, "");
        return;
    }
    server.bodies++;
    if (partial) {
        server.ranges++;
        (void)snprintf(size_text, sizeof(size_text), "Content-Range: bytes %zu-%zu/%zu\r\n", first,
                       total - 1, total);
    }
    if (server.chunked)
        (void)snprintf(head, sizeof(head),
                       "HTTP/1.1 %d X\r\n%s%sTransfer-Encoding: chunked\r\n\r\n",
                       partial ? 206 : 200, size_text, etag);
    else
        (void)snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\n%s%sContent-Length: %ld\r\n\r\n",
                       partial ? 206 : 200, size_text, etag,
                       (long)(total - first) + server.length_off);
    if (send_all(client, head, strlen(head)))
        send_body(client, first, total);
}

static inline void answer_request(int client)
{
    char path[512] = "", token[256], head[1024];
    (void)sscanf(server.last_request, "GET %500s", path);
    if (request_header("Authorization", token, sizeof(token))) {
        size_t used = strlen(server.token_paths);
        (void)snprintf(server.token_paths + used, sizeof(server.token_paths) - used, "%s %s\n",
                       path, token);
    }
    if (!request_header("Range", server.last_range, sizeof(server.last_range)))
        server.last_range[0] = 0;
    server.requests++;
    if (server.refusals > 0) {
        server.refusals--;
        answer_code(client, server.refusal, server.refusal_head ? server.refusal_head : "", "no");
    } else if (strncmp(path, "/api/", 5) == 0) {
        answer_code(client, server.api ? 200 : 404, "", server.api ? server.api : "");
    } else if (strstr(path, "missing")) {
        answer_code(client, 404, "", "no such file");
    } else if (server.redirect && (strstr(path, "/resolve/") || strstr(path, "/moved"))) {
        (void)snprintf(head, sizeof(head), "Location: %s\r\n%s%s%s", server.redirect,
                       server.linked_etag ? "X-Linked-Etag: " : "",
                       server.linked_etag ? server.linked_etag : "",
                       server.linked_etag ? "\r\n" : "");
        answer_code(client, 302, head, "");
    } else {
        answer_file(client);
    }
}

static inline void *serve(void *context)
{
    sigset_t all;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (!server.stops) {
        struct pollfd entry = {.fd = server.socket, .events = POLLIN};
        if (poll(&entry, 1, 20) <= 0)
            continue;
        int client = accept(server.socket, NULL, NULL);
        size_t held = 0;
        ssize_t got = 1;
        int now = 1; /* small pieces go out at once */
        (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &now, sizeof(now));
        server.last_request[0] = 0;
        while (client >= 0 && got > 0 && !strstr(server.last_request, "\r\n\r\n") &&
               held < sizeof(server.last_request) - 1) {
            got =
                recv(client, server.last_request + held, sizeof(server.last_request) - 1 - held, 0);
            held += got > 0 ? (size_t)got : 0;
            server.last_request[held] = 0;
        }
        if (client >= 0 && held)
            answer_request(client);
        if (client >= 0) {
            (void)shutdown(client, SHUT_WR);
            close(client);
        }
    }
    return context;
}

/* Begins the folder of the user and the server; it serves small_bytes. */
static inline void web_begin(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    fixture_begin();
    setenv("HASTEN_NET_BACKOFF_MS", "10", 1);
    setenv("HASTEN_NET_RETRIES", "3", 1);
    setenv("HASTEN_NET_STALL_S", "20", 1);
    unsetenv("HASTEN_ALLOW_HTTP");
    unsetenv("HF_TOKEN");
    memset(&server, 0, sizeof(server));
    server.data = small_bytes;
    server.size_bytes = SMALL_BYTES;
    server.etag = "\"v1\"";
    server.socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(server.socket >= 0);
    CHECK_INT(bind(server.socket, (struct sockaddr *)&address, sizeof(address)), 0);
    CHECK_INT(listen(server.socket, 16), 0);
    CHECK_INT(getsockname(server.socket, (struct sockaddr *)&address, &length), 0);
    server.port = ntohs(address.sin_port);
    CHECK_INT(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static inline void web_stop(void)
{
    server.stops = true;
    CHECK_INT(pthread_join(server.thread, NULL), 0);
    close(server.socket);
}

static inline void web_end(void)
{
    web_stop();
    fixture_end();
}

/* "http://127.0.0.1:PORTpath"; the text lives until the fifth next call. */
static inline const char *web_url(const char *path)
{
    static char urls[5][512];
    static int next;
    char *url = urls[next++ % 5];
    (void)snprintf(url, sizeof(urls[0]), "http://127.0.0.1:%d%s", server.port, path);
    return url;
}

/* Where a URL's file lies. */
static inline const char *web_place(const char *path)
{
    char place[200];
    (void)snprintf(place, sizeof(place), "models/http/127.0.0.1:%d%.100s", server.port, path);
    return home_path(place);
}

/* Looks a name up (asking) and pulls it. */
static inline enum hasten_status pull_name(const char *name, ct_progress_fn progress, void *context,
                                           struct hs_error *error)
{
    const struct ct_ask ask = {progress, context};
    const struct ct_model *model;
    struct ct_catalog *catalog = open_catalog();
    enum hasten_status status = ct_lookup(catalog, name, &ask, error, &model);
    if (status == HASTEN_OK)
        status = ct_pull(model, progress, context, error);
    ct_close(&catalog);
    return status;
}

#define CHECK_NAME(name, expected_status, text)                                                    \
    do {                                                                                           \
        struct hs_error error_ = {0};                                                              \
        enum hasten_status status_ = pull_name((name), NULL, NULL, &error_);                       \
        if (status_ != (expected_status) || !mentions(&error_, (text)))                            \
            TEST_FAIL("%s: \"%s\" hint \"%s\" place \"%s\", expected %s with \"%s\"",              \
                      hs_status_name(status_), error_.message, error_.hint, error_.place,          \
                      hs_status_name(expected_status), (text));                                    \
    } while (0)

/* The file has the bytes that are served, and nothing unfinished lies beside it. */
static inline void check_fetched(const char *path)
{
    char *data = NULL, part[600];
    size_t size_bytes = 0;
    CHECK_INT(hs_file_read(path, 1 << 20, NULL, &data, &size_bytes), HASTEN_OK);
    bool same = size_bytes == server.size_bytes && memcmp(data, server.data, size_bytes) == 0;
    hs_free(data);
    CHECK(same);
    (void)snprintf(part, sizeof(part), "%s.part", path);
    CHECK(!exists(part));
    (void)snprintf(part, sizeof(part), "%s.part.etag", path);
    CHECK(!exists(part));
}

static inline long part_bytes(const char *path)
{
    struct stat info;
    char part[600];
    (void)snprintf(part, sizeof(part), "%s.part", path);
    return stat(part, &info) == 0 ? (long)info.st_size : -1;
}

#endif
