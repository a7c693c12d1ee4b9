/*
 * The commands of hasten: name, arguments, one-line help, function. One row and one file cmd_*.c a
 * command. For the function cli_x the file also defines cli_x_options (its option table) and
 * cli_x_notes (text between usage and options in the help, may be empty).
 */
#ifndef HASTEN_CLI_COMMAND_TABLE_H
#define HASTEN_CLI_COMMAND_TABLE_H

/* clang-format off */
#define CLI_COMMAND_TABLE(X)                                                                                      \
    X("run",        "[MODEL]",            "chat with a model, or answer one prompt",                cli_run)        \
    X("serve",      "[MODEL...]",         "answer many clients over HTTP, OpenAI's API",           cli_serve)      \
    X("perplexity", "[MODEL] FILE",       "how well a model predicts a text",                       cli_perplexity) \
    X("tokenize",   "[MODEL] [TEXT]",     "token ids of a text",                                    cli_tokenize)   \
    X("detokenize", "[MODEL] ID...",      "text of token ids",                                      cli_detokenize) \
    X("inspect",    "[MODEL]",            "what a model file holds: metadata and tensors",          cli_inspect)    \
    X("ir",         "[MODEL]",            "the graph of a model, before and after the passes",      cli_ir)         \
    X("convert",    "MODEL OUT",          "write a model file in another form",                     cli_convert)    \
    X("bench",      "llm|machine [MODEL]", "speed of a model, or peaks and bandwidths of this machine", cli_bench)      \
    X("pull",       "[NAME...]",          "fetch models of the catalog",                            cli_pull)       \
    X("list",       "",                   "models of the catalog",                                  cli_list)       \
    X("rm",         "NAME...",            "delete fetched models",                                  cli_rm)         \
    X("cpu",        "",                   "what this machine has and which kernels are used",       cli_cpu)        \
    X("man",        "",                   "the manual page, for man -l -",                          cli_man)        \
    X("completions", "bash|zsh|fish",     "a script that completes command lines in a shell",       cli_completions) \
    X("version",    "",                   "version of hasten",                                      cli_version)
/* clang-format on */

#endif
