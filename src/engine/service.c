/*
 * The loop of many requests; see service.h.
 *
 * Lists and scheduler are under `lock`; a request's answer, tokens and sequence belong to the
 * service's thread from submission to on_end. Pages are only touched with the model's turn, because
 * others may use the same model: planning (which reserves pages) happens inside the turn, too.
 * Order of locks: turn, then lock.
 */
#include "engine/service.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "engine/sample_team.h"
#include "engine/scheduler.h"

enum { NO_TOKEN = -1, WAITING = 1024, WAITING_TOKENS = 1 << 20, WARM_ROWS = 16 };
#define STRETCH 2.0

struct en_request {
    struct en_job job; /* first: the scheduler hands it back */
    struct en_service *service;
    struct en_request *next; /* of all that have not ended */
    struct en_request *previous;
    struct rt_sequence *sequence;
    struct en_generate_options options;
    void (*on_end)(void *context, const struct en_request_result *result);
    struct en_answer answer;
    int32_t *tokens; /* [capacity] prompt and answer */
    float *hidden;   /* [embedding], or NULL: not wanted */
    int64_t capacity;
    int32_t sampled; /* by the current step, or NO_TOKEN */
    bool is_over;
    atomic_bool cancel;
    struct en_request_result result;
};

struct en_service {
    struct en_model *model;
    struct en_scheduler *scheduler;
    struct en_share *shares; /* [running] */
    struct en_item *items;   /* [running] */
    struct en_sample_team *samplers;
    struct en_sample_task *tasks; /* [running] */
    int32_t running;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* under lock */
    struct en_request *first;
    bool is_closing;
    uint64_t steps;
    struct rt_prefix_counts prefixes; /* copies: the cache itself belongs to the turn */
    double cache_used;
};

static struct en_request *request_of(struct en_job *job)
{
    return (struct en_request *)(void *)job;
}

/* ---- pages, for the scheduler: called inside the model's turn ---- */

static int64_t start_sequence(void *context, struct en_job *job)
{
    struct en_request *r = request_of(job);
    (void)context;
    int64_t held = rt_sequence_adopt(r->sequence, r->tokens, job->known);
    r->result.cached_tokens = held;
    if (r->result.scheduled_ns == 0)
        r->result.scheduled_ns = hs_clock_ns();
    return held;
}

static bool reserve_pages(void *context, struct en_job *job, int64_t count)
{
    (void)context;
    return rt_sequence_reserve(request_of(job)->sequence, count, NULL) == HASTEN_OK;
}

static void give_pages(void *context, struct en_job *job)
{
    (void)context;
    (void)!rt_sequence_rewind(request_of(job)->sequence, 0, NULL); /* 0 is always possible */
}

static int64_t room(void *context)
{
    const struct en_service *service = context;
    const struct rt_cache *cache = service->model->cache;
    int64_t pages = INT64_MAX / TN_PAGE_POSITIONS;
    for (int32_t g = 0; g < rt_cache_groups(cache); g++)
        if (rt_cache_pages_free(cache, g) < pages)
            pages = rt_cache_pages_free(cache, g);
    return pages * TN_PAGE_POSITIONS;
}

/* For those who ask without the turn. Kept prefixes count as free. */
static void note_cache(struct en_service *service)
{
    const struct rt_cache *cache = service->model->cache;
    double used = 0;
    for (int32_t g = 0; g < rt_cache_groups(cache); g++) {
        double total = (double)rt_cache_pages_total(cache, g);
        double share = 1 - (double)rt_cache_pages_free(cache, g) / total;
        used = share > used ? share : used;
    }
    pthread_mutex_lock(&service->lock);
    service->prefixes = rt_cache_prefix_counts(cache);
    service->cache_used = used;
    pthread_mutex_unlock(&service->lock);
}

/* ---- lists ---- */

static void link_request(struct en_service *service, struct en_request *r)
{
    r->next = service->first;
    if (r->next)
        r->next->previous = r;
    service->first = r;
}

static void unlink_request(struct en_service *service, struct en_request *r)
{
    *(r->previous ? &r->previous->next : &service->first) = r->next;
    if (r->next)
        r->next->previous = r->previous;
}

/* ---- ends ---- */

/* Inside the turn: pages go back. The receiver is told later, outside of both locks (tell_ended).
 */
