/* Shared teams; see shared_team.h. */
#include "runtime/shared_team.h"

#include <pthread.h>

#include "base/memory.h"
#include "base/turn.h"

struct rt_team {
    struct hs_team *members;
    struct hs_turn turn;
    int threads, references;
    struct rt_team *next; /* in the registry */
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rt_team *registry; /* teams of two and more that somebody holds */

static enum hasten_status open_team(int threads, struct hs_error *error, struct rt_team **team_out)
{
    struct rt_team *team = hs_calloc(1, sizeof *team);
    if (!team)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "use fewer threads", "no memory for a team");
    enum hasten_status status = hs_team_open(threads, error, &team->members);
    if (status != HASTEN_OK) {
        hs_free(team);
        return status;
    }
    team->threads = threads;
    team->references = 1;
    *team_out = team;
    return HASTEN_OK;
}

/* With the registry's lock held. */
static enum hasten_status find_or_open(int threads, struct hs_error *error,
                                       struct rt_team **team_out)
{
    for (struct rt_team *team = registry; team; team = team->next)
        if (team->threads == threads) {
            team->references++;
            *team_out = team;
            return HASTEN_OK;
        }
    struct rt_team *team;
    HS_TRY(open_team(threads, error, &team));
    team->next = registry;
    registry = team;
    *team_out = team;
    return HASTEN_OK;
}

enum hasten_status rt_team_share(int threads, struct hs_error *error, struct rt_team **team_out)
{
    if (threads <= 1)
        return open_team(threads, error, team_out);
    pthread_mutex_lock(&registry_lock);
    enum hasten_status status = find_or_open(threads, error, team_out);
    pthread_mutex_unlock(&registry_lock);
    return status;
}

/* Whether that was the last hold: the team is no longer in the registry then. */
static bool drop_hold(struct rt_team *team)
{
    pthread_mutex_lock(&registry_lock);
    bool is_last = --team->references == 0;
    for (struct rt_team **link = &registry; is_last && *link; link = &(*link)->next)
        if (*link == team) {
            *link = team->next;
            break;
        }
    pthread_mutex_unlock(&registry_lock);
    return is_last;
}

void rt_team_release(struct rt_team **team_inout)
{
    struct rt_team *team = *team_inout;
    if (team && drop_hold(team)) {
        hs_team_close(&team->members);
        hs_free(team);
    }
    *team_inout = NULL;
}

struct hs_team *rt_team_members(const struct rt_team *team)
{
    return team->members;
}

void rt_team_enter(struct rt_team *team)
{
    hs_turn_take(&team->turn);
}

bool rt_team_try_enter(struct rt_team *team)
{
    return hs_turn_try(&team->turn);
}

void rt_team_leave(struct rt_team *team)
{
    hs_turn_give(&team->turn);
}
