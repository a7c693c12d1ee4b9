/*
 * Monotonic time and peak memory.
 *
 * CLOCK_MONOTONIC is read through the vDSO without a system call. The memory high-water mark is
 * VmHWM and not getrusage's ru_maxrss, because the latter survives exec and so can name the peak of
 * the shell that started us. Thread-safe.
 */
#include "base/clock.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t hs_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t hs_peak_rss_bytes(void)
{
    char text[4096];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return 0;
    text[length] = 0;
    const char *digit = strstr(text, "VmHWM:");
    if (!digit)
        return 0;
    digit += strlen("VmHWM:");
    while (*digit == ' ' || *digit == '\t')
        digit++;
    uint64_t kibibytes = 0;
    while (*digit >= '0' && *digit <= '9')
        kibibytes = kibibytes * 10 + (uint64_t)(*digit++ - '0');
    return kibibytes * 1024;
}