static void finish(struct en_request *r, enum hasten_status status, const struct hs_error *error)
{
    struct en_service *service = r->service;
    pthread_mutex_lock(&service->lock);
    r->result.preemptions = r->job.preemptions;
    en_scheduler_finish(service->scheduler, &r->job);
    pthread_mutex_unlock(&service->lock);
    rt_sequence_close(&r->sequence);
    r->is_over = true;
    r->result.status = status;
    if (status != HASTEN_OK && error != &r->result.error)
        r->result.error = *error;
}

static void tell_end(struct en_request *r)
{
    struct en_service *service = r->service;
    if (r->result.status == HASTEN_OK)
        r->result.status = en_answer_end(&r->answer, &r->result.error);
    r->result.generated = r->answer.result;
    if (r->result.status == HASTEN_OK && r->answer.result.finish != EN_FINISH_CANCEL)
        r->result.hidden = r->hidden;
    r->result.end_ns = hs_clock_ns();
    en_count_request(service->model, &r->answer.result, r->result.status);
    en_answer_close(&r->answer);
    pthread_mutex_lock(&service->lock);
    unlink_request(service, r);
    pthread_mutex_unlock(&service->lock);
    /* r may be freed by whoever is told */
    r->on_end(r->options.context, &r->result);
}

/* All that have not ended. New requests come in front, and only this thread takes any out: from the
 * first on the list can be walked without the lock. */
static struct en_request *first_request(struct en_service *service)
{
    pthread_mutex_lock(&service->lock);
    struct en_request *first = service->first;
    pthread_mutex_unlock(&service->lock);
    return first;
}

/* Inside the turn. */
static void drop_cancelled(struct en_service *service)
{
    for (struct en_request *r = first_request(service); r; r = r->next) {
        if (r->is_over || !atomic_load_explicit(&r->cancel, memory_order_relaxed))
            continue;
        r->answer.result.finish = EN_FINISH_CANCEL;
        finish(r, HASTEN_OK, NULL);
    }
}

/* Outside the turn. */
static void tell_ended(struct en_service *service)
{
    struct en_request *next;
    for (struct en_request *r = first_request(service); r; r = next) {
        next = r->next;
        if (r->is_over)
            tell_end(r);
    }
}

/* ---- a step ---- */

static int32_t plan_step(struct en_service *service)
{
    pthread_mutex_lock(&service->lock);
    int32_t count = en_scheduler_plan(service->scheduler, service->shares);
    pthread_mutex_unlock(&service->lock);
    for (int32_t i = 0; i < count; i++) {
        struct en_request *r = request_of(service->shares[i].job);
        r->sampled = NO_TOKEN;
        enum rt_wanted wanted = r->options.max_tokens != 0 ? RT_WANT_LAST
                                : r->hidden                ? RT_WANT_HIDDEN
                                                           : RT_WANT_NONE;
        service->items[i] =
            (struct en_item){r->sequence, r->tokens + r->job.computed, service->shares[i].count,
                             service->shares[i].is_wanted ? wanted : RT_WANT_NONE};
    }
    return count;
}

/* Row `row` of the step's hidden states goes to a request that wants one; ends it. */
static void take_hidden(struct en_request *r, int64_t row)
{
    struct hs_error error = {0};
    struct en_model *model = r->service->model;
    int64_t width = model->plan->hidden_size;
    enum hasten_status status = HASTEN_OK;
    if (r->hidden) {
        memcpy(r->hidden, rt_run_hidden(model->run) + row * width, (size_t)width * sizeof(float));
        status = en_check_nan("hidden values", r->hidden, width, &error);
    }
    finish(r, status, &error);
}

/* Requests whose prompt is complete get the next token, or what they wanted instead of one. */
static void take_results(struct en_service *service, int32_t count, const float *logits)
{
    int64_t row = 0;
    int32_t tasks = 0;
    for (int32_t i = 0; i < count; i++) {
        struct en_request *r = request_of(service->shares[i].job);
        if (!service->shares[i].is_wanted)
            continue;
        if (r->options.max_tokens == 0)
            take_hidden(r, row);
        else
            service->tasks[tasks++] = (struct en_sample_task){
                .answer = &r->answer,
                .logits = logits + row * service->model->facts.vocab,
                .token = &r->sampled,
                .status = &r->result.status,
                .error = &r->result.error,
            };
        row += service->items[i].wanted != RT_WANT_NONE;
    }
    en_sample_all(service->samplers, service->tasks, tasks);
    for (int32_t i = 0; i < count; i++) {
        struct en_request *r = request_of(service->shares[i].job);
        if (!r->is_over && r->result.status != HASTEN_OK)
            finish(r, r->result.status, &r->result.error);
    }
}

