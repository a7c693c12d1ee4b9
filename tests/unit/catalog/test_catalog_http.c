/* Downloads from a server that misbehaves: cuts, ranges, lengths, refusals, redirects, stalls. */
#include <errno.h>
#include <fcntl.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "http_fixture.h"

#define FILE_PATH "/a/b/x.gguf"

static void begin(void)
{
    web_begin();
}

TEST(a_name_is_pulled_listed_found_and_removed)
{
    struct hs_error error = {0};
    const struct ct_model *model;
    char *path = NULL;
    begin();
    const char *url = web_url(FILE_PATH);
    CHECK_NAME(url, HASTEN_OK, "");
    check_fetched(web_place(FILE_PATH));
    CHECK_INT(server.requests, 1);
    CHECK_NAME(url, HASTEN_OK, ""); /* there already */
    CHECK_INT(server.requests, 1);
    struct ct_catalog *catalog = open_catalog();
    CHECK((model = ct_find(catalog, url)));
    CHECK_INT(model->size_bytes, SMALL_BYTES);
    CHECK(ct_is_present(model) && !model->sha256);
    CHECK_INT(ct_resolve(catalog, url, false, NULL, NULL, &error, &path), HASTEN_OK);
    CHECK_TEXT(path, web_place(FILE_PATH));
    hs_free(path);
    CHECK_INT(ct_remove(model, &error), HASTEN_OK);
    CHECK_INT(ct_remove(model, &error), HASTEN_NOT_FOUND);
    CHECK(!exists(home_path("models/http")) || count_files("models/http") == 0);
    CHECK_INT(ct_resolve(catalog, url, false, NULL, NULL, &error, &path), HASTEN_NOT_FOUND);
    CHECK(mentions(&error, "hasten pull http://"));
    ct_close(&catalog);
    web_end();
}

TEST(a_query_is_sent_but_no_part_of_the_name)
{
    begin();
    CHECK_NAME(web_url("/x.gguf?key=secret"), HASTEN_OK, "");
    CHECK(strstr(server.last_request, "GET /x.gguf?key=secret "));
    check_fetched(web_place("/x.gguf"));
    CHECK_NAME(web_url("/x.gguf?key=other"), HASTEN_OK, "");
    CHECK_INT(server.requests, 1);
    web_end();
}

TEST(names_that_are_refused)
{
    begin();
    CHECK_NAME("http://example.com/x.gguf", HASTEN_INVALID_ARGUMENT, "HASTEN_ALLOW_HTTP");
    CHECK_NAME("http://127.evil.example/x.gguf", HASTEN_INVALID_ARGUMENT, "plain http");
    CHECK_NAME("https://user:pass@example.com/x.gguf", HASTEN_INVALID_ARGUMENT, "user names");
    CHECK_NAME("https://example.com/x.bin", HASTEN_INVALID_ARGUMENT, ".gguf");
    CHECK_NAME("https://example.com/../x.gguf", HASTEN_INVALID_ARGUMENT, "path");
    CHECK_NAME("https://example.com/a//x.gguf", HASTEN_INVALID_ARGUMENT, "path");
    CHECK_NAME("https://example.com/.x.gguf", HASTEN_INVALID_ARGUMENT, "path");
    CHECK_NAME("https://example.com/x y.gguf", HASTEN_INVALID_ARGUMENT, "blanks");
    CHECK_NAME("https://example.com/x.gguf#part", HASTEN_INVALID_ARGUMENT, "'#'");
    CHECK_NAME("https:x.gguf", HASTEN_INVALID_ARGUMENT, "");
    CHECK_NAME("https://example.com/x-00004-of-00003.gguf", HASTEN_INVALID_ARGUMENT, "part number");
    CHECK(!exists(home_path("models")));
    web_end();
}

TEST(cut_again_and_again)
{
    char value[64];
    begin();
    server.cut_after = 9000;
    server.cuts = -1;
    CHECK_NAME(web_url(FILE_PATH), HASTEN_OK, "");
    CHECK_INT(server.bodies, 12);
    CHECK_INT(server.ranges, 11);
    CHECK(request_header("If-Range", value, sizeof(value)));
    CHECK_TEXT(value, "\"v1\"");
    check_fetched(web_place(FILE_PATH));
    web_end();
}

