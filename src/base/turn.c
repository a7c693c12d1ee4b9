/*
 * Turn; see turn.h.
 *
 * A waiter sleeps under the bit of its ticket, and whoever gives the turn wakes that bit only (two
 * waiters 32 tickets apart share one: the other looks and sleeps again). No wake-up is lost: the
 * giver stores `serving` first and reads `next` second, a taker adds to `next` first and reads
 * `serving` second, all sequentially consistent; and the kernel does not let anybody sleep on a
 * value of `serving` that is gone.
 */
#include "base/turn.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint32_t bit_of(uint32_t ticket)
{
    return UINT32_C(1) << (ticket & 31);
}

void hs_turn_take(struct hs_turn *turn)
{
    uint32_t ticket = atomic_fetch_add(&turn->next, 1);
    uint32_t serving;
    while ((serving = atomic_load(&turn->serving)) != ticket)
        (void)syscall(SYS_futex, &turn->serving, FUTEX_WAIT_BITSET_PRIVATE, serving, NULL, NULL,
                      bit_of(ticket));
}

/* Nobody holds the ticket that is served: whoever gets it has the turn at once. */
bool hs_turn_try(struct hs_turn *turn)
{
    uint32_t ticket = atomic_load(&turn->serving);
    return atomic_compare_exchange_strong(&turn->next, &ticket, ticket + 1);
}

void hs_turn_give(struct hs_turn *turn)
{
    uint32_t next = atomic_load_explicit(&turn->serving, memory_order_relaxed) + 1;
    atomic_store(&turn->serving, next);
    if (atomic_load(&turn->next) != next)
        (void)syscall(SYS_futex, &turn->serving, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL,
                      bit_of(next));
}
