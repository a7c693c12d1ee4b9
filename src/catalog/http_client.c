/*
 * HTTP GET through libcurl, see http_client.h.
 *
 * One easy handle a request, kept over its redirects so that the connection is used again. libcurl
 * does no redirects, no decompression and no cookies of its own. A transfer that moves less than
 * STALL_BYTES a second for HASTEN_NET_STALL_S seconds counts as cut. Bodies of error answers are
 * thrown away and capped. Thread-safe; one request belongs to one thread.
 */
#include "catalog/http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/rng.h"

#define REDIRECTS_MOST      10
#define CONNECT_SECONDS     20L
#define STALL_BYTES         1024L  /* a second */
#define ERROR_BODY_MOST     65536u /* of answers that are no success */
#define RETRY_AFTER_MOST_S  120u   /* a server that wants more is given up */
#define BACKOFF_MOST_MS     30000u
#define UNREACHABLE_RETRIES 2

/* Whole number of the environment in [low, high], else standard. */
static long setting(const char *name, long standard, long low, long high)
{
    const char *text = getenv(name);
    char *end;
    if (!text || !text[0])
        return standard;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno || *end || value < low || value > high ? standard : value;
}

/* ---- URLs ---- */

struct origin { /* parts are libcurl's: origin_free */
    char *scheme, *host, *port;
};

static void origin_free(struct origin *origin)
{
    curl_free(origin->scheme);
    curl_free(origin->host);
    curl_free(origin->port);
}

static bool origin_of(const char *url, struct origin *origin)
{
    CURLU *parts = curl_url();
    *origin = (struct origin){0};
    bool good = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_SCHEME, &origin->scheme, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_HOST, &origin->host, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_PORT, &origin->port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    curl_url_cleanup(parts);
    return good;
}

static bool same_origin(const char *one, const char *other)
{
    struct origin a, b;
    bool good = origin_of(one, &a), also = origin_of(other, &b);
    bool same = good && also && strcasecmp(a.scheme, b.scheme) == 0 &&
                strcasecmp(a.host, b.host) == 0 && strcmp(a.port, b.port) == 0;
    origin_free(&a);
    origin_free(&b);
    return same;
}

