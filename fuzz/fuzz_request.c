/*
 * Fuzz target: the body of a completion or embedding request. The first byte chooses which. Looks
 * for crashes, memory that is not bounded, wrong bounds in what was read, and text that is no JSON
 * in what is told back.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "serve/completion_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_spec(const struct sv_spec *spec)
{
    if (spec->n < 1 || spec->n > SV_N_MAX || spec->prompt_count < 1 ||
        spec->prompt_count * spec->n >
            (spec->form == SV_EMBEDDING ? SV_INPUTS_MAX : SV_CHOICES_MAX) ||
        spec->stop_count > SV_STOPS_MAX || spec->logprobs > SV_LOGPROBS_MAX ||
        spec->max_tokens < -1)
        abort();
    if (tx_sampling_check(&spec->sampling, NULL) != HASTEN_OK)
        abort();
    for (int32_t i = 0; spec->form != SV_CHAT && i < spec->prompt_count; i++)
        for (int64_t k = 0; k < spec->prompts[i].id_count; k++)
            if (spec->prompts[i].ids[k] < 0)
                abort();
}

static void check_problem(const struct sv_problem *problem)
{
    struct hs_buffer out = {0};
    if (problem->http_status != 400)
        abort();
    sv_problem_json(problem, &out);
    json_t *told = json_loadb(out.data, out.size_bytes, 0, NULL);
    if (!told)
        abort();
    json_decref(told);
    hs_buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sv_problem problem = {0};
    struct sv_spec spec;
    if (size < 1)
        return 0;
    struct hs_str body = {(const char *)data + 1, size - 1};
    if (sv_spec_read(body, (enum sv_form)(data[0] % 3), &problem, &spec)) {
        check_spec(&spec);
        sv_spec_drop_source(&spec);
    } else {
        check_problem(&problem);
    }
    sv_spec_free(&spec);
    return 0;
}
