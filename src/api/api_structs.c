/*
 * Structs that grow: every one begins with a size_t that says how many bytes the caller knows of.
 * New members are added at the end and mean with 0 what was before.
 */
#include <hasten/hasten.h>
#include <string.h>

#include "api/api_priv.h"

enum hasten_status ap_take(const void *given, const struct ap_sized *sized, struct hs_error *error)
{
    if (!given)
        return HASTEN_OK;
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size <= sizeof size)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "call its _init function first",
                       "%s has no size", sized->what);
    const unsigned char *bytes = given;
    for (size_t i = sized->own_size; i < size; i++)
        if (bytes[i] != 0)
            return hs_fail(error, HASTEN_INVALID_ARGUMENT, "use a newer libhasten",
                           "%s has settings that this version does not know", sized->what);
    memcpy(sized->own, given, size < sized->own_size ? size : sized->own_size);
    return HASTEN_OK;
}

void ap_give(const void *own, size_t own_size, void *target, size_t size)
{
    size_t known = size < own_size ? size : own_size;
    memcpy(target, own, known);
    memset((unsigned char *)target + known, 0, size - known);
    memcpy(target, &size, sizeof size < size ? sizeof size : size);
}

void hasten_model_options_fill(struct hasten_model_options *options, size_t size)
{
    const struct hasten_model_options defaults = {.size = sizeof defaults};
    ap_give(&defaults, sizeof defaults, options, size);
}

void hasten_sampling_fill(struct hasten_sampling *sampling, size_t size)
{
    struct tx_sampling standard = tx_sampling_default();
    const struct hasten_sampling defaults = {
        .size = sizeof defaults,
        .seed = standard.seed,
        .temperature = standard.temperature,
        .top_k = standard.top_k,
        .top_p = standard.top_p,
        .min_p = standard.min_p,
        .typical_p = standard.typical_p > 0 ? standard.typical_p : 1,
        .last_n = standard.last_n,
        .repetition_penalty = standard.repetition_penalty > 0 ? standard.repetition_penalty : 1,
        .presence_penalty = standard.presence_penalty,
        .frequency_penalty = standard.frequency_penalty,
    };
    ap_give(&defaults, sizeof defaults, sampling, size);
}

void hasten_generate_options_fill(struct hasten_generate_options *options, size_t size)
{
    const struct hasten_generate_options defaults = {.size = sizeof defaults, .max_tokens = -1};
    ap_give(&defaults, sizeof defaults, options, size);
}

const char *hasten_status_name(enum hasten_status status)
{
    return hs_status_name(status);
}

const char *hasten_version(void)
{
    return HASTEN_VERSION;
}
