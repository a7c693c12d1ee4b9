/* Weighted least squares with two unknowns; see step_cost.h. */
#include "engine/step_cost.h"

#define KEPT 0.99

struct line {
    double base, slope;
};

/* Slope and base are not negative: a cost that falls with rows is noise. */
static struct line fit(const struct en_step_cost *cost)
{
    struct line line = {0, 0};
    double spread = cost->weight * cost->rows_rows - cost->rows * cost->rows;
    if (cost->weight <= 0)
        return line;
    /* steps of one size only tell nothing about the slope: all of it counts as base */
    if (spread > 1e-6 * cost->rows_rows * cost->weight)
        line.slope = (cost->weight * cost->rows_ns - cost->rows * cost->ns) / spread;
    if (line.slope < 0)
        line.slope = 0;
    line.base = (cost->ns - line.slope * cost->rows) / cost->weight;
    if (line.base < 0) {
        line.base = 0;
        line.slope = cost->rows_ns / cost->rows_rows;
    }
    return line;
}

void en_step_cost_add(struct en_step_cost *cost, int32_t rows, uint64_t ns)
{
    double n = rows, t = (double)ns;
    cost->weight = cost->weight * KEPT + 1;
    cost->rows = cost->rows * KEPT + n;
    cost->rows_rows = cost->rows_rows * KEPT + n * n;
    cost->ns = cost->ns * KEPT + t;
    cost->rows_ns = cost->rows_ns * KEPT + n * t;
}

double en_step_cost_ns(const struct en_step_cost *cost, int32_t rows)
{
    struct line line = fit(cost);
    return line.base + line.slope * rows;
}

int32_t en_step_cost_rows(const struct en_step_cost *cost, double budget_ns, int32_t rows_max)
{
    struct line line = fit(cost);
    if (cost->weight <= 0 || line.base + line.slope * rows_max <= budget_ns)
        return rows_max;
    if (line.base >= budget_ns || line.slope <= 0)
        return 0;
    return (int32_t)((budget_ns - line.base) / line.slope);
}
