/*
 * Sampler: greedy, or a chain of filters and one draw.
 *
 * Greedy is two passes: the maximum, then the first position that holds it: ties give the lower id.
 * NaN loses every comparison. Bias and penalties work on a copy of the logits.
 *
 * Filters see the softmax at temperature 1, as in other engines, each over what the one before it
 * left; temperature acts on what is left in the end. Candidates stay in the order of their ids and
 * nothing is ever sorted: top-k, typical and top-p each keep the fewest best candidates whose mass
 * (a count, or probability) reaches a bound, and keep_mass finds that bound by radix: the mass of
 * 2,048 ranges of the key, then of the 2,048 parts of the range in which the bound lies, and so on.
 * That is a handful of linear passes whether the distribution is flat or steep. The draw walks the
 * ids in order.
 *
 * What runs over the whole vocabulary is compiled for each machine class (softmax_loops.h).
 *
 * Typical sampling: Meister et al., "Locally Typical Sampling" (2022). Penalties: repetition as in
 * CTRL (Keskar et al. 2019), presence and frequency as OpenAI's interface defines them.
 */
#include "text/sampler.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "text/softmax_loops.h"

enum { BLOCK = 512, RADIX_BITS = 11, RADIX = 1 << RADIX_BITS, BOUND_BLOCK = 64 };
enum { RNG_STREAM = 1 }; /* stream of hs_rng that belongs to sampling */

struct tx_sampler {
    const struct tx_softmax_loops *loops;
    int32_t vocab_size;
    float *adjusted; /* [vocab_size] logits after bias and penalties */
    int32_t *seen;   /* [vocab_size] times a token is in the window; 0 between calls */
    /* The candidates, by rising id: [vocab_size] each, the first `count` are in use. */
    int32_t count;
    int32_t *ids;
    float *logits;
    double *weights; /* exp(logit - maximum), or what keep_mass shall add up */
    uint32_t *keys;  /* their order for keep_mass */
    int32_t *range;  /* those that keep_mass has not decided yet */
    double mass[RADIX];
};

struct tx_sampling tx_sampling_default(void)
{
    return (struct tx_sampling){
        .top_p = 1, .typical_p = 1, .repetition_penalty = 1, .last_n = TX_LAST_N_DEFAULT};
}

enum hasten_status tx_sampler_open(int32_t vocab_size, struct hs_error *error,
                                   struct tx_sampler **sampler_out)
{
    if (vocab_size <= 0)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "vocabulary size is %d",
                       (int)vocab_size);
    struct tx_sampler *made = hs_calloc(1, sizeof *made);
    if (made) {
        size_t size = (size_t)vocab_size;
        made->loops = tx_softmax_loops(hs_cpu_get()->chosen);
        made->vocab_size = vocab_size;
        made->adjusted = hs_calloc(size, sizeof *made->adjusted);
        made->seen = hs_calloc(size, sizeof *made->seen);
        made->ids = hs_calloc(size, sizeof *made->ids);
        made->logits = hs_calloc(size, sizeof *made->logits);
        made->weights = hs_calloc(size, sizeof *made->weights);
        made->keys = hs_calloc(size, sizeof *made->keys);
        made->range = hs_calloc(size, sizeof *made->range);
    }
    if (!made || !made->adjusted || !made->seen || !made->ids || !made->logits || !made->weights ||
        !made->keys || !made->range) {
        tx_sampler_close(&made);
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in sampler");
    }
    *sampler_out = made;
    return HASTEN_OK;
}

void tx_sampler_close(struct tx_sampler **sampler)
{
    if (!*sampler)
        return;
    hs_free((*sampler)->adjusted);
    hs_free((*sampler)->seen);
    hs_free((*sampler)->ids);
    hs_free((*sampler)->logits);
    hs_free((*sampler)->weights);
    hs_free((*sampler)->keys);
    hs_free((*sampler)->range);
    hs_free(*sampler);
    *sampler = NULL;
}

/* --- greedy ------------------------------------------------------------------------------- */

static int32_t first_of(const float *logits, float value)
{
    int32_t at = 0;
    while (logits[at] != value)
        at++;
    return at;
}

/* --- bias and penalties ------------------------------------------------------------------- */

bool tx_sampling_looks_back(const struct tx_sampling *sampling)
{
    bool repetition = sampling->repetition_penalty != 0 && sampling->repetition_penalty != 1;
    return sampling->last_n != 0 &&
           (repetition || sampling->presence_penalty != 0 || sampling->frequency_penalty != 0);
}

