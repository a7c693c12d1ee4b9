/*
 * Least squares with non-negative factors: each subset of the three terms is solved by elimination,
 * and the best of those without a negative factor is taken (Lawson and Hanson 1974, chapter 23, for
 * a case so small that all subsets can be tried).
 */
#include "engine/step_cost.h"

#include <stdbool.h>

#define KEPT     0.99
#define SINGULAR 1e-9 /* of a term's own square: what elimination may leave of it */
#define BETTER   1e-6 /* of the squares of all times: what a later subset must gain */

void en_step_cost_add(struct en_step_cost *cost, int32_t rows, double reach, uint64_t ns)
{
    const double term[EN_COST_TERMS] = {1, rows, reach}, t = (double)ns;
    for (int i = 0; i < EN_COST_TERMS; i++) {
        for (int k = 0; k < EN_COST_TERMS; k++)
            cost->term_term[i][k] = cost->term_term[i][k] * KEPT + term[i] * term[k];
        cost->term_ns[i] = cost->term_ns[i] * KEPT + term[i] * t;
    }
    cost->ns_ns = cost->ns_ns * KEPT + t * t;
}

/* Gauss-Jordan on the terms in `mask`; false when they depend on each other or one is negative. */
static bool solve(const struct en_step_cost *cost, unsigned mask, double factor[EN_COST_TERMS])
{
    double a[EN_COST_TERMS][EN_COST_TERMS + 1];
    for (int i = 0; i < EN_COST_TERMS; i++) {
        for (int k = 0; k < EN_COST_TERMS; k++)
            a[i][k] = cost->term_term[i][k];
        a[i][EN_COST_TERMS] = cost->term_ns[i];
        factor[i] = 0;
    }
    for (int i = 0; i < EN_COST_TERMS; i++) {
        if (!(mask >> i & 1))
            continue;
        if (a[i][i] <= SINGULAR * cost->term_term[i][i])
            return false;
        for (int r = 0; r < EN_COST_TERMS; r++) {
            double ratio = a[r][i] / a[i][i];
            for (int k = i; k <= EN_COST_TERMS && r != i; k++)
                a[r][k] -= ratio * a[i][k];
        }
    }
    for (int i = 0; i < EN_COST_TERMS; i++)
        if (mask >> i & 1) {
            factor[i] = a[i][EN_COST_TERMS] / a[i][i];
            if (factor[i] < 0)
                return false;
        }
    return true;
}

/* Sum of the squares of what the line does not explain. */
static double rest(const struct en_step_cost *cost, const double factor[EN_COST_TERMS])
{
    double left = cost->ns_ns;
    for (int i = 0; i < EN_COST_TERMS; i++)
        left -= factor[i] * cost->term_ns[i];
    return left;
}

struct en_cost_line en_step_cost_line(const struct en_step_cost *cost)
{
    static const unsigned masks[] = {1, 3, 7, 5, 6, 2, 4}; /* bit 0 base, 1 row, 2 reach */
    double best[EN_COST_TERMS] = {0}, least = cost->ns_ns;
    for (unsigned i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        double factor[EN_COST_TERMS];
        if (!solve(cost, masks[i], factor) || rest(cost, factor) >= least - BETTER * cost->ns_ns)
            continue;
        least = rest(cost, factor);
        for (int k = 0; k < EN_COST_TERMS; k++)
            best[k] = factor[k];
    }
    return (struct en_cost_line){best[0], best[1], best[2]};
}
