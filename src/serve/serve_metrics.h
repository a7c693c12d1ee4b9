/*
 * Figures of one served model under vLLM's names, so that dashboards, autoscalers and gateways made
 * for vLLM read them. Counting takes no lock and allocates nothing; rendering is the I/O thread's.
 */
#ifndef HASTEN_SERVE_SERVE_METRICS_H
#define HASTEN_SERVE_SERVE_METRICS_H

#include "engine/service.h"
#include "observe/histogram.h"

enum sv_reason { SV_REASON_STOP, SV_REASON_LENGTH, SV_REASON_ABORT, SV_REASON_ERROR, SV_REASONS };

struct sv_metrics {
    struct ob_histogram first_token, inter_token, end_to_end, queue;
    _Atomic uint64_t prompt_tokens, generation_tokens, rejected;
    _Atomic uint64_t finished[SV_REASONS];
};

static inline void sv_count(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

/* A request of the engine has ended. */
void sv_metrics_end(struct sv_metrics *metrics, const struct en_request_result *result);

struct sv_series { /* what is rendered for one model */
    const char *name;
    const struct sv_metrics *metrics;
    struct en_service_figures figures;
};
/* Appends the whole page. */
void sv_metrics_render(const struct sv_series *series, int count, struct hs_buffer *out);

#endif