static float penalised(float logit, int32_t times, const struct tx_sampling *sampling)
{
    double value = (double)logit;
    if (sampling->repetition_penalty != 0)
        value =
            value > 0 ? value / sampling->repetition_penalty : value * sampling->repetition_penalty;
    return (float)(value - sampling->presence_penalty - times * sampling->frequency_penalty);
}

static void apply_penalties(struct tx_sampler *sampler, const struct tx_sampling *sampling,
                            const struct tx_sample_input *input)
{
    int64_t count = input->recent_count;
    if (sampling->last_n >= 0 && count > sampling->last_n)
        count = sampling->last_n;
    const int32_t *window = count > 0 ? input->recent + (input->recent_count - count) : NULL;
    for (int64_t i = 0; i < count; i++)
        if (window[i] >= 0 && window[i] < sampler->vocab_size)
            sampler->seen[window[i]]++;
    for (int64_t i = 0; i < count; i++) {
        int32_t id = window[i];
        if (id < 0 || id >= sampler->vocab_size || sampler->seen[id] == 0)
            continue;
        sampler->adjusted[id] = penalised(sampler->adjusted[id], sampler->seen[id], sampling);
        sampler->seen[id] = 0;
    }
}

/* The logits to sample from: the model's own where nothing changes them. */
static const float *adjust(struct tx_sampler *sampler, const struct tx_sampling *sampling,
                           const struct tx_sample_input *input)
{
    if (sampling->logit_bias_count == 0 && !tx_sampling_looks_back(sampling))
        return input->logits;
    memcpy(sampler->adjusted, input->logits,
           (size_t)sampler->vocab_size * sizeof *sampler->adjusted);
    for (int32_t i = 0; i < sampling->logit_bias_count; i++) {
        const struct tx_logit_bias *bias = &sampling->logit_bias[i];
        if (bias->id >= 0 && bias->id < sampler->vocab_size)
            sampler->adjusted[bias->id] = (float)((double)sampler->adjusted[bias->id] + bias->bias);
    }
    if (tx_sampling_looks_back(sampling))
        apply_penalties(sampler, sampling, input);
    return sampler->adjusted;
}

/* --- filters ------------------------------------------------------------------------------ */

/* Sum block by block, as the draw walks them. */
static double total_weight(const struct tx_sampler *sampler)
{
    double total = 0;
    for (int32_t at = 0; at < sampler->count; at += BLOCK)
        total += sampler->loops->sum(sampler->weights + at,
                                     sampler->count - at < BLOCK ? sampler->count - at : BLOCK);
    return total;
}

/* Order of floats as order of unsigned integers; +0 and -0 are one. */
static inline uint32_t ordered_bits(float value)
{
    uint32_t bits;
    value += 0.0f;
    memcpy(&bits, &value, sizeof bits);
    return bits ^ (bits >> 31 ? UINT32_MAX : (uint32_t)1 << 31);
}

static void keys_from_logits(struct tx_sampler *sampler)
{
    for (int32_t i = 0; i < sampler->count; i++)
        sampler->keys[i] = ordered_bits(sampler->logits[i]);
}

/* The part of the range in which the mass reaches the target, counted from the top (the lowest
 * used one when rounding keeps it from ever doing so); *reached becomes the mass above it. */
static uint32_t find_part(const double *mass, double target, double *reached)
{
    uint32_t part = 0;
    double above = *reached, sum = *reached;
    for (int i = RADIX - 1; i >= 0; i--) {
        if (mass[i] == 0)
            continue;
        above = sum;
        sum += mass[i];
        part = (uint32_t)i;
        if (sum >= target)
            break;
    }
    *reached = above;
    return part;
}

/* Narrows the undecided candidates to those of one part of their range; gives how many. */
static int32_t narrow(struct tx_sampler *sampler, int32_t undecided, int shift, double target,
                      double *reached)
{
    double *mass = sampler->mass;
    int32_t *range = sampler->range, left = 0;
    memset(mass, 0, sizeof sampler->mass);
    for (int32_t i = 0; i < undecided; i++)
        mass[sampler->keys[range[i]] >> shift & (RADIX - 1)] += sampler->weights[range[i]];
    uint32_t part = find_part(mass, target, reached);
    for (int32_t i = 0; i < undecided; i++) {
        int32_t place = range[i];
        range[left] = place;
        left += (sampler->keys[place] >> shift & (RADIX - 1)) == part;
    }
    return left;
}

