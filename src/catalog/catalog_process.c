/*
 * Runs a program to its end while watching it.
 *
 * The child gets its own process group (so that it can be killed with all it started), an empty
 * stdin, and is sent SIGKILL by the kernel when the thread that started it dies, so a killed pull
 * leaves no download running. stdout and stderr go into one pipe of which the end is kept for error
 * messages. Between fork and exec only async-signal-safe calls are made: the program may have
 * threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "catalog/catalog_internal.h"

#define POLL_MS          100
#define TERM_GRACE_POLLS 20 /* 2 s between SIGTERM and SIGKILL */

char *ct_find_program(const char *name)
{
    const char *path = getenv("PATH");
    if (!path || !path[0])
        path = "/usr/local/bin:/usr/bin:/bin";
    for (;;) {
        size_t length = strcspn(path, ":");
        struct stat info;
        /* An empty part means the current folder; programs are not taken from there. */
        char *full = length ? ct_text("%.*s/%s", (int)length, path, name) : NULL;
        if (full && access(full, X_OK) == 0 && stat(full, &info) == 0 && S_ISREG(info.st_mode))
            return full;
        hs_free(full);
        if (!path[length])
            return NULL;
        path += length + 1;
    }
}

static void run_child(const struct ct_process *process, int null, int output, pid_t parent)
{
    static const char text[] = "cannot be executed\n";
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(null, 0) >= 0 && dup2(output, 1) >= 0 && dup2(output, 2) >= 0) {
        (void)sigprocmask(SIG_SETMASK, process->mask, NULL);
        (void)execve(process->argv[0], process->argv, process->envp);
    }
    ssize_t wrote = write(output, text, sizeof(text) - 1);
    (void)wrote;
    _exit(127);
}

/* Keeps the end of the output. */
static void keep_output(struct ct_process *process, const char *data, size_t size_bytes)
{
    size_t room = sizeof(process->output) - 1, held = strlen(process->output);
    if (size_bytes > room) {
        data += size_bytes - room;
        size_bytes = room;
    }
    if (held + size_bytes > room) {
        size_t drop = held + size_bytes - room;
        memmove(process->output, process->output + drop, held - drop);
        held -= drop;
    }
    for (size_t i = 0; i < size_bytes; i++)
        process->output[held + i] = data[i] ? data[i] : ' ';
    process->output[held + size_bytes] = 0;
}

static void drain(struct ct_process *process, int input)
{
    char data[1024];
    ssize_t got;
    while ((got = read(input, data, sizeof(data))) > 0)
        keep_output(process, data, (size_t)got);
}

/* True when the child has ended; exit_code is set then. */
static bool reap(struct ct_process *process, pid_t child)
{
    int status = 0;
    pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR))
        return false;
    if (ended < 0) /* the program lets the system reap (SIGCHLD ignored): outcome unknown */
        process->exit_code = 0;
    else
        process->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

static void wait_for_output(int input)
{
    struct pollfd entry = {.fd = input, .events = POLLIN};
    if (poll(&entry, 1, POLL_MS) > 0 && !(entry.revents & POLLIN)) {
        struct timespec time = {.tv_nsec = POLL_MS * 1000000L}; /* closed: do not spin */
        (void)nanosleep(&time, NULL);
    }
}

static void kill_group(struct ct_process *process, pid_t child, int input)
{
    (void)kill(-child, SIGTERM);
    bool ended = false;
    for (int i = 0; i < TERM_GRACE_POLLS && !ended; i++) {
        wait_for_output(input);
        drain(process, input);
        ended = reap(process, child);
    }
    (void)kill(-child, SIGKILL); /* also what outlived the child */
    while (!ended) {
        wait_for_output(input);
        ended = reap(process, child);
    }
}

static enum hasten_status watch(struct ct_process *process, pid_t child, int input,
                                struct hs_error *error)
{
    for (;;) {
        bool ended = reap(process, child);
        drain(process, input);
        if (ended)
            return HASTEN_OK;
        if (!process->continues(process->context)) {
            kill_group(process, child, input);
            return ct_cancelled(error);
        }
        wait_for_output(input);
    }
}

static enum hasten_status cannot_start(const struct ct_process *process, struct hs_error *error)
{
    char reason[128];
    int code = errno;
    return hs_fail(error, HASTEN_IO, NULL, "cannot start %s: %s", process->argv[0],
                   strerror_r(code, reason, sizeof(reason)));
}

enum hasten_status ct_process_run(struct ct_process *process, struct hs_error *error)
{
    int ends[2];
    enum hasten_status status;
    process->output[0] = 0;
    process->exit_code = 0;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0)
        return cannot_start(process, error);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        status = cannot_start(process, error);
        close(null);
        return status;
    }
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    pid_t parent = getpid(), child = fork();
    if (child == 0)
        run_child(process, null, ends[1], parent);
    close(null);
    close(ends[1]);
    if (child < 0) {
        status = cannot_start(process, error);
    } else {
        (void)setpgid(child, child); /* both sides, so that it holds before either goes on */
        status = watch(process, child, ends[0], error);
    }
    close(ends[0]);
    return status;
}
