/*
 * Test harness: TEST(name) { CHECK(...); } and TEST_MAIN() at the end of each test file. A failed
 * CHECK prints place and text and ends that test; the program's exit code is 1 when any failed. An
 * argument filters by substring; HASTEN_TEST_SEED overrides the printed seed of random tests.
 */
#ifndef HASTEN_TESTS_TEST_H
#define HASTEN_TESTS_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

static struct test_case *test_first, **test_tail = &test_first;
static jmp_buf test_escape;

#define TEST(test_name)                                                                            \
    static void test_name(void);                                                                   \
    static struct test_case test_name##_case = {#test_name, test_name, NULL};                      \
    __attribute__((constructor)) static void test_name##_register(void)                            \
    {                                                                                              \
        *test_tail = &test_name##_case;                                                            \
        test_tail = &test_name##_case.next;                                                        \
    }                                                                                              \
    static void test_name(void)

#define TEST_FAIL(...)                                                                             \
    do {                                                                                           \
        printf("  %s:%d: ", __FILE__, __LINE__);                                                   \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
        longjmp(test_escape, 1);                                                                   \
    } while (0)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            TEST_FAIL("CHECK(%s)", #condition);                                                    \
    } while (0)

#define CHECK_INT(actual, expected)                                                                \
    do {                                                                                           \
        long long check_a_ = (long long)(actual), check_e_ = (long long)(expected);                \
        if (check_a_ != check_e_)                                                                  \
            TEST_FAIL("%s is %lld, expected %lld", #actual, check_a_, check_e_);                   \
    } while (0)

#define CHECK_NEAR(actual, expected, tolerance)                                                    \
    do {                                                                                           \
        double check_a_ = (double)(actual), check_e_ = (double)(expected);                         \
        if (!(fabs(check_a_ - check_e_) <= (double)(tolerance)))                                   \
            TEST_FAIL("%s is %.9g, expected %.9g", #actual, check_a_, check_e_);                   \
    } while (0)

#define CHECK_TEXT(actual, expected)                                                               \
    do {                                                                                           \
        const char *check_a_ = (actual), *check_e_ = (expected);                                   \
        if (strcmp(check_a_, check_e_) != 0)                                                       \
            TEST_FAIL("%s is \"%s\", expected \"%s\"", #actual, check_a_, check_e_);               \
    } while (0)

/* Seed for random tests: fixed unless HASTEN_TEST_SEED is set. */
static inline uint64_t test_seed(uint64_t fallback)
{
    const char *text = getenv("HASTEN_TEST_SEED");
    return text ? strtoull(text, NULL, 0) : fallback;
}

/* A number in [0, below): Knuth's MMIX generator, the same numbers everywhere. */
static inline uint32_t test_random(uint64_t *state, uint32_t below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33) % below;
}

/* Folder of committed test data (tests/), from the environment that CTest sets. */
static inline const char *test_data_dir(void)
{
    const char *dir = getenv("HASTEN_TEST_DATA");
    return dir ? dir : "tests";
}

static inline int test_main(int argc, char **argv)
{
    volatile int passed = 0, failed = 0;
    for (struct test_case *volatile test = test_first; test; test = test->next) {
        if (argc > 1 && !strstr(test->name, argv[1]))
            continue;
        if (setjmp(test_escape) == 0) {
            test->run();
            printf("ok   %s\n", test->name);
            passed++;
        } else {
            printf("FAIL %s\n", test->name);
            failed++;
        }
        fflush(stdout);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed || !passed;
}

#define TEST_MAIN()                                                                                \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return test_main(argc, argv);                                                              \
    }

#endif
