/*
 * A completion, or embeddings, in the making: one HTTP request, one to SV_CHOICES_MAX requests of
 * the engine (embeddings: SV_INPUTS_MAX, SV_INPUTS_TOGETHER at a time).
 *
 * Threads: the service's thread brings tokens (callbacks), the I/O thread takes answers or pieces
 * of a stream, the watcher and the draining server cancel. All of a job's fields below `lock` are
 * under it; it is held for moments only. A job belongs to its references: the HTTP exchange has
 * one, every submitted choice has one until its end. Order of locks: server's list, then job, then
 * what the engine and the HTTP library have inside.
 *
 * Answers to one prompt (n > 1): the first is submitted alone, the others when it gives its first
 * token, so that they find the prompt computed and start on its pages.
 */
#ifndef HASTEN_SERVE_COMPLETION_JOB_H
#define HASTEN_SERVE_COMPLETION_JOB_H

#include <pthread.h>

#include "engine/service.h"
#include "serve/completion_spec.h"
#include "serve/served_model.h"

enum { SV_INPUTS_TOGETHER = 32 }; /* so that one request does not fill the queue */
enum sv_choice_state { SV_CHOICE_NEW, SV_CHOICE_LIVE, SV_CHOICE_ENDED };

struct sv_record { /* log probabilities of one token */
    int32_t id;
    int32_t top_count;
    double logprob;
    struct tx_logprob top[SV_LOGPROBS_MAX];
};

struct sv_choice {
    struct sv_job *job;
    int32_t index, prompt;
    enum sv_choice_state state;
    struct en_request *request;
    struct hs_buffer text;    /* the whole answer, unless it is a stream; of an embedding: f32[] */
    struct hs_buffer records; /* struct sv_record; of a stream: those not handed out yet */
    struct sv_record latest;  /* of a token that may turn out to be the end token */
    bool has_latest, has_token, has_role;
    size_t text_offset; /* characters before records, for the completions' form */
    struct en_generated generated;
    int64_t cached_tokens;
    uint64_t previous_ns;
};

struct sv_job {
    struct sv_model *model;
    struct sv_spec spec;
    char id[48];
    int64_t created_s;
    uint64_t received_ns;
    struct hs_buffer head;  /* how the answer, or each chunk, begins */
    struct tx_ids *prompts; /* [spec.prompt_count] */
    struct sv_choice *choices;
    int32_t choice_count;
    size_t out_limit; /* bytes a slow reader may leave waiting */
    /* Called, without the lock, when a waiting exchange should look again. */
    void (*wake)(void *context);
    void *wake_context;
    _Atomic int64_t *active; /* jobs that are not done, of the whole server */

    pthread_mutex_t lock;
    int32_t references, live, fresh; /* choices that run, that were not submitted yet */
    int32_t next_input;              /* of embeddings: the first that was not submitted yet */
    bool is_waiting, must_wake, must_count_off, is_done, is_cancelled;
    struct sv_problem problem; /* http_status 0: none */
    struct hs_buffer out;      /* of a stream */
    size_t out_at;

    struct sv_job *next, *previous; /* the server's list, under its lock */
    int socket;
    uint64_t watched_ns; /* when it came */
};

struct sv_job_plan {
    struct sv_model *model;
    size_t out_limit;
    void (*wake)(void *context);
    void *wake_context;
    _Atomic int64_t *active;
    uint64_t received_ns; /* when its last byte had come, hs_clock_ns */
};

/* Tokenizes, checks and submits. Takes the spec over in any case. NULL with the problem set when
 * the request is wrong; a queue that is full fails the job. One reference is the caller's. */
struct sv_job *sv_job_start(const struct sv_job_plan *plan, struct sv_spec *spec,
                            struct sv_problem *problem);
void sv_job_release(struct sv_job *job);
/* Ends it soon; with a problem (NULL: none) to tell. */
void sv_job_cancel(struct sv_job *job, const struct sv_problem *problem);

/* True, after calling suspend under the lock, when there is nothing to take yet: wake will be
 * called. What can be taken: of a stream any output, else the end. */
bool sv_job_wait(struct sv_job *job, void (*suspend)(void *context), void *context);
/* Moves up to size bytes of a stream; 0 when there are none: *done_out tells whether for good. */
size_t sv_job_take(struct sv_job *job, char *data, size_t size, bool *done_out);
/* For exchanges that were told there is something: true when the job failed before any output. */
bool sv_job_failed(struct sv_job *job, struct sv_problem *problem_out);

/* The whole answer of a job that is done and has not failed. */
void sv_job_answer(struct sv_job *job, struct hs_buffer *out);

/* ---- texts (completion_text.c, embedding_text.c), under the lock ---- */

void sv_render_head(struct sv_job *job);
void sv_render_piece(struct sv_choice *choice, const char *text, size_t size_bytes);
void sv_render_finish(struct sv_choice *choice);
void sv_render_end(struct sv_job *job); /* usage chunk and [DONE], or the error event */
void sv_render_answer(struct sv_job *job, struct hs_buffer *out);
void sv_render_embeddings(const struct sv_job *job, struct hs_buffer *out);

#endif