/* Keeps the fewest candidates of largest key whose weights together reach the target: at least
 * one, and of equal keys the lower ids. One weight at least is above 0. */
static void keep_mass(struct tx_sampler *sampler, double target)
{
    double reached = 0;
    int32_t undecided = sampler->count, equals = 0, kept = 0;
    for (int32_t i = 0; i < undecided; i++)
        sampler->range[i] = i;
    for (int shift = 32 - RADIX_BITS;; shift = shift > RADIX_BITS ? shift - RADIX_BITS : 0) {
        undecided = narrow(sampler, undecided, shift, target, &reached);
        if (shift == 0 || undecided == 1)
            break;
    }
    uint32_t bound = sampler->keys[sampler->range[0]];
    while (equals < undecided) {
        reached += sampler->weights[sampler->range[equals++]];
        if (reached >= target)
            break;
    }
    for (int32_t i = 0; i < sampler->count; i++) {
        bool keeps = sampler->keys[i] > bound;
        if (sampler->keys[i] == bound)
            keeps = equals-- > 0;
        sampler->ids[kept] = sampler->ids[i];
        sampler->logits[kept] = sampler->logits[i];
        sampler->weights[kept] = sampler->weights[i];
        kept += keeps;
    }
    sampler->count = kept;
}

/* Most of a vocabulary lies far below the likeliest token: drops it when what is left reaches the
 * target for sure, so that keep_mass has little to look at. */
static void drop_tail(struct tx_sampler *sampler, float maximum, double target)
{
    static const float depths[] = {4, 10};
    int32_t *range = sampler->range;
    for (int d = 0; d < 2; d++) {
        float bound = maximum - depths[d];
        int32_t count = 0;
        double sum = 0;
        for (int32_t i = 0; i < sampler->count; i++) {
            range[count] = i;
            count += sampler->logits[i] >= bound;
        }
        for (int32_t i = 0; i < count; i++)
            sum += sampler->weights[range[i]];
        /* summed in another order than keep_mass does; typical may have dropped the likeliest */
        if (count == 0 || sum < target * (1 + 1e-9))
            continue;
        for (int32_t i = 0; i < count; i++) {
            sampler->ids[i] = sampler->ids[range[i]];
            sampler->logits[i] = sampler->logits[range[i]];
            sampler->weights[i] = sampler->weights[range[i]];
        }
        sampler->count = count;
        return;
    }
}

/* Keeps the top_k candidates of largest logit. */
static void keep_top_k(struct tx_sampler *sampler, int64_t top_k)
{
    if (top_k >= sampler->count)
        return;
    keys_from_logits(sampler);
    for (int32_t i = 0; i < sampler->count; i++)
        sampler->weights[i] = 1;
    keep_mass(sampler, (double)top_k);
}

/* Logarithm of a candidate's weight; infinite logits share the probability. */
static inline double log_weight(float logit, float maximum)
{
    return logit == maximum ? 0 : (double)logit - (double)maximum;
}

/* Typical: prefers candidates whose surprise -log p is near the entropy (to float precision). */
static void keep_typical(struct tx_sampler *sampler, double typical_p, float maximum)
{
    double total = total_weight(sampler), log_total = log(total), entropy = 0;
    for (int32_t i = 0; i < sampler->count; i++)
        if (sampler->weights[i] > 0)
            entropy +=
                sampler->weights[i] / total * (log_total - log_weight(sampler->logits[i], maximum));
    for (int32_t i = 0; i < sampler->count; i++) {
        double surprise = log_total - log_weight(sampler->logits[i], maximum);
        sampler->keys[i] = ordered_bits((float)-fabs(surprise - entropy));
    }
    keep_mass(sampler, typical_p * total);
}

/* Drops candidates less likely than min_p times the likeliest. */
static void keep_min_p(struct tx_sampler *sampler, double min_p)
{
    int32_t kept = 0;
    float maximum = sampler->loops->largest(sampler->logits, sampler->count);
    double least = (double)maximum + log(min_p);
    for (int32_t i = 0; i < sampler->count; i++) {
        float logit = sampler->logits[i];
        sampler->ids[kept] = sampler->ids[i];
        sampler->logits[kept] = logit;
        sampler->weights[kept] = sampler->weights[i];
        kept += logit == maximum || (double)logit >= least;
    }
    sampler->count = kept;
}

