/*
 * What a step costs, learned while running: ns = base + per_row * rows, by least squares over the
 * steps seen, each new one forgetting the old by 1 %. Reading the weights is the base, arithmetic
 * the slope; both drift with the machine's other work, which is why they are measured and not
 * computed. One thread at a time.
 */
#ifndef HASTEN_ENGINE_STEP_COST_H
#define HASTEN_ENGINE_STEP_COST_H

#include <stdint.h>

struct en_step_cost {
    double weight, rows, rows_rows, ns, rows_ns; /* decayed sums; zero: nothing seen */
};

void en_step_cost_add(struct en_step_cost *cost, int32_t rows, uint64_t ns);
/* Expected duration; 0 while nothing was seen. */
double en_step_cost_ns(const struct en_step_cost *cost, int32_t rows);
/* Most rows (0 to rows_max) of a step that is expected to take at most budget_ns; rows_max while
 * nothing was seen. */
int32_t en_step_cost_rows(const struct en_step_cost *cost, double budget_ns, int32_t rows_max);

#endif
