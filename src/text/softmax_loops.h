/*
 * The sampler's passes over a whole vocabulary: the largest logit, candidates, weights of the
 * softmax, their sum. One source (softmax_loops_tmpl.h), compiled once for each machine class;
 * every class gives the same bits, since all arithmetic is written out lane by lane and compilers
 * may not contract it. For the files of this room only.
 */
#ifndef HASTEN_TEXT_SOFTMAX_LOOPS_H
#define HASTEN_TEXT_SOFTMAX_LOOPS_H

#include <stdint.h>

#include "base/cpu.h"

struct tx_softmax_loops {
    /* Largest of values[0..count); NaN loses every comparison: -inf when all are NaN. */
    float (*largest)(const float *values, int32_t count);
    /* ids_out[i] = i, logits_out[i] = logits[i], or -inf for NaN. */
    void (*take_all)(const float *logits, int32_t count, int32_t *ids_out, float *logits_out);
    /* weights[i] = exp((logits[i] - maximum) * scale), 0 for NaN and below e^-700. */
    void (*fill_weights)(const float *logits, int32_t count, float maximum, double scale,
                         double *weights);
    double (*sum)(const double *weights, int32_t count);
};

/* Of the class, or of the next lower one that there is. */
const struct tx_softmax_loops *tx_softmax_loops(enum hs_cpu_class cpu_class);

#define TX_SOFTMAX_LOOPS(name) extern const struct tx_softmax_loops name
TX_SOFTMAX_LOOPS(tx_softmax_loops_ref);
TX_SOFTMAX_LOOPS(tx_softmax_loops_avx2);
TX_SOFTMAX_LOOPS(tx_softmax_loops_avx512vnni);

#endif
