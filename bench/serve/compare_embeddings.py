#!/usr/bin/env python3
"""Texts to embed, `hasten serve` alternating with llama.cpp's server on the same file.

    bench/serve/compare_embeddings.py --llama-server PATH [--hasten build/release/hasten] MODEL.gguf [-t 2]

Requests of one text of 20 words, of 64 of these, and of 16 texts of 300 words, as base64: time of the
answer, median (least, largest) of the rounds, and the ratio. Texts are new in every round, so that no
server finds them computed; the other server is stopped meanwhile. llama.cpp pools the last token, too.
"""
import argparse
import http.client
import json
import random
import statistics
import sys
import time

import compare_servers as compare

LOADS = ((1, 20), (64, 20), (16, 300))


def embed(server, texts):
    body = json.dumps({"input": texts, "encoding_format": "base64"})
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    seconds = time.perf_counter() - start
    connection.close()
    if len(answer.get("data", ())) != len(texts):
        sys.exit(f"{server.name}: {answer}")
    return seconds


def spread(values, form="{:.1f}"):
    return " ".join(form.format(f(values)) for f in (statistics.median, min, max)).replace(" ", " (", 1) + ")"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--hasten", default="build/release/hasten")
    parser.add_argument("--llama-server", required=True)
    parser.add_argument("-t", "--threads", default="2")
    parser.add_argument("-r", "--rounds", type=int, default=5)
    options = parser.parse_args()
    rng, threads = random.Random(1), options.threads
    servers = compare.start_servers({
        "hasten": [options.hasten, "serve", options.model, "-t", threads],
        "llama-server": [options.llama_server, "-m", options.model, "--host", "127.0.0.1", "-t", threads, "-tb",
                         threads, "--embeddings", "--pooling", "last", "-np", "16", "-c", "16384", "-b", "2048", "-ub",
                         "2048", "--no-webui"]})
    try:
        for count, words in LOADS:
            times = {server.name: [] for server in servers}
            for number in range(-1, options.rounds):
                texts = [" ".join(rng.choice(compare.WORDS) for _ in range(words)) for _ in range(count)]
                for server in servers:
                    server.resume()
                    seconds = embed(server, texts)
                    server.pause()
                    if number >= 0:  # the first round warms up
                        times[server.name].append(seconds * 1e3)
            ours, theirs = times["hasten"], times["llama-server"]
            print(f"{count:3d} texts of {words:3d} words: hasten {spread(ours)} ms, llama-server {spread(theirs)} ms: "
                  f"x{spread([b / a for a, b in zip(ours, theirs)], '{:.2f}')}", flush=True)
    finally:
        for server in servers:
            server.stop()


if __name__ == "__main__":
    main()
