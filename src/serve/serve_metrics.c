/* Prometheus text, one family after the other over all models; see serve_metrics.h. */
#include "serve/serve_metrics.h"

#include <inttypes.h>
#include <stdio.h>

void sv_metrics_end(struct sv_metrics *metrics, const struct en_request_result *result)
{
    static const enum sv_reason reasons[] = {SV_REASON_STOP, SV_REASON_LENGTH, SV_REASON_ABORT};
    bool is_good = result->status == HASTEN_OK;
    bool is_whole = is_good && result->generated.finish != EN_FINISH_CANCEL;
    sv_count(&metrics->finished[is_good ? reasons[result->generated.finish] : SV_REASON_ERROR], 1);
    if (result->scheduled_ns)
        ob_histogram_add(&metrics->queue, result->scheduled_ns - result->queued_ns);
    if (result->first_token_ns)
        ob_histogram_add(&metrics->first_token, result->first_token_ns - result->received_ns);
    if (is_whole)
        ob_histogram_add(&metrics->end_to_end, result->end_ns - result->received_ns);
    if (result->first_token_ns || is_whole)
        sv_count(&metrics->prompt_tokens, (uint64_t)result->generated.prompt_tokens);
}

/* Values of a model that are one number each. */
enum field {
    FIELD_RUNNING,
    FIELD_WAITING,
    FIELD_PROMPT,
    FIELD_GENERATION,
    FIELD_QUERIES,
    FIELD_HITS,
    FIELD_PREEMPTIONS,
    FIELD_REJECTED,
    FIELD_STEPS
};

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t value_of(const struct sv_series *s, enum field field)
{
    switch (field) {
    case FIELD_RUNNING:
        return (uint64_t)s->figures.running;
    case FIELD_WAITING:
        return (uint64_t)s->figures.waiting;
    case FIELD_PROMPT:
        return load(&s->metrics->prompt_tokens);
    case FIELD_GENERATION:
        return load(&s->metrics->generation_tokens);
    case FIELD_QUERIES:
        return s->figures.prefixes.asked_tokens;
    case FIELD_HITS:
        return s->figures.prefixes.found_tokens;
    case FIELD_PREEMPTIONS:
        return s->figures.preemptions;
    case FIELD_REJECTED:
        return load(&s->metrics->rejected);
    case FIELD_STEPS:
        return s->figures.steps;
    }
    return 0;
}

static const struct {
    const char *name, *kind, *help;
    enum field field;
} numbers[] = {
    {"vllm:num_requests_running", "gauge", "requests in the current steps", FIELD_RUNNING},
    {"vllm:num_requests_waiting", "gauge", "requests in the queue", FIELD_WAITING},
    {"vllm:prompt_tokens_total", "counter", "prompt tokens of answered requests", FIELD_PROMPT},
    {"vllm:generation_tokens_total", "counter", "tokens generated", FIELD_GENERATION},
    {"vllm:prefix_cache_queries_total", "counter", "prompt tokens looked up", FIELD_QUERIES},
    {"vllm:prefix_cache_hits_total", "counter", "of these, found computed", FIELD_HITS},
    {"vllm:num_preemptions_total", "counter", "requests sent back to the queue", FIELD_PREEMPTIONS},
    {"hasten:requests_rejected_total", "counter", "requests refused because the queue was full",
     FIELD_REJECTED},
    {"hasten:steps_total", "counter", "steps computed", FIELD_STEPS},
};

static const struct {
    const char *name, *help;
    size_t offset;
} histograms[] = {
    {"vllm:time_to_first_token_seconds", "from arrival to the first token",
     offsetof(struct sv_metrics, first_token)},
    {"vllm:inter_token_latency_seconds", "between tokens of one answer",
     offsetof(struct sv_metrics, inter_token)},
    {"vllm:e2e_request_latency_seconds", "from arrival to the end of the answer",
     offsetof(struct sv_metrics, end_to_end)},
    {"vllm:request_queue_time_seconds", "from arrival to the first step",
     offsetof(struct sv_metrics, queue)},
};

static void head(struct hs_buffer *out, const char *name, const char *kind, const char *help)
{
    hs_buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

/* model_name="..." with what the format wants escaped. */
static void label_of(const char *name, char *label, size_t size)
{
    size_t at = (size_t)snprintf(label, size, "model_name=\"");
    for (; *name && at + 4 < size; name++) {
        if (*name == '"' || *name == '\\')
            label[at++] = '\\';
        label[at++] = *name == '\n' ? ' ' : *name;
    }
    (void)snprintf(label + at, size - at, "\"");
}

static void render_finished(const struct sv_series *series, int count, struct hs_buffer *out)
{
    static const char *const names[SV_REASONS] = {"stop", "length", "abort", "error"};
    const char *name = "vllm:request_success_total";
    char label[256];
    head(out, name, "counter", "requests that ended, by reason");
    for (int i = 0; i < count; i++) {
        label_of(series[i].name, label, sizeof label);
        for (int r = 0; r < SV_REASONS; r++)
            hs_buffer_printf(out, "%s{%s,finished_reason=\"%s\"} %" PRIu64 "\n", name, label,
                             names[r], load(&series[i].metrics->finished[r]));
    }
}

static void render_cache(const struct sv_series *series, int count, struct hs_buffer *out)
{
    const char *name = "vllm:kv_cache_usage_perc";
    char label[256];
    head(out, name, "gauge", "share of the KV cache that running requests hold, 0 to 1");
    for (int i = 0; i < count; i++) {
        label_of(series[i].name, label, sizeof label);
        hs_buffer_printf(out, "%s{%s} %.6f\n", name, label, series[i].figures.cache_used);
    }
}

void sv_metrics_render(const struct sv_series *series, int count, struct hs_buffer *out)
{
    char label[256];
    for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
        head(out, numbers[n].name, numbers[n].kind, numbers[n].help);
        for (int i = 0; i < count; i++) {
            label_of(series[i].name, label, sizeof label);
            hs_buffer_printf(out, "%s{%s} %" PRIu64 "\n", numbers[n].name, label,
                             value_of(&series[i], numbers[n].field));
        }
    }
    render_cache(series, count, out);
    render_finished(series, count, out);
    for (size_t n = 0; n < sizeof histograms / sizeof histograms[0]; n++) {
        head(out, histograms[n].name, "histogram", histograms[n].help);
        for (int i = 0; i < count; i++) {
            const char *base = (const char *)series[i].metrics + histograms[n].offset;
            label_of(series[i].name, label, sizeof label);
            ob_histogram_render((const struct ob_histogram *)(const void *)base, histograms[n].name,
                                label, out);
        }
    }
}
