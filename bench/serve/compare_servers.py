#!/usr/bin/env python3
"""Streaming clients against `hasten serve`, alternating with llama.cpp's server on the same file.

    bench/serve/compare_servers.py --hasten build/release/hasten MODEL.gguf [--llama-server PATH] [-t 2]

For each number of clients (1, 4, 16): every client sends one request at the same moment (a prompt of
60 words of its own, 96 tokens, greedy, end token ignored) and notes when each chunk with text comes.
Reported as the median of rounds, and the ratio with its spread: chunks per second over all clients, time
to the first chunk (median, largest), time between chunks (p50, p99, nearest rank, all clients together).
Prompts are new in every round, so that no server finds them computed. The load generator is one thread over
raw sockets: it must not take the CPUs that it measures.
"""
import argparse
import json
import random
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import time

WORDS = ("time year people way day man thing woman life child world school state family student group "
         "country problem hand part place case week company system program question work night point home "
         "water room mother area money story fact month lot right study book eye job word business issue "
         "side kind head house service friend father power hour game line end member law car city").split()


class Server:
    def __init__(self, name, command, port):
        self.name, self.port = name, port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as s:
                    s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    if b" 200 " in s.recv(64):
                        return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"{name} does not start: {' '.join(command)}")
            time.sleep(0.1)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        self.resume()
        self.process.terminate()
        self.process.wait(60)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def start_servers(commands):
    """Servers by name and command (--port is added), one after the other; all are stopped (paused)."""
    servers = []
    try:
        for name, command in commands.items():
            port = free_port()
            servers.append(Server(name, [*command, "--port", str(port)], port))
            servers[-1].pause()
    except BaseException:
        for server in servers:
            server.stop()
        raise
    return servers


def request(prompt, tokens):
    body = json.dumps({"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True,
                       "stream": True, "cache_prompt": False}).encode()
    return (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)) + body


def run_message(server, message):
    """Start, and times of every chunk with text, of one request."""
    s = socket.create_connection(("127.0.0.1", server.port))
    start, times, rest = time.perf_counter(), [], b""
    s.sendall(message)
    while data := s.recv(65536):
        now = time.perf_counter()
        *events, rest = (rest + data).split(b"\n\n")
        times += [now] * sum(b'"text":"' in e and b'"text":""' not in e for e in events)
    s.close()
    return start, times


def run_clients(server, count, tokens, rng):
    """Times of every chunk with text, per client, and the start."""
    selector, times = selectors.DefaultSelector(), [[] for _ in range(count)]
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(count)]
    messages = [request(" ".join(rng.choice(WORDS) for _ in range(60)), tokens) for _ in range(count)]
    rests = [b""] * count
    start = time.perf_counter()
    for i, s in enumerate(sockets):
        s.sendall(messages[i])
        selector.register(s, selectors.EVENT_READ, i)
    left = count
    while left:
        for key, _ in selector.select(120) or sys.exit(f"{server.name} hangs"):
            data, now, i = key.fileobj.recv(65536), time.perf_counter(), key.data
            if not data:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                left -= 1
                continue
            *events, rests[i] = (rests[i] + data).split(b"\n\n")
            # both servers send the token's text in "text"; the last chunk has none
            times[i] += [now] * sum(b'"text":"' in e and b'"text":""' not in e for e in events)
    return start, times


def rank(values, share):
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def measure(server, count, tokens, rng):
    start, times = run_clients(server, count, tokens, rng)
    gaps = [b - a for t in times for a, b in zip(t, t[1:])]
    chunks, last = sum(map(len, times)), max(t[-1] for t in times)
    firsts = [t[0] - start for t in times]
    return {"chunks": chunks, "rate": chunks / (last - start), "ttft_p50": rank(firsts, 50),
            "ttft_max": max(firsts), "gap_p50": rank(gaps, 50), "gap_p99": rank(gaps, 99)}


def ratio(results, key):
    """Ours to theirs round by round: median (least..largest)."""
    ratios = [ours[key] / theirs[key] for ours, theirs in zip(results["hasten"], results["llama-server"])]
    return f"x{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def show(name, count, figures):
    print(f"{name:13s} {count:3d} clients  {figures['rate']:8.1f} chunks/s  first chunk p50 "
          f"{figures['ttft_p50'] * 1e3:7.1f} max {figures['ttft_max'] * 1e3:7.1f} ms  between chunks p50 "
          f"{figures['gap_p50'] * 1e3:6.2f} p99 {figures['gap_p99'] * 1e3:6.2f} ms  ({figures['chunks']} chunks)",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--hasten", default="build/release/hasten")
    parser.add_argument("--llama-server")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-n", "--tokens", type=int, default=96)
    parser.add_argument("--clients", default="1,4,16")
    options = parser.parse_args()
    rng, threads = random.Random(1), str(options.threads)
    commands = {"hasten": [options.hasten, "serve", options.model, "-t", threads, "--slots", "16", "--ctx", "1024",
                           "--cache-tokens", "16384"]}
    if options.llama_server:
        commands["llama-server"] = [options.llama_server, "-m", options.model, "--host", "127.0.0.1", "-np", "16",
                                    "-c", "16384", "-t", threads, "-tb", threads, "--no-webui"]
    servers = start_servers(commands)
    try:
        for count in map(int, options.clients.split(",")):
            results = {s.name: [] for s in servers}
            for number in range(-1, options.rounds):
                for server in servers:  # the other one is stopped, not only idle
                    server.resume()
                    figures = measure(server, count, options.tokens, rng)
                    server.pause()
                    if number >= 0:  # the first round warms up
                        results[server.name].append(figures)
            medians = {}
            for server in servers:
                rounds = results[server.name]
                medians[server.name] = {k: statistics.median(r[k] for r in rounds) for k in rounds[0]}
                show(server.name, count, medians[server.name])
            if len(servers) > 1:
                print(f"{'':13s} {count:3d} clients  chunks/s {ratio(results, 'rate')}  first chunk p50 "
                      f"{ratio(results, 'ttft_p50')}  p99 between chunks {ratio(results, 'gap_p99')}", flush=True)
    finally:
        for server in servers:
            server.stop()


if __name__ == "__main__":
    main()
