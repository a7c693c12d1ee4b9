/* Shared teams: who asks for as many threads gets the same team; teams of one are their own. */
#include "runtime/shared_team.h"

#include <pthread.h>
#include <stdatomic.h>

#include "harness/test.h"

TEST(same_number_same_team)
{
    struct rt_team *a = NULL, *b = NULL, *c = NULL, *alone[2] = {NULL, NULL};
    CHECK_INT(rt_team_share(2, NULL, &a), HASTEN_OK);
    CHECK_INT(rt_team_share(2, NULL, &b), HASTEN_OK);
    CHECK_INT(rt_team_share(3, NULL, &c), HASTEN_OK);
    CHECK_INT(rt_team_share(1, NULL, &alone[0]), HASTEN_OK);
    CHECK_INT(rt_team_share(1, NULL, &alone[1]), HASTEN_OK);
    CHECK(a == b && a != c && alone[0] != alone[1]);
    CHECK_INT(hs_team_threads(rt_team_members(a)), 2);
    CHECK_INT(hs_team_threads(rt_team_members(c)), 3);
    rt_team_release(&a);
    CHECK(!a);
    CHECK_INT(hs_team_threads(rt_team_members(b)), 2); /* still held */
    rt_team_release(&b);
    rt_team_release(&b); /* nothing */
    rt_team_release(&c);
    rt_team_release(&alone[0]);
    rt_team_release(&alone[1]);
}

TEST(errors_leave_no_team_behind)
{
    struct rt_team *team = NULL;
    CHECK_INT(rt_team_share(1 << 20, NULL, &team), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(rt_team_share(0, NULL, &team), HASTEN_INVALID_ARGUMENT);
    CHECK(!team);
}

static atomic_long sum;

static void add_member(void *context, int member, int threads)
{
    (void)context;
    (void)threads;
    atomic_fetch_add(&sum, 1 + member);
}

static void *open_use_close(void *unused)
{
    for (int i = 0; i < 20; i++) {
        struct rt_team *team = NULL;
        if (rt_team_share(2 + i % 2, NULL, &team) != HASTEN_OK)
            return unused;
        rt_team_enter(team);
        hs_team_run(rt_team_members(team), add_member, NULL);
        rt_team_leave(team);
        rt_team_release(&team);
    }
    return unused;
}

TEST(opened_and_closed_by_many_threads)
{
    pthread_t threads[4];
    atomic_store(&sum, 0);
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, open_use_close, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&sum), 4 * 10 * (3 + 6)); /* 1+2 and 1+2+3 */
}

TEST_MAIN()
