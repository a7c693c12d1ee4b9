/* Completions and embeddings over the engine's service; see completion_job.h. */
#include "serve/completion_job.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"

enum { MOVE_BYTES = 1 << 16 };

/* ---- ends ---- */

static void free_job(struct sv_job *job)
{
    for (int32_t i = 0; i < job->choice_count; i++) {
        hs_buffer_free(&job->choices[i].text);
        hs_buffer_free(&job->choices[i].records);
        en_request_free(&job->choices[i].request);
    }
    for (int32_t i = 0; job->prompts && i < job->spec.prompt_count; i++)
        tx_ids_free(&job->prompts[i]);
    hs_buffer_free(&job->out);
    hs_buffer_free(&job->head);
    pthread_mutex_destroy(&job->lock);
    sv_spec_free(&job->spec); /* its arena holds prompts and choices */
    hs_free(job);
}

/* Gives the lock back and then wakes the exchange, which would wait for the lock. A connection that
 * sleeps stays until it is woken, so it is there even if the job is not any more. The job is
 * counted off last: a server that closes waits for that. */
static void unlock(struct sv_job *job)
{
    void (*resume)(void *context) = job->must_wake ? job->wake : NULL;
    void *context = job->wake_context;
    _Atomic int64_t *active = job->must_count_off ? job->active : NULL;
    job->must_wake = job->must_count_off = false;
    pthread_mutex_unlock(&job->lock);
    if (resume)
        resume(context);
    if (active)
        atomic_fetch_sub(active, 1);
}

/* The same with a reference. */
static void unlock_release(struct sv_job *job)
{
    bool is_last = --job->references == 0;
    unlock(job);
    if (is_last)
        free_job(job);
}

void sv_job_release(struct sv_job *job)
{
    pthread_mutex_lock(&job->lock);
    unlock_release(job);
}

/* The rest is under the lock. */

static void wake(struct sv_job *job)
{
    job->must_wake |= job->is_waiting;
    job->is_waiting = false;
}

static void settle(struct sv_job *job)
{
    if (job->is_done || job->live > 0 || job->fresh > 0)
        return;
    job->is_done = true;
    if (job->spec.is_stream)
        sv_render_end(job);
    job->must_count_off = true;
    wake(job);
}

static void cancel_locked(struct sv_job *job, const struct sv_problem *problem)
{
    if (problem && job->problem.http_status == 0)
        job->problem = *problem;
    job->is_cancelled = true;
    for (int32_t i = 0; i < job->choice_count; i++) {
        struct sv_choice *choice = &job->choices[i];
        if (choice->state == SV_CHOICE_LIVE)
            en_request_cancel(choice->request);
        if (choice->state == SV_CHOICE_NEW) {
            choice->state = SV_CHOICE_ENDED;
            job->fresh--;
        }
    }
    settle(job);
}

void sv_job_cancel(struct sv_job *job, const struct sv_problem *problem)
{
    pthread_mutex_lock(&job->lock);
    if (!job->is_done)
        cancel_locked(job, problem);
    unlock(job);
}

/* What was written must have fitted, and a reader must not be too slow. */
static void check_output(struct sv_job *job, struct sv_choice *choice)
{
    struct sv_problem problem;
    if (job->is_cancelled)
        return;
    if (job->out.failed || choice->text.failed || choice->records.failed) {
        sv_fail(&problem, 503, NULL, "no memory for the answer");
        cancel_locked(job, &problem);
    } else if (job->out.size_bytes - job->out_at > job->out_limit) {
        sv_fail(&problem, 503, NULL, "the answer was not read fast enough");
        cancel_locked(job, &problem);
    }
}

/* ---- callbacks of the engine, on its thread ---- */

static bool on_text(void *context, const char *text, size_t size_bytes)
{
    struct sv_choice *choice = context;
    struct sv_job *job = choice->job;
    pthread_mutex_lock(&job->lock);
    if (job->spec.is_stream) {
        sv_render_piece(choice, text, size_bytes);
        wake(job);
    } else {
        hs_buffer_append(&choice->text, text, size_bytes);
    }
    check_output(job, choice);
    bool goes_on = !job->is_cancelled;
    unlock(job);
    return goes_on;
}

/* Kept when on_token tells that it is no end token, which is not part of an answer. Only the
 * service's thread touches it. */
static void on_logprobs(void *context, const struct tx_logprobs *logprobs)
{
    struct sv_choice *choice = context;
    struct sv_record *record = &choice->latest;
    int32_t top = logprobs->top_count;
    record->id = logprobs->chosen.id;
    record->logprob = logprobs->chosen.logprob;
    record->top_count = top < SV_LOGPROBS_MAX ? top : SV_LOGPROBS_MAX;
    memcpy(record->top, logprobs->top, (size_t)record->top_count * sizeof *record->top);
    choice->has_latest = true;
}

