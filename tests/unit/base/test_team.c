/*
 * Thread team: every member runs every job once, results are visible to the caller, parked members
 * come back, concurrent callers are served one after the other. Also run under ThreadSanitizer.
 */
#include "base/team.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "base/memory.h"
#include "harness/test.h"

static const int team_sizes[] = {1, 2, 3, 8};

static struct hs_team *open_team(int threads)
{
    struct hs_error error;
    struct hs_team *team = NULL;
    if (hs_team_open(threads, &error, &team) != HASTEN_OK)
        TEST_FAIL("open: %s", error.message);
    CHECK_INT(hs_team_threads(team), threads);
    return team;
}

static void sleep_ms(long milliseconds)
{
    struct timespec pause = {0, milliseconds * 1000000};
    nanosleep(&pause, NULL);
}

/* Plain variables on purpose: the team must order them. */
struct tally {
    int runs[8];
    int threads;
    bool wrong_member;
};

static void tally_job(void *context, int member, int threads)
{
    struct tally *tally = context;
    if (member < 0 || member >= threads || threads != tally->threads) {
        tally->wrong_member = true;
        return;
    }
    tally->runs[member]++;
}

TEST(each_member_runs_each_job_once)
{
    for (size_t t = 0; t < 4; t++) {
        struct hs_team *team = open_team(team_sizes[t]);
        int jobs = team_sizes[t] > 3 ? 3000 : 20000;
        struct tally tally = {.threads = team_sizes[t]};
        for (int i = 0; i < jobs; i++) {
            hs_team_run(team, tally_job, &tally);
            if (i % 100 == 0) /* all members are done when run returns */
                for (int m = 0; m < team_sizes[t]; m++)
                    CHECK_INT(tally.runs[m], i + 1);
        }
        CHECK(!tally.wrong_member);
        for (int m = 0; m < team_sizes[t]; m++)
            CHECK_INT(tally.runs[m], jobs);
        hs_team_close(&team);
        CHECK(!team);
    }
}

/* The context of each job is freed as soon as run returns: a late member would touch it. */
TEST(job_data_may_die_after_run)
{
    struct hs_team *team = open_team(3);
    for (int i = 0; i < 2000; i++) {
        struct tally *tally = hs_calloc(1, sizeof *tally);
        CHECK(tally);
        tally->threads = 3;
        hs_team_run(team, tally_job, tally);
        int sum = tally->runs[0] + tally->runs[1] + tally->runs[2];
        memset(tally, 0xFF, sizeof *tally);
        hs_free(tally);
        CHECK_INT(sum, 3);
    }
    hs_team_close(&team);
}

TEST(parked_members_come_back)
{
    for (size_t t = 1; t < 4; t++) {
        struct hs_team *team = open_team(team_sizes[t]);
        struct tally tally = {.threads = team_sizes[t]};
        for (int i = 0; i < 20; i++) {
            sleep_ms(i % 4); /* around the parking time of 1 ms, and well past it */
            hs_team_run(team, tally_job, &tally);
        }
        sleep_ms(20);
        hs_team_run(team, tally_job, &tally);
        for (int m = 0; m < team_sizes[t]; m++)
            CHECK_INT(tally.runs[m], 21);
        sleep_ms(10);
        hs_team_close(&team); /* parked members hear of the end, too */
    }
}

/* Threads of this process that are running or ready: a spinning one always is, a parked one not. */
static int busy_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int busy = 0;
    CHECK(tasks);
    for (const struct dirent *entry; (entry = readdir(tasks));) {
        char path[300], line[256] = "";
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!file)
            continue;
        const char *name_end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
        busy += name_end && name_end[1] == ' ' && name_end[2] == 'R';
        fclose(file);
    }
    closedir(tasks);
    return busy;
}

TEST(idle_members_park)
{
    struct hs_team *team = open_team(3);
    struct tally tally = {.threads = 3};
    hs_team_run(team, tally_job, &tally);
    /* However slow the machine: they park some day, and this test ends at CTest's limit if not. */
    int quiet = 0;
    while (quiet < 5) {
        sleep_ms(5);
        quiet = busy_threads() <= 1 ? quiet + 1 : 0; /* this thread is one */
    }
    hs_team_run(team, tally_job, &tally);
    for (int m = 0; m < 3; m++)
        CHECK_INT(tally.runs[m], 2);
    hs_team_close(&team);
}

