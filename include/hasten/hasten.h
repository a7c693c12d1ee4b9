/*
 * hasten: fast answers from trained models, as a library.
 *
 * A program opens a model (model.h), turns text into tokens (text.h), opens a sequence on the model
 * and generates on it (sequence.h), choosing tokens as struct hasten_sampling says (sampling.h).
 * examples/answer.c is a complete program; docs/EMBEDDING.md tells how to build against the
 * library.
 *
 * Three rules hold everywhere:
 *   - Failures are values (status.h). Nothing is printed, no function ends the process.
 *   - Structs of options and results begin with `size`, set by their _init function: so they can
 *     grow without breaking programs that were compiled before.
 *   - What a function hands out as *_out is the caller's: each function names what gives it back.
 */
#ifndef HASTEN_HASTEN_H
#define HASTEN_HASTEN_H

#include <hasten/model.h>
#include <hasten/sampling.h>
#include <hasten/sequence.h>
#include <hasten/status.h>
#include <hasten/text.h>
#include <hasten/version.h>

#endif