static bool submit(struct sv_choice *choice, struct sv_problem *problem);
static void submit_inputs(struct sv_job *job);

/* The other answers to this prompt: it is computed now. */
static void submit_siblings(struct sv_choice *first)
{
    struct sv_job *job = first->job;
    struct sv_problem problem;
    for (int32_t i = 0; i < job->choice_count; i++) {
        struct sv_choice *choice = &job->choices[i];
        if (choice->state != SV_CHOICE_NEW || choice->prompt != first->prompt)
            continue;
        if (!submit(choice, &problem)) {
            cancel_locked(job, &problem);
            return;
        }
    }
}

static void count_token(struct sv_choice *choice)
{
    struct sv_metrics *metrics = &choice->job->model->metrics;
    uint64_t now = hs_clock_ns();
    sv_count(&metrics->generation_tokens, 1);
    if (choice->previous_ns)
        ob_histogram_add(&metrics->inter_token, now - choice->previous_ns);
    choice->previous_ns = now;
}

static void on_token(void *context, int32_t id)
{
    struct sv_choice *choice = context;
    struct sv_job *job = choice->job;
    if (!job->spec.ignore_eos && tx_is_end(en_tokenizer(job->model->model), id))
        return;
    count_token(choice);
    if (choice->has_token && !choice->has_latest)
        return;
    pthread_mutex_lock(&job->lock);
    if (choice->has_latest)
        hs_buffer_append(&choice->records, &choice->latest, sizeof choice->latest);
    choice->has_latest = false;
    if (!choice->has_token && job->fresh > 0)
        submit_siblings(choice);
    choice->has_token = true;
    unlock(job);
}

/* Of length 1, as OpenAI's are. hidden: NULL when the request was cancelled. */
static void keep_embedding(struct sv_choice *choice, const float *hidden)
{
    struct sv_job *job = choice->job;
    int64_t size = en_hidden_size(job->model->model);
    double sum = 0;
    for (int64_t i = 0; hidden && i < size; i++)
        sum += (double)hidden[i] * (double)hidden[i];
    double factor = sum > 0 ? 1 / sqrt(sum) : 0;
    for (int64_t i = 0; hidden && i < size; i++) {
        float value = (float)((double)hidden[i] * factor);
        hs_buffer_append(&choice->text, &value, sizeof value);
    }
    check_output(job, choice);
}

static void on_end(void *context, const struct en_request_result *result)
{
    struct sv_choice *choice = context;
    struct sv_job *job = choice->job;
    struct sv_problem problem;
    sv_metrics_end(&job->model->metrics, result);
    pthread_mutex_lock(&job->lock);
    choice->state = SV_CHOICE_ENDED;
    choice->generated = result->generated;
    choice->cached_tokens = result->cached_tokens;
    job->live--;
    if (result->status != HASTEN_OK) {
        sv_fail_from(&problem, &result->error);
        cancel_locked(job, &problem);
    } else if (job->spec.form == SV_EMBEDDING) {
        keep_embedding(choice, result->hidden);
        submit_inputs(job);
    } else if (!job->is_cancelled) {
        if (job->spec.is_stream)
            sv_render_finish(choice);
        submit_siblings(choice); /* when it ended without a token */
        wake(job);
    }
    settle(job);
    unlock_release(job);
}

/* ---- submission ---- */

static bool submit(struct sv_choice *choice, struct sv_problem *problem)
{
    struct sv_job *job = choice->job;
    const struct sv_spec *spec = &job->spec;
    struct hs_error error = {0};
    bool is_embedding = spec->form == SV_EMBEDDING;
    struct en_submission submission = {
        .prompt = job->prompts[choice->prompt].ids,
        .prompt_count = job->prompts[choice->prompt].count,
        .generate = {.sampling = spec->sampling,
                     .max_tokens = spec->max_tokens,
                     .ignore_end = spec->ignore_eos,
                     .stop = spec->stops,
                     .stop_count = spec->stop_count,
                     .on_text = on_text,
                     .on_token = on_token,
                     .on_logprobs = spec->logprobs >= 0 ? on_logprobs : NULL,
                     .logprobs_top = spec->logprobs > 0 ? spec->logprobs : 0,
                     .context = choice},
        .received_ns = job->received_ns,
        .wants_hidden = is_embedding,
        .on_end = on_end,
    };
    submission.generate.sampling.seed += (uint64_t)(choice->index % spec->n);
    choice->state = SV_CHOICE_LIVE;
    job->fresh--;
    job->live++;
    job->references++;
    if (en_service_submit(job->model->service, &submission, &error, &choice->request) == HASTEN_OK)
        return true;
    job->live--;
    job->references--;
    if (error.status == HASTEN_AGAIN && is_embedding && job->live > 0) {
        choice->state = SV_CHOICE_NEW; /* again when one of the others has ended */
        job->fresh++;
        return true;
    }
    choice->state = SV_CHOICE_ENDED;
    if (error.status == HASTEN_AGAIN)
        sv_count(&job->model->metrics.rejected, 1);
    return sv_fail_from(problem, &error);
}

