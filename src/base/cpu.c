/*
 * CPU features (CPUID leaves 1, 7.0, 7.1; Intel SDM volume 2A, "CPUID") and topology.
 *
 * A vector extension counts only when the operating system saves its registers (XCR0, read by
 * XGETBV), else its first instruction would fault. Detection runs once; the result is constant.
 */
#include "base/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define CPU_FLAG_NAME(id, name) name,
static const char *const flag_names[] = {HS_CPU_FLAG_TABLE(CPU_FLAG_NAME)};
#undef CPU_FLAG_NAME
#define CPU_CLASS_NAME(id, name) name,
static const char *const class_names[] = {HS_CPU_CLASS_TABLE(CPU_CLASS_NAME)};
#undef CPU_CLASS_NAME

#define CLASS_AVX2_FLAGS (HS_CPU_AVX2 | HS_CPU_FMA | HS_CPU_F16C | HS_CPU_BMI2)
#define CLASS_AVX512VNNI_FLAGS                                                                     \
    (CLASS_AVX2_FLAGS | HS_CPU_AVX512F | HS_CPU_AVX512BW | HS_CPU_AVX512DQ | HS_CPU_AVX512VL |     \
     HS_CPU_AVX512_VNNI)

static struct hs_cpu cpu;
static pthread_once_t cpu_once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)

enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

/* Where a flag stands: leaf and subleaf, register, bit, and the XCR0 bits the OS must have set. */
struct cpuid_place {
    unsigned flag;
    unsigned leaf, subleaf;
    enum cpuid_register in;
    unsigned bit;
    unsigned xcr0;
};

#define XCR0_YMM  0x6u     /* SSE and AVX state */
#define XCR0_ZMM  0xE6u    /* and the three AVX-512 states */
#define XCR0_TILE 0x60000u /* AMX configuration and data */

static const struct cpuid_place flag_places[] = {
    {HS_CPU_AVX2, 7, 0, CPUID_EBX, 5, XCR0_YMM},
    {HS_CPU_FMA, 1, 0, CPUID_ECX, 12, XCR0_YMM},
    {HS_CPU_F16C, 1, 0, CPUID_ECX, 29, XCR0_YMM},
    {HS_CPU_BMI2, 7, 0, CPUID_EBX, 8, 0},
    {HS_CPU_AVX_VNNI, 7, 1, CPUID_EAX, 4, XCR0_YMM},
    {HS_CPU_AVX512F, 7, 0, CPUID_EBX, 16, XCR0_ZMM},
    {HS_CPU_AVX512BW, 7, 0, CPUID_EBX, 30, XCR0_ZMM},
    {HS_CPU_AVX512DQ, 7, 0, CPUID_EBX, 17, XCR0_ZMM},
    {HS_CPU_AVX512VL, 7, 0, CPUID_EBX, 31, XCR0_ZMM},
    {HS_CPU_AVX512_VNNI, 7, 0, CPUID_ECX, 11, XCR0_ZMM},
    {HS_CPU_AVX512_VBMI, 7, 0, CPUID_ECX, 1, XCR0_ZMM},
    {HS_CPU_AVX512_BF16, 7, 1, CPUID_EAX, 5, XCR0_ZMM},
    {HS_CPU_AVX512_FP16, 7, 0, CPUID_EDX, 23, XCR0_ZMM},
    {HS_CPU_AMX_INT8, 7, 0, CPUID_EDX, 25, XCR0_TILE},
};

_Static_assert(sizeof flag_places / sizeof flag_places[0] == HS_CPU_FLAG_COUNT, "one row a flag");

/* XCR0, or 0 when the OS does not use XSAVE. By assembly: this file has no -mxsave. */
static unsigned read_xcr0(void)
{
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & 1u << 27)) /* OSXSAVE */
        return 0;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax;
}

