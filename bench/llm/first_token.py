#!/usr/bin/env python3
"""Process start to the first byte of text, and peak memory, beside llama.cpp; alternating.

    bench/llm/first_token.py [--hasten build/release/hasten] --llama-completion PATH MODEL.gguf

Time: exec to the first byte on a pipe, page cache warm, a raw prompt of about 20 tokens, context 2,048;
llama.cpp without its warm-up run, which would only add to its time. Memory: the largest resident set
of a run with a prompt of about 130 tokens and 32 more.
"""
import argparse
import os
import statistics
import subprocess
import time

SHORT = ("The history of natural philosophy shows that light was studied by many people over the last "
         "two thousand years and")
TEXT = os.path.join(os.path.dirname(__file__), "../../tests/data/opticks.txt")


def hasten_command(options, threads, prompt, count):
    return [options.hasten, "run", options.model, "--raw", "-p", prompt, "-n", str(count), "-t",
            str(threads), "--ctx", "2048"]


def llama_command(options, threads, prompt, count):
    return [options.llama_completion, "-m", options.model, "-p", prompt, "-n", str(count), "-t",
            str(threads), "-c", "2048", "-no-cnv", "--no-display-prompt", "--no-warmup", "--temp",
            "0"]


def start(command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            stdin=subprocess.DEVNULL)


def first_byte_ms(command):
    begin = time.monotonic()
    process = start(command)
    process.stdout.read(1)
    elapsed = time.monotonic() - begin
    process.stdout.read()
    process.wait()
    return 1000 * elapsed


def peak_mb(command):
    process = start(command)
    process.stdout.read()
    return os.wait4(process.pid, 0)[2].ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--hasten", default="build/release/hasten")
    parser.add_argument("--llama-completion", required=True)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    for threads in (1, 2):
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(first_byte_ms(hasten_command(options, threads, SHORT, 4)))
            theirs.append(first_byte_ms(llama_command(options, threads, SHORT, 4)))
        ratios = [a / b for a, b in zip(ours, theirs)]
        print(f"first byte, {threads} threads: hasten {statistics.median(ours):.0f} ms, llama.cpp "
              f"{statistics.median(theirs):.0f} ms, ratio {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} .. {max(ratios):.2f})", flush=True)
    with open(TEXT, encoding="utf-8") as file:
        prompt = file.read()[:560]
    ours, theirs = (peak_mb(command(options, 2, prompt, 32))
                    for command in (hasten_command, llama_command))
    print(f"peak memory: hasten {ours:.0f} MB, llama.cpp {theirs:.0f} MB, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
