#!/usr/bin/env python3
"""Per-token time beside a busy neighbour: 1 thread against 2 while one core is loaded.

    bench/llm/neighbour.py [--hasten build/release/hasten] [--rounds 5] MODEL

A busy loop is pinned to one of the machine's CPUs; hasten decodes with one thread and with two,
alternating, free to run on every CPU. Printed: the median time between tokens of each, without and
with the neighbour, and the median of the per-round ratios two threads / one thread.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys


def gap_ms(options, threads):
    command = [options.hasten, "run", options.model, "--raw", "-p", "Once upon a time", "-n",
               str(options.tokens), "-t", str(threads), "--ignore-eos", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if result.returncode != 0:
        sys.exit(result.stderr)
    timings = json.loads(result.stdout)["timings"]
    return timings["itl_p50_ms"], 1000 / timings["decode_tps"]


def measure(options, label):
    one, two = [], []
    for round_number in range(options.rounds):
        for threads, gaps in ((1, one), (2, two)) if round_number % 2 else ((2, two), (1, one)):
            gaps.append(gap_ms(options, threads))
    for name, index in (("median", 0), ("mean", 1)):
        ratios = [b[index] / a[index] for a, b in zip(one, two)]
        print(f"{label}, {name} between tokens: 1 thread "
              f"{statistics.median(a[index] for a in one):.2f} ms, 2 threads "
              f"{statistics.median(b[index] for b in two):.2f} ms, ratio "
              f"{statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--hasten", default="build/release/hasten")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=100)
    options = parser.parse_args()
    measure(options, "quiet")
    cpu = max(os.sched_getaffinity(0))
    neighbour = subprocess.Popen(["taskset", "-c", str(cpu), sys.executable, "-c",
                                  "while True: pass"])
    try:
        measure(options, f"CPU {cpu} busy")
    finally:
        neighbour.kill()


if __name__ == "__main__":
    main()
