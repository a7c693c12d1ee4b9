/*
 * Two lists: running jobs in the order they were admitted, waiting ones in the order they will be.
 */
#include "engine/scheduler.h"

#include "base/memory.h"
#include "tensor/layout.h"

struct list {
    struct en_job *first, *last;
    int32_t count;
};

struct en_scheduler {
    struct en_scheduler_limits limits;
    struct en_memory memory;
    struct list running, waiting;
    int64_t waiting_tokens;
    uint64_t preemptions;
    uint64_t step; /* number of the step being planned, from 1 */
    struct en_step_cost cost;
};

struct planning { /* one call of en_scheduler_plan */
    struct en_share *shares;
    int32_t count;
    int32_t space; /* tokens that the step may still take */
    struct en_cost_line cost;
    double spent_ns; /* expected, with what has been planned */
    double target_ns;
    bool has_prompt;
};

enum { PROMPT_LEAST = 8 };

/* ---- lists ---- */

static void append(struct list *list, struct en_job *job)
{
    job->previous = list->last;
    job->next = NULL;
    *(list->last ? &list->last->next : &list->first) = job;
    list->last = job;
    list->count++;
}

static void prepend(struct list *list, struct en_job *job)
{
    job->previous = NULL;
    job->next = list->first;
    *(list->first ? &list->first->previous : &list->last) = job;
    list->first = job;
    list->count++;
}

static void take_out(struct list *list, struct en_job *job)
{
    *(job->previous ? &job->previous->next : &list->first) = job->next;
    *(job->next ? &job->next->previous : &list->last) = job->previous;
    job->previous = job->next = NULL;
    list->count--;
}

/* ---- opening ---- */

enum hasten_status en_scheduler_open(const struct en_scheduler_limits *limits,
                                     const struct en_memory *memory, struct hs_error *error,
                                     struct en_scheduler **scheduler_out)
{
    if (limits->step_tokens < 1 || limits->running < 1 || limits->running > limits->step_tokens ||
        limits->waiting < 1)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "a scheduler of %d tokens a step, %d running and %d waiting requests is not "
                       "possible",
                       (int)limits->step_tokens, (int)limits->running, (int)limits->waiting);
    struct en_scheduler *scheduler = hs_calloc(1, sizeof *scheduler);
    if (!scheduler)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a scheduler");
    scheduler->limits = *limits;
    scheduler->memory = *memory;
    *scheduler_out = scheduler;
    return HASTEN_OK;
}

void en_scheduler_close(struct en_scheduler **scheduler)
{
    hs_free(*scheduler);
    *scheduler = NULL;
}

/* ---- queue ---- */

static void enqueue(struct en_scheduler *scheduler, struct en_job *job, bool at_head)
{
    (at_head ? prepend : append)(&scheduler->waiting, job);
    scheduler->waiting_tokens += job->known;
    job->state = EN_JOB_WAITING;
}

static void dequeue(struct en_scheduler *scheduler, struct en_job *job)
{
    take_out(&scheduler->waiting, job);
    scheduler->waiting_tokens -= job->known;
}

enum hasten_status en_scheduler_add(struct en_scheduler *scheduler, struct en_job *job,
                                    struct hs_error *error)
{
    const struct en_scheduler_limits *limits = &scheduler->limits;
    if (scheduler->waiting.count >= limits->waiting)
        return hs_fail(error, HASTEN_AGAIN, "try again later", "%d requests are waiting already",
                       (int)scheduler->waiting.count);
    if (job->known > limits->waiting_tokens - scheduler->waiting_tokens)
        return hs_fail(error, HASTEN_AGAIN, "try again later", "%lld tokens are waiting already",
                       (long long)scheduler->waiting_tokens);
    job->computed = 0;
    job->step = 0;
    job->preemptions = 0;
    enqueue(scheduler, job, false);
    return HASTEN_OK;
}

void en_scheduler_finish(struct en_scheduler *scheduler, struct en_job *job)
{
    if (job->state == EN_JOB_WAITING)
        dequeue(scheduler, job);
    if (job->state == EN_JOB_RUNNING) {
        take_out(&scheduler->running, job);
        scheduler->memory.stop(scheduler->memory.context, job);
    }
    job->state = EN_JOB_NEW;
}

/* ---- pages ---- */

static void preempt(struct en_scheduler *scheduler, struct en_job *job)
{
    take_out(&scheduler->running, job);
    scheduler->memory.stop(scheduler->memory.context, job);
    job->computed = 0;
    job->preemptions++;
    scheduler->preemptions++;
    enqueue(scheduler, job, true);
}

/* The youngest running job that may be sent back for the sake of `job`: younger than it, without a
 * share. NULL: none. */
static struct en_job *victim_for(const struct en_scheduler *scheduler, const struct en_job *job)
{
    struct en_job *victim = scheduler->running.last;
    while (victim != job && victim->step == scheduler->step)
        victim = victim->previous;
    return victim == job ? NULL : victim;
}

/* Room for the job's next tokens, at the cost of jobs that have no share yet; false: it waits. */
static bool reserve(struct en_scheduler *scheduler, struct en_job *job, int64_t count)
{
    const struct en_memory *memory = &scheduler->memory;
    while (!memory->reserve(memory->context, job, count)) {
        struct en_job *victim = victim_for(scheduler, job);
        if (!victim)
            return false;
        preempt(scheduler, victim);
    }
    return true;
}

/* ---- planning ---- */

