/*
 * Memory that is left; see memory_limit.h. Linux: MemAvailable of /proc/meminfo; the control group
 * of a container is mounted at /sys/fs/cgroup (version 2: memory.max; version 1: below memory/),
 * where pages of files that nobody uses (inactive_file) count as used but are given up first.
 * Source: the kernel's Documentation/filesystems/proc.rst and admin-guide/cgroup-v2.rst.
 */
#include "base/memory_limit.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static _Atomic uint64_t pretended; /* 0: nothing */

/* Start of a file as a C string; false when it cannot be read. */
static bool read_text(const char *path, char *text, size_t size_bytes)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, text, size_bytes - 1);
    close(file);
    text[length > 0 ? length : 0] = 0;
    return length > 0;
}

/* A decimal number at the start of text; UINT64_MAX when there is none ("max") or it is too large.
 */
static uint64_t number_of(const char *text)
{
    uint64_t value = 0;
    if (*text < '0' || *text > '9')
        return UINT64_MAX;
    for (; *text >= '0' && *text <= '9'; text++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return UINT64_MAX;
    return value;
}

uint64_t hs_memory_figure(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) != 0)
            continue;
        const char *number = line + length;
        if (*number != ' ' && *number != ':')
            continue;
        return number_of(number + strspn(number, ": \t"));
    }
    return UINT64_MAX;
}

static uint64_t of_system(void)
{
    char text[4096];
    if (!read_text("/proc/meminfo", text, sizeof text))
        return UINT64_MAX;
    uint64_t kibibytes = hs_memory_figure(text, "MemAvailable");
    return kibibytes < UINT64_MAX / 1024 ? kibibytes * 1024 : UINT64_MAX;
}

/* What a control group leaves, by its files for limit, use and statistics. */
static uint64_t of_group(const char *limit_path, const char *used_path, const char *stat_path)
{
    char text[8192];
    uint64_t limit = read_text(limit_path, text, sizeof text) ? number_of(text) : UINT64_MAX;
    uint64_t used = read_text(used_path, text, sizeof text) ? number_of(text) : UINT64_MAX;
    if (limit == UINT64_MAX || used == UINT64_MAX)
        return UINT64_MAX;
    uint64_t files =
        read_text(stat_path, text, sizeof text) ? hs_memory_figure(text, "inactive_file") : 0;
    used = files < used ? used - files : used;
    return used < limit ? limit - used : 0;
}

uint64_t hs_memory_available_bytes(void)
{
    uint64_t told = atomic_load_explicit(&pretended, memory_order_relaxed);
    if (told)
        return told;
    uint64_t system = of_system();
    uint64_t group = of_group("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current",
                              "/sys/fs/cgroup/memory.stat");
    if (group == UINT64_MAX)
        group = of_group("/sys/fs/cgroup/memory/memory.limit_in_bytes",
                         "/sys/fs/cgroup/memory/memory.usage_in_bytes",
                         "/sys/fs/cgroup/memory/memory.stat");
    return group < system ? group : system;
}

void hs_memory_pretend(uint64_t available_bytes)
{
    atomic_store_explicit(&pretended, available_bytes, memory_order_relaxed);
}
