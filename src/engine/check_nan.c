/*
 * NaN in results: an answer of garbage must be an error. A damaged weight or a sum beyond the range
 * of a type spreads through a model as NaN, and comparisons would quietly skip it.
 */
#include <inttypes.h>

#include "engine/model_priv.h"

/* No early exit: so it is a handful of vector instructions a cache line. */
static int64_t count_nans(const float *values, int64_t count)
{
    int32_t nans = 0; /* vocabularies are below 2^31 */
    for (int64_t i = 0; i < count; i++)
        nans += values[i] != values[i];
    return nans;
}

enum hasten_status en_check_nan(const char *what, const float *values, int64_t count,
                                struct hs_error *error)
{
    int64_t nans = count_nans(values, count);
    if (nans == 0)
        return HASTEN_OK;
    return hs_fail(
        error, HASTEN_CORRUPT_INPUT,
        "get the file again; if it is whole, its numbers may be too large for f16: try KV "
        "pages of type f32",
        "the model computes NaN: %" PRId64 " of %" PRId64 " %s are no numbers", nans, count, what);
}
