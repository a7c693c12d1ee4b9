/*
 * HTTP and HTTPS GET through libcurl: one request with its redirects, and the policy of trying
 * again. Private to the catalog room.
 *
 * What may be asked: https, and http only for this machine (127.x, ::1, localhost) or with
 * HASTEN_ALLOW_HTTP=1; no user names or fragments in the URL. Redirects are followed here and not
 * by libcurl, so that each hop passes the same check, a token goes to its own origin only, and the
 * headers of every hop can be read. Environment: proxies as libcurl reads them (not for this
 * machine itself), SSL_CERT_FILE (certificates to trust), HASTEN_NET_STALL_S, HASTEN_NET_RETRIES,
 * HASTEN_NET_BACKOFF_MS.
 */
#ifndef HASTEN_CATALOG_HTTP_CLIENT_H
#define HASTEN_CATALOG_HTTP_CLIENT_H

#include "catalog/catalog_internal.h"

#define CT_URL_BYTES 2048 /* longest URL asked for, with the final 0; redirects may be longer */

enum ct_http_end {
    CT_HTTP_ANSWERED,    /* whole answer received, whatever its code */
    CT_HTTP_CUT,         /* the connection broke or stalled after it was made */
    CT_HTTP_UNREACHABLE, /* no connection: name, route, port */
    CT_HTTP_REFUSED,     /* no use in trying again: policy, certificate, redirects */
    CT_HTTP_STOPPED      /* a callback said no */
};

struct ct_http_answer {
    enum ct_http_end end;
    int code;               /* of the last hop; 0: none came */
    uint64_t length;        /* Content-Length, UINT64_MAX unknown */
    bool has_range;         /* Content-Range was there */
    uint64_t range_first;   /* UINT64_MAX for bytes * / TOTAL */
    uint64_t range_total;   /* UINT64_MAX unknown */
    uint64_t retry_after_s; /* 0: none */
    char etag[192];         /* as sent, with quotes; "" none */
    char last_modified[64]; /* "" none */
    char linked_etag[192];  /* X-Linked-Etag of any hop */
    uint64_t linked_size;   /* X-Linked-Size of any hop, 0 unknown */
    char reason[256];       /* what went wrong, for people */
};

struct ct_http_request {
    const char *url;
    const char *bearer;    /* token for the origin of url; NULL none */
    uint64_t first;        /* > 0: bytes from here on (Range) */
    const char *validator; /* If-Range; NULL none */
    /* Before the first byte of a body of code 200 or 206, and when such a body is empty. false:
     * stop. NULL allowed. */
    bool (*begin)(void *context, const struct ct_http_answer *answer);
    bool (*body)(void *context, const void *data, size_t size_bytes);
    bool (*continues)(void *context); /* about once a second or oftener */
    void *context;
};

/* What is wrong with a URL, NULL when it may be asked for. */
const char *ct_http_check(const char *url);
void ct_http_get(const struct ct_http_request *request, struct ct_http_answer *answer_out);
/* Statuses for answers that are no success: message, hint. is_hub: HF_TOKEN helps. */
HS_MUST_USE enum hasten_status ct_http_failed(const struct ct_http_answer *answer, bool is_hub,
                                              struct hs_error *error);

/* ---- Trying again ---- */

struct ct_retry {
    int failures;    /* in a row without progress */
    int limit;       /* of them, HASTEN_NET_RETRIES */
    uint64_t jitter; /* state of the random numbers */
};
struct ct_retry ct_retry_new(void);
/* Whether this answer may be followed by another try. Counts the failure. */
bool ct_retry_allows(struct ct_retry *retry, const struct ct_http_answer *answer);
/* Waits: exponential with jitter, or as long as the server asks. false: cancelled. */
bool ct_retry_wait(const struct ct_retry *retry, const struct ct_http_answer *answer,
                   bool (*continues)(void *context), void *context);

#endif