static void fail_all(struct en_service *service, int32_t count, enum hasten_status status,
                     const struct hs_error *error)
{
    for (int32_t i = 0; i < count; i++)
        finish(request_of(service->shares[i].job), status, error);
}

/* The oldest request, which no step can take although nobody else holds pages: it does not fit. */
static void fail_oldest(struct en_service *service)
{
    struct hs_error error = {0};
    struct en_request *r = first_request(service);
    while (r && r->next)
        r = r->next;
    if (!r || r->is_over)
        return;
    (void)!hs_fail(&error, HASTEN_LIMIT, "open the model with a larger cache",
                   "the KV cache cannot hold the request");
    finish(r, HASTEN_LIMIT, &error);
}

static void compute(struct en_service *service, int32_t count)
{
    struct en_watch watch = {NULL, atomic_load(&service->model->cancels)};
    struct hs_error error = {0};
    const float *logits;
    uint64_t start_ns = hs_clock_ns();
    enum hasten_status status =
        en_step_in_turn(service->model, service->items, count, &watch, &error, &logits);
    if (status == HASTEN_CANCELLED)
        return; /* en_cancel of the model: computed again, unless cancelled one by one */
    if (status != HASTEN_OK) {
        fail_all(service, count, status, &error);
        return;
    }
    uint64_t step_ns = hs_clock_ns() - start_ns;
    pthread_mutex_lock(&service->lock);
    en_scheduler_done(service->scheduler, service->shares, count, step_ns);
    service->steps++;
    pthread_mutex_unlock(&service->lock);
    take_results(service, count, logits);
}

/* Hands the sampled token out. */
static void accept(struct en_request *r)
{
    uint64_t now = hs_clock_ns();
    if (!r->answer.previous_ns) {
        r->answer.result.prompt_ns = now - r->result.scheduled_ns;
        r->result.first_token_ns = now;
    }
    r->is_over = !en_answer_accept(&r->answer, r->sampled, r->capacity - r->job.known);
    if (r->is_over)
        return;
    r->tokens[r->job.known++] = r->sampled;
    r->job.is_stream = true;
}

/* Outside the turn, but for giving back the pages of those that are over. */
static void hand_out(struct en_service *service, int32_t count)
{
    int32_t over = 0;
    for (int32_t i = 0; i < count; i++) {
        struct en_request *r = request_of(service->shares[i].job);
        if (!r->is_over && r->sampled != NO_TOKEN)
            accept(r);
        over += r->is_over && r->sequence;
    }
    if (over == 0)
        return;
    hs_turn_take(&service->model->turn);
    for (int32_t i = 0; i < count; i++) {
        struct en_request *r = request_of(service->shares[i].job);
        if (r->is_over && r->sequence)
            finish(r, HASTEN_OK, NULL);
    }
    note_cache(service);
    hs_turn_give(&service->model->turn);
}

/* ---- the thread ---- */

/* Sleeps until there is a request; false when the service closes and none is left. */
static bool await_work(struct en_service *service)
{
    pthread_mutex_lock(&service->lock);
    while (!service->first && !service->is_closing)
        pthread_cond_wait(&service->wake, &service->lock);
    bool has_work = service->first != NULL;
    pthread_mutex_unlock(&service->lock);
    return has_work;
}

static void *run_service(void *argument)
{
    struct en_service *service = argument;
    while (await_work(service)) {
        hs_turn_take(&service->model->turn);
        drop_cancelled(service);
        int32_t count = plan_step(service);
        if (count > 0)
            compute(service, count);
        else
            fail_oldest(service);
        note_cache(service);
        hs_turn_give(&service->model->turn);
        hand_out(service, count);
        tell_ended(service);
    }
    return NULL;
}

/* ---- opening and closing ---- */

static enum hasten_status open_parts(struct en_service *service,
                                     const struct en_service_options *options,
                                     struct hs_error *error)
{
    const struct pl_limits *bounds = &service->model->plan->limits;
    int32_t most = service->model->sequences_max;
    if (bounds->wanted_max < most)
        most = (int32_t)bounds->wanted_max;
    service->running = options->running > 0 && options->running < most ? options->running : most;
    struct en_scheduler_limits limits = {
        .step_tokens = (int32_t)bounds->tokens_max,
        .running = service->running,
        .waiting = options->waiting > 0 ? options->waiting : WAITING,
        .waiting_tokens = options->waiting_tokens > 0 ? options->waiting_tokens : WAITING_TOKENS,
        .target_ns = options->target_ns,
        .stretch = options->stretch > 0 ? options->stretch : STRETCH,
    };
    struct en_memory memory = {start_sequence, reserve_pages, give_pages, room, service};
    service->shares = hs_calloc((size_t)service->running, sizeof *service->shares);
    service->items = hs_calloc((size_t)service->running, sizeof *service->items);
    service->tasks = hs_calloc((size_t)service->running, sizeof *service->tasks);
    if (!service->shares || !service->items || !service->tasks)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a service");
    HS_TRY(en_sample_team_open(service->model, error, &service->samplers));
    return en_scheduler_open(&limits, &memory, error, &service->scheduler);
}