/* A bound that at least top_k logits reach: the top_k-th of the maxima of small blocks. */
static float lower_bound(struct tx_sampler *sampler, const float *logits, int64_t top_k)
{
    int32_t blocks = sampler->vocab_size / BOUND_BLOCK;
    float bound = INFINITY;
    if (top_k == 0 || top_k > blocks)
        return -INFINITY;
    for (int32_t i = 0; i < blocks; i++)
        sampler->logits[i] = sampler->loops->largest(logits + (size_t)i * BOUND_BLOCK, BOUND_BLOCK);
    sampler->count = blocks;
    keep_top_k(sampler, top_k);
    for (int32_t i = 0; i < sampler->count; i++)
        bound = sampler->logits[i] < bound ? sampler->logits[i] : bound;
    return bound;
}

/* Makes candidates of the logits that reach the bound; NaN counts as -inf. */
static void gather(struct tx_sampler *sampler, const float *logits, float bound)
{
    int32_t count = 0;
    if (bound == -INFINITY) {
        sampler->loops->take_all(logits, sampler->vocab_size, sampler->ids, sampler->logits);
        sampler->count = sampler->vocab_size;
        return;
    }
    for (int32_t id = 0; id < sampler->vocab_size; id++) {
        float logit = logits[id] >= -INFINITY ? logits[id] : -INFINITY;
        sampler->ids[count] = id;
        sampler->logits[count] = logit;
        count += logit >= bound;
    }
    sampler->count = count;
}

/* Leaves the candidates; true when their weights (at temperature 1) are known. */
static bool filter(struct tx_sampler *sampler, const float *logits, float maximum,
                   const struct tx_sampling *sampling)
{
    bool typical = sampling->typical_p > 0 && sampling->typical_p < 1;
    bool weighted = typical || sampling->top_p < 1;
    gather(sampler, logits, lower_bound(sampler, logits, sampling->top_k));
    if (sampling->top_k > 0)
        keep_top_k(sampler, sampling->top_k);
    if (weighted)
        sampler->loops->fill_weights(sampler->logits, sampler->count, maximum, 1, sampler->weights);
    if (typical)
        keep_typical(sampler, sampling->typical_p, maximum);
    if (sampling->top_p < 1) {
        double target = sampling->top_p * total_weight(sampler);
        drop_tail(sampler, maximum, target);
        keys_from_logits(sampler);
        keep_mass(sampler, target);
    }
    if (sampling->min_p > 0)
        keep_min_p(sampler, sampling->min_p);
    return weighted;
}

/* --- the draw ----------------------------------------------------------------------------- */

/* Draws by the weights, one of which at least is above 0. */
static int32_t draw(const struct tx_sampler *sampler, double unit)
{
    double target = unit * total_weight(sampler), reached = 0;
    int32_t last = -1;
    for (int32_t at = 0; at < sampler->count; at += BLOCK) {
        int32_t end = sampler->count - at < BLOCK ? sampler->count : at + BLOCK;
        double sum = sampler->loops->sum(sampler->weights + at, end - at);
        if (reached + sum <= target && end < sampler->count) {
            reached += sum;
            continue;
        }
        for (int32_t i = at; i < end; i++) {
            if (sampler->weights[i] > 0)
                last = i;
            reached += sampler->weights[i];
            if (last >= 0 && reached > target)
                return sampler->ids[last];
        }
        if (last >= 0) /* rounding: the block's parts add up to less than its sum */
            return sampler->ids[last];
    }
    for (last = sampler->count - 1; last > 0 && sampler->weights[last] == 0;)
        last--; /* rounding again, and nothing likely in the last block */
    return sampler->ids[last];
}

static const char *wrong_setting(const struct tx_sampling *sampling)
{
    if (!(sampling->temperature >= 0 && isfinite(sampling->temperature)))
        return "temperature";
    if (sampling->top_k < 0)
        return "top-k";
    if (!(sampling->typical_p >= 0 && sampling->typical_p <= 1))
        return "typical-p";
    if (!(sampling->top_p >= 0 && sampling->top_p <= 1))
        return "top-p";
    if (!(sampling->min_p >= 0 && sampling->min_p <= 1))
        return "min-p";
    if (sampling->last_n < -1)
        return "the window of the penalties";
    if (!(sampling->repetition_penalty >= 0 && isfinite(sampling->repetition_penalty)))
        return "repetition penalty";
    if (!isfinite(sampling->presence_penalty))
        return "presence penalty";
    if (!isfinite(sampling->frequency_penalty))
        return "frequency penalty";
    if (sampling->logit_bias_count < 0 || sampling->logit_bias_count > TX_LOGIT_BIASES_MAX)
        return "the number of logit biases";
    for (int32_t i = 0; i < sampling->logit_bias_count; i++)
        if (!(sampling->logit_bias[i].bias < (double)INFINITY)) /* NaN too */
            return "a logit bias";
    return NULL;
}

