/* The elementary functions against libm in higher precision, and their limits. */
#include "harness/test.h"
#include "kernels/math.h"

/* Distance in units of the last place of the expected f32. */
static double ulps(float actual, double expected)
{
    int exponent;
    (void)frexp(expected, &exponent);
    double unit = ldexp(1.0, exponent - 24);
    if (unit < 0x1p-149)
        unit = 0x1p-149;
    return fabs((double)actual - expected) / unit;
}

TEST(expf_accuracy)
{
    double worst = 0;
    for (int i = -87000; i <= 88000; i += 7) {
        float x = (float)i * 0.001f;
        double error = ulps(kn_expf(x), exp((double)x));
        worst = error > worst ? error : worst;
    }
    printf("  worst %.2f ulp\n", worst);
    CHECK(worst < 2.0);
}

TEST(expf_limits)
{
    CHECK(kn_expf(0.0f) == 1.0f && kn_expf(-0.0f) == 1.0f);
    CHECK(kn_expf(-87.4f) == 0.0f && !signbit(kn_expf(-1000.0f)));
    CHECK(kn_expf(-INFINITY) == 0.0f);
    CHECK(kn_expf(89.0f) == INFINITY && kn_expf(INFINITY) == INFINITY);
    CHECK(isnan(kn_expf(NAN)));
    CHECK(isfinite(kn_expf(88.72f)) && kn_expf(-87.3f) > 0.0f);
}

TEST(tanh_silu_gelu)
{
    for (int i = -20000; i <= 20000; i += 13) {
        float x = (float)i * 0.001f;
        double d = (double)x;
        CHECK_NEAR(kn_tanhf(x), tanh(d), 4e-7);
        CHECK_NEAR(kn_siluf(x), d / (1.0 + exp(-d)), 4e-7 * (1.0 + fabs(d)));
        CHECK_NEAR(kn_gelu_tanhf(x),
                   0.5 * d * (1.0 + tanh(0.79788456080286536 * (d + 0.044715 * d * d * d))),
                   4e-7 * (1.0 + fabs(d)));
    }
    CHECK(kn_tanhf(100.0f) == 1.0f && kn_tanhf(-100.0f) == -1.0f);
    CHECK(kn_siluf(-200.0f) == 0.0f && kn_siluf(200.0f) == 200.0f);
    CHECK(signbit(kn_tanhf(-0.0f)));
}

TEST(exp_and_log_in_double)
{
    for (int i = -6990; i <= 6990; i += 3) {
        double x = i * 0.1;
        CHECK_NEAR(kn_exp(x) / exp(x), 1.0, 1e-15);
    }
    for (int i = 1; i < 4000; i++) {
        double x = ldexp(1.0 + i * 0.00025, i % 61 - 30), expected = log(x);
        CHECK_NEAR(kn_log(x), expected, 1e-15 * (fabs(expected) + 0.5));
    }
    CHECK(kn_exp(0.0) == 1.0 && kn_log(1.0) == 0.0);
}

TEST(sine_and_cosine)
{
    for (int i = -20000; i <= 20000; i++) {
        double angle = i * 0.37 + (i % 7) * 5.1, s, c;
        if (i % 5 == 0)
            angle *= 130.0; /* up to about a million */
        kn_sincos(angle, &s, &c);
        CHECK_NEAR(s, sin(angle), 1e-14);
        CHECK_NEAR(c, cos(angle), 1e-14);
    }
}

TEST_MAIN()
