/* The probes of hasten bench machine touch every byte they are said to touch, on every class that
 * this machine has. Their speed is nobody's promise. */
#include "base/memory.h"
#include "harness/test.h"
#include "kernels/peak_probe.h"

#define BYTES ((size_t)KN_PEAK_STREAM_STEP * 5)

static void check_streams(const struct kn_peak_probe *probe)
{
    unsigned char *block = hs_block_new(4 * BYTES);
    CHECK(block);
    unsigned char *data = block + 512, *other = block + 2 * BYTES;
    memset(block, 7, 4 * BYTES);
    probe->fill(data, BYTES);
    CHECK(data[-1] == 7 && data[BYTES] == 7);
    for (size_t i = 0; i < BYTES; i++)
        CHECK_INT(data[i], 1);
    for (size_t i = 0; i < BYTES; i++)
        data[i] = (unsigned char)(i * 37 + i / 256);
    probe->copy(other, data, BYTES);
    CHECK(memcmp(other, data, BYTES) == 0 && other[-1] == 7 && other[BYTES] == 7);
    uint64_t before = probe->read(data, BYTES);
    for (size_t i = 0; i < BYTES; i += 61) {
        data[i] ^= 1;
        CHECK(probe->read(data, BYTES) != before);
        data[i] ^= 1;
    }
    CHECK(probe->read(data, BYTES) == before);
    hs_block_free(block, 4 * BYTES);
}

TEST(streams_touch_every_byte)
{
    for (int c = 0; c <= (int)hs_cpu_get()->best; c++)
        check_streams(kn_peak_probe_find((enum hs_cpu_class)c));
}

TEST(a_probe_of_each_class)
{
    CHECK(kn_peak_probe_find(HS_CPU_CLASS_REF) == &kn_peak_probe__ref);
    for (int c = 0; c <= (int)hs_cpu_get()->best; c++) {
        const struct kn_peak_probe *probe = kn_peak_probe_find((enum hs_cpu_class)c);
        CHECK((int)probe->cpu_class <= c);
        CHECK(probe->dot_ops > 0 && probe->fma_ops > 0);
        (void)probe->dot(3);
        (void)probe->fma(3);
    }
    CHECK_INT(kn_peak_chain(10), 1 + 3 * 10 * KN_PEAK_CHAIN);
}

TEST_MAIN()