/* Positions that the job's next `count` rows attend. */
static double reach_of(const struct en_job *job, int32_t count)
{
    return (double)count * ((double)job->computed + 0.5 * (count + 1));
}

static void give_share(const struct en_scheduler *scheduler, struct planning *plan,
                       struct en_job *job, int32_t count)
{
    job->step = scheduler->step;
    plan->shares[plan->count++] =
        (struct en_share){job, count, job->computed + count == job->known};
    plan->space -= count;
    plan->spent_ns += plan->cost.row_ns * count + plan->cost.reach_ns * reach_of(job, count);
}

static bool is_stream(const struct en_job *job)
{
    return job->is_stream && job->known - job->computed == 1;
}

static void plan_streams(struct en_scheduler *scheduler, struct planning *plan)
{
    for (struct en_job *job = scheduler->running.first; job; job = job->next)
        if (is_stream(job) && reserve(scheduler, job, 1))
            give_share(scheduler, plan, job, 1);
    double stretched = scheduler->limits.stretch * plan->spent_ns;
    plan->target_ns =
        stretched > scheduler->limits.target_ns ? stretched : scheduler->limits.target_ns;
    if (plan->count == 0)
        plan->target_ns = 0; /* nobody waits for the next token: no target */
}

/* Prompt tokens of the job that this step may hold beside what is planned. */
static int32_t prompt_budget(const struct planning *plan, const struct en_job *job)
{
    double left_ns = plan->target_ns - plan->spent_ns;
    double token_ns = plan->cost.row_ns + plan->cost.reach_ns * (double)job->computed;
    int32_t least = plan->has_prompt ? 0 : PROMPT_LEAST;
    if (plan->target_ns <= 0 || (left_ns > 0 && left_ns >= token_ns * plan->space))
        return plan->space;
    int32_t budget = left_ns > 0 ? (int32_t)(left_ns / token_ns) : 0;
    budget = budget > least ? budget : least;
    return budget < plan->space ? budget : plan->space;
}

/* Next piece of a running job's known tokens; false when the step takes no more prompts. */
static bool plan_piece(struct en_scheduler *scheduler, struct planning *plan, struct en_job *job)
{
    int64_t left = job->known - job->computed;
    int32_t budget = prompt_budget(plan, job), count = left < budget ? (int32_t)left : budget;
    if (count == 0 || !reserve(scheduler, job, count))
        return false; /* also when there are no pages: those behind it shall not take them */
    give_share(scheduler, plan, job, count);
    plan->has_prompt = true;
    return true;
}

static bool plan_prompts(struct en_scheduler *scheduler, struct planning *plan)
{
    for (struct en_job *job = scheduler->running.first; job; job = job->next)
        if (!is_stream(job) && !plan_piece(scheduler, plan, job))
            return false;
    return true;
}

/* May the head of the queue start? Its known tokens must fit, and a page each for those that run
 * already, or it would be preempted at once; alone it always may. */
static bool may_start(const struct en_scheduler *scheduler, const struct en_job *job)
{
    if (scheduler->running.count >= scheduler->limits.running)
        return false;
    int64_t kept = (int64_t)TN_PAGE_POSITIONS * (scheduler->running.count + 1);
    return scheduler->running.count == 0 ||
           job->known + kept <= scheduler->memory.room(scheduler->memory.context);
}

static void start_waiting(struct en_scheduler *scheduler, struct planning *plan)
{
    bool goes_on = true;
    while (goes_on && scheduler->waiting.first && may_start(scheduler, scheduler->waiting.first) &&
           prompt_budget(plan, scheduler->waiting.first) > 0) {
        struct en_job *job = scheduler->waiting.first;
        dequeue(scheduler, job);
        job->state = EN_JOB_RUNNING;
        append(&scheduler->running, job);
        job->computed = scheduler->memory.start(scheduler->memory.context, job);
        goes_on = plan_piece(scheduler, plan, job);
    }
}

int32_t en_scheduler_plan(struct en_scheduler *scheduler, struct en_share *shares)
{
    struct planning plan = {.shares = shares,
                            .space = scheduler->limits.step_tokens,
                            .cost = en_step_cost_line(&scheduler->cost)};
    plan.spent_ns = plan.cost.base_ns;
    scheduler->step++;
    plan_streams(scheduler, &plan);
    if (plan_prompts(scheduler, &plan))
        start_waiting(scheduler, &plan);
    return plan.count;
}

void en_scheduler_done(struct en_scheduler *scheduler, const struct en_share *shares, int32_t count,
                       uint64_t ns)
{
    int32_t rows = 0;
    double reach = 0;
    for (int32_t i = 0; i < count; i++) {
        rows += shares[i].count;
        reach += reach_of(shares[i].job, shares[i].count);
        shares[i].job->computed += shares[i].count;
    }
    if (rows > 0)
        en_step_cost_add(&scheduler->cost, rows, reach, ns);
}

/* ---- facts ---- */

int32_t en_scheduler_waiting(const struct en_scheduler *scheduler)
{
    return scheduler->waiting.count;
}

int32_t en_scheduler_running(const struct en_scheduler *scheduler)
{
    return scheduler->running.count;
}

int64_t en_scheduler_waiting_tokens(const struct en_scheduler *scheduler)
{
    return scheduler->waiting_tokens;
}

uint64_t en_scheduler_preemptions(const struct en_scheduler *scheduler)
{
    return scheduler->preemptions;
}

struct en_step_cost *en_scheduler_cost(struct en_scheduler *scheduler)
{
    return &scheduler->cost;
}