/* Under the lock: inputs of embeddings, as many as may be there at a time. */
static void submit_inputs(struct sv_job *job)
{
    struct sv_problem problem;
    bool goes_on = true;
    while (goes_on && !job->is_cancelled && job->live < SV_INPUTS_TOGETHER &&
           job->next_input < job->choice_count) {
        struct sv_choice *choice = &job->choices[job->next_input];
        if (!submit(choice, &problem))
            cancel_locked(job, &problem);
        goes_on = choice->state != SV_CHOICE_NEW;
        job->next_input += goes_on;
    }
}

/* Under the lock: the first answer to each prompt. */
static void submit_first(struct sv_job *job)
{
    struct sv_problem problem;
    for (int32_t i = 0; i < job->choice_count; i += job->spec.n) {
        if (!job->is_cancelled && !submit(&job->choices[i], &problem))
            cancel_locked(job, &problem);
    }
}

/* ---- preparing ---- */

static bool chat_ids(struct sv_job *job, struct sv_problem *problem)
{
    struct hs_error error = {0};
    struct hs_buffer text = {0};
    const struct sv_spec *spec = &job->spec;
    const struct en_model *model = job->model->model;
    if (!en_chat_template(model))
        return sv_fail(problem, 400, "model",
                       "model '%s' has no chat template that can be used: send a prompt to "
                       "/v1/completions instead",
                       job->model->name);
    enum hasten_status status =
        en_chat_render(model, spec->messages, spec->message_count, &error, &text);
    struct hs_str view = {text.data ? text.data : "", text.size_bytes};
    if (status == HASTEN_OK)
        status = en_prompt_ids(model, view, &error, &job->prompts[0]);
    hs_buffer_free(&text);
    return status == HASTEN_OK || sv_fail_from(problem, &error);
}

static bool prompt_ids(struct sv_job *job, int32_t i, struct sv_problem *problem)
{
    struct hs_error error = {0};
    const struct sv_prompt *prompt = &job->spec.prompts[i];
    struct tx_ids *ids = &job->prompts[i];
    enum hasten_status status = HASTEN_OK;
    if (prompt->text.data && job->spec.form == SV_EMBEDDING)
        status = en_text_ids(job->model->model, prompt->text, &error, ids);
    else if (prompt->text.data)
        status = en_prompt_ids(job->model->model, prompt->text, &error, ids);
    for (int64_t k = 0; k < prompt->id_count && status == HASTEN_OK; k++)
        status = tx_ids_push(ids, prompt->ids[k]);
    if (status == HASTEN_OUT_OF_MEMORY)
        return sv_fail(problem, 503, NULL, "no memory for the request");
    return status == HASTEN_OK || sv_fail_from(problem, &error);
}

static bool check_length(const struct sv_job *job, int64_t count, struct sv_problem *problem)
{
    int64_t context = en_context(job->model->model), wanted = job->spec.max_tokens;
    if (count < 1)
        return sv_fail(problem, 400, sv_input_field(&job->spec), "the prompt is empty");
    if (count < context && (wanted < 0 || count + wanted <= context))
        return true;
    if (wanted <= 0)
        sv_fail(problem, 400, sv_input_field(&job->spec),
                "the prompt has %" PRId64 " tokens, the context %" PRId64
                ": shorten the prompt or start the server with a larger --ctx",
                count, context);
    else
        sv_fail(problem, 400, "max_tokens",
                "the prompt has %" PRId64 " tokens, with max_tokens %" PRId64
                " that is more than the context of %" PRId64,
                count, wanted, context);
    problem->code = "context_length_exceeded";
    problem->prompt_tokens = count;
    problem->context = context;
    return false;
}

static bool tokenize(struct sv_job *job, struct sv_problem *problem)
{
    for (int32_t i = 0; i < job->spec.prompt_count; i++) {
        if (!(job->spec.form == SV_CHAT ? chat_ids(job, problem) : prompt_ids(job, i, problem)) ||
            !check_length(job, job->prompts[i].count, problem))
            return false;
    }
    return true;
}

/* A vector cut short means nothing unless the model was trained for it. */
static bool check_dimensions(const struct sv_job *job, struct sv_problem *problem)
{
    int64_t size = en_hidden_size(job->model->model), wanted = job->spec.dimensions;
    return wanted == 0 || wanted == size ||
           sv_fail(problem, 400, "dimensions",
                   "this model's embeddings have %" PRId64 " dimensions", size);
}

