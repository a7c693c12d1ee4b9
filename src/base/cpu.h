/*
 * CPU features and topology, detected once by CPUID (and OS support by XGETBV).
 *
 * Kernels are chosen by class, not by single flags: a class is a bundle that real machines have
 * together. HASTEN_CPU=ref|avx2|avx512vnni caps the class (tests compare classes on one machine).
 */
#ifndef HASTEN_BASE_CPU_H
#define HASTEN_BASE_CPU_H

#include <stdbool.h>

/* flag bit, name as `hasten cpu` prints it */
#define HS_CPU_FLAG_TABLE(X)                                                                       \
    X(HS_CPU_AVX2, "avx2")                                                                         \
    X(HS_CPU_FMA, "fma")                                                                           \
    X(HS_CPU_F16C, "f16c")                                                                         \
    X(HS_CPU_BMI2, "bmi2")                                                                         \
    X(HS_CPU_AVX_VNNI, "avx_vnni")                                                                 \
    X(HS_CPU_AVX512F, "avx512f")                                                                   \
    X(HS_CPU_AVX512BW, "avx512bw")                                                                 \
    X(HS_CPU_AVX512DQ, "avx512dq")                                                                 \
    X(HS_CPU_AVX512VL, "avx512vl")                                                                 \
    X(HS_CPU_AVX512_VNNI, "avx512_vnni")                                                           \
    X(HS_CPU_AVX512_VBMI, "avx512_vbmi")                                                           \
    X(HS_CPU_AVX512_BF16, "avx512_bf16")                                                           \
    X(HS_CPU_AVX512_FP16, "avx512_fp16")                                                           \
    X(HS_CPU_AMX_INT8, "amx_int8")

#define HS_CPU_FLAG_ENUM(id, name) id##_INDEX,
enum hs_cpu_flag_index { HS_CPU_FLAG_TABLE(HS_CPU_FLAG_ENUM) HS_CPU_FLAG_COUNT };
#undef HS_CPU_FLAG_ENUM
#define HS_CPU_FLAG_BIT(id, name) id = 1u << id##_INDEX,
enum hs_cpu_flag { HS_CPU_FLAG_TABLE(HS_CPU_FLAG_BIT) };
#undef HS_CPU_FLAG_BIT

/* class, name (value of HASTEN_CPU), in ascending order */
#define HS_CPU_CLASS_TABLE(X)                                                                      \
    X(HS_CPU_CLASS_REF, "ref")                                                                     \
    X(HS_CPU_CLASS_AVX2, "avx2")             /* AVX2 + FMA + F16C + BMI2 */                        \
    X(HS_CPU_CLASS_AVX512VNNI, "avx512vnni") /* AVX-512 F BW DQ VL VNNI */

#define HS_CPU_CLASS_ENUM(id, name) id,
enum hs_cpu_class { HS_CPU_CLASS_TABLE(HS_CPU_CLASS_ENUM) HS_CPU_CLASS_COUNT };
#undef HS_CPU_CLASS_ENUM

struct hs_cpu {
    unsigned flags;                     /* enum hs_cpu_flag bits that CPU and OS support */
    enum hs_cpu_class best;             /* highest class the flags allow */
    enum hs_cpu_class chosen;           /* best, capped by HASTEN_CPU */
    char cap_ignored[32];               /* value of HASTEN_CPU that names no class, else "" */
    char model_name[64];                /* brand string */
    int logical_cpus;                   /* usable by this process (affinity mask) */
    long l1d_bytes, l2_bytes, l3_bytes; /* 0 when unknown */
};

/* Detected once, then constant; thread-safe. */
const struct hs_cpu *hs_cpu_get(void);
const char *hs_cpu_class_name(enum hs_cpu_class class_id);
const char *hs_cpu_flag_name(enum hs_cpu_flag_index index);

#endif
