#!/usr/bin/env python3
"""What a server is judged by besides throughput, on `hasten serve` alone:

    bench/serve/scenarios.py --hasten build/release/hasten MODEL.gguf [--overload SECONDS]

overhead  time of a one-token request, minus the server's own account of it (its end-to-end histogram): p50
          of 200, by build/bench/bench_overhead (`make bench`), or by Python, which counts then.
long      4 clients stream; then a prompt of 2,000 tokens arrives: p99 between the streams' chunks,
          without and with it.
prefix    50 requests that share 1,000 tokens, one after the other: p50 of the time to the first chunk,
          against requests whose 1,000 tokens are all their own.
overload  (seconds, default off) 96 clients that ask again as soon as they are answered, and wait for
          Retry-After when refused, on 16 slots and a queue of 32; every tenth leaves early, every fifth
          asks what was asked before the load and must get the same text. Counts of answers, 429, the
          rest; resident memory after a third and at the end.
"""
import argparse
import json
import os
import random
import re
import selectors
import socket
import subprocess
import sys
import threading
import time

import compare_servers as compare


def post(port, body, path="/v1/completions"):
    data = json.dumps(body).encode()
    return (b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % (path.encode(), len(data))) + data


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 300)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, message):
        """Status, body, seconds: to the last byte, not to what Python makes of it."""
        data, length = b"", None
        start = time.perf_counter()
        self.socket.sendall(message)
        while length is None or len(body) < length:
            piece = self.socket.recv(65536)
            end = time.perf_counter()
            data += piece or sys.exit("the server closed")
            head, _, body = data.partition(b"\r\n\r\n")
            if length is None and b"\r\n\r\n" in data:
                length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
        return int(head.split()[1]), body, end - start

    def metric(self, name):
        text = self.ask(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")[1].decode()
        return float(re.search(rf"^{name}\{{[^}}]*\}} (\S+)$", text, re.M).group(1))


def words(rng, count):
    return " ".join(rng.choice(compare.WORDS) for _ in range(count))


def overhead(server, rng):
    if os.path.exists("build/bench/bench_overhead"):
        subprocess.run(["build/bench/bench_overhead", str(server.port), "200"], check=True)
        return
    connection, times = Connection(server.port), []
    name = "vllm:e2e_request_latency_seconds_sum"
    for _ in range(200):
        message = post(server.port, {"prompt": words(rng, 4), "max_tokens": 1, "temperature": 0})
        before = connection.metric(name)
        _, _, seconds = connection.ask(message)
        times.append((seconds - (connection.metric(name) - before)) * 1e6)
    print(f"overhead of a 1-token request, Python's included: p50 {compare.rank(times, 50):.0f} p99 {compare.rank(times, 99):.0f} us")


def gaps_of_streams(server, rng, tokens, late=None):
    """Gaps between chunks of 4 streams; late: a message that is sent once all of them run."""
    selector, last, gaps, sockets = selectors.DefaultSelector(), {}, [], []
    for i in range(4):
        s = socket.create_connection(("127.0.0.1", server.port))
        s.sendall(compare.request(words(rng, 60), tokens))
        selector.register(s, selectors.EVENT_READ, i)
        sockets.append(s)
    left, since = 4, None
    while left:
        for key, _ in selector.select(120) or sys.exit("hangs"):
            data, now = key.fileobj.recv(65536), time.perf_counter()
            if key.data == "late" or not data:
                if not data:
                    selector.unregister(key.fileobj)
                    left -= key.data != "late"
                continue
            if b'"text":"' not in data:
                continue
            if key.data in last and since:
                gaps.append(now - last[key.data])
            last[key.data] = now
            if len(last) == 4 and not since:
                since = now
                if late:
                    s = socket.create_connection(("127.0.0.1", server.port))
                    s.sendall(late)
                    selector.register(s, selectors.EVENT_READ, "late")
                    sockets.append(s)
    for s in sockets:
        s.close()
    return gaps


def long_prompt(server, rng):
    figures = {}
    for name in ("undisturbed", "with a 2,000-token prompt") * 3:
        late = compare.request(words(rng, 1950), 4) if name[0] == "w" else None
        figures.setdefault(name, []).extend(gaps_of_streams(server, rng, 128, late))
    p99 = {name: compare.rank(gaps, 99) * 1e3 for name, gaps in figures.items()}
    alone, beside = p99.values()
    print("p99 between chunks of 4 streams: " + ", ".join(f"{n} {v:.2f} ms" for n, v in p99.items()) +
          f": x{beside / alone:.2f}")


def shared_prefix(server, rng):
    first = {}
    for name, count in (("own", 10), ("shared", 50)):
        start = words(rng, 1000)
        for i in range(count + 1):
            text = (start if name == "shared" else words(rng, 1000)) + " " + words(rng, 20)
            began, times = compare.run_message(server, compare.request(text, 2))
            if i > 0:  # the first one computes what is shared
                first.setdefault(name, []).append(times[0] - began)
    own, shared = (compare.rank(first[name], 50) * 1e3 for name in ("own", "shared"))
    print(f"first chunk with 1,000 tokens: own p50 {own:.1f} ms, shared p50 {shared:.1f} ms: x{shared / own:.3f}")


def resident_mb(process):
    with open(f"/proc/{process.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024


def overload(server, rng, seconds):
    counts, lock, references = {}, threading.Lock(), {}
    for _ in range(8):
        message = post(server.port, {"prompt": words(rng, 60), "max_tokens": 48, "temperature": 0})
        references[message] = json.loads(Connection(server.port).ask(message)[1])["choices"]
    end = time.monotonic() + seconds

    def client(seed):
        own = random.Random(seed)
        while time.monotonic() < end:
            connection = Connection(server.port)
            message, choices = own.choice(list(references.items()))
            if own.random() < 0.8:
                message, choices = post(server.port, {"prompt": words(own, 60), "max_tokens": 48, "ignore_eos": True}), None
            if own.random() < 0.1:
                connection.socket.sendall(message)
                time.sleep(own.random() * 0.2)
                status = "left"
            else:
                status, body, _ = connection.ask(message)
                answer = json.loads(body)
                if status == 200 and (answer["choices"] != choices if choices else
                                      answer["usage"]["completion_tokens"] != 48):
                    status = "wrong"
            connection.socket.close()
            with lock:
                counts[status] = counts.get(status, 0) + 1
            if status == 429:
                time.sleep(1)

    threads = [threading.Thread(target=client, args=(rng.random(),)) for _ in range(96)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 3)
    before = resident_mb(server.process)
    for thread in threads:
        thread.join()
    print(f"overload for {seconds} s: {counts}, resident {before:.1f} MB after a third, "
          f"{resident_mb(server.process):.1f} MB at the end")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--hasten", default="build/release/hasten")
    parser.add_argument("--overload", type=int, default=0)
    parser.add_argument("--only", choices=("overhead", "long", "prefix", "overload"))
    options = parser.parse_args()
    rng, port = random.Random(2), compare.free_port()
    queue = ["--queue", "32"] if options.overload else []
    server = compare.Server("hasten", [options.hasten, "serve", options.model, "--port", str(port), *queue], port)
    try:
        for name, run in (("overhead", overhead), ("long", long_prompt), ("prefix", shared_prefix)):
            if options.only in (None, name):
                run(server, rng)
        if options.overload:
            overload(server, rng, options.overload)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
