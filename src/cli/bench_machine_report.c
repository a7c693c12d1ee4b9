/* hasten bench machine: the machine's facts, then one line a measurement. */
#include "cli/bench_machine_report.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "engine/bench_machine.h"

struct report {
    struct cli *cli;
    json_t *rows; /* NULL: a table */
};

/* First line of a small file; "" when there is none. */
static void read_line(const char *path, char *text, size_t size_bytes)
{
    char *data = NULL;
    size_t length = 0;
    text[0] = 0;
    if (hs_file_read(path, 4096, NULL, &data, &length) != HASTEN_OK)
        return;
    (void)snprintf(text, size_bytes, "%.*s", (int)strcspn(data, "\n"), data);
    hs_free(data);
}

static bool show(void *context, const struct en_machine_row *row)
{
    struct report *report = context;
    char size[24] = "";
    if (report->rows) {
        json_array_append_new(report->rows,
                              json_pack("{s:s,s:s,s:s,s:i,s:I,s:f,s:f,s:f}", "name", row->name,
                                        "detail", row->detail, "unit", row->unit, "threads",
                                        row->threads, "size_bytes", (json_int_t)row->size_bytes,
                                        "min", row->min, "median", row->median, "max", row->max));
    } else {
        if (row->size_bytes)
            (void)cli_size_text(row->size_bytes, size);
        cli_print("%-9s %8d %10s %10.2f %10.2f %10.2f %-8s %s\n", row->name, row->threads, size,
                  row->min, row->median, row->max, row->unit, row->detail);
        (void)cli_flush();
    }
    return !cli_interrupted();
}

static json_t *facts(const struct hs_cpu *cpu, enum hs_cpu_class cpu_class, const char *governor,
                     const char *most_khz)
{
    return json_pack("{s:o,s:s,s:i,s:I,s:I,s:I,s:s,s:s}", "model_name",
                     cli_json_text(hs_str_of(cpu->model_name)), "class",
                     hs_cpu_class_name(cpu_class), "logical_cpus", cpu->logical_cpus, "l1d_bytes",
                     (json_int_t)cpu->l1d_bytes, "l2_bytes", (json_int_t)cpu->l2_bytes, "l3_bytes",
                     (json_int_t)cpu->l3_bytes, "governor", governor, "max_khz", most_khz);
}

static void print_facts(const struct hs_cpu *cpu, enum hs_cpu_class cpu_class, const char *governor,
                        const char *most_khz)
{
    cli_print("model     %s\nclass     %s\ncpus      %d usable by this process\n", cpu->model_name,
              hs_cpu_class_name(cpu_class), cpu->logical_cpus);
    cli_print("caches    L1d %ld KiB, L2 %ld KiB, L3 %ld KiB\n", cpu->l1d_bytes / 1024,
              cpu->l2_bytes / 1024, cpu->l3_bytes / 1024);
    if (governor[0] || most_khz[0])
        cli_print("frequency governor %s, at most %s kHz\n", governor[0] ? governor : "unknown",
                  most_khz[0] ? most_khz : "unknown");
    else
        cli_print("frequency not shown by the system (a virtual machine?): see the line clock\n");
    cli_print("\n%-9s %8s %10s %10s %10s %10s %-8s %s\n", "what", "threads", "size", "min",
              "median", "max", "unit", "how");
}

enum hasten_status bench_machine_report(struct cli *cli, const struct en_machine *machine,
                                        bool json)
{
    static const char folder[] = "/sys/devices/system/cpu/cpu0/cpufreq";
    char path[96], governor[32], most_khz[32];
    const struct hs_cpu *cpu = hs_cpu_get();
    struct report report = {.cli = cli, .rows = json ? json_array() : NULL};
    (void)snprintf(path, sizeof path, "%s/scaling_governor", folder);
    read_line(path, governor, sizeof governor);
    (void)snprintf(path, sizeof path, "%s/cpuinfo_max_freq", folder);
    read_line(path, most_khz, sizeof most_khz);
    if (!json)
        print_facts(cpu, machine->cpu_class, governor, most_khz);
    cli_interrupt_catch(NULL);
    enum hasten_status status = en_bench_machine(machine, show, &report, &cli->error);
    cli_interrupt_release();
    if (status != HASTEN_OK || !json) {
        json_decref(report.rows);
        return status;
    }
    return cli_print_json(cli, json_pack("{s:o,s:o}", "machine",
                                         facts(cpu, machine->cpu_class, governor, most_khz), "rows",
                                         report.rows));
}