static unsigned detect_flags(void)
{
    unsigned flags = 0, xcr0 = read_xcr0();
    for (size_t i = 0; i < sizeof flag_places / sizeof flag_places[0]; i++) {
        const struct cpuid_place *place = &flag_places[i];
        unsigned registers[4] = {0}; /* stay 0 when the CPU lacks the leaf */
        unsigned last_subleaf = 0, unused[3];
        if (place->subleaf > 0 && (!__get_cpuid_count(place->leaf, 0, &last_subleaf, &unused[0],
                                                      &unused[1], &unused[2]) ||
                                   last_subleaf < place->subleaf))
            continue;
        if (!__get_cpuid_count(place->leaf, place->subleaf, &registers[CPUID_EAX],
                               &registers[CPUID_EBX], &registers[CPUID_ECX], &registers[CPUID_EDX]))
            continue;
        if ((registers[place->in] >> place->bit & 1) && (xcr0 & place->xcr0) == place->xcr0)
            flags |= place->flag;
    }
    return flags;
}

/* Brand string, leaves 0x80000002 to 4, without the blanks that pad it. */
static void detect_model_name(char *name, size_t size_bytes)
{
    unsigned words[13] = {0};
    for (unsigned i = 0; i < 3; i++) {
        unsigned *four = words + 4 * i;
        if (!__get_cpuid(0x80000002u + i, &four[0], &four[1], &four[2], &four[3]))
            return;
    }
    char raw[sizeof words];
    memcpy(raw, words, sizeof raw);
    const char *first = raw;
    while (*first == ' ')
        first++;
    (void)snprintf(name, size_bytes, "%s", first);
    for (size_t length = strlen(name); length > 0 && name[length - 1] == ' '; length--)
        name[length - 1] = 0;
}

#else

static unsigned detect_flags(void)
{
    return 0;
}

static void detect_model_name(char *name, size_t size_bytes)
{
    (void)snprintf(name, size_bytes, "unknown");
}

#endif

static long cache_bytes(int sysconf_name)
{
    long bytes = sysconf(sysconf_name);
    return bytes > 0 ? bytes : 0;
}

static int usable_cpus(void)
{
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof mask, &mask) == 0 && CPU_COUNT(&mask) > 0)
        return CPU_COUNT(&mask);
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* mask of a machine with more than 1024 CPUs */
    return online > 0 ? (int)online : 1;
}

/* Lowers cpu.chosen to the class that HASTEN_CPU names. */
static void apply_cap(void)
{
    const char *cap = getenv("HASTEN_CPU");
    if (!cap || !cap[0])
        return;
    for (int i = 0; i < HS_CPU_CLASS_COUNT; i++) {
        if (strcmp(cap, class_names[i]) == 0) {
            if ((int)cpu.chosen > i)
                cpu.chosen = (enum hs_cpu_class)i;
            return;
        }
    }
    (void)snprintf(cpu.cap_ignored, sizeof cpu.cap_ignored, "%s", cap);
}

static void detect(void)
{
    cpu.flags = detect_flags();
    cpu.best = HS_CPU_CLASS_REF;
    if ((cpu.flags & CLASS_AVX2_FLAGS) == CLASS_AVX2_FLAGS)
        cpu.best = HS_CPU_CLASS_AVX2;
    if ((cpu.flags & CLASS_AVX512VNNI_FLAGS) == CLASS_AVX512VNNI_FLAGS)
        cpu.best = HS_CPU_CLASS_AVX512VNNI;
    cpu.chosen = cpu.best;
    apply_cap();
    detect_model_name(cpu.model_name, sizeof cpu.model_name);
    cpu.logical_cpus = usable_cpus();
    cpu.l1d_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE);
    cpu.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE);
    cpu.l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE);
}

const struct hs_cpu *hs_cpu_get(void)
{
    (void)pthread_once(&cpu_once, detect);
    return &cpu;
}

const char *hs_cpu_class_name(enum hs_cpu_class class_id)
{
    return (unsigned)class_id < HS_CPU_CLASS_COUNT ? class_names[class_id] : "unknown";
}

const char *hs_cpu_flag_name(enum hs_cpu_flag_index index)
{
    return (unsigned)index < HS_CPU_FLAG_COUNT ? flag_names[index] : "unknown";
}
