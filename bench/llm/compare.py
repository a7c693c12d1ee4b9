#!/usr/bin/env python3
"""hasten beside llama.cpp: prompt and decode speed of one model file, alternating in one run.

    bench/llm/compare.py --hasten build/release/hasten --llama-bench PATH/llama-bench MODEL.gguf

Every round runs both programs once per row (order swapped every round), so that both see the same
minutes of a noisy machine. Printed per row: median tokens/s of each, the median of the per-round
ratios hasten / llama.cpp, and the smallest and largest ratio. Same file, same threads, same number
of tokens; random token ids, no sampling; llama-bench runs with its defaults otherwise.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys


def run_json(command):
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{result.stderr[-2000:]}")
    text = result.stdout
    return json.loads(text[text.index("["):])


def hasten_speed(options, threads, prompt, gen, depth):
    rows = run_json([options.hasten, "bench", "llm", options.model, "-p", str(prompt), "-n", str(gen),
                     "-d", str(depth), "-t", str(threads), "-r", "1", "--json"])
    return [row for row in rows if row["n_prompt"] == prompt and row["n_gen"] == gen][0][
        "tokens_per_s"]["median"]


def llama_speed(options, threads, prompt, gen, depth):
    rows = run_json([options.llama_bench, "-m", options.model, "-p", str(prompt), "-n", str(gen),
                     "-d", str(depth), "-t", str(threads), "-r", "1", "-o", "json"])
    return rows[0]["avg_ts"]


def measure(options, threads, prompt, gen, depth):
    ours, theirs = [], []
    for round_number in range(options.rounds):
        pair = [(hasten_speed, ours), (llama_speed, theirs)]
        if round_number % 2:
            pair.reverse()
        for speed, results in pair:
            results.append(speed(options, threads, prompt, gen, depth))
    ratios = [a / b for a, b in zip(ours, theirs)]
    return statistics.median(ours), statistics.median(theirs), ratios


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--hasten", default="build/release/hasten")
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--gen", type=int, default=128)
    parser.add_argument("--depth", default="0")
    options = parser.parse_args()
    print(f"{os.path.basename(options.model)}, {cpu_name()}, {options.rounds} alternating rounds")
    print("| test | threads | hasten tok/s | llama.cpp tok/s | ratio (min .. max) |")
    print("|---|---|---|---|---|")
    for depth in map(int, options.depth.split(",")):
        for threads in map(int, options.threads.split(",")):
            for name, prompt, gen in (("prompt", options.prompt, 0), ("decode", 0, options.gen)):
                if prompt + gen == 0:
                    continue
                ours, theirs, ratios = measure(options, threads, prompt, gen, depth)
                where = f" at {depth}" if depth else ""
                print(f"| {name} {prompt or gen}{where} | {threads} | {ours:.0f} | {theirs:.0f} | "
                      f"{statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f}) |",
                      flush=True)


if __name__ == "__main__":
    main()
