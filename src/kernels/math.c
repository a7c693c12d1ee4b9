/*
 * Scalar statement of the elementary functions. The vector versions in kernels/x86 execute these
 * operations lane by lane, in this order. Polynomial of exp: Cephes expf (S. Moshier).
 */
#include "kernels/math.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

float kn_expf(float x)
{
    if (x != x)
        return x;
    if (x < -87.3f)
        return 0.0f;
    if (x > 88.72f)
        return INFINITY;
    float n = rintf(x * 1.44269504f);
    float r = fmaf(n, -0.693359375f, x);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    float y = fmaf(p, r * r, r) + 1.0f;
    uint32_t bits;
    memcpy(&bits, &y, sizeof bits);
    bits += (uint32_t)(int32_t)n << 23; /* times 2^n: y is in [0.7, 1.42], no overflow in range */
    memcpy(&y, &bits, sizeof y);
    return y;
}

float kn_tanhf(float x)
{
    float t = kn_expf(-2.0f * fabsf(x));
    float y = (1.0f - t) / (1.0f + t);
    return copysignf(y, x);
}

float kn_siluf(float x)
{
    return x / (1.0f + kn_expf(-x));
}

float kn_gelu_tanhf(float x)
{
    float inner = 0.79788456f * fmaf(0.044715f * x * x, x, x);
    return (0.5f * x) * (1.0f + kn_tanhf(inner));
}

/* log2-free natural logarithm: frexp by bits, then 2 atanh((m-1)/(m+1)) as a series. */
double kn_log(double x)
{
    int exponent;
    double m = frexp(x, &exponent); /* exact: splits bits only */
    if (m < 0.70710678118654752) {
        m *= 2.0;
        exponent--;
    }
    double t = (m - 1.0) / (m + 1.0), t2 = t * t, sum = 0.0;
    for (int k = 25; k >= 1; k -= 2) /* |t| < 0.172: t^27/27 < 1e-21 */
        sum = sum * t2 + 1.0 / (double)k;
    return (double)exponent * 0.69314718055994530942 + 2.0 * t * sum;
}

double kn_exp(double x)
{
    double n = rint(x * 1.4426950408889634074);
    double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double sum = 1.0;
    for (int k = 14; k >= 1; k--) /* |r| < 0.35: r^15/15! < 1e-19 */
        sum = 1.0 + sum * r / (double)k;
    return ldexp(sum, (int)n); /* exact scaling */
}

void kn_sincos(double angle, double *sin_out, double *cos_out)
{
    /* Cody-Waite: pi/2 in three parts of 33 bits, exact products for |n| < 2^20. */
    double n = rint(angle * 0.63661977236758134308);
    double r = angle - n * 1.57079632673412561417e+00;
    r -= n * 6.07710050630396597660e-11;
    r -= n * 2.02226624879595063154e-21;
    double r2 = r * r, s = 0.0, c = 0.0;
    for (int k = 17; k >= 3; k -= 2)
        s = r2 / (double)((k - 1) * k) * (1.0 - s);
    /* Horner on the alternating series: sin r = r (1 - r2/6 (1 - r2/20 (1 - ...))) */
    s = r * (1.0 - s);
    for (int k = 18; k >= 2; k -= 2)
        c = r2 / (double)((k - 1) * k) * (1.0 - c);
    c = 1.0 - c;
    switch ((int)((int64_t)n & 3)) {
    case 0:
        *sin_out = s, *cos_out = c;
        break;
    case 1:
        *sin_out = c, *cos_out = -s;
        break;
    case 2:
        *sin_out = -s, *cos_out = -c;
        break;
    default:
        *sin_out = -c, *cos_out = s;
        break;
    }
}