static bool is_this_machine(const char *host)
{
    struct in_addr address;
    if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

static bool url_is_local(const char *url)
{
    struct origin origin;
    bool local = origin_of(url, &origin) && is_this_machine(origin.host);
    origin_free(&origin);
    return local;
}

static const char *check_scheme(const struct origin *origin)
{
    if (strcasecmp(origin->scheme, "https") == 0)
        return NULL;
    if (strcasecmp(origin->scheme, "http") != 0)
        return "only https and http can be fetched";
    if (is_this_machine(origin->host) || setting("HASTEN_ALLOW_HTTP", 0, 0, 1) == 1)
        return NULL;
    return "plain http is not private and can be altered on the way: use https, or set "
           "HASTEN_ALLOW_HTTP=1";
}

/* A redirect's target may be long and carry anything that a URL can, but for user names. */
static const char *check_target(const char *url)
{
    struct origin origin;
    const char *wrong = "this is no URL";
    if (origin_of(url, &origin))
        wrong = check_scheme(&origin);
    origin_free(&origin);
    const char *slashes = strstr(url, "//");
    size_t authority = slashes ? strcspn(slashes + 2, "/?#") : 0;
    if (!wrong && memchr(slashes + 2, '@', authority))
        wrong = "user names and passwords do not belong into a URL";
    return wrong;
}

const char *ct_http_check(const char *url)
{
    if (strlen(url) >= CT_URL_BYTES)
        return "the URL is too long";
    for (const char *at = url; *at; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
            return "URLs have no blanks and no letters beyond ASCII: write them as %XX";
    if (strchr(url, '#'))
        return "a part after '#' does not belong into the URL of a file";
    return check_target(url);
}

/* ---- Headers ---- */

static bool number_at(const char *text, uint64_t *value_out)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (at == text)
        return false;
    *value_out = value;
    return true;
}

/* "bytes FIRST-LAST/TOTAL", TOTAL or the range may be '*' */
static void read_range(const char *value, struct ct_http_answer *answer)
{
    answer->has_range = false;
    answer->range_first = answer->range_total = UINT64_MAX;
    if (strncasecmp(value, "bytes ", 6) != 0)
        return;
    const char *first = value + 6, *slash = strchr(value, '/');
    if (!slash || (*first != '*' && !number_at(first, &answer->range_first)) ||
        (slash[1] != '*' && !number_at(slash + 1, &answer->range_total)))
        return;
    answer->has_range = true;
}

struct exchange { /* one request; context of libcurl's callbacks */
    const struct ct_http_request *request;
    struct ct_http_answer *answer;
    CURL *easy;
    bool begun, stopped;
    size_t error_body_bytes;
};

static void new_answer(struct ct_http_answer *answer)
{
    answer->length = UINT64_MAX;
    answer->has_range = false;
    answer->etag[0] = answer->last_modified[0] = 0;
}

static void keep(char *place, size_t size_bytes, const char *value)
{
    size_t length = strlen(value);
    place[0] = 0;
    if (length < size_bytes) /* half a value is worth nothing */
        memcpy(place, value, length + 1);
}

static void read_header(struct ct_http_answer *answer, const char *name, const char *value)
{
    if (strcasecmp(name, "Content-Length") == 0) {
        if (!number_at(value, &answer->length))
            answer->length = UINT64_MAX;
    } else if (strcasecmp(name, "Content-Range") == 0) {
        read_range(value, answer);
    } else if (strcasecmp(name, "ETag") == 0) {
        keep(answer->etag, sizeof(answer->etag), value);
    } else if (strcasecmp(name, "Last-Modified") == 0) {
        keep(answer->last_modified, sizeof(answer->last_modified), value);
    } else if (strcasecmp(name, "X-Linked-Etag") == 0) {
        keep(answer->linked_etag, sizeof(answer->linked_etag), value);
    } else if (strcasecmp(name, "X-Linked-Size") == 0) {
        if (!number_at(value, &answer->linked_size))
            answer->linked_size = 0;
    }
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    char line[512];
    size_t length = size * count;
    if (length >= sizeof(line)) /* none that is read here is as long */
        return length;
    memcpy(line, data, length);
    while (length && strchr("\r\n \t", line[length - 1]))
        length--;
    line[length] = 0;
    if (strncmp(line, "HTTP/", 5) == 0)
        new_answer(exchange->answer);
    char *colon = strchr(line, ':');
    if (colon) {
        *colon = 0;
        const char *value = colon + 1;
        value += strspn(value, " \t");
        read_header(exchange->answer, line, value);
    }
    return size * count;
}

/* ---- Bodies ---- */

static bool begin_body(struct exchange *exchange)
{
    long code = 0;
    (void)curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &code);
    exchange->answer->code = (int)code;
    if (code != 200 && code != 206)
        return true;
    if (!exchange->begun && exchange->request->begin &&
        !exchange->request->begin(exchange->request->context, exchange->answer))
        exchange->stopped = true;
    exchange->begun = true;
    return !exchange->stopped;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    size_t bytes = size * count;
    if (!begin_body(exchange))
        return CURL_WRITEFUNC_ERROR;
    if (!exchange->begun) { /* no success: nobody reads it */
        exchange->error_body_bytes += bytes;
        return exchange->error_body_bytes > ERROR_BODY_MOST ? CURL_WRITEFUNC_ERROR : bytes;
    }
    if (!exchange->request->body(exchange->request->context, data, bytes)) {
        exchange->stopped = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return bytes;
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    struct exchange *exchange = context;
    (void)down_total, (void)down, (void)up_total, (void)up;
    if (!exchange->request->continues(exchange->request->context))
        exchange->stopped = true;
    return exchange->stopped;
}

/* ---- Requests ---- */

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_begin(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void set_connection(CURL *easy, const char *url)
{
    const char *certificates = getenv("SSL_CERT_FILE");
    long stall_s = setting("HASTEN_NET_STALL_S", 30, 1, 3600);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, stall_s);
    curl_easy_setopt(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, stall_s);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 262144L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "hasten");
    if (certificates && certificates[0])
        curl_easy_setopt(easy, CURLOPT_CAINFO, certificates);
    if (url_is_local(url))
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
}

/* Request headers of one hop; false when out of memory. The list is the caller's. */
static bool hop_headers(const struct ct_http_request *request, const char *url,
                        struct curl_slist **list_out)
{
    char line[CT_URL_BYTES];
    struct curl_slist *list = NULL, *longer;
    bool sends_token = request->bearer && same_origin(url, request->url);
    const char *texts[] = {sends_token ? request->bearer : NULL,
                           request->first ? request->validator : NULL};
    static const char *const names[] = {"Authorization: Bearer ", "If-Range: "};
    for (int i = 0; i < 2; i++) {
        if (!texts[i])
            continue;
        size_t length = strcspn(texts[i], "\r\n"); /* a token may come with its file's line end */
        (void)snprintf(line, sizeof(line), "%s%.*s", names[i], (int)length, texts[i]);
        longer = curl_slist_append(list, line);
        if (!longer) {
            curl_slist_free_all(list);
            return false;
        }
        list = longer;
    }
    *list_out = list;
    return true;
}