enum hasten_status tx_sampling_check(const struct tx_sampling *sampling, struct hs_error *error)
{
    const char *wrong = wrong_setting(sampling);
    if (!wrong)
        return HASTEN_OK;
    return hs_fail(error, HASTEN_INVALID_ARGUMENT,
                   "temperature, top-k and repetition penalty are at least 0, typical-p, top-p and "
                   "min-p between 0 and 1, the other penalties and biases finite",
                   "%s is out of range", wrong);
}

enum hasten_status tx_sample(struct tx_sampler *sampler, const struct tx_sampling *sampling,
                             const struct tx_sample_input *input, struct hs_error *error,
                             int32_t *token_out)
{
    HS_TRY(tx_sampling_check(sampling, error));
    const float *logits = adjust(sampler, sampling, input);
    float maximum = sampler->loops->largest(logits, sampler->vocab_size);
    if (maximum == -INFINITY && logits != input->logits &&
        sampler->loops->largest(input->logits, sampler->vocab_size) != -INFINITY)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "forbid fewer tokens",
                       "logit bias and penalties leave no token");
    if (maximum == -INFINITY)
        return hs_fail(error, HASTEN_INTERNAL, NULL, "logits are all NaN");
    if (sampling->temperature == 0) {
        *token_out = first_of(logits, maximum);
        return HASTEN_OK;
    }
    bool weighted = filter(sampler, logits, maximum, sampling);
    if (!weighted || sampling->temperature != 1)
        sampler->loops->fill_weights(sampler->logits, sampler->count,
                                     sampler->loops->largest(sampler->logits, sampler->count),
                                     1 / sampling->temperature, sampler->weights);
    double unit = hs_rng_unit(sampling->seed, RNG_STREAM, input->output_index);
    *token_out = draw(sampler, unit);
    return HASTEN_OK;
}

/* --- log probabilities -------------------------------------------------------------------- */

/* Puts a token into the list of the best, which is in order and holds at most `top`. */
static inline void insert_top(struct tx_logprobs *list, int32_t top, int32_t id, float logit)
{
    double value = logit >= -INFINITY ? (double)logit : -(double)INFINITY; /* NaN */
    int32_t at = list->top_count;
    if (at == top && !(value > list->top[at - 1].logprob))
        return;
    if (at == top)
        at--;
    else
        list->top_count++;
    for (; at > 0 && value > list->top[at - 1].logprob; at--)
        list->top[at] = list->top[at - 1];
    list->top[at] = (struct tx_logprob){id, value};
}

/* logit - log_sum in logarithms; infinite logits share the probability among them. */
static double log_probability(double logit, double maximum, double log_total)
{
    return (logit == maximum ? 0 : logit - maximum) - log_total;
}

void tx_logprobs_of(const float *logits, int32_t vocab_size, int32_t id, int32_t top,
                    struct tx_logprobs *logprobs_out)
{
    const struct tx_softmax_loops *loops = tx_softmax_loops(hs_cpu_get()->chosen);
    if (top > TX_LOGPROBS_MAX)
        top = TX_LOGPROBS_MAX;
    if (top > vocab_size)
        top = vocab_size;
    float maximum = loops->largest(logits, vocab_size);
    double total = 0, weights[BLOCK];
    logprobs_out->top_count = 0;
    for (int32_t at = 0; at < vocab_size; at += BLOCK) {
        int32_t count = vocab_size - at < BLOCK ? vocab_size - at : BLOCK;
        loops->fill_weights(logits + at, count, maximum, 1, weights);
        total += loops->sum(weights, count);
        for (int32_t i = at; top > 0 && i < at + count; i++)
            insert_top(logprobs_out, top, i, logits[i]);
    }
    double log_total = log(total);
    for (int32_t i = 0; i < logprobs_out->top_count; i++)
        logprobs_out->top[i].logprob =
            log_probability(logprobs_out->top[i].logprob, (double)maximum, log_total);
    double chosen =
        id < 0 || id >= vocab_size || isnan(logits[id]) ? -(double)INFINITY : (double)logits[id];
    logprobs_out->chosen =
        (struct tx_logprob){id, log_probability(chosen, (double)maximum, log_total)};
}
