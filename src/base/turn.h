/*
 * Turn: a lock that is handed on in the order it was asked for (ticket lock, Mellor-Crummey and
 * Scott 1991), for waits of milliseconds: who waits sleeps on a futex and is the only one woken.
 * A pthread mutex lets the thread that just gave it back take it again at once, so that one stream
 * of steps would starve the others.
 *
 * Not recursive. Zero-initialise. Any threads; neither function fails or allocates.
 */
#ifndef HASTEN_BASE_TURN_H
#define HASTEN_BASE_TURN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct hs_turn {
    _Atomic uint32_t next;    /* ticket of whoever asks next */
    _Atomic uint32_t serving; /* ticket that has the turn; futex word */
};

/* Waits for all who asked before. */
void hs_turn_take(struct hs_turn *turn);
/* Takes it only if nobody has it or waits. */
bool hs_turn_try(struct hs_turn *turn);
void hs_turn_give(struct hs_turn *turn);

#endif