static enum ct_http_end end_of(const struct exchange *exchange, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return CT_HTTP_ANSWERED;
    case CURLE_WRITE_ERROR:
    case CURLE_ABORTED_BY_CALLBACK:
        return exchange->stopped ? CT_HTTP_STOPPED : CT_HTTP_ANSWERED; /* a long error body */
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return CT_HTTP_UNREACHABLE;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_OUT_OF_MEMORY:
        return CT_HTTP_REFUSED;
    default:
        return CT_HTTP_CUT;
    }
}

/* One hop: the answer's fields are set, its code too. */
static void hop(struct exchange *exchange, const char *url)
{
    const struct ct_http_request *request = exchange->request;
    struct ct_http_answer *answer = exchange->answer;
    char detail[CURL_ERROR_SIZE] = "", range[32];
    struct curl_slist *headers = NULL;
    CURL *easy = exchange->easy;
    new_answer(answer);
    answer->code = 0;
    answer->end = CT_HTTP_REFUSED;
    if (!hop_headers(request, url, &headers)) {
        (void)snprintf(answer->reason, sizeof(answer->reason), "no memory for a request");
        return;
    }
    set_connection(easy, url);
    (void)snprintf(range, sizeof(range), "%llu-", (unsigned long long)request->first);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_RANGE, request->first ? range : NULL);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, exchange);
    CURLcode code = curl_easy_perform(easy);
    if (code == CURLE_OK && !begin_body(exchange)) /* an empty body */
        code = CURLE_WRITE_ERROR;
    long http_code = 0;
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &http_code);
    (void)curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
    answer->code = (int)http_code;
    answer->retry_after_s = retry_after > 0 ? (uint64_t)retry_after : 0;
    answer->end = end_of(exchange, code);
    if (answer->end == CT_HTTP_ANSWERED)
        (void)snprintf(answer->reason, sizeof(answer->reason), "the server answered %d",
                       answer->code);
    else
        (void)snprintf(answer->reason, sizeof(answer->reason), "%s",
                       detail[0] ? detail : curl_easy_strerror(code));
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
}

static void refuse(struct ct_http_answer *answer, const char *reason)
{
    answer->end = CT_HTTP_REFUSED;
    (void)snprintf(answer->reason, sizeof(answer->reason), "%s", reason);
}

