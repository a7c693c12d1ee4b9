/*
 * exp, tanh, silu, gelu and sin/cos as fixed sequences of IEEE operations, so that every machine
 * class computes the same bits (libm picks variants by CPU). Scalar statement; the vector versions
 * in kernels/x86 execute the same operations lane by lane and are tested against these with ==.
 */
#ifndef HASTEN_KERNELS_MATH_H
#define HASTEN_KERNELS_MATH_H

/* e^x for f32: x below -87.3 gives +0, above 88.7 gives +inf, NaN stays NaN; error < 2 ulp. */
float kn_expf(float x);
float kn_tanhf(float x);
float kn_siluf(float x);      /* x / (1 + exp(-x)) */
float kn_gelu_tanhf(float x); /* 0.5 x (1 + tanh(0.79788456 (x + 0.044715 x^3))) */
/* e^x (|x| < 700) and ln x (x > 0) in double, relative error < 1e-15. */
double kn_exp(double x);
double kn_log(double x);
/* sin and cos of an angle in double (own range reduction, |angle| < 2^20), error < 1e-14. */
void kn_sincos(double angle, double *sin_out, double *cos_out);

#endif