TEST(a_server_without_ranges)
{
    begin();
    server.ignores_range = true;
    server.cut_after = 50000;
    server.cuts = 2;
    CHECK_NAME(web_url(FILE_PATH), HASTEN_OK, "");
    CHECK_INT(server.ranges, 0);
    check_fetched(web_place(FILE_PATH));
    server.cuts = -1; /* and one that never gets to the end */
    CHECK_NAME(web_url("/b.gguf"), HASTEN_IO, "lost");
    CHECK(!exists(web_place("/b.gguf")));
    CHECK_INT(part_bytes(web_place("/b.gguf")), 50000);
    web_end();
}

TEST(without_a_validator_the_part_is_not_believed)
{
    begin();
    server.etag = NULL;
    server.cut_after = 60000;
    server.cuts = 1;
    CHECK_NAME(web_url(FILE_PATH), HASTEN_OK, "");
    CHECK_INT(server.bodies, 2);
    check_fetched(web_place(FILE_PATH));
    web_end();
}

static void put_part(const char *path, const char *data, size_t size_bytes, const char *note)
{
    char name[600];
    (void)snprintf(name, sizeof(name), "%.*s", (int)(strrchr(path, '/') - path), path);
    CHECK_INT(hs_directory_make(name, NULL), HASTEN_OK);
    (void)snprintf(name, sizeof(name), "%s.part", path);
    write_file(name, data, size_bytes);
    (void)snprintf(name, sizeof(name), "%s.part.etag", path);
    write_file(name, note, strlen(note));
}

TEST(a_part_of_an_earlier_run)
{
    begin();
    const char *path = web_place(FILE_PATH), *url = web_url(FILE_PATH);
    put_part(path, small_bytes, 70000, "\"v1\"\n-\n100000\n");
    CHECK_NAME(url, HASTEN_OK, "");
    CHECK_TEXT(server.last_range, "bytes=70000-");
    check_fetched(path);
    CHECK_INT(unlink(path), 0); /* all bytes there, the end was not told: 416 */
    put_part(path, small_bytes, SMALL_BYTES, "\"v1\"\n-\n0\n");
    server.bodies = 0;
    CHECK_NAME(url, HASTEN_OK, "");
    CHECK_INT(server.bodies, 0);
    check_fetched(path);
    CHECK_INT(unlink(path), 0); /* all bytes there and known to be */
    put_part(path, small_bytes, SMALL_BYTES, "\"v1\"\n-\n100000\n");
    server.requests = 0;
    CHECK_NAME(url, HASTEN_OK, "");
    CHECK_INT(server.requests, 0);
    CHECK_INT(unlink(path), 0); /* longer than the file: 416 with another total */
    server.size_bytes = 5000;
    put_part(path, small_bytes, 70000, "\"v1\"\n-\n0\n");
    CHECK_NAME(url, HASTEN_OK, "");
    check_fetched(path);
    server.size_bytes = SMALL_BYTES;
    CHECK_INT(unlink(path), 0); /* notes that are nonsense */
    put_part(path, small_bytes, 70000, "\"v1\"\r\nX-Evil: 1\n\x01\n99999999999999999999\n");
    CHECK_NAME(url, HASTEN_OK, "");
    check_fetched(path);
    web_end();
}

