/*
 * Scheduler: which sequences take part in the next step, and with how many tokens.
 *
 * Continuous batching. Every step first takes one token of each running stream (decodes), then
 * fills up with pieces of prompts, oldest request first, as far as the step stays within its time
 * target: so streams keep moving while prompts are computed. The target binds only while streams
 * run; and even then a prompt gets a few tokens per step, so that nothing starves. Requests
 * start in the order they came. When no page is free the youngest running request that has no share
 * of the step yet is sent back to the head of the queue with its pages given up; it is computed
 * again later and, results depending on its tokens only, goes on exactly where it was. The oldest
 * running request therefore always gets on.
 *
 * Pure policy: no threads, no clock, no pages of its own. Pages are asked for through struct
 * en_memory, durations are told (scheduler tests run on a virtual clock). One thread at a time.
 *
 * A job's way: add -> waiting -> (start) running -> finish, with preempt back to waiting in
 * between.
 */
#ifndef HASTEN_ENGINE_SCHEDULER_H
#define HASTEN_ENGINE_SCHEDULER_H

#include <stdbool.h>

#include "base/status.h"
#include "engine/step_cost.h"

enum en_job_state { EN_JOB_NEW, EN_JOB_WAITING, EN_JOB_RUNNING };

/* The scheduler's part of a request; the caller embeds it and owns it. */
struct en_job {
    /* The caller's: tokens whose results the sequence needs before the next one can be sampled
     * (prompt and what was generated), at least 1. */
    int64_t known;
    bool is_stream; /* has given a token already: a decode */
    /* The scheduler's. */
    int64_t computed; /* of the known ones, in the KV cache */
    enum en_job_state state;
    uint64_t step; /* the last step that it has a share of */
    int32_t preemptions;
    struct en_job *previous, *next;
};

/* Pages of jobs, by whoever holds them. */
struct en_memory {
    /* Gives the job an empty sequence and the longest kept prefix; returns positions it holds. */
    int64_t (*start)(void *context, struct en_job *job);
    /* Room for count more tokens of a started job; false: no page is free, nothing has changed. */
    bool (*reserve)(void *context, struct en_job *job, int64_t count);
    /* Takes all pages back. */
    void (*stop)(void *context, struct en_job *job);
    /* Positions that could be reserved now. */
    int64_t (*room)(void *context);
    void *context;
};

struct en_scheduler_limits {
    int32_t step_tokens;    /* of one step */
    int32_t running;        /* jobs in one step */
    int32_t waiting;        /* jobs in the queue */
    int64_t waiting_tokens; /* known tokens in the queue, all jobs together */
    /* A step with streams should not take longer than target_ns, or than `stretch` times what its
     * streams alone would, whichever is more. Both 0: prompts fill the step. */
    double target_ns, stretch;
};

struct en_share { /* one job's part of a step */
    struct en_job *job;
    int32_t count;  /* its next tokens: known ones from `computed` on */
    bool is_wanted; /* the step computes its last known token: sample from the result */
};

struct en_scheduler;

HS_MUST_USE enum hasten_status en_scheduler_open(const struct en_scheduler_limits *limits,
                                                 const struct en_memory *memory,
                                                 struct hs_error *error,
                                                 struct en_scheduler **scheduler_out);
void en_scheduler_close(struct en_scheduler **scheduler); /* all jobs finished before */

/* Queues a new job. AGAIN when the queue is full. */
HS_MUST_USE enum hasten_status en_scheduler_add(struct en_scheduler *scheduler, struct en_job *job,
                                                struct hs_error *error);
/*
 * The next step: writes up to limits.running shares and returns how many; 0 when there is nothing
 * to do, or when a job alone does not fit the memory (the caller has let in too large a one).
 * Memory for the shares is reserved.
 */
int32_t en_scheduler_plan(struct en_scheduler *scheduler, struct en_share *shares);
/* The planned step is over and took that long: its tokens count as computed. Afterwards the caller
 * samples for the wanted shares and raises `known` or finishes the job. */
void en_scheduler_done(struct en_scheduler *scheduler, const struct en_share *shares, int32_t count,
                       uint64_t ns);
/* The job leaves, in whatever state; its pages are taken back. */
void en_scheduler_finish(struct en_scheduler *scheduler, struct en_job *job);

int32_t en_scheduler_waiting(const struct en_scheduler *scheduler);
int32_t en_scheduler_running(const struct en_scheduler *scheduler);
int64_t en_scheduler_waiting_tokens(const struct en_scheduler *scheduler);
uint64_t en_scheduler_preemptions(const struct en_scheduler *scheduler);
struct en_step_cost *en_scheduler_cost(struct en_scheduler *scheduler); /* for warming up */

#endif
