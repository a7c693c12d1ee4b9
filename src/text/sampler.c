/*
 * Sampler: greedy, or top-k, top-p, min-p and temperature in that order, then one draw.
 *
 * Greedy is two passes: the maximum over 16 independent lanes (so that compilers use vector
 * compares), then the first position that holds it: ties give the lower id. NaN loses every
 * comparison.
 *
 * Filters see the softmax at temperature 1, as in other engines; temperature acts on what is left.
 * Candidates are ordered by falling logit, then rising id: a total order, so the result does not
 * depend on how it is reached. Only as many as the filters need are sorted: quickselect takes the
 * best 256, then four times as many, until top-p is satisfied. Without top-k and top-p nothing is
 * sorted and the draw walks the ids in order. Sums are double, in a fixed order.
 */
#include "text/sampler.h"

#include <math.h>

#include "base/rng.h"

enum { LANES = 16, FIRST_SORTED = 256 };
enum { RNG_STREAM = 1 }; /* stream of hs_rng that belongs to sampling */

struct candidate {
    float logit;
    int32_t id;
};

struct tx_sampler {
    int32_t vocab_size;
    struct candidate *candidates; /* [vocab_size] */
};

struct tx_sampling tx_sampling_default(void)
{
    return (struct tx_sampling){.temperature = 0, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 0};
}

enum hasten_status tx_sampler_open(int32_t vocab_size, struct hs_error *error,
                                   struct tx_sampler **sampler_out)
{
    if (vocab_size <= 0)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "vocabulary size is %d",
                       (int)vocab_size);
    struct tx_sampler *sampler = hs_calloc(1, sizeof *sampler);
    if (sampler)
        sampler->candidates = hs_calloc((size_t)vocab_size, sizeof *sampler->candidates);
    if (!sampler || !sampler->candidates) {
        hs_free(sampler);
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in sampler");
    }
    sampler->vocab_size = vocab_size;
    *sampler_out = sampler;
    return HASTEN_OK;
}

void tx_sampler_close(struct tx_sampler **sampler)
{
    if (!*sampler)
        return;
    hs_free((*sampler)->candidates);
    hs_free(*sampler);
    *sampler = NULL;
}

/* Largest logit; -inf when all are NaN. */
static float largest(const float *logits, int32_t count)
{
    float lanes[LANES];
    for (int lane = 0; lane < LANES; lane++)
        lanes[lane] = -INFINITY;
    int32_t at = 0;
    for (; at + LANES <= count; at += LANES)
        for (int lane = 0; lane < LANES; lane++)
            lanes[lane] = logits[at + lane] > lanes[lane] ? logits[at + lane] : lanes[lane];
    for (; at < count; at++)
        lanes[0] = logits[at] > lanes[0] ? logits[at] : lanes[0];
    for (int lane = 1; lane < LANES; lane++)
        lanes[0] = lanes[lane] > lanes[0] ? lanes[lane] : lanes[0];
    return lanes[0];
}

static int32_t first_of(const float *logits, float value)
{
    int32_t at = 0;
    while (logits[at] != value)
        at++;
    return at;
}

/* exp((logit - maximum) / temperature), also where both are infinite. */
static double weight(float logit, float maximum, double temperature)
{
    if (logit == maximum)
        return 1;
    return exp(((double)logit - (double)maximum) / temperature);
}

static bool comes_before(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate c = *a;
    *a = *b;
    *b = c;
}

/* Sifts candidates[at] down in a heap whose top is the last in order. */
static void sift(struct candidate *candidates, int32_t at, int32_t count)
{
    for (;;) {
        int64_t child = 2 * (int64_t)at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && comes_before(candidates[child], candidates[child + 1]))
            child++;
        if (!comes_before(candidates[at], candidates[child]))
            return;
        swap(&candidates[at], &candidates[child]);
        at = (int32_t)child;
    }
}

/* Heapsort: no recursion, no bad case. */
static void sort(struct candidate *candidates, int32_t count)
{
    for (int32_t at = count / 2 - 1; at >= 0; at--)
        sift(candidates, at, count);
    for (int32_t end = count - 1; end > 0; end--) {
        swap(&candidates[0], &candidates[end]);
        sift(candidates, 0, end);
    }
}

/* Moves the first `wanted` in order to the front (any order there): Hoare's quickselect with the
 * median of three as pivot. */