TEST(the_file_changed_meanwhile)
{
    static char other[SMALL_BYTES];
    begin();
    const char *path = web_place(FILE_PATH), *url = web_url(FILE_PATH);
    memset(other, 'o', sizeof(other));
    server.data = other;
    server.etag = "\"v2\"";
    put_part(path, small_bytes, 70000, "\"v1\"\n-\n100000\n"); /* If-Range makes it 200 */
    CHECK_NAME(url, HASTEN_OK, "");
    check_fetched(path);
    CHECK_INT(unlink(path), 0);
    put_part(path, small_bytes, 70000, "\"v1\"\n-\n100000\n");
    server.ignores_if_range = true; /* 206, but of v2 */
    CHECK_NAME(url, HASTEN_OK, "");
    check_fetched(path);
    CHECK_INT(unlink(path), 0);
    put_part(path, small_bytes, 70000, "\"v2\"\n-\n200000\n"); /* another length */
    CHECK_NAME(url, HASTEN_OK, "");
    check_fetched(path);
    web_end();
}

TEST(wrong_lengths)
{
    begin();
    server.length_off = 1000; /* announces more than it sends */
    CHECK_NAME(web_url(FILE_PATH), HASTEN_IO, "");
    CHECK(!exists(web_place(FILE_PATH)));
    server.length_off = -1000; /* less: the catalog knows better */
    char source[600];
    (void)snprintf(source, sizeof(source), "source = %s", web_url("/y.gguf"));
    write_catalog(source, small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "99000 bytes");
    CHECK_INT(count_files("models"), 1); /* the folder of the first */
    web_end();
}

TEST(a_body_without_end)
{
    char source[600];
    begin();
    server.chunked = server.endless = true;
    CHECK_NAME(web_url(FILE_PATH), HASTEN_IO, "does not say how long");
    (void)snprintf(source, sizeof(source), "source = %s", web_url("/y.gguf"));
    write_catalog(source, small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "more than the 100000 bytes");
    CHECK(!exists(home_path("models/small.gguf")) && !exists(home_path("models/small.gguf.part")));
    server.endless = false; /* chunks, but of a known length */
    CHECK_PULL(HASTEN_OK, "");
    check_fetched(home_path("models/small.gguf"));
    web_end();
}

TEST(refusals)
{
    begin();
    server.refusals = 2;
    server.refusal = 503;
    CHECK_NAME(web_url("/1.gguf"), HASTEN_OK, "");
    server.refusals = 1;
    server.refusal = 429;
    server.refusal_head = "Retry-After: 1\r\n";
    CHECK_NAME(web_url("/2.gguf"), HASTEN_OK, "");
    server.refusals = 1;
    server.refusal_head = "Retry-After: 100000\r\n"; /* nobody waits as long */
    server.requests = 0;
    CHECK_NAME(web_url("/3.gguf"), HASTEN_IO, "429");
    CHECK_INT(server.requests, 1);
    server.refusals = 1000;
    server.refusal = 500;
    server.refusal_head = NULL;
    server.requests = 0;
    CHECK_NAME(web_url("/4.gguf"), HASTEN_IO, "500");
    CHECK_INT(server.requests, 4);
    server.refusal = 403;
    server.requests = 0;
    CHECK_NAME(web_url("/5.gguf"), HASTEN_IO, "403");
    CHECK_INT(server.requests, 1);
    server.refusals = 0;
    CHECK_NAME(web_url("/missing.gguf"), HASTEN_NOT_FOUND, "no such file");
    CHECK(!exists(web_place("/5.gguf.part")) && !exists(web_place("/missing.gguf.part")));
    web_stop();
    CHECK_NAME(web_url("/6.gguf"), HASTEN_IO, "cannot be reached");
    fixture_end();
}

TEST(redirects)
{
    begin();
    server.redirect = "/a.gguf";
    CHECK_NAME(web_url("/moved/x.gguf"), HASTEN_OK, "");
    check_fetched(web_place("/moved/x.gguf"));
    server.redirect = "/moved/again.gguf";
    CHECK_NAME(web_url("/moved/y.gguf"), HASTEN_IO, "circle");
    server.redirect = "http://example.com/a.gguf";
    CHECK_NAME(web_url("/moved/y.gguf"), HASTEN_IO, "plain http");
    server.redirect = "file:///etc/passwd";
    CHECK_NAME(web_url("/moved/y.gguf"), HASTEN_IO, "cannot download");
    CHECK(!exists(web_place("/moved/y.gguf")) && !exists(web_place("/moved/y.gguf.part")));
    web_end();
}

