/*
 * What a server adds to the engine: one-token requests over one connection, one at a time, each
 * with words of its own. Per request, from the first byte sent to the last byte of the answer,
 * minus the server's own account from a complete body to the last token (growth of the end-to-end
 * histogram's sum, read from /metrics in between): HTTP, the answer's text, and the ways between
 * threads and processes. A plain C client,
 * because an interpreter takes as long as the server.
 * Beside it this machine's echo: a message to a process that sends it back at once, after a pause
 * as long as a request takes. On virtual machines waking an idle processor is most of either.
 *
 *     hasten serve MODEL --port 8080 & build/bench/bench_overhead 8080 [requests]
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "bench_sort.h"

enum { REQUESTS_MOST = 10000, ANSWER_BYTES = 1 << 20, ECHO_BYTES = 300 };

static char answer[ANSWER_BYTES];

static void fail(const char *what)
{
    fprintf(stderr, "bench_overhead: %s\n", what);
    exit(1);
}

static int connect_to(int port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
        connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address) != 0)
        fail("cannot connect");
    return fd;
}

/* Sends a request and reads its whole answer (with Content-Length) into `answer`; nanoseconds. */
static uint64_t ask(int fd, const char *message)
{
    size_t held = 0, wanted = SIZE_MAX, length = strlen(message);
    uint64_t start_ns = hs_clock_ns();
    if (send(fd, message, length, MSG_NOSIGNAL) != (ssize_t)length)
        fail("cannot send");
    while (held < wanted) {
        ssize_t count = recv(fd, answer + held, sizeof answer - 1 - held, 0);
        if (count <= 0)
            fail("no answer");
        held += (size_t)count;
        answer[held] = 0;
        const char *body = strstr(answer, "\r\n\r\n"), *size = strstr(answer, "Content-Length: ");
        if (body && !size)
            fail("an answer without length");
        if (body)
            wanted = (size_t)(body + 4 - answer) + strtoull(size + 16, NULL, 10);
    }
    return hs_clock_ns() - start_ns;
}

/* The other end of the echo; ends with its parent. */
static void send_back(int listener)
{
    char bytes[1024];
    int fd = accept(listener, NULL, NULL);
    for (ssize_t count; (count = recv(fd, bytes, sizeof bytes, 0)) > 0;)
        if (send(fd, bytes, (size_t)count, MSG_NOSIGNAL) != count)
            break;
    _exit(0);
}

static int listen_for_echo(struct sockaddr_in *address_out)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)(void *)&address, size) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)(void *)&address, &size) != 0)
        fail("cannot listen");
    *address_out = address;
    return fd;
}

/* Median time of an echo over loopback, microseconds. */
static double echo_us(uint64_t pause_ns, int count)
{
    static double times[REQUESTS_MOST];
    struct sockaddr_in address;
    int listener = listen_for_echo(&address);
    if (fork() == 0)
        send_back(listener);
    close(listener);
    int fd = connect_to(ntohs(address.sin_port));
    for (int i = 0; i < count; i++) {
        struct timespec pause = {.tv_nsec = (long)pause_ns};
        (void)nanosleep(&pause, NULL);
        uint64_t start_ns = hs_clock_ns();
        if (send(fd, answer, ECHO_BYTES, MSG_NOSIGNAL) != ECHO_BYTES ||
            recv(fd, answer, ECHO_BYTES, MSG_WAITALL) != ECHO_BYTES)
            fail("no echo");
        times[i] = (double)(hs_clock_ns() - start_ns) * 1e-3;
    }
    close(fd);
    bench_sort(times, (size_t)count);
    return times[count / 2];
}

/* Seconds that requests have spent in the engine so far. */
static double engine_seconds(int fd)
{
    static const char name[] = "\nvllm:e2e_request_latency_seconds_sum{";
    ask(fd, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const char *line = strstr(answer, name);
    const char *value = line ? strstr(line, "} ") : NULL;
    if (!value)
        fail("/metrics has no end-to-end histogram");
    return strtod(value + 2, NULL);
}

int main(int argc, char **argv)
{
    static double overhead_us[REQUESTS_MOST];
    double total_us = 0;
    int count = argc > 2 ? atoi(argv[2]) : 500;
    if (argc < 2 || count < 1 || count > REQUESTS_MOST)
        fail("usage: bench_overhead PORT [requests]");
    int fd = connect_to(atoi(argv[1]));
    for (int i = -5; i < count; i++) { /* the first ones warm up */
        char body[256], message[512];
        snprintf(
            body, sizeof body,
            "{\"prompt\": \"%llu words to go on from\", \"max_tokens\": 1, \"temperature\": 0}",
            (unsigned long long)(hs_rng_u64(1, 2, (uint64_t)(i + 5)) % 100000));
        snprintf(message, sizeof message,
                 "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                 "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 strlen(body), body);
        double before = engine_seconds(fd);
        double taken_us = (double)ask(fd, message) * 1e-3;
        if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0)
            fail("refused");
        total_us += i >= 0 ? taken_us : 0;
        if (i >= 0)
            overhead_us[i] = taken_us - (engine_seconds(fd) - before) * 1e6;
    }
    close(fd);
    bench_sort(overhead_us, (size_t)count);
    printf("overhead of a 1-token request, %d of them: p50 %.0f p90 %.0f p99 %.0f us; an echo: p50 "
           "%.0f us\n",
           count, overhead_us[count / 2], overhead_us[count * 9 / 10],
           overhead_us[count * 99 / 100], echo_us((uint64_t)(total_us / count * 1e3), count));
    return 0;
}
