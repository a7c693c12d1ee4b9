/* CPU detection and its cap; each cap in a child, because detection happens once a process. */
#include "base/cpu.h"

#include <sys/wait.h>
#include <unistd.h>

#include "harness/test.h"

TEST(names_follow_the_tables)
{
    CHECK_TEXT(hs_cpu_class_name(HS_CPU_CLASS_REF), "ref");
    CHECK_TEXT(hs_cpu_class_name(HS_CPU_CLASS_AVX512VNNI), "avx512vnni");
    CHECK_TEXT(hs_cpu_class_name(HS_CPU_CLASS_COUNT), "unknown");
    CHECK_TEXT(hs_cpu_flag_name(HS_CPU_AVX2_INDEX), "avx2");
    CHECK_TEXT(hs_cpu_flag_name(HS_CPU_AMX_INT8_INDEX), "amx_int8");
    CHECK_TEXT(hs_cpu_flag_name(HS_CPU_FLAG_COUNT), "unknown");
}

struct seen {
    int best, chosen;
    char cap_ignored[32];
};

/* What a process with HASTEN_CPU=value (NULL: unset) detects. */
static struct seen detect_in_child(const char *value)
{
    int ends[2];
    struct seen seen = {-1, -1, ""};
    CHECK(pipe(ends) == 0);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (value)
            setenv("HASTEN_CPU", value, 1);
        else
            unsetenv("HASTEN_CPU");
        const struct hs_cpu *cpu = hs_cpu_get();
        struct seen mine = {(int)cpu->best, (int)cpu->chosen, ""};
        memcpy(mine.cap_ignored, cpu->cap_ignored, sizeof mine.cap_ignored);
        _exit(write(ends[1], &mine, sizeof mine) == sizeof mine ? 0 : 1);
    }
    int status = -1;
    CHECK(read(ends[0], &seen, sizeof seen) == sizeof seen);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close(ends[0]);
    close(ends[1]);
    return seen;
}

TEST(cap_lowers_the_chosen_class)
{
    struct seen free_choice = detect_in_child(NULL);
    CHECK(free_choice.best >= HS_CPU_CLASS_REF && free_choice.best < HS_CPU_CLASS_COUNT);
    CHECK_INT(free_choice.chosen, free_choice.best);
    CHECK_TEXT(free_choice.cap_ignored, "");
    for (int cap = 0; cap < HS_CPU_CLASS_COUNT; cap++) {
        struct seen seen = detect_in_child(hs_cpu_class_name((enum hs_cpu_class)cap));
        CHECK_INT(seen.best, free_choice.best);
        CHECK_INT(seen.chosen, cap < seen.best ? cap : seen.best); /* a cap never raises */
        CHECK_TEXT(seen.cap_ignored, "");
    }
}

TEST(unknown_cap_is_reported_not_obeyed)
{
    struct seen seen = detect_in_child("avx3");
    CHECK_INT(seen.chosen, seen.best);
    CHECK_TEXT(seen.cap_ignored, "avx3");
    seen = detect_in_child("a-name-that-is-longer-than-the-field-for-it");
    CHECK_TEXT(seen.cap_ignored, "a-name-that-is-longer-than-the-");
    seen = detect_in_child("");
    CHECK_INT(seen.chosen, seen.best);
    CHECK_TEXT(seen.cap_ignored, "");
}

/* Whether the kernel lists the flag for this machine; 1 when there is no list to ask. */
static int kernel_lists(const char *flag)
{
    static char line[16384];
    char word[64];
    FILE *file = fopen("/proc/cpuinfo", "r");
    int found = !file;
    if (strcmp(flag, "avx512_vbmi") == 0)
        flag = "avx512vbmi"; /* the kernel's spelling */
    (void)snprintf(word, sizeof word, " %s", flag);
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "flags", 5) != 0)
            continue;
        for (const char *at = line; (at = strstr(at, word)); at++)
            if (at[strlen(word)] == ' ' || at[strlen(word)] == '\n')
                found = 1;
        break;
    }
    if (file)
        fclose(file);
    return found;
}

TEST(agrees_with_the_kernel)
{
    const struct hs_cpu *cpu = hs_cpu_get();
    CHECK(cpu == hs_cpu_get());
    CHECK(cpu->logical_cpus >= 1);
    CHECK(cpu->l1d_bytes >= 0 && cpu->l2_bytes >= 0 && cpu->l3_bytes >= 0);
    for (int i = 0; i < HS_CPU_FLAG_COUNT; i++)
        if (cpu->flags & 1u << i)
            if (!kernel_lists(hs_cpu_flag_name((enum hs_cpu_flag_index)i)))
                TEST_FAIL("%s is not listed", hs_cpu_flag_name((enum hs_cpu_flag_index)i));
#if defined(__x86_64__)
    CHECK(cpu->model_name[0] && cpu->model_name[0] != ' ');
    if (kernel_lists("avx2"))
        CHECK(cpu->flags & HS_CPU_AVX2);
    if (kernel_lists("avx512_vnni"))
        CHECK(cpu->flags & HS_CPU_AVX512_VNNI);
#endif
}

TEST_MAIN()