TEST(a_trickle_is_given_up_and_resumed)
{
    begin();
    setenv("HASTEN_NET_STALL_S", "1", 1);
    setenv("HASTEN_NET_RETRIES", "0", 1);
    server.trickle_ms = 200; /* 500 bytes a second */
    CHECK_NAME(web_url(FILE_PATH), HASTEN_IO, "goes on where it stopped");
    long held = part_bytes(web_place(FILE_PATH));
    CHECK(held > 0 && held < SMALL_BYTES && !exists(web_place(FILE_PATH)));
    server.trickle_ms = 0;
    CHECK_NAME(web_url(FILE_PATH), HASTEN_OK, "");
    CHECK(server.last_range[0]);
    check_fetched(web_place(FILE_PATH));
    web_end();
}

static bool until_half(void *context, const char *what, uint64_t done, uint64_t total)
{
    (void)context, (void)what;
    return !total || done * 2 < total;
}

TEST(cancelled_and_resumed)
{
    struct hs_error error = {0};
    begin();
    CHECK_INT(pull_name(web_url(FILE_PATH), until_half, NULL, &error), HASTEN_CANCELLED);
    long held = part_bytes(web_place(FILE_PATH));
    CHECK(held >= SMALL_BYTES / 2 && held < SMALL_BYTES && !exists(web_place(FILE_PATH)));
    CHECK_NAME(web_url(FILE_PATH), HASTEN_OK, "");
    CHECK_INT(server.ranges, 1);
    check_fetched(web_place(FILE_PATH));
    web_end();
}

TEST(removing_an_unfinished_download)
{
    struct hs_error error = {0};
    const struct ct_model *model;
    begin();
    CHECK_INT(pull_name(web_url(FILE_PATH), until_half, NULL, &error), HASTEN_CANCELLED);
    struct ct_catalog *catalog = open_catalog();
    CHECK(!ct_find(catalog, web_url(FILE_PATH))); /* not listed */
    CHECK_INT(ct_lookup(catalog, web_url(FILE_PATH), NULL, &error, &model), HASTEN_OK);
    CHECK_INT(ct_remove(model, &error), HASTEN_OK);
    CHECK_INT(part_bytes(web_place(FILE_PATH)), -1);
    CHECK_INT(count_files("models/http"), 0);
    ct_close(&catalog);
    web_end();
}

/* A file larger than the disk, and a part that is a device that is always full. */
TEST(a_full_disk)
{
    char part[600];
    begin();
    server.length_off = 1L << 60;
    CHECK_NAME(web_url("/huge.gguf"), HASTEN_IO, "disk is full");
    CHECK_INT(part_bytes(web_place("/huge.gguf")), -1);
    server.length_off = 0;
    if (access("/dev/full", W_OK) == 0) {
        const char *path = web_place(FILE_PATH);
        put_part(path, "", 0, "-\n-\n0\n");
        (void)snprintf(part, sizeof(part), "%s.part", path);
        CHECK_INT(unlink(part), 0);
        CHECK_INT(symlink("/dev/full", part), 0);
        CHECK_NAME(web_url(FILE_PATH), HASTEN_IO, "disk is full");
        CHECK(!exists(path));
    }
    web_end();
}

