/* hasten bench machine: measures and prints. */
#ifndef HASTEN_CLI_BENCH_MACHINE_REPORT_H
#define HASTEN_CLI_BENCH_MACHINE_REPORT_H

#include "cli/cli.h"

struct en_machine;
HS_MUST_USE enum hasten_status bench_machine_report(struct cli *cli,
                                                    const struct en_machine *machine, bool json);

#endif
