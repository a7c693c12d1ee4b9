/* Turn: one at a time, and in the order asked. Labelled threads. */
#include "base/turn.h"

#include <pthread.h>
#include <unistd.h>

#include "harness/test.h"

enum { THREADS = 5, ROUNDS = 2000 };

static struct hs_turn turn;
static long counter; /* plain: only the turn protects it */

static void *add(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 3 != 0 || !hs_turn_try(&turn)) /* both ways exclude each other */
            hs_turn_take(&turn);
        counter++;
        hs_turn_give(&turn);
    }
    return unused;
}

TEST(one_at_a_time)
{
    pthread_t threads[THREADS];
    counter = 0;
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, add, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(counter, THREADS * ROUNDS);
}

static int order[THREADS], arrived;

static void *arrive(void *number)
{
    hs_turn_take(&turn);
    order[arrived++] = *(int *)number;
    hs_turn_give(&turn);
    return NULL;
}

/* Each asks only after the one before stands in the queue. */
TEST(in_the_order_asked)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    arrived = 0;
    hs_turn_take(&turn);
    for (int i = 0; i < THREADS; i++) {
        uint32_t before = atomic_load(&turn.next);
        numbers[i] = i;
        CHECK_INT(pthread_create(&threads[i], NULL, arrive, &numbers[i]), 0);
        while (atomic_load(&turn.next) == before)
            usleep(100);
    }
    hs_turn_give(&turn);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(order[i], i);
}

TEST(trying_never_waits)
{
    CHECK(hs_turn_try(&turn));
    CHECK(!hs_turn_try(&turn));
    hs_turn_give(&turn);
    CHECK(hs_turn_try(&turn));
    hs_turn_give(&turn);
    hs_turn_take(&turn);
    CHECK(!hs_turn_try(&turn));
    hs_turn_give(&turn);
}

TEST_MAIN()