TEST(sources_of_the_catalog)
{
    char text[1200];
    begin();
    (void)snprintf(text, sizeof(text), "source = %s", web_url("/y"));
    write_catalog(text, small_sum, SMALL_BYTES);
    server.cut_after = 30000;
    server.cuts = -1;
    CHECK_PULL(HASTEN_OK, "");
    check_stored();
    CHECK_INT(unlink(home_path("models/small.gguf")), 0); /* two parts, one of a file */
    server.size_bytes = 40000;
    write_file(home_path("rest"), small_bytes + 40000, SMALL_BYTES - 40000);
    (void)snprintf(text, sizeof(text), "source = %s\npart = file:rest", web_url("/y"));
    write_catalog(text, small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_OK, "");
    server.size_bytes = SMALL_BYTES;
    server.cuts = 0;
    check_stored();
    CHECK_INT(unlink(home_path("models/small.gguf")), 0); /* another file of the same length */
    char wrong[CT_SHA256_HEX + 1];
    memset(wrong, 'a', CT_SHA256_HEX);
    wrong[CT_SHA256_HEX] = 0;
    (void)snprintf(text, sizeof(text), "source = %s", web_url("/y"));
    write_catalog(text, wrong, SMALL_BYTES);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, small_sum);
    check_nothing_stored();
    write_catalog(text, small_sum, SMALL_BYTES); /* a damaged part is fetched once more */
    memset(text, 'z', sizeof(text));
    put_part(home_path("models/small.gguf"), text, sizeof(text), "\"v1\"\n-\n0\n");
    CHECK_PULL(HASTEN_OK, "");
    check_stored();
    (void)snprintf(text, sizeof(text), "source = %s\nsource = file:origin", web_url("/missing"));
    write_file(home_path("origin"), small_bytes, SMALL_BYTES);
    write_catalog(text, small_sum, SMALL_BYTES); /* the next source */
    CHECK_INT(unlink(home_path("models/small.gguf")), 0);
    CHECK_PULL(HASTEN_OK, "");
    check_stored();
    web_end();
}

/* ---- Several processes ---- */

static bool note_waiting(void *context, const char *what, uint64_t done, uint64_t total)
{
    (void)done, (void)total;
    if (strstr(what, "waiting for another download"))
        *(bool *)context = true;
    return true;
}

/* A child that pulls; exit code 0 done, 3 done after waiting. */
static pid_t child_pull(const char *url)
{
    pid_t child = fork();
    if (child == 0) {
        bool waited = false;
        enum hasten_status status = pull_name(url, note_waiting, &waited, NULL);
        _exit(status != HASTEN_OK ? 1 : waited ? 3 : 0);
    }
    return child;
}

