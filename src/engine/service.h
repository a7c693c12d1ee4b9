/*
 * Service: many requests on one model, answered together.
 *
 * A thread of its own asks the scheduler for the next step, computes it for all requests that take
 * part, samples, and hands tokens out through each request's callbacks. What a request gets is what
 * en_generate alone would give, token for token: results depend on the model, the recipe and the
 * request's own tokens only. Requests that begin alike share the computed prefix (keep_prefixes of
 * the model's options); requests that run out of pages go back to the queue and come again.
 *
 * Threads: submit, cancel and the figures from any thread. Callbacks come on the service's thread
 * and must not block: the next step of everybody waits for them. They may submit and cancel, and
 * free their request in on_end. The service's lock is held for queue operations only, never during
 * a step or a callback.
 */
#ifndef HASTEN_ENGINE_SERVICE_H
#define HASTEN_ENGINE_SERVICE_H

#include "engine/engine.h"

struct en_service_options {
    int32_t running;        /* requests computed together; 0: as many as the model's steps take */
    int32_t waiting;        /* requests in the queue; 0: 1024 */
    int64_t waiting_tokens; /* prompt tokens in the queue; 0: 1,048,576 */
    /* A step with running streams may take this many times what the streams alone would (0: 2),
     * so that prompts of others do not stall them; or target_ns, if that is more. */
    double stretch, target_ns;
};

struct en_service;
struct en_request;

struct en_request_result {
    enum hasten_status status; /* OK, or why the request failed: error has the detail */
    struct hs_error error;
    struct en_generated generated; /* finish reason and counts, when OK */
    int64_t cached_tokens;         /* of the prompt, found computed when it started last */
    int32_t preemptions;
    /* hs_clock_ns; 0: never. Received as the submission says; queued when it was accepted. */
    uint64_t received_ns, queued_ns, scheduled_ns, first_token_ns, end_ns;
    const float
        *hidden; /* [embedding] when it was wanted and status is OK; NULL: cancelled before */
};

struct en_submission {
    const int32_t *prompt; /* [prompt_count] copied */
    int64_t prompt_count;
    uint64_t received_ns; /* when the client's request came (hs_clock_ns); 0: now */
    /* Copied; what it points to (stop strings, biases) must live until the end. cancel and history
     * are not used. on_text returning false ends the request as cancelled. */
    struct en_generate_options generate;
    /* No answer (max_tokens must be 0) but the hidden state of the prompt's last token, as the head
     * would read it. The head is not computed for it. */
    bool wants_hidden;
    /* The last callback of a request, always exactly one; the request may be freed in here. result
     * is gone with it. */
    void (*on_end)(void *context, const struct en_request_result *result);
};

/* The model is borrowed and may be used by others at the same time. Runs two short steps to learn
 * what steps cost. */
HS_MUST_USE enum hasten_status en_service_open(struct en_model *model,
                                               const struct en_service_options *options,
                                               struct hs_error *error,
                                               struct en_service **service_out);
/* Cancels what is left, waits for its end, and for the thread's. All requests must be freed after.
 */
void en_service_close(struct en_service **service);

/* AGAIN when the queue is full; LIMIT when the prompt does not fit the context; INVALID_ARGUMENT
 * for an empty prompt, ids outside the vocabulary, or sampling settings out of range. */
HS_MUST_USE enum hasten_status en_service_submit(struct en_service *service,
                                                 const struct en_submission *submission,
                                                 struct hs_error *error,
                                                 struct en_request **request_out);
/* Ends the request within one step, with finish reason "cancel"; nothing if it has ended. */
void en_request_cancel(struct en_request *request);
void en_request_free(struct en_request **request); /* after its end */

struct en_service_figures {
    int32_t waiting, running;
    int64_t waiting_tokens;
    uint64_t steps, preemptions;
    struct rt_prefix_counts prefixes;
    double cache_used; /* share of the KV pages that running requests hold, 0 to 1 */
};
/* As of the last step; waits for nothing but the service's lock. */
struct en_service_figures en_service_figures(struct en_service *service);

#endif
