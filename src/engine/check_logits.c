/*
 * NaN in logits: an answer of garbage must be an error. A damaged weight or a sum beyond the range
 * of a type spreads through a model as NaN, and comparisons would quietly skip it.
 */
#include <inttypes.h>

#include "engine/model_priv.h"

/* No early exit: so it is a handful of vector instructions a cache line. */
static int64_t count_nans(const float *logits, int64_t count)
{
    int32_t nans = 0; /* vocabularies are below 2^31 */
    for (int64_t i = 0; i < count; i++)
        nans += logits[i] != logits[i];
    return nans;
}

enum hasten_status en_check_logits(const struct en_model *model, const float *logits,
                                   struct hs_error *error)
{
    int64_t vocab = model->facts.vocab, nans = count_nans(logits, vocab);
    if (nans == 0)
        return HASTEN_OK;
    return hs_fail(
        error, HASTEN_CORRUPT_INPUT,
        "get the file again; if it is whole, its numbers may be too large for f16: try KV "
        "pages of type f32",
        "the model computes NaN: %" PRId64 " of %" PRId64 " logits are no numbers", nans, vocab);
}