static int child_end(pid_t child)
{
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void wait_for_part(const char *path)
{
    struct timespec time = {.tv_nsec = 5000000};
    for (int i = 0; i < 4000 && part_bytes(path) < 1000; i++)
        (void)nanosleep(&time, NULL);
    CHECK(part_bytes(path) >= 1000);
}

TEST(two_at_once_fetch_once)
{
    begin();
    server.trickle_ms = 1;
    pid_t first = child_pull(web_url(FILE_PATH));
    wait_for_part(web_place(FILE_PATH));
    pid_t second = child_pull(web_url(FILE_PATH));
    CHECK_INT(child_end(first), 0);
    CHECK_INT(child_end(second), 3);
    CHECK_INT(server.requests, 1);
    check_fetched(web_place(FILE_PATH));
    web_end();
}

TEST(a_killed_holder_leaves_the_lock_and_the_part)
{
    begin();
    server.trickle_ms = 5;
    pid_t first = child_pull(web_url(FILE_PATH));
    wait_for_part(web_place(FILE_PATH));
    pid_t second = child_pull(web_url(FILE_PATH));
    CHECK_INT(kill(first, SIGKILL), 0);
    CHECK_INT(child_end(first), 128 + SIGKILL);
    server.trickle_ms = 0;
    int code = child_end(second);
    CHECK(code == 0 || code == 3);
    CHECK_INT(server.ranges, 1);
    check_fetched(web_place(FILE_PATH));
    web_end();
}

/* As root the check runs as another user. */
TEST(a_cache_that_can_only_be_read)
{
    struct hs_error error = {0};
    begin();
    CHECK_NAME(web_url(FILE_PATH), HASTEN_OK, "");
    CHECK_INT(chmod(home_path("models"), 0555), 0);
    CHECK_INT(chmod(home_path("tmp"), 0555), 0);
    CHECK_INT(chmod(home_path("models/http"), 0555), 0);
    CHECK_INT(chmod(fixture_home, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && seteuid(65534) != 0)
            _exit(0); /* cannot be tried here */
        bool there = pull_name(web_url(FILE_PATH), NULL, NULL, &error) == HASTEN_OK;
        enum hasten_status other = pull_name(web_url("/other.gguf"), NULL, NULL, &error);
        bool told = other == HASTEN_IO && mentions(&error, fixture_home) &&
                    strstr(error.hint, "HASTEN_HOME");
        if (!told)
            printf("%s / %s / %s\n", error.message, error.hint, error.place);
        _exit(there && told ? 0 : 1);
    }
    int code = child_end(child);
    CHECK_INT(chmod(fixture_home, 0755), 0);
    CHECK_INT(chmod(home_path("models"), 0755), 0);
    CHECK_INT(chmod(home_path("models/http"), 0755), 0);
    CHECK_INT(chmod(home_path("tmp"), 0755), 0);
    CHECK_INT(code, 0);
    web_end();
}

/* ---- Signals ---- */

static void on_alarm(int number)
{
    (void)number;
}

/* A signal every millisecond, whose handler does not restart system calls. */
static void alarms(bool on)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval timer = {.it_interval.tv_usec = on ? 1000 : 0,
                              .it_value.tv_usec = on ? 1000 : 0};
    CHECK_INT(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_INT(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

TEST(signals_do_not_disturb)
{
    begin();
    alarms(true);
    server.trickle_ms = 1;
    server.cut_after = 20000;
    server.cuts = -1;
    CHECK_NAME(web_url(FILE_PATH), HASTEN_OK, "");
    write_file(home_path("origin"), small_bytes, SMALL_BYTES);
    write_catalog("source = file:origin", small_sum, SMALL_BYTES);
    CHECK_INT(hs_directory_make(home_path("tmp"), NULL), HASTEN_OK);
    int lock = ct_lock(home_path("tmp/small.gguf.lock"));
    pid_t child = fork();
    if (child == 0) { /* timers are not inherited, the lock is */
        bool waited = false;
        close(lock);
        alarms(true);
        enum hasten_status status = pull_small(note_waiting, &waited, NULL);
        _exit(status == HASTEN_OK && waited ? 0 : 1);
    }
    struct timespec time = {.tv_nsec = 300000000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        continue;
    close(lock);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    alarms(false);
    CHECK_INT(status, 0);
    check_fetched(web_place(FILE_PATH));
    web_end();
}

/* SIGTERM while downloading: the part stays, the signal takes its course. */
TEST(a_signal_leaves_a_part)
{
    begin();
    server.trickle_ms = 5;
    pid_t child = child_pull(web_url(FILE_PATH));
    wait_for_part(web_place(FILE_PATH));
    CHECK_INT(kill(child, SIGTERM), 0);
    CHECK_INT(child_end(child), 128 + SIGTERM);
    CHECK(part_bytes(web_place(FILE_PATH)) > 0 && !exists(web_place(FILE_PATH)));
    server.trickle_ms = 0;
    CHECK_NAME(web_url(FILE_PATH), HASTEN_OK, "");
    CHECK_INT(server.ranges, 1);
    web_end();
}

TEST(every_allocation_of_a_download_may_fail)
{
    struct hs_error error = {0};
    begin();
    setenv("HASTEN_NET_RETRIES", "0", 1);
    for (uint64_t n = 1;; n++) {
        hs_alloc_fail_at(n, true);
        struct ct_catalog *catalog = NULL;
        const struct ct_ask ask = {0};
        const struct ct_model *model = NULL;
        enum hasten_status status = ct_open(&error, &catalog);
        if (status == HASTEN_OK)
            status = ct_lookup(catalog, web_url(FILE_PATH), &ask, &error, &model);
        if (status == HASTEN_OK)
            status = ct_pull(model, NULL, NULL, &error);
        hs_alloc_fail_at(0, false);
        ct_close(&catalog);
        if (status == HASTEN_OK)
            break;
        CHECK(status == HASTEN_OUT_OF_MEMORY || mentions(&error, "no memory"));
    }
    check_fetched(web_place(FILE_PATH));
    web_end();
}

TEST_MAIN()
