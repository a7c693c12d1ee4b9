/*
 * Looks for clients that went away, and for answers that take too long.
 *
 * A sleeping connection is not polled by the HTTP library: without this a client that closed while
 * its request waits or reads a long prompt would be computed for until the first token. So the
 * sockets of all jobs are in an epoll set of their own, for the one event "peer has closed". A peer
 * that closes only its sending side counts as gone, as it does for the usual proxies; as it may
 * still read, it is told, rather than given half an answer that looks whole.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/http_exchange.h"

enum { EVENTS = 64, TICK_MS = 1000 };

void sv_watch_job(struct sv_server *server, struct sv_job *job, int socket)
{
    struct epoll_event event = {.events = EPOLLRDHUP, .data.fd = socket};
    pthread_mutex_lock(&server->lock);
    job->socket = socket;
    job->watched_ns = hs_clock_ns();
    job->next = server->jobs;
    if (job->next)
        job->next->previous = job;
    server->jobs = job;
    (void)epoll_ctl(server->epoll, EPOLL_CTL_ADD, socket, &event);
    pthread_mutex_unlock(&server->lock);
}

void sv_unwatch_job(struct sv_server *server, struct sv_job *job)
{
    pthread_mutex_lock(&server->lock);
    (void)epoll_ctl(server->epoll, EPOLL_CTL_DEL, job->socket, NULL);
    *(job->previous ? &job->previous->next : &server->jobs) = job->next;
    if (job->next)
        job->next->previous = job->previous;
    job->next = job->previous = NULL;
    pthread_mutex_unlock(&server->lock);
}

void sv_cancel_jobs(struct sv_server *server, const struct sv_problem *problem)
{
    pthread_mutex_lock(&server->lock);
    for (struct sv_job *job = server->jobs; job; job = job->next)
        sv_job_cancel(job, problem);
    pthread_mutex_unlock(&server->lock);
}

/* An event may be older than its job: its number may have gone to a new client since. */
static bool is_gone(int socket)
{
    struct pollfd peer = {.fd = socket, .events = POLLRDHUP};
    return poll(&peer, 1, 0) == 1 && (peer.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void cancel_gone(struct sv_server *server, int socket)
{
    struct sv_problem problem;
    sv_fail(&problem, 400, NULL,
            "the client closed its sending side before the answer was complete");
    pthread_mutex_lock(&server->lock);
    for (struct sv_job *job = server->jobs; job; job = job->next) {
        if (job->socket != socket || !is_gone(socket))
            continue;
        (void)epoll_ctl(server->epoll, EPOLL_CTL_DEL, socket, NULL);
        sv_job_cancel(job, &problem);
    }
    pthread_mutex_unlock(&server->lock);
}

static void cancel_old(struct sv_server *server)
{
    struct sv_problem problem;
    uint64_t limit_ns = (uint64_t)server->options.request_s * 1000000000u;
    if (limit_ns == 0)
        return;
    sv_fail(&problem, 503, NULL, "the answer took longer than %d s", server->options.request_s);
    pthread_mutex_lock(&server->lock);
    uint64_t now = hs_clock_ns();
    for (struct sv_job *job = server->jobs; job; job = job->next)
        if (now - job->watched_ns > limit_ns)
            sv_job_cancel(job, &problem);
    pthread_mutex_unlock(&server->lock);
}

static void *watch(void *argument)
{
    struct sv_server *server = argument;
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(server->epoll, events, EVENTS, TICK_MS);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == server->stop_event)
                return NULL;
            cancel_gone(server, events[i].data.fd);
        }
        cancel_old(server);
    }
}

enum hasten_status sv_watch_open(struct sv_server *server, struct hs_error *error)
{
    pthread_mutex_init(&server->lock, NULL);
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = server->stop_event};
    server->has_watcher =
        server->epoll >= 0 && server->stop_event >= 0 &&
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->stop_event, &event) == 0 &&
        pthread_create(&server->watcher, NULL, watch, server) == 0;
    if (server->has_watcher)
        return HASTEN_OK;
    return hs_fail(error, HASTEN_LIMIT, "raise the limits of threads and files (ulimit -u, -n)",
                   "cannot start the server's thread");
}

void sv_watch_close(struct sv_server *server)
{
    uint64_t one = 1;
    if (server->has_watcher) {
        (void)!write(server->stop_event, &one, sizeof one);
        pthread_join(server->watcher, NULL);
    }
    if (server->epoll >= 0)
        (void)close(server->epoll);
    if (server->stop_event >= 0)
        (void)close(server->stop_event);
    pthread_mutex_destroy(&server->lock);
}