static bool is_redirect(int code)
{
    return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

/* URL of the next hop (hs_free), NULL when this was the last one or the answer now says why. */
static char *next_hop(const struct exchange *exchange)
{
    struct ct_http_answer *answer = exchange->answer;
    const char *location = NULL;
    if (answer->end != CT_HTTP_ANSWERED || !is_redirect(answer->code))
        return NULL;
    (void)curl_easy_getinfo(exchange->easy, CURLINFO_REDIRECT_URL, &location);
    const char *wrong = location ? check_target(location) : "a redirect names no target";
    if (!wrong && strncasecmp(exchange->request->url, "https:", 6) == 0 &&
        strncasecmp(location, "https:", 6) != 0)
        wrong = "the server redirects from https to plain http";
    char *copy = wrong ? NULL : hs_strdup(location);
    if (!copy)
        refuse(answer, wrong ? wrong : "no memory for a request");
    return copy;
}

/* OpenSSL writes to sockets that may be closed; the SIGPIPE of that belongs to nobody. It comes to
 * the thread that wrote, so blocking it here and taking it away again touches no one else. */
static void hold_pipe_signal(sigset_t *saved_out, bool *was_pending_out)
{
    sigset_t pipe_only, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    *was_pending_out = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
    (void)pthread_sigmask(SIG_BLOCK, &pipe_only, saved_out);
}

static void release_pipe_signal(const sigset_t *saved, bool was_pending)
{
    const struct timespec now = {0};
    sigset_t pipe_only;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    while (!was_pending && sigtimedwait(&pipe_only, NULL, &now) < 0 && errno == EINTR)
        continue;
    (void)pthread_sigmask(SIG_SETMASK, saved, NULL);
}

void ct_http_get(const struct ct_http_request *request, struct ct_http_answer *answer_out)
{
    sigset_t saved;
    bool was_pending;
    *answer_out = (struct ct_http_answer){0};
    (void)pthread_once(&library_once, library_begin);
    struct exchange exchange = {.request = request, .answer = answer_out};
    const char *wrong = ct_http_check(request->url);
    char *url = wrong ? NULL : hs_strdup(request->url);
    exchange.easy = url ? curl_easy_init() : NULL;
    if (!exchange.easy) {
        refuse(answer_out, wrong ? wrong : "no memory for a request");
        hs_free(url);
        return;
    }
    hold_pipe_signal(&saved, &was_pending);
    for (int hops = 0; url; hops++) {
        hop(&exchange, url);
        hs_free(url);
        url = next_hop(&exchange);
        if (url && hops == REDIRECTS_MOST) {
            refuse(answer_out, "the server redirects in a circle, or too often");
            hs_free(url);
            url = NULL;
        }
    }
    curl_easy_cleanup(exchange.easy);
    release_pipe_signal(&saved, was_pending);
}

static enum hasten_status denied(const struct ct_http_answer *answer, bool is_hub,
                                 struct hs_error *error)
{
    const char *token = getenv("HF_TOKEN");
    const char *hint = "the server wants a login, which hasten does not have";
    if (is_hub && token && token[0])
        hint = "check HF_TOKEN, and whether the model's page asks to accept its terms first";
    else if (is_hub)
        hint = "check the name; a private or gated model needs HF_TOKEN=... in the environment";
    return hs_fail(error, HASTEN_IO, hint, "the server answered %d: no access", answer->code);
}

enum hasten_status ct_http_failed(const struct ct_http_answer *answer, bool is_hub,
                                  struct hs_error *error)
{
    if (answer->end == CT_HTTP_REFUSED)
        return hs_fail(error, HASTEN_IO,
                       strstr(answer->reason, "certificate")
                           ? "set SSL_CERT_FILE to the certificates that vouch for the server"
                           : "check the URL",
                       "cannot download: %s", answer->reason);
    if (answer->end == CT_HTTP_UNREACHABLE)
        return hs_fail(error, HASTEN_IO, "check the network and the proxy (https_proxy)",
                       "the server cannot be reached: %s", answer->reason);
    if (answer->end == CT_HTTP_CUT)
        return hs_fail(error, HASTEN_IO, "run it again: the download goes on where it stopped",
                       "the connection was lost again and again: %s", answer->reason);
    if (answer->code == 404 || answer->code == 410)
        return hs_fail(error, HASTEN_NOT_FOUND, "check the name of the file",
                       "the server has no such file (%d)", answer->code);
    if (answer->code == 401 || answer->code == 403)
        return denied(answer, is_hub, error);
    if (answer->code == 429)
        return hs_fail(error, HASTEN_IO, "wait a while, then run it again",
                       "the server refuses for now: too many requests (429)");
    return hs_fail(error, HASTEN_IO, "run it again later", "the server answered %d", answer->code);
}

/* ---- Trying again ---- */

struct ct_retry ct_retry_new(void)
{
    return (struct ct_retry){.limit = (int)setting("HASTEN_NET_RETRIES", 6, 0, 1000),
                             .jitter = hs_clock_ns()};
}

bool ct_retry_allows(struct ct_retry *retry, const struct ct_http_answer *answer)
{
    int code = answer->code, limit = retry->limit;
    if (answer->end == CT_HTTP_REFUSED || answer->end == CT_HTTP_STOPPED)
        return false;
    if (answer->end == CT_HTTP_ANSWERED) {
        bool passing = code < 400 || code == 408 || code == 416 || code == 425 || code == 429 ||
                       (code >= 500 && code != 501 && code != 505);
        if (!passing || answer->retry_after_s > RETRY_AFTER_MOST_S)
            return false;
    }
    if (answer->end == CT_HTTP_UNREACHABLE && limit > UNREACHABLE_RETRIES)
        limit = UNREACHABLE_RETRIES;
    return retry->failures++ < limit;
}

/* Half of the time is certain, half random: clients that were cut together come back apart. */
static uint64_t backoff_ms(const struct ct_retry *retry)
{
    uint64_t most = (uint64_t)setting("HASTEN_NET_BACKOFF_MS", 500, 0, BACKOFF_MOST_MS);
    for (int i = 1; i < retry->failures && most < BACKOFF_MOST_MS; i++)
        most *= 2;
    most = most < BACKOFF_MOST_MS ? most : BACKOFF_MOST_MS;
    uint64_t random = hs_rng_u64(retry->jitter, 0, (uint64_t)retry->failures);
    return most / 2 + (most ? random % (most / 2 + 1) : 0);
}

bool ct_retry_wait(const struct ct_retry *retry, const struct ct_http_answer *answer,
                   bool (*continues)(void *context), void *context)
{
    const uint64_t ms = 1000000;
    uint64_t wait = backoff_ms(retry) * ms, asked = answer->retry_after_s * 1000 * ms;
    uint64_t end = hs_clock_ns() + (asked > wait ? asked : wait);
    for (;;) {
        if (!continues(context))
            return false;
        uint64_t now = hs_clock_ns();
        if (now >= end)
            return true;
        uint64_t left = end - now;
        struct timespec time = {.tv_nsec = (long)(left < 100 * ms ? left : 100 * ms)};
        (void)nanosleep(&time, NULL); /* a signal only makes the round shorter */
    }
}
