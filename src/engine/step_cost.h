/*
 * What a step costs, learned while running: ns = base + row * rows + reach * reach, by least
 * squares over the steps seen, each new one forgetting the old by 1 %. base is reading the weights,
 * row the mat-muls of a row, reach the attention of a row to a position before it. All drift with
 * the machine's other work, which is why they are measured and not computed. Terms that the steps
 * seen cannot tell apart count as the earlier one. One thread at a time.
 */
#ifndef HASTEN_ENGINE_STEP_COST_H
#define HASTEN_ENGINE_STEP_COST_H

#include <stdint.h>

#define EN_COST_TERMS 3

struct en_step_cost { /* decayed sums over the steps; zero: nothing seen */
    double term_term[EN_COST_TERMS][EN_COST_TERMS], term_ns[EN_COST_TERMS], ns_ns;
};

struct en_cost_line { /* none is negative; all 0 while nothing was seen */
    double base_ns, row_ns, reach_ns;
};

/* rows: of the step; reach: sum over them of the positions each one attends. */
void en_step_cost_add(struct en_step_cost *cost, int32_t rows, double reach, uint64_t ns);
struct en_cost_line en_step_cost_line(const struct en_step_cost *cost);

#endif
