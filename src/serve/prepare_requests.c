/*
 * Large requests are read on a thread of their own.
 *
 * JSON, templates and tokenizing take about 0.1 us a byte: for a body of megabytes the I/O thread
 * would stand still, and everybody's streams with it. So what is larger than SV_INLINE_BYTES waits
 * in a queue, its connection asleep, while the handler runs here; then the connection is woken and
 * the I/O thread sends what the handler has left in the exchange. One thread, in the order they
 * came: preparing competes with computing for processors. A request that waits counts as active, so
 * that draining waits for it; an exchange is not touched here any more once its connection is
 * woken.
 */
#include "serve/http_exchange.h"

static struct sv_exchange *take_first(struct sv_preparer *preparer)
{
    pthread_mutex_lock(&preparer->lock);
    while (!preparer->first && !preparer->is_closing)
        pthread_cond_wait(&preparer->wake, &preparer->lock);
    struct sv_exchange *exchange = preparer->first;
    if (exchange)
        preparer->first = exchange->next;
    if (!preparer->first)
        preparer->last = NULL;
    pthread_mutex_unlock(&preparer->lock);
    return exchange;
}

static void *prepare(void *argument)
{
    struct sv_server *server = argument;
    struct sv_exchange *exchange;
    while ((exchange = take_first(&server->preparer))) {
        sv_handle(exchange);
        MHD_resume_connection(exchange->connection);
        atomic_fetch_sub(&server->active, 1);
    }
    return NULL;
}

void sv_prepare_later(struct sv_exchange *exchange)
{
    struct sv_server *server = exchange->server;
    struct sv_preparer *preparer = &server->preparer;
    atomic_fetch_add(&server->active, 1);
    MHD_suspend_connection(exchange->connection);
    exchange->next = NULL;
    pthread_mutex_lock(&preparer->lock);
    if (preparer->last)
        preparer->last->next = exchange;
    else
        preparer->first = exchange;
    preparer->last = exchange;
    pthread_mutex_unlock(&preparer->lock);
    pthread_cond_signal(&preparer->wake);
}

enum hasten_status sv_preparer_open(struct sv_server *server, struct hs_error *error)
{
    struct sv_preparer *preparer = &server->preparer;
    pthread_mutex_init(&preparer->lock, NULL);
    pthread_cond_init(&preparer->wake, NULL);
    preparer->has_thread = pthread_create(&preparer->thread, NULL, prepare, server) == 0;
    if (preparer->has_thread)
        return HASTEN_OK;
    return hs_fail(error, HASTEN_LIMIT, "raise the limit of threads (ulimit -u)",
                   "cannot start the server's thread");
}

void sv_preparer_close(struct sv_server *server)
{
    struct sv_preparer *preparer = &server->preparer;
    pthread_mutex_lock(&preparer->lock);
    preparer->is_closing = true;
    pthread_mutex_unlock(&preparer->lock);
    pthread_cond_signal(&preparer->wake);
    if (preparer->has_thread)
        pthread_join(preparer->thread, NULL);
    pthread_cond_destroy(&preparer->wake);
    pthread_mutex_destroy(&preparer->lock);
}
