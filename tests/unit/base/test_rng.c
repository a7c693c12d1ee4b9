/* Philox4x32-10 against the known answers its authors publish with Random123 (kat_vectors), and
 * the functions built on it. */
#include "base/rng.h"

#include "harness/test.h"

TEST(philox_known_answers)
{
    static const uint32_t rows[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        hs_philox4x32(rows[i], rows[i] + 4, out);
        for (int k = 0; k < 4; k++)
            CHECK_INT(out[k], rows[i][6 + k]);
    }
}

TEST(u64_places_its_arguments)
{
    CHECK(hs_rng_u64(0, 0, 0) == UINT64_C(0xe169c58d6627e8d5));
    /* counter and stream form the block, seed the key, low word first */
    CHECK(hs_rng_u64(UINT64_C(0x299f31d0a4093822), UINT64_C(0x0370734413198a2e),
                     UINT64_C(0x85a308d3243f6a88)) == UINT64_C(0x94fdccebd16cfe09));
}

TEST(unit_lies_in_range_and_is_uniform)
{
    enum { SAMPLES = 200000, BINS = 16 };
    int bins[BINS] = {0};
    double sum = 0;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        double unit = hs_rng_unit(7, 1, i);
        CHECK(unit >= 0 && unit < 1);
        bins[(int)(unit * BINS)]++;
        sum += unit;
    }
    CHECK_NEAR(sum / SAMPLES, 0.5, 0.005);
    for (int i = 0; i < BINS; i++)
        CHECK_NEAR(bins[i], SAMPLES / BINS, 6 * sqrt(SAMPLES / BINS)); /* 6 sigma */
    CHECK(hs_rng_unit(0, 0, 0) == (double)(UINT64_C(0xe169c58d6627e8d5) >> 11) / 0x1p53);
}

TEST_MAIN()
