/* hasten cpu: what this machine has and which kernels are used. */
#include "cli/cli.h"

struct cpu_options {
    bool json;
};

#define AT(member) offsetof(struct cpu_options, member)
const struct hs_option cli_cpu_options[] = {
    CLI_JSON_OPTION,
    {0},
};

const char cli_cpu_notes[] =
    "The environment variable HASTEN_CPU=ref|avx2|avx512vnni caps the class that is used.\n";

static bool has_flag(const struct hs_cpu *cpu, int index)
{
    return cpu->flags >> index & 1;
}

static enum hasten_status print_json(struct cli *cli, const struct hs_cpu *cpu)
{
    json_t *flags = json_array();
    for (int i = 0; i < HS_CPU_FLAG_COUNT; i++)
        if (has_flag(cpu, i))
            json_array_append_new(flags, json_string(hs_cpu_flag_name((enum hs_cpu_flag_index)i)));
    return cli_print_json(cli, json_pack("{s:o,s:o,s:s,s:s,s:i,s:I,s:I,s:I}", "model_name",
                                         cli_json_text(hs_str_of(cpu->model_name)), "flags", flags,
                                         "class_best", hs_cpu_class_name(cpu->best), "class_used",
                                         hs_cpu_class_name(cpu->chosen), "logical_cpus",
                                         cpu->logical_cpus, "l1d_bytes", (json_int_t)cpu->l1d_bytes,
                                         "l2_bytes", (json_int_t)cpu->l2_bytes, "l3_bytes",
                                         (json_int_t)cpu->l3_bytes));
}

static void print_plain(const struct hs_cpu *cpu)
{
    const long caches[] = {cpu->l1d_bytes, cpu->l2_bytes, cpu->l3_bytes};
    cli_print("model   %s\n", cpu->model_name[0] ? cpu->model_name : "unknown");
    cli_print("cpus    %d usable by this process\n", cpu->logical_cpus);
    cli_print("flags  ");
    for (int i = 0; i < HS_CPU_FLAG_COUNT; i++)
        if (has_flag(cpu, i))
            cli_print(" %s", hs_cpu_flag_name((enum hs_cpu_flag_index)i));
    cli_print("\nclass   %s", hs_cpu_class_name(cpu->chosen));
    if (cpu->chosen != cpu->best)
        cli_print(" (capped by HASTEN_CPU; this machine has %s)", hs_cpu_class_name(cpu->best));
    if (cpu->cap_ignored[0])
        cli_print(" (HASTEN_CPU=%s names no class and is ignored)", cpu->cap_ignored);
    cli_print("\ncaches ");
    for (int i = 0; i < 3; i++) {
        if (caches[i] > 0)
            cli_print(" L%d%s %ld KiB", i + 1, i ? "" : "d", caches[i] / 1024);
    }
    cli_print("\n");
}

enum hasten_status cli_cpu(struct cli *cli, int argc, char *const argv[])
{
    struct cpu_options options = {0};
    struct cli_arguments arguments;
    HS_TRY(cli_parse(cli, argc, argv, &options, 0, 0, &arguments));
    if (options.json)
        return print_json(cli, hs_cpu_get());
    print_plain(hs_cpu_get());
    return HASTEN_OK;
}