/* Steps of one and of several rows: the first points of the cost line. */
static enum hasten_status warm_up(struct en_service *service, struct hs_error *error)
{
    struct rt_sequence *sequence = NULL;
    int32_t tokens[WARM_ROWS] = {0};
    const float *logits;
    HS_TRY(en_sequence_open(service->model, error, &sequence));
    enum hasten_status status = HASTEN_OK;
    for (int i = 0; i < 4 && status == HASTEN_OK; i++) {
        int32_t rows = i % 2 ? WARM_ROWS : 1;
        if (rows > rt_sequence_max(sequence) / 2)
            rows = 1;
        uint64_t start_ns = hs_clock_ns();
        status = en_feed(service->model, sequence, tokens, rows, 0, error, &logits);
        if (i >= 2) /* the first ones touch memory for the first time */
            en_step_cost_add(en_scheduler_cost(service->scheduler), rows, 0.5 * rows * (rows + 1),
                             hs_clock_ns() - start_ns);
        if (status == HASTEN_OK)
            status = en_sequence_rewind(service->model, sequence, 0, error);
    }
    en_sequence_close(service->model, &sequence);
    return status;
}

enum hasten_status en_service_open(struct en_model *model, const struct en_service_options *options,
                                   struct hs_error *error, struct en_service **service_out)
{
    struct en_service *service = hs_calloc(1, sizeof *service);
    if (!service)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a service");
    service->model = model;
    pthread_mutex_init(&service->lock, NULL);
    pthread_cond_init(&service->wake, NULL);
    enum hasten_status status = open_parts(service, options, error);
    if (status == HASTEN_OK)
        status = warm_up(service, error);
    if (status == HASTEN_OK) {
        service->has_thread = pthread_create(&service->thread, NULL, run_service, service) == 0;
        if (!service->has_thread)
            status = hs_fail(error, HASTEN_LIMIT, "raise the limit of threads (ulimit -u)",
                             "cannot start the service's thread");
    }
    if (status != HASTEN_OK) {
        en_service_close(&service);
        return status;
    }
    *service_out = service;
    return HASTEN_OK;
}

void en_service_close(struct en_service **service_in)
{
    struct en_service *service = *service_in;
    if (!service)
        return;
    pthread_mutex_lock(&service->lock);
    service->is_closing = true;
    for (struct en_request *r = service->first; r; r = r->next)
        en_request_cancel(r);
    pthread_cond_signal(&service->wake);
    pthread_mutex_unlock(&service->lock);
    if (service->has_thread)
        pthread_join(service->thread, NULL);
    en_scheduler_close(&service->scheduler);
    pthread_cond_destroy(&service->wake);
    pthread_mutex_destroy(&service->lock);
    en_sample_team_close(&service->samplers);
    hs_free(service->tasks);
    hs_free(service->shares);
    hs_free(service->items);
    hs_free(service);
    *service_in = NULL;
}

/* ---- requests ---- */

static enum hasten_status check_prompt(const struct en_model *model,
                                       const struct en_submission *submission, int64_t capacity,
                                       struct hs_error *error)
{
    if (submission->prompt_count < 1)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "write something", "the prompt is empty");
    if (submission->prompt_count >= capacity)
        return hs_fail(error, HASTEN_LIMIT, "shorten the prompt or open a larger context",
                       "the prompt has %" PRId64 " tokens, the context takes %" PRId64
                       " with an answer",
                       submission->prompt_count, capacity - 1);
    if (submission->wants_hidden &&
        (submission->generate.max_tokens != 0 || model->plan->hidden_size == 0))
        return hs_fail(
            error, HASTEN_INVALID_ARGUMENT, NULL,
            "a request for a hidden state has no answer, and needs a model that has one");
    for (int64_t i = 0; i < submission->prompt_count; i++)
        if (submission->prompt[i] < 0 || submission->prompt[i] >= model->facts.vocab)
            return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                           "token id %d is outside the vocabulary of %" PRId64,
                           (int)submission->prompt[i], model->facts.vocab);
    return HASTEN_OK;
}