static void select_first(struct candidate *candidates, int32_t count, int32_t wanted)
{
    int32_t low = 0, high = count - 1;
    while (low < high && wanted > low && wanted <= high) {
        struct candidate a = candidates[low], b = candidates[low + (high - low) / 2];
        struct candidate c = candidates[high];
        struct candidate pivot = comes_before(a, b) ? (comes_before(b, c)   ? b
                                                       : comes_before(a, c) ? c
                                                                            : a)
                                                    : (comes_before(a, c)   ? a
                                                       : comes_before(b, c) ? c
                                                                            : b);
        int32_t left = low, right = high;
        while (left <= right) {
            while (comes_before(candidates[left], pivot))
                left++;
            while (comes_before(pivot, candidates[right]))
                right--;
            if (left <= right)
                swap(&candidates[left++], &candidates[right--]);
        }
        if (wanted <= right + 1)
            high = right;
        else if (wanted >= left)
            low = left;
        else
            return;
    }
}

static int32_t gather(struct tx_sampler *sampler, const float *logits)
{
    for (int32_t id = 0; id < sampler->vocab_size; id++) {
        float logit = logits[id];
        sampler->candidates[id] = (struct candidate){isnan(logit) ? -INFINITY : logit, id};
    }
    return sampler->vocab_size;
}

/* How many of the best candidates top-p keeps: the fewest whose probabilities reach it. Orders
 * what it keeps. sorted: how many are in order already. */
static int32_t keep_top_p(struct candidate *candidates, int32_t count, int32_t sorted, double top_p,
                          float maximum)
{
    double total = 0, reached = 0;
    for (int32_t i = 0; i < count; i++)
        total += weight(candidates[i].logit, maximum, 1);
    int32_t step = FIRST_SORTED;
    for (int32_t kept = 0; kept < count;) {
        if (kept == sorted) {
            int32_t left = count - sorted;
            if (step < left)
                select_first(candidates + sorted, left, step);
            else
                step = left;
            sort(candidates + sorted, step);
            sorted += step;
            step = step < count / 4 ? step * 4 : count;
        }
        reached += weight(candidates[kept++].logit, maximum, 1);
        if (reached >= top_p * total)
            return kept;
    }
    return count;
}

/* Drops candidates less likely than min_p times the likeliest, keeping the order. */
static int32_t keep_min_p(struct candidate *candidates, int32_t count, double min_p, float maximum)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < count; i++)
        if (weight(candidates[i].logit, maximum, 1) >= min_p)
            candidates[kept++] = candidates[i];
    return kept;
}

static int32_t draw(const struct candidate *candidates, int32_t count, float maximum,
                    const struct tx_sampling *sampling, uint64_t output_index)
{
    double total = 0;
    for (int32_t i = 0; i < count; i++)
        total += weight(candidates[i].logit, maximum, sampling->temperature);
    double target = hs_rng_unit(sampling->seed, RNG_STREAM, output_index) * total, reached = 0;
    int32_t last = candidates[0].id;
    for (int32_t i = 0; i < count; i++) {
        double part = weight(candidates[i].logit, maximum, sampling->temperature);
        if (part > 0)
            last = candidates[i].id;
        reached += part;
        if (reached > target)
            break;
    }
    return last;
}

static enum hasten_status check(const struct tx_sampling *sampling, struct hs_error *error)
{
    const char *wrong = !(sampling->temperature >= 0 && isfinite(sampling->temperature))
                            ? "temperature"
                        : sampling->top_k < 0                             ? "top-k"
                        : !(sampling->top_p >= 0 && sampling->top_p <= 1) ? "top-p"
                        : !(sampling->min_p >= 0 && sampling->min_p <= 1) ? "min-p"
                                                                          : NULL;
    if (!wrong)
        return HASTEN_OK;
    return hs_fail(error, HASTEN_INVALID_ARGUMENT,
                   "temperature and top-k are at least 0, top-p and min-p between 0 and 1",
                   "%s is out of range", wrong);
}

enum hasten_status tx_sample(struct tx_sampler *sampler, const float *logits,
                             const struct tx_sampling *sampling, uint64_t output_index,
                             struct hs_error *error, int32_t *token_out)
{
    HS_TRY(check(sampling, error));
    float maximum = largest(logits, sampler->vocab_size);
    if (maximum == -INFINITY)
        return hs_fail(error, HASTEN_INTERNAL, NULL, "logits are all NaN");
    if (sampling->temperature == 0) {
        *token_out = first_of(logits, maximum);
        return HASTEN_OK;
    }
    struct candidate *candidates = sampler->candidates;
    int32_t count = gather(sampler, logits), sorted = 0;
    if (sampling->top_k > 0 && sampling->top_k < count) {
        select_first(candidates, count, (int32_t)sampling->top_k);
        count = sorted = (int32_t)sampling->top_k;
        sort(candidates, count);
    }
    if (sampling->top_p < 1)
        count = keep_top_p(candidates, count, sorted, sampling->top_p, maximum);
    if (sampling->min_p > 0)
        count = keep_min_p(candidates, count, sampling->min_p, maximum);
    *token_out = draw(candidates, count, maximum, sampling, output_index);
    return HASTEN_OK;
}
