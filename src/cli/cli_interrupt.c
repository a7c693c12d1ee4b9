/*
 * Ctrl-C. The handler does two things that are safe in one: it sets a flag and stores the cancel
 * words of a model (en_cancel: atomic stores). System calls are restarted, so that an interrupt
 * never looks like a failed write.
 */
#include <signal.h>
#include <stdatomic.h>

#include "cli/cli.h"

static _Atomic(struct en_model *) target;
static atomic_bool interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    atomic_store(&interrupted, true);
    struct en_model *model = atomic_load(&target);
    if (model)
        en_cancel(model);
}

void cli_interrupt_catch(struct en_model *model)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    atomic_store(&target, model);
    (void)sigaction(SIGINT, &action, NULL);
}

void cli_interrupt_release(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    (void)sigaction(SIGINT, &action, NULL);
    atomic_store(&target, NULL);
}

const atomic_bool *cli_interrupt_flag(void)
{
    return &interrupted;
}

bool cli_interrupted(void)
{
    return atomic_load(&interrupted);
}

void cli_interrupt_clear(void)
{
    atomic_store(&interrupted, false);
}