/* Positions a sequence can have at most: the context, or what the whole cache holds. */
static int64_t longest(const struct en_model *model)
{
    int64_t most = model->context;
    for (int32_t g = 0; g < rt_cache_groups(model->cache); g++) {
        int64_t held = rt_cache_pages_total(model->cache, g) * TN_PAGE_POSITIONS;
        most = held < most && !model->plan->groups[g].window ? held : most;
    }
    return most;
}

/* Positions a request may have: its prompt and answer, at most the context. */
static int64_t capacity_for(const struct en_model *model, const struct en_submission *submission)
{
    int64_t most = submission->generate.max_tokens, bound = longest(model);
    if (most < 0 || most >= bound - submission->prompt_count)
        return bound;
    return submission->prompt_count + most + 1;
}

static enum hasten_status fill_request(struct en_request *r, const struct en_submission *submission,
                                       struct hs_error *error)
{
    struct en_model *model = r->service->model;
    r->capacity = capacity_for(model, submission);
    r->tokens = hs_alloc((size_t)r->capacity * sizeof *r->tokens);
    if (submission->wants_hidden)
        r->hidden = hs_alloc((size_t)model->plan->hidden_size * sizeof *r->hidden);
    if (!r->tokens || (submission->wants_hidden && !r->hidden))
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a request");
    memcpy(r->tokens, submission->prompt, (size_t)submission->prompt_count * sizeof *r->tokens);
    r->job.known = submission->prompt_count;
    r->options = submission->generate;
    r->on_end = submission->on_end;
    r->result.queued_ns = hs_clock_ns();
    r->result.received_ns = submission->received_ns ? submission->received_ns : r->result.queued_ns;
    HS_TRY(en_answer_open(model, &r->options, submission->prompt, submission->prompt_count,
                          r->result.received_ns, error, &r->answer));
    return rt_sequence_open(model->cache, r->capacity, error, &r->sequence);
}

static enum hasten_status enqueue(struct en_service *service, struct en_request *r,
                                  struct hs_error *error)
{
    pthread_mutex_lock(&service->lock);
    enum hasten_status status = HASTEN_OK;
    if (service->is_closing)
        status = hs_fail(error, HASTEN_CANCELLED, NULL, "the service is closing");
    if (status == HASTEN_OK)
        status = en_scheduler_add(service->scheduler, &r->job, error);
    if (status == HASTEN_OK)
        link_request(service, r);
    pthread_mutex_unlock(&service->lock);
    if (status == HASTEN_OK) /* without the lock, which it would wait for at once */
        pthread_cond_signal(&service->wake);
    return status;
}

enum hasten_status en_service_submit(struct en_service *service,
                                     const struct en_submission *submission, struct hs_error *error,
                                     struct en_request **request_out)
{
    HS_TRY(check_prompt(service->model, submission, longest(service->model), error));
    struct en_request *r = hs_calloc(1, sizeof *r);
    if (!r)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a request");
    r->service = service;
    enum hasten_status status = fill_request(r, submission, error);
    if (status == HASTEN_OK) {
        *request_out = r; /* callbacks may come before this function returns */
        status = enqueue(service, r, error);
    }
    if (status != HASTEN_OK) {
        en_answer_close(&r->answer);
        rt_sequence_close(&r->sequence);
        *request_out = NULL;
        en_request_free(&r);
    }
    return status;
}

void en_request_cancel(struct en_request *request)
{
    atomic_store_explicit(&request->cancel, true, memory_order_relaxed);
}

void en_request_free(struct en_request **request)
{
    if (!*request)
        return;
    hs_free((*request)->tokens);
    hs_free((*request)->hidden);
    hs_free(*request);
    *request = NULL;
}

struct en_service_figures en_service_figures(struct en_service *service)
{
    pthread_mutex_lock(&service->lock);
    struct en_service_figures figures = {
        .waiting = en_scheduler_waiting(service->scheduler),
        .running = en_scheduler_running(service->scheduler),
        .waiting_tokens = en_scheduler_waiting_tokens(service->scheduler),
        .steps = service->steps,
        .preemptions = en_scheduler_preemptions(service->scheduler),
        .prefixes = service->prefixes,
        .cache_used = service->cache_used,
    };
    pthread_mutex_unlock(&service->lock);
    return figures;
}