static void name_job(struct sv_job *job)
{
    uint64_t random[2] = {hs_clock_ns(), 0};
    (void)!getrandom(random, sizeof random, 0);
    (void)snprintf(job->id, sizeof job->id, "%s-%016" PRIx64 "%08x",
                   job->spec.form == SV_CHAT ? "chatcmpl" : "cmpl", random[0], (unsigned)random[1]);
    job->created_s = (int64_t)time(NULL);
    if (!job->spec.has_seed)
        job->spec.sampling.seed = random[0] ^ random[1];
    sv_render_head(job);
}

static bool make_choices(struct sv_job *job, struct sv_problem *problem)
{
    struct hs_arena *arena = &job->spec.arena;
    job->choice_count = job->spec.prompt_count * job->spec.n;
    job->prompts = hs_arena_alloc(arena, (size_t)job->spec.prompt_count, sizeof *job->prompts);
    job->choices = hs_arena_alloc(arena, (size_t)job->choice_count, sizeof *job->choices);
    if (!job->prompts || !job->choices || job->head.failed) {
        job->choice_count = 0;
        return sv_fail(problem, 503, NULL, "no memory for the request");
    }
    for (int32_t i = 0; i < job->choice_count; i++) {
        struct sv_choice *choice = &job->choices[i];
        *choice = (struct sv_choice){.job = job, .index = i, .prompt = i / job->spec.n};
    }
    job->fresh = job->choice_count;
    return true;
}

struct sv_job *sv_job_start(const struct sv_job_plan *plan, struct sv_spec *spec,
                            struct sv_problem *problem)
{
    struct sv_job *job = hs_calloc(1, sizeof *job);
    if (!job) {
        sv_spec_free(spec);
        sv_fail(problem, 503, NULL, "no memory for the request");
        return NULL;
    }
    job->model = plan->model;
    job->out_limit = plan->out_limit;
    job->wake = plan->wake;
    job->wake_context = plan->wake_context;
    job->active = plan->active;
    job->received_ns = plan->received_ns;
    job->references = 1;
    job->socket = -1;
    job->spec = *spec;
    *spec = (struct sv_spec){.form = SV_COMPLETION};
    pthread_mutex_init(&job->lock, NULL);
    name_job(job);
    if (!check_dimensions(job, problem) || !make_choices(job, problem) || !tokenize(job, problem)) {
        free_job(job);
        return NULL;
    }
    sv_spec_drop_source(&job->spec);
    atomic_fetch_add(job->active, 1);
    pthread_mutex_lock(&job->lock);
    if (job->spec.form == SV_EMBEDDING)
        submit_inputs(job);
    else
        submit_first(job);
    unlock(job);
    return job;
}

/* ---- taking, on the I/O thread ---- */

bool sv_job_wait(struct sv_job *job, void (*suspend)(void *context), void *context)
{
    pthread_mutex_lock(&job->lock);
    bool has_output = job->out.size_bytes > job->out_at;
    job->is_waiting = !job->is_done && !has_output;
    bool is_waiting = job->is_waiting;
    if (is_waiting)
        suspend(context);
    pthread_mutex_unlock(&job->lock);
    return is_waiting;
}

size_t sv_job_take(struct sv_job *job, char *data, size_t size, bool *done_out)
{
    pthread_mutex_lock(&job->lock);
    struct hs_buffer *out = &job->out;
    size_t left = out->size_bytes - job->out_at;
    size_t count = left < size ? left : size;
    if (count > 0)
        memcpy(data, out->data + job->out_at, count);
    job->out_at += count;
    if (job->out_at == out->size_bytes) {
        out->size_bytes = 0;
        job->out_at = 0;
    } else if (job->out_at >= MOVE_BYTES) {
        out->size_bytes -= job->out_at;
        memmove(out->data, out->data + job->out_at, out->size_bytes);
        job->out_at = 0;
    }
    *done_out = count == 0 && job->is_done;
    pthread_mutex_unlock(&job->lock);
    return count;
}

bool sv_job_failed(struct sv_job *job, struct sv_problem *problem_out)
{
    pthread_mutex_lock(&job->lock);
    bool has_role = false;
    for (int32_t i = 0; i < job->choice_count; i++)
        has_role |= job->choices[i].has_role;
    bool is_failed = job->problem.http_status != 0 && !has_role;
    if (is_failed)
        *problem_out = job->problem;
    pthread_mutex_unlock(&job->lock);
    return is_failed;
}

void sv_job_answer(struct sv_job *job, struct hs_buffer *out)
{
    pthread_mutex_lock(&job->lock);
    if (job->spec.form == SV_EMBEDDING)
        sv_render_embeddings(job, out);
    else
        sv_render_answer(job, out);
    pthread_mutex_unlock(&job->lock);
}