TEST(null_team_is_the_caller)
{
    struct tally tally = {.threads = 1};
    CHECK_INT(hs_team_threads(NULL), 1);
    hs_team_run(NULL, tally_job, &tally);
    CHECK_INT(tally.runs[0], 1);
    CHECK(!tally.wrong_member);
    struct hs_team *none = NULL;
    hs_team_close(&none);
}

struct marks {
    unsigned char *times; /* [count] how often each index was handed out */
    long count;
    atomic_bool outside;
};

static void mark(void *context, long index)
{
    struct marks *marks = context;
    if (index < 0 || index >= marks->count)
        atomic_store(&marks->outside, true);
    else
        marks->times[index]++;
}

static void check_for(struct hs_team *team, long count, long grain)
{
    struct marks marks = {.times = hs_calloc((size_t)(count > 0 ? count : 0) + 1, 1),
                          .count = count};
    hs_team_for(team, count, grain, mark, &marks);
    long wrong = 0;
    for (long i = 0; i < count; i++)
        wrong += marks.times[i] != 1;
    hs_free(marks.times);
    CHECK(!atomic_load(&marks.outside));
    CHECK_INT(wrong, 0);
}

TEST(for_visits_each_index_once)
{
    static const long counts[] = {-1, 0, 1, 2, 7, 64, 1000, 10007};
    static const long grains[] = {-1, 0, 1, 3, 64, 100000, INT64_MAX};
    for (size_t t = 0; t < 4; t++) {
        struct hs_team *team = open_team(team_sizes[t]);
        for (size_t c = 0; c < 8; c++)
            for (size_t g = 0; g < 7; g++)
                check_for(team, counts[c], grains[g]);
        hs_team_close(&team);
    }
    check_for(NULL, 100, 7);
}

struct shared_tally {
    struct hs_team *team;
    struct tally tally; /* counted by whoever's job runs: needs that jobs do not overlap */
};

static void *caller_main(void *argument)
{
    struct shared_tally *shared = argument;
    for (int i = 0; i < 500; i++)
        hs_team_run(shared->team, tally_job, &shared->tally);
    return NULL;
}

TEST(concurrent_callers_take_turns)
{
    for (int threads = 1; threads <= 3; threads += 2) {
        struct shared_tally shared = {.team = open_team(threads), .tally = {.threads = threads}};
        pthread_t callers[4];
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&callers[i], NULL, caller_main, &shared) == 0);
        for (int i = 0; i < 4; i++)
            pthread_join(callers[i], NULL);
        for (int m = 0; m < threads; m++)
            CHECK_INT(shared.tally.runs[m], 2000);
        hs_team_close(&shared.team);
    }
}

/* Members meet inside a job, as the executor's barriers do: works only when all run at once. */
static void meet_job(void *context, int member, int threads)
{
    atomic_int *arrived = context;
    unsigned rounds = 0;
    (void)member;
    atomic_fetch_add(arrived, 1);
    while (atomic_load(arrived) < threads)
        hs_spin_wait(&rounds);
}

TEST(members_run_at_the_same_time)
{
    struct hs_team *team = open_team(8);
    for (int i = 0; i < 200; i++) {
        atomic_int arrived = 0;
        hs_team_run(team, meet_job, &arrived);
        CHECK_INT(atomic_load(&arrived), 8);
    }
    hs_team_close(&team);
}

TEST(impossible_sizes_are_refused)
{
    struct hs_error error;
    struct hs_team *team = NULL;
    CHECK_INT(hs_team_open(0, &error, &team), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(hs_team_open(-3, &error, &team), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(hs_team_open(1 << 20, &error, &team), HASTEN_INVALID_ARGUMENT);
    CHECK(!team && strstr(error.message, "1048576") && error.hint[0]);
    for (uint64_t n = 1; n <= 2; n++) {
        hs_alloc_fail_at(n, false);
        enum hasten_status status = hs_team_open(2, &error, &team);
        hs_alloc_fail_at(0, false);
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
        CHECK(!team);
    }
}

TEST(jobs_allocate_nothing)
{
    struct hs_team *team = open_team(2);
    struct tally tally = {.threads = 2};
    uint64_t before = hs_alloc_count();
    for (int i = 0; i < 100; i++)
        hs_team_run(team, tally_job, &tally);
    CHECK_INT(hs_alloc_count(), before);
    hs_team_close(&team);
}

TEST(spin_wait_counts_to_its_yield)
{
    unsigned rounds = 0;
    for (int i = 0; i < 300; i++)
        hs_spin_wait(&rounds);
    CHECK_INT(rounds, 200);
}

TEST_MAIN()
