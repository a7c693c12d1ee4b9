/*
 * Counter-based random numbers: value = f(seed, stream, counter), no state, so that batch, thread
 * count and recompute never change a sample. Philox4x32-10 (Salmon et al., "Parallel Random
 * Numbers: As Easy as 1, 2, 3", SC 2011); tested against the paper's known answers.
 */
#ifndef HASTEN_BASE_RNG_H
#define HASTEN_BASE_RNG_H

#include <stdint.h>

/* Raw Philox4x32-10 block: counter[4], key[2] -> out[4]. */
void hs_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* 64 random bits for (seed, stream, counter). */
uint64_t hs_rng_u64(uint64_t seed, uint64_t stream, uint64_t counter);
/* Uniform double in [0, 1) with 53 bits. */
double hs_rng_unit(uint64_t seed, uint64_t stream, uint64_t counter);

#endif
