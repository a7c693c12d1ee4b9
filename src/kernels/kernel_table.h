/*
 * Every kernel of the program, one line each: X(object), an `extern const struct kn_kernel`.
 * Reference kernels first; the order inside a class does not matter, kn_find takes the highest
 * class that accepts. x86 kernels belong into the KN_X86 tables.
 */
#ifndef HASTEN_KERNELS_KERNEL_TABLE_H
#define HASTEN_KERNELS_KERNEL_TABLE_H

#include "kernels/kernel.h"

/* clang-format off */
#define KN_REF_TABLE(X)                                                                            \
    X(kn_embed__ref)                                                                               \
    X(kn_rmsnorm__ref)                                                                             \
    X(kn_add__ref)                                                                                 \
    X(kn_mul__ref)                                                                                 \
    X(kn_silu__ref)                                                                                \
    X(kn_gelu_tanh__ref)                                                                           \
    X(kn_scale__ref)                                                                               \
    X(kn_softcap__ref)                                                                             \
    X(kn_kv_append__ref)                                                                           \
    X(kn_attention__ref)                                                                           \
    X(kn_select_rows__ref)                                                                         \
    X(kn_rope_table__ref)                                                                          \
    X(kn_rope_apply__ref)                                                                          \
    X(kn_quantize__ref)                                                                            \
    X(kn_rmsnorm_quantize__ref)                                                                    \
    X(kn_attention_quantize__ref)                                                                  \
    X(kn_linear__ref)

/* One line "    X(kn_NAME__CLASS)" per kernel of kernels/x86, a backslash before its line end. */
#if defined(__x86_64__)
#define KN_X86_LINEAR_TABLE(X)                                                                     \
    X(kn_linear__avx2)                                                                             \
    X(kn_linear__avx512vnni)
#define KN_X86_ATTENTION_TABLE(X) /* attention, kv_append and row ops */                           \
    X(kn_attention__avx2)                                                                          \
    X(kn_attention_quantize__avx2)                                                                 \
    X(kn_kv_append__avx2)                                                                          \
    X(kn_rmsnorm__avx2)                                                                            \
    X(kn_rmsnorm_quantize__avx2)                                                                   \
    X(kn_quantize__avx2)                                                                           \
    X(kn_silu__avx2)                                                                               \
    X(kn_gelu_tanh__avx2)                                                                          \
    X(kn_softcap__avx2)                                                                            \
    X(kn_rope_apply__avx2)                                                                         \
    X(kn_rope_table__avx2)                                                                         \
    X(kn_attention__avx512vnni)                                                                    \
    X(kn_attention_quantize__avx512vnni)                                                           \
    X(kn_kv_append__avx512vnni)                                                                    \
    X(kn_rmsnorm__avx512vnni)                                                                      \
    X(kn_rmsnorm_quantize__avx512vnni)                                                             \
    X(kn_quantize__avx512vnni)                                                                     \
    X(kn_silu__avx512vnni)                                                                         \
    X(kn_gelu_tanh__avx512vnni)                                                                    \
    X(kn_softcap__avx512vnni)                                                                      \
    X(kn_rope_apply__avx512vnni)
#else
#define KN_X86_LINEAR_TABLE(X)
#define KN_X86_ATTENTION_TABLE(X)
#endif
/* clang-format on */

#define KN_KERNEL_TABLE(X)        KN_REF_TABLE(X) KN_X86_LINEAR_TABLE(X) KN_X86_ATTENTION_TABLE(X)

#define KN_KERNEL_DECLARE(object) extern const struct kn_kernel object;
KN_KERNEL_TABLE(KN_KERNEL_DECLARE)
#undef KN_KERNEL_DECLARE

#endif
