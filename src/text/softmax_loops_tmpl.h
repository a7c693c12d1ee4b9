/*
 * Body of softmax_loops*.c: define LOOPS as the table's name, then include this.
 *
 * The exponential function is our own: plain double arithmetic in a fixed order gives the same
 * sample on every machine, and compilers turn it into vector instructions.
 */
#include <math.h>
#include <string.h>

#include "text/softmax_loops.h"

enum { LANES = 16, SUM_LANES = 8, BLOCK = 1024 };

/* 16 independent lanes, so that compilers use vector compares. */
static float largest(const float *values, int32_t count)
{
    float lanes[LANES];
    for (int lane = 0; lane < LANES; lane++)
        lanes[lane] = -INFINITY;
    int32_t at = 0;
    for (; at + LANES <= count; at += LANES)
        for (int lane = 0; lane < LANES; lane++)
            lanes[lane] = values[at + lane] > lanes[lane] ? values[at + lane] : lanes[lane];
    for (; at < count; at++)
        lanes[0] = values[at] > lanes[0] ? values[at] : lanes[0];
    for (int lane = 1; lane < LANES; lane++)
        lanes[0] = lanes[lane] > lanes[0] ? lanes[lane] : lanes[0];
    return lanes[0];
}

static void take_all(const float *logits, int32_t count, int32_t *ids_out, float *logits_out)
{
    for (int32_t i = 0; i < count; i++) {
        ids_out[i] = i;
        logits_out[i] = logits[i] >= -INFINITY ? logits[i] : -INFINITY;
    }
}

/* exp(x) for -700 <= x <= 0, relative error below 1e-14: 2^n exp(r), |r| <= ln(2) / 2, Taylor. */
static inline double exponential(double x)
{
    static const double round_to_whole = 6755399441055744.0; /* 1.5 * 2^52 */
    double shifted = x * 1.4426950408889634 + round_to_whole, n = shifted - round_to_whole;
    double r = x - n * 6.93147180369123816490e-01 - n * 1.90821492927058770002e-10, sum;
    sum = 1.0 / 39916800;
    sum = sum * r + 1.0 / 3628800;
    sum = sum * r + 1.0 / 362880;
    sum = sum * r + 1.0 / 40320;
    sum = sum * r + 1.0 / 5040;
    sum = sum * r + 1.0 / 720;
    sum = sum * r + 1.0 / 120;
    sum = sum * r + 1.0 / 24;
    sum = sum * r + 1.0 / 6;
    sum = sum * r + 0.5;
    sum = sum * r + 1;
    sum = sum * r + 1;
    uint64_t bits;
    double power;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52; /* n stands in the lowest bits of shifted */
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

static void fill_weights(const float *logits, int32_t count, float maximum, double scale,
                         double *weights)
{
    const double lowest = -700, least = exponential(lowest);
    if (isinf(maximum)) { /* infinite logits share the probability */
        for (int32_t i = 0; i < count; i++)
            weights[i] = logits[i] == maximum;
        return;
    }
    /* Two loops, because gcc vectorises no comparison beside the rest; a block stays in L1. Taking
     * `least` away makes the lowest 0, no others change. */
    for (int32_t at = 0; at < count; at += BLOCK) {
        int32_t end = count - at < BLOCK ? count : at + BLOCK;
        for (int32_t i = at; i < end; i++) {
            double x = ((double)logits[i] - (double)maximum) * scale;
            weights[i] = x > lowest ? x : lowest;
        }
        for (int32_t i = at; i < end; i++)
            weights[i] = exponential(weights[i]) - least;
    }
}

static double sum_of(const double *weights, int32_t count)
{
    double lanes[SUM_LANES] = {0};
    int32_t at = 0;
    for (; at + SUM_LANES <= count; at += SUM_LANES)
        for (int lane = 0; lane < SUM_LANES; lane++)
            lanes[lane] += weights[at + lane];
    for (; at < count; at++)
        lanes[0] += weights[at];
    for (int lane = 1; lane < SUM_LANES; lane++)
        lanes[0] += lanes[lane];
    return lanes[0];
}

const struct tx_softmax_loops LOOPS = {largest, take_all, fill_weights, sum_of};
