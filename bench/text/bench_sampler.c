/*
 * Micro benchmark of the sampler, one thread: microseconds a sample, best of the rounds, for the
 * usual settings and vocabularies. Logits are normal with a deviation of 2, but for a few likely
 * ones, as a model's are. The machine class is the best one or what HASTEN_CPU says.
 *
 *   bench_sampler [rounds]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "text/sampler.h"

enum { LARGEST = 262144 };

struct setting {
    const char *name;
    double temperature, top_p, min_p;
    int64_t top_k;
};

static const struct setting settings[] = {
    {"greedy", 0, 1, 0, 0},
    {"temperature 1", 1, 1, 0, 0},
    {"temperature 1, top_p 0.95", 1, 0.95, 0, 0},
    {"temperature 0.8, top_k 40, top_p 0.95, min_p 0.05", 0.8, 0.95, 0.05, 40},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

static float logits[LARGEST];

static double best_us(struct tx_sampler *sampler, const struct setting *setting, int rounds)
{
    double best = INFINITY;
    struct tx_sampling sampling = tx_sampling_default();
    sampling.temperature = setting->temperature;
    sampling.top_p = setting->top_p;
    sampling.min_p = setting->min_p;
    sampling.top_k = setting->top_k;
    for (int i = 0; i < rounds; i++) {
        struct tx_sample_input input = {.logits = logits, .output_index = (uint64_t)i};
        int32_t token;
        uint64_t start_ns = hs_clock_ns();
        if (tx_sample(sampler, &sampling, &input, NULL, &token) != HASTEN_OK)
            exit(1);
        double us = (double)(hs_clock_ns() - start_ns) * 1e-3;
        best = us < best ? us : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    static const int32_t vocabularies[] = {49152, LARGEST};
    int rounds = argc > 1 ? atoi(argv[1]) : 200;
    for (int i = 0; i < LARGEST; i++) /* Box and Muller */
        logits[i] = (float)(2 * sqrt(-2 * log(1 - hs_rng_unit(1, 1, (uint64_t)i))) *
                            cos(6.283185307179586 * hs_rng_unit(1, 2, (uint64_t)i)));
    for (int i = 0; i < 20; i++)
        logits[(i * 7919 + 5) % 49152] = (float)(16 - 0.4 * i);
    printf("%s\n", hs_cpu_class_name(hs_cpu_get()->chosen));
    for (int v = 0; v < 2; v++) {
        struct tx_sampler *sampler;
        if (tx_sampler_open(vocabularies[v], NULL, &sampler) != HASTEN_OK)
            return 1;
        for (int s = 0; s < SETTINGS; s++)
            printf("%6d tokens, %-50s %8.1f us\n", (int)vocabularies[v], settings[s].name,
                   best_us(sampler, &settings[s], rounds));
        tx_sampler_close(&sampler);
    }
    return 0;
}
