#include "base/memory_limit.h"

#include "harness/test.h"

TEST(figures_of_texts)
{
    static const char meminfo[] = "MemTotal:       16305116 kB\nMemFree:  12 kB\n"
                                  "MemAvailable:   9876543 kB\nBuffers: 1 kB\n";
    CHECK(hs_memory_figure(meminfo, "MemAvailable") == 9876543);
    CHECK(hs_memory_figure(meminfo, "MemTotal") == 16305116);
    CHECK(hs_memory_figure(meminfo, "Buffers") == 1);
    CHECK(hs_memory_figure(meminfo, "Mem") == UINT64_MAX);
    CHECK(hs_memory_figure(meminfo, "kB") == UINT64_MAX);
    CHECK(hs_memory_figure("inactive_anon 3\ninactive_file 4096", "inactive_file") == 4096);
    CHECK(hs_memory_figure("x max\n", "x") == UINT64_MAX);
    CHECK(hs_memory_figure("x 99999999999999999999999\n", "x") == UINT64_MAX);
    CHECK(hs_memory_figure("", "x") == UINT64_MAX && hs_memory_figure("x", "x") == UINT64_MAX);
}

TEST(this_machine_has_some)
{
    CHECK(hs_memory_available_bytes() > (uint64_t)16 << 20);
    hs_memory_pretend(77);
    CHECK(hs_memory_available_bytes() == 77);
    hs_memory_pretend(0);
    CHECK(hs_memory_available_bytes() > (uint64_t)16 << 20);
}

TEST_MAIN()
