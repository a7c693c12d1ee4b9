#!/usr/bin/env python3
"""The server as clients meet it: shapes of answers and errors, streams, many clients at once with
cancels and slow readers, limits, draining, and the unmodified `openai` client. Runs the built binary
(HASTEN_BIN) on loopback with the default model; with MAKE_TINY_MODEL, on a tiny random one, what needs
neither sense nor time (for the sanitizers). No times are asserted; timeouts only end what hangs."""
import array
import base64
import concurrent.futures
import http.client
import json
import math
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import venv

BIN = os.environ["HASTEN_BIN"]
MAKE = os.environ.get("MAKE_TINY_MODEL")
SCRATCH = tempfile.TemporaryDirectory()
MODEL, NAME = (os.path.join(SCRATCH.name, "tiny.gguf"), "tiny") if MAKE else ("smollm2-135m",) * 2
if MAKE:
    subprocess.run([MAKE, MODEL], check=True)
TINY = ["Errors", "Limits.test_bodies_are_bounded_together", "Embeddings.test_forms", "Embeddings.test_same_bits_in_any_company", "Ends.test_drain", "Many.test_answers_under_load"] + [f"Shapes.test_{name}" for name in (
    "health_models_version", "same_text_as_run", "stream_is_the_answer", "seed_and_n", "batch_of_prompts",
    "prefix_is_found", "zero_tokens", "metrics")]
CLIENTS = int(os.environ.get("HASTEN_SERVE_CLIENTS", "64"))
TIMEOUT = 300
JSON = {"Content-Type": "application/json"}
SEED = int(os.environ.get("HASTEN_TEST_SEED", "7"))


class Server:
    def __init__(self, *options, models=(MODEL,)):
        self.process = subprocess.Popen([BIN, "serve", *models, "--port", "0", "--ctx", "4096", *map(str, options)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        found = re.match(r"listening on http://127\.0\.0\.1:(\d+)\n", line)
        if not found:
            self.process.kill()
            raise RuntimeError(line + self.process.stderr.read())
        self.port = int(found.group(1))
        self.told = [self.process.stdout.readline() for _ in models] + [self.process.stdout.readline()]

    def request(self, method, path, body=None, headers=None):
        """Status, headers, bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
            connection.request(method, path, body, JSON if headers is None and body is not None
                               else headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def get(self, path):
        status, _, body = self.request("GET", path)
        return status, body.decode()

    def post(self, path, body):
        status, _, answer = self.request("POST", path, body)
        return status, json.loads(answer)

    def complete(self, prompt, **fields):
        status, answer = self.post("/v1/completions", {"prompt": prompt, "temperature": 0, **fields})
        if status != 200:
            raise AssertionError(answer)
        return answer

    def stream(self, path, body):
        """The events of a stream, parsed; the last is "[DONE]"."""
        status, headers, answer = self.request("POST", path, {**body, "stream": True})
        if status != 200 or not headers["Content-Type"].startswith("text/event-stream"):
            raise AssertionError((status, answer))
        events = answer.decode().split("\n\n")
        assert events.pop() == "" and all(e.startswith("data: ") for e in events), answer
        return [e[6:] if e == "data: [DONE]" else json.loads(e[6:]) for e in events]

    def metric(self, name, more=""):
        text = self.get("/metrics")[1]
        return float(re.search(rf"^{re.escape(name)}\{{[^}}]*{more}[^}}]*\}} (\S+)$", text, re.M).group(1))

    def wait_idle(self):
        end = time.monotonic() + 60
        while self.metric("vllm:num_requests_running") + self.metric("vllm:num_requests_waiting"):
            assert time.monotonic() < end, "requests do not end"
            time.sleep(0.02)

    def stop(self):
        """Exit code after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return "hangs"
        return self.process.returncode


def run_alone(prompt, tokens):
    """What the program answers without a server."""
    result = subprocess.run([BIN, "run", MODEL, "--raw", "--json", "--ctx", "4096", "-p", prompt, "-n", str(tokens)],
                            stdout=subprocess.PIPE, check=True, timeout=TIMEOUT)
    return json.loads(result.stdout)["text"]


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0


class Shapes(Case):
    def test_health_models_version(self):
        self.assertEqual(json.loads(self.server.get("/health/live")[1]), {"live": True})
        for path in ("/health", "/health/ready"):
            status, text = self.server.get(path)
            self.assertEqual((status, json.loads(text)["ready"]), (200, True))
        models = json.loads(self.server.get("/v1/models")[1])
        self.assertEqual(models["object"], "list")
        self.assertEqual([m["id"] for m in models["data"]], [NAME])
        version = subprocess.run([BIN, "version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertIn(json.loads(self.server.get("/version")[1])["version"], version)

    def test_curl_line(self):
        line = self.server.told[-1]
        self.assertTrue(line.startswith("try: curl "), line)
        result = subprocess.run(["sh", "-c", line[len("try: "):]], stdout=subprocess.PIPE, timeout=TIMEOUT)
        self.assertEqual(result.returncode, 0)
        self.assertIn("Paris", json.loads(result.stdout)["choices"][0]["message"]["content"])

    def test_chat(self):
        status, answer = self.server.post("/v1/chat/completions", {
            "model": NAME, "temperature": 0, "max_completion_tokens": 40,
            "messages": [{"role": "user", "content": [{"type": "text", "text":
                          "What is the capital of France? Answer in one word."}]}]})
        self.assertEqual(status, 200)
        self.assertTrue(answer["id"].startswith("chatcmpl-"))
        self.assertEqual(answer["object"], "chat.completion")
        self.assertIn("-", answer["system_fingerprint"])
        choice = answer["choices"][0]
        self.assertEqual(choice["message"]["role"], "assistant")
        self.assertIn("Paris", choice["message"]["content"])
        self.assertEqual(choice["finish_reason"], "stop")
        usage = answer["usage"]
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])

    def test_same_text_as_run(self):
        prompt = "The three primary colours are"
        answer = self.server.complete(prompt, max_tokens=24)
        self.assertEqual(answer["choices"][0]["text"], run_alone(prompt, 24))
        self.assertEqual(answer["choices"][0]["finish_reason"], "length")
        self.assertEqual(answer["usage"]["completion_tokens"], 24)

    def test_stream_is_the_answer(self):
        body = {"messages": [{"role": "user", "content": "Count from one to five, with emoji."}],
                "temperature": 0, "max_tokens": 48, "stream_options": {"include_usage": True}}
        whole = self.server.post("/v1/chat/completions", body)[1]
        events = self.server.stream("/v1/chat/completions", body)
        self.assertEqual(events.pop(), "[DONE]")
        usage = events.pop()
        self.assertEqual(usage["choices"], [])
        self.assertEqual(usage["usage"]["completion_tokens"], whole["usage"]["completion_tokens"])
        self.assertEqual(events[0]["choices"][0]["delta"], {"role": "assistant", "content": ""})
        self.assertEqual(events[-1]["choices"][0]["delta"], {})
        self.assertEqual(events[-1]["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"])
        self.assertEqual({e["object"] for e in events}, {"chat.completion.chunk"})
        self.assertEqual(len({e["id"] for e in events}), 1)
        text = "".join(e["choices"][0]["delta"].get("content", "") for e in events)
        self.assertEqual(text, whole["choices"][0]["message"]["content"])
        body.pop("messages")
        body.pop("stream_options")
        events = self.server.stream("/v1/completions", {**body, "prompt": "One, two,"})
        text = "".join(e["choices"][0]["text"] for e in events[:-1])
        self.assertEqual(text, self.server.complete("One, two,", max_tokens=48)["choices"][0]["text"])

    def test_stop(self):
        whole = self.server.complete("The days of the week are", max_tokens=30)["choices"][0]["text"]
        at = len(whole) // 2
        stop = whole[at:at + 5]
        answer = self.server.complete("The days of the week are", max_tokens=30, stop=["~~~", stop])
        self.assertEqual(answer["choices"][0]["text"], whole[:whole.index(stop)])
        self.assertEqual(answer["choices"][0]["finish_reason"], "stop")

    def test_seed_and_n(self):
        body = {"prompt": "Once upon a time", "temperature": 1, "seed": 11, "n": 3, "max_tokens": 12}
        first, again = (self.server.complete(**body) for _ in range(2))
        texts = [c["text"] for c in first["choices"]]
        self.assertEqual(texts, [c["text"] for c in again["choices"]])
        self.assertEqual(len(set(texts)), 3)
        self.assertEqual([c["index"] for c in first["choices"]], [0, 1, 2])
        if not MAKE:
            self.assertEqual(first["usage"]["completion_tokens"], 36)
        alone = subprocess.run([BIN, "run", MODEL, "--raw", "--json", "-p", body["prompt"], "-n", "12",
                                "--temperature", "1", "--seed", "11"], stdout=subprocess.PIPE, check=True)
        self.assertEqual(texts[0], json.loads(alone.stdout)["text"])
        body.pop("seed")
        self.assertNotEqual(self.server.complete(**body)["choices"][0]["text"],
                            self.server.complete(**body)["choices"][0]["text"])

    def test_batch_of_prompts(self):
        prompts = ["The sea is", "A tree has"]
        answer = self.server.complete(prompts, max_tokens=6, n=2)
        self.assertEqual([c["index"] for c in answer["choices"]], [0, 1, 2, 3])
        for i, prompt in enumerate(prompts):
            alone = self.server.complete(prompt, max_tokens=6)["choices"][0]["text"]
            self.assertEqual([c["text"] for c in answer["choices"][2 * i:2 * i + 2]], [alone, alone])

    def test_logprobs(self):
        body = {"messages": [{"role": "user", "content": "Say yes."}], "temperature": 0, "max_tokens": 8,
                "logprobs": True, "top_logprobs": 3}
        whole = self.server.post("/v1/chat/completions", body)[1]
        content = whole["choices"][0]["logprobs"]["content"]
        self.assertEqual(len(content), whole["usage"]["completion_tokens"])
        for entry in content:
            self.assertLessEqual(entry["logprob"], 0)
            self.assertEqual(len(entry["top_logprobs"]), 3)
            self.assertEqual(entry["top_logprobs"][0]["token"], entry["token"])
        joined = b"".join(bytes(e["bytes"]) for e in content).decode(errors="replace")
        self.assertEqual(joined, whole["choices"][0]["message"]["content"])
        events = self.server.stream("/v1/chat/completions", body)[:-1]
        streamed = [x for e in events if e["choices"][0]["logprobs"]
                    for x in e["choices"][0]["logprobs"]["content"]]
        self.assertEqual(streamed, content)
        logprobs = self.server.complete("One, two,", max_tokens=5, logprobs=2)["choices"][0]["logprobs"]
        self.assertEqual({len(logprobs[k]) for k in
                          ("tokens", "token_logprobs", "top_logprobs", "text_offset")}, {5})
        self.assertEqual(logprobs["text_offset"][1], len(logprobs["tokens"][0]))

    def test_bias_penalty_ids(self):
        ids = self.server.post("/tokenize", {"prompt": "The capital of France is"})[1]["tokens"]
        text = self.server.post("/detokenize", {"tokens": ids})[1]["prompt"]
        self.assertEqual(text, "The capital of France is")
        by_ids = self.server.complete(ids, max_tokens=6)["choices"][0]["text"]
        self.assertEqual(by_ids, self.server.complete(text, max_tokens=6)["choices"][0]["text"])
        paris = self.server.post("/tokenize", {"prompt": " Paris", "add_special_tokens": False})[1]["tokens"]
        other = self.server.complete(ids, max_tokens=6, logit_bias={str(paris[0]): -100})
        self.assertNotIn("Paris", other["choices"][0]["text"])
        long = self.server.complete("a a a a a a a a", max_tokens=12, ignore_eos=True,
                                    repetition_penalty=1.5, presence_penalty=2, frequency_penalty=2)
        self.assertEqual(long["usage"]["completion_tokens"], 12)

    def test_prefix_is_found(self):
        prompt = "A long story about the sea. " * 20
        first = self.server.complete(prompt + "One", max_tokens=2)["usage"]
        second = self.server.complete(prompt + "Two", max_tokens=2)["usage"]
        self.assertGreaterEqual(second["prompt_tokens_details"]["cached_tokens"],
                                first["prompt_tokens"] - 64)
        self.assertGreater(self.server.metric("vllm:prefix_cache_hits_total"), 0)

    def test_zero_tokens(self):
        answer = self.server.complete("x", max_tokens=0)
        self.assertEqual(answer["choices"][0]["text"], "")
        self.assertEqual(answer["usage"]["completion_tokens"], 0)

    def test_metrics(self):
        before = self.server.metric("vllm:generation_tokens_total")
        self.server.complete("x", max_tokens=5, ignore_eos=True)
        text = self.server.get("/metrics")[1]
        self.assertEqual(self.server.metric("vllm:generation_tokens_total"), before + 5)
        for line in text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) \S+ .+|[a-z0-9_:]+\{[^}]*model_name="[^"]+"[^}]*\} \S+)$')
        self.assertEqual(self.server.metric("vllm:kv_cache_usage_perc"), 0)
        counts = [float(m) for m in re.findall(r"time_to_first_token_seconds_bucket\{[^}]*\} (\d+)", text)]
        self.assertEqual(counts, sorted(counts))


class Embeddings(Case):
    def embed(self, texts, **fields):
        status, answer = self.server.post("/v1/embeddings", {"input": texts, **fields})
        self.assertEqual(status, 200, answer)
        self.assertEqual([item["index"] for item in answer["data"]], list(range(len(answer["data"]))))
        return [item["embedding"] for item in answer["data"]], answer["usage"]

    def test_forms(self):
        texts = ["one", "two words", "one"]
        floats, usage = self.embed(texts)
        packed, _ = self.embed(texts, encoding_format="base64", model=NAME, dimensions=len(floats[0]))
        self.assertEqual(floats[0], floats[2])
        self.assertNotEqual(floats[0], floats[1])
        for vector, text in zip(floats, packed):
            exact = array.array("f", base64.b64decode(text))
            self.assertEqual(len(exact), len(vector))
            self.assertLess(max(abs(a - b) for a, b in zip(exact, vector)), 1e-10)
            self.assertAlmostEqual(sum(a * a for a in exact), 1, 5)
        counts = [self.server.post("/tokenize", {"prompt": text})[1] for text in texts]
        self.assertEqual(usage, {"prompt_tokens": sum(c["count"] for c in counts),
                                 "total_tokens": sum(c["count"] for c in counts)})
        self.assertEqual(self.embed([c["tokens"] for c in counts])[0], floats)
        self.assertEqual(self.embed(texts[0])[0], floats[:1])

    def test_same_bits_in_any_company(self):
        """Many inputs of one request, beside streams, twice: the prefix cache answers the second time."""
        rng = random.Random(SEED)
        texts = [" ".join(rng.choice(("river", "stone", "cloud", "light")) for _ in range(1 + i % 40))
                 for i in range(40 if MAKE else 200)]
        alone = [self.embed(text, encoding_format="base64")[0][0] for text in texts[:10]]
        text = self.server.complete("One, two,", max_tokens=32)["choices"][0]["text"]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            beside = [pool.submit(self.server.complete, "One, two,", max_tokens=32) for _ in range(8)]
            many = [pool.submit(self.embed, texts, encoding_format="base64") for _ in range(2)]
            for answer in many:
                self.assertEqual(answer.result()[0][:10], alone)
            self.assertEqual(many[0].result()[0], many[1].result()[0])
            for answer in beside:
                self.assertEqual(answer.result()["choices"][0]["text"], text)
        self.server.wait_idle()

    def test_vectors_are_those_of_an_independent_engine(self):
        """The committed ones are llama.cpp's from the dequantized file. How far ours, from the
        quantized one, may be off: 1.25 times llama.cpp's own distance from the quantized file."""
        with open(os.path.join(os.path.dirname(__file__), "../golden/smollm2-135m-embeddings.json")) as file:
            rows = json.load(file)
        ours, _ = self.embed([row["text"] for row in rows])
        off = 0
        for row, vector in zip(rows, ours):
            exact = array.array("f", base64.b64decode(row["f32"]))
            off += 1 - sum(a * b for a, b in zip(exact, vector)) / math.sqrt(sum(a * a for a in exact))
        peer = sum(1 - row["peer_quantized_cosine"] for row in rows)
        print(f"\n1 - cosine, mean: {off / len(rows):.2e}, llama.cpp {peer / len(rows):.2e}", file=sys.stderr)
        self.assertLess(off, 1.25 * peer)


class Errors(Case):
    def refused(self, status, body, message, path="/v1/completions", headers=None, method="POST"):
        got, headers, answer = self.server.request(method, path, body, headers)
        error = json.loads(answer)["error"]
        self.assertEqual(got, status, error)
        self.assertEqual({"message", "type", "param", "code"} - set(error), set())
        self.assertIn(message, error["message"])
        return error, headers

    def test_statuses(self):
        self.refused(404, None, "path", "/v1/nothing", method="GET")
        _, headers = self.refused(405, None, "POST", method="GET")
        self.assertEqual(headers["Allow"], "POST")
        self.refused(415, b"{}", "Content-Type", headers={"Content-Type": "text/plain"})
        self.refused(403, None, "localhost", "/health", headers={"Host": "evil.example"}, method="GET")
        error, _ = self.refused(404, {"model": "other", "prompt": "x"}, "other")
        self.assertEqual((error["code"], error["param"]), ("model_not_found", "model"))
        self.refused(400, {"input": "x", "dimensions": 3}, "dimensions", "/v1/embeddings")
        self.refused(400, {"input": "word " * 5000}, "context", "/v1/embeddings")
        self.refused(400, {"input": []}, "1 to 2048", "/v1/embeddings")
        self.refused(400, {"prompt": [999999]}, "vocabulary")
        self.refused(400, {"tokens": [-1]}, "ids", "/detokenize")
        self.refused(400, {"prompt": 3}, "string", "/tokenize")

    def test_too_long(self):
        error, _ = self.refused(400, {"prompt": "x " * 6000}, "context")
        self.assertEqual(error["code"], "context_length_exceeded")
        self.assertGreater(error["n_prompt_tokens"], error["n_ctx"])
        self.refused(400, {"prompt": "x", "max_tokens": 100000}, "max_tokens")

    def test_too_large(self):
        self.refused(413, b" " * (5 << 20), "larger")
        connection = socket.create_connection(("127.0.0.1", self.server.port), timeout=TIMEOUT)
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                           b"application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        for _ in range(5):
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        self.assertIn(b" 413 ", connection.recv(100))
        connection.close()
        status, _, _ = self.server.request("GET", "/health", headers={"X-Long": "y" * 100000})
        self.assertEqual(status, 431)

    def test_half_closed(self):
        """Who closes its sending side gets the whole answer, an error, or a cut connection (libmicrohttpd):
        never a part that looks whole."""
        for more in ({}, {"stream": True}, {"n": 3}) * 3:
            body = json.dumps({"prompt": "x", "max_tokens": 3000, "ignore_eos": True, **more}).encode()
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=TIMEOUT) as s:
                s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                s.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: s.recv(65536), b""))
            head, _, body = answer.partition(b"\r\n\r\n")
            if b" 400 " in head.split(b"\r\n")[0]:
                self.assertIn("closed", json.loads(body)["error"]["message"])
            elif b"event-stream" in head:
                last, is_cut = body.split(b"data: ")[-1], not body.endswith(b"\r\n0\r\n\r\n")
                self.assertTrue(is_cut or last.startswith((b"[DONE]", b'{"error"')), last)
            elif answer:
                self.assertEqual({c["finish_reason"] for c in json.loads(body)["choices"]}, {"length"})

    def test_malformed(self):
        rng = random.Random(SEED)
        good = json.dumps({"prompt": "a", "max_tokens": 1, "stop": ["x"], "logit_bias": {"1": 2}}).encode()
        for body in (b"", b"{", b"[]", b"null", b'{"prompt":"\xff"}', b'{"prompt":"\\u0000"}',
                     b'{"prompt":' + b"[" * 5000, b'{"a":' * 5000):
            self.refused(400, body, "")
        for _ in range(200):
            body = bytearray(good)
            for _ in range(rng.randrange(1, 4)):
                body[rng.randrange(len(body))] = rng.choice(b'{}[]",:0\\x\xff\x00 ')
            status, _, _ = self.server.request("POST", "/v1/completions", bytes(body))
            self.assertIn(status, (200, 400))
        for raw in (b"GARBAGE\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 100\r\n\r\n{", b"\x00" * 100, b"GET " + b"/" * 100000):
            # closed at once, or when it has been idle: libmicrohttpd may miss that a sender has ended
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=1) as s:
                try:
                    s.sendall(raw)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(4096):
                        pass
                except OSError:
                    pass
        self.assertEqual(self.server.get("/health")[0], 200)


def disconnecting(server, prompt, rng):
    """A client that leaves at some point."""
    body = json.dumps({"prompt": prompt, "max_tokens": 200, "temperature": 0, "ignore_eos": True,
                       "stream": rng.random() < 0.7}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as s:
        s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        s.settimeout(rng.random())
        try:
            s.recv(rng.randrange(1, 4000))
        except TimeoutError:
            pass


def slow(server, prompt, tokens):
    """A client that reads its stream in small pieces."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
    connection.request("POST", "/v1/completions", json.dumps(
        {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}), JSON)
    answer, data = connection.getresponse(), b""
    while piece := answer.read(100):
        data += piece
        time.sleep(0.01)
    connection.close()
    events = data.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""], events[-3:]
    return "".join(json.loads(e[6:])["choices"][0]["text"] for e in events[:-2])


class Many(Case):
    def test_answers_under_load(self):
        rng, tokens = random.Random(SEED), 16
        prompts = [f"{a} {b}" for a in ("Once upon a time, the", "In the year 1900, a", "The best way to",
                                        "Yesterday I saw a") for b in ("king", "ship", "dog", "city")]
        alone = dict(zip(prompts, (run_alone(p, tokens) for p in prompts[::4])))
        expected = {p: self.server.complete(p, max_tokens=tokens)["choices"][0]["text"] for p in prompts}
        for prompt, text in zip(prompts[::4], alone.values()):
            self.assertEqual(expected[prompt], text)

        def client(i):
            prompt = prompts[i % len(prompts)]
            if i % 4 == 3:
                disconnecting(self.server, prompt, rng)
                return None, None
            if i % 4 == 2:
                return expected[prompt], slow(self.server, prompt, tokens)
            if i % 4 == 1:
                events = self.server.stream("/v1/completions", {"prompt": prompt, "temperature": 0,
                                                                "max_tokens": tokens})
                return expected[prompt], "".join(e["choices"][0]["text"] for e in events[:-1])
            return expected[prompt], self.server.complete(prompt, max_tokens=tokens)["choices"][0]["text"]

        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            for wanted, got in pool.map(client, range(2 * CLIENTS)):
                self.assertEqual(got, wanted)
        self.server.wait_idle()
        if not MAKE:
            self.assertGreater(self.server.metric("vllm:request_success_total", 'finished_reason="abort"'), 0)
        self.assertEqual(self.server.metric("vllm:request_success_total", 'finished_reason="error"'), 0)

    def test_a_client_that_leaves_is_not_computed_for(self):
        self.server.wait_idle()
        before = self.server.metric("vllm:generation_tokens_total")
        for stream in (True, False):
            body = json.dumps({"prompt": "x", "max_tokens": 3000, "temperature": 0, "ignore_eos": True,
                               "stream": stream}).encode()
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=TIMEOUT) as s:
                s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                          b"application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                while self.server.metric("vllm:generation_tokens_total") < before + 3:
                    time.sleep(0.01)
            self.server.wait_idle()
            after = self.server.metric("vllm:generation_tokens_total")
            self.assertLess(after - before, 2900)
            before = after


class Limits(unittest.TestCase):
    def test_queue_is_bounded(self):
        server = Server("--slots", 1, "--queue", 2)
        try:
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                results = list(pool.map(lambda i: server.request(
                    "POST", "/v1/completions", {"prompt": f"Number {i} is", "temperature": 0,
                                                "max_tokens": 60, "ignore_eos": True}), range(12)))
            statuses = [status for status, _, _ in results]
            self.assertEqual(set(statuses), {200, 429})
            for status, headers, body in results:
                if status == 429:
                    self.assertEqual(headers["Retry-After"], "1")
                    self.assertEqual(json.loads(body)["error"]["type"], "rate_limit_error")
            self.assertEqual(server.metric("hasten:requests_rejected_total"), statuses.count(429))
        finally:
            self.assertEqual(server.stop(), 0)

    def test_timeout(self):
        server = Server("--timeout", 1)
        try:
            status, answer = server.post("/v1/completions", {"prompt": "x", "max_tokens": 4000,
                                                             "ignore_eos": True})
            self.assertEqual(status, 503)
            self.assertIn("longer", answer["error"]["message"])
            events = server.request("POST", "/v1/completions", {"prompt": "x", "max_tokens": 4000,
                                    "ignore_eos": True, "stream": True})[2].decode().split("\n\n")
            self.assertIn("error", json.loads(events[-2][6:]))
        finally:
            self.assertEqual(server.stop(), 0)

    def test_bodies_are_bounded_together(self):
        """64 times the largest body; what is larger than a few kilobytes is prepared on its own thread."""
        server, half = Server("--max-body", 20000), []
        body = json.dumps({"prompt": "x " * 2000, "max_tokens": 2, "temperature": 0, "extra": "y" * 15500}).encode()
        try:
            status, alone = server.post("/v1/completions", json.loads(body))
            self.assertEqual(status, 200)
            for _ in range(70):
                half.append(socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT))
                half[-1].sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
                                 b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:-1])
            while (answer := server.request("POST", "/v1/completions", body))[0] == 200:
                pass  # until the server has read what was sent
            self.assertEqual((answer[0], answer[1]["Retry-After"]), (503, "1"))
            self.assertIn("large", json.loads(answer[2])["error"]["message"])
            for s in half[:40]:
                s.close()
            for s in half[40:]:
                s.sendall(body[-1:])
            told = [s.makefile("rb").readline() for s in half[40:]]
            self.assertGreater(sum(b" 200 " in line for line in told), 15)  # the last to come found no room
            while (answer := server.request("POST", "/v1/completions", body))[0] == 503:
                pass
            self.assertEqual(json.loads(answer[2])["choices"][0]["text"], alone["choices"][0]["text"])
        finally:
            for s in half:
                s.close()
            self.assertEqual(server.stop(), 0)

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            result = subprocess.run([BIN, "serve", MODEL, "--port", str(taken.getsockname()[1])],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot listen", result.stderr)
        self.assertIn("--port", result.stderr)


class Ends(unittest.TestCase):
    def begin(self, server, tokens):
        """A stream whose first bytes have come."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": "x", "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True}), JSON)
        answer = connection.getresponse()
        return connection, answer, answer.read(10)

    def test_drain(self):
        server = Server()
        self.addCleanup(server.stop)
        connection, answer, start = self.begin(server, 60)
        server.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 30
        while server.get("/health/ready")[0] != 503 and time.monotonic() < end:
            time.sleep(0.01)
        rest = answer.read()
        connection.close()
        self.assertTrue((start + rest).endswith(b"data: [DONE]\n\n"))
        if not MAKE:  # a random model also says tokens that are no text yet
            self.assertEqual((start + rest).count(b"data: "), 60 + 2)
        self.assertEqual(server.stop(), 0)

    def test_second_signal(self):
        server = Server()
        self.addCleanup(server.stop)
        connection, answer, start = self.begin(server, 4000)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGINT)
        rest = start + answer.read()
        connection.close()
        self.assertEqual(server.process.wait(60), 0)
        self.assertNotIn(b"[DONE]", rest)
        self.assertIn(b"shutting down", rest)
        server.process.communicate()


OPENAI = """
import sys, openai
client = openai.OpenAI(base_url=f"http://127.0.0.1:{sys.argv[1]}/v1", api_key="none", max_retries=0)
model = client.models.list().data[0].id
ask = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
answer = client.chat.completions.create(model=model, messages=ask, temperature=0, max_tokens=20,
                                        logprobs=True, top_logprobs=2, extra_body={"top_k": 40, "min_p": 0.1})
text = answer.choices[0].message.content
assert "Paris" in text and answer.choices[0].finish_reason == "stop", answer
assert answer.usage.prompt_tokens > 10 and len(answer.choices[0].logprobs.content[0].top_logprobs) == 2
stream = client.chat.completions.create(model=model, messages=ask, temperature=0, max_tokens=20, stream=True,
                                        stream_options={"include_usage": True})
chunks = list(stream)
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text
assert chunks[-1].usage.completion_tokens == answer.usage.completion_tokens
both = client.completions.create(model=model, prompt="One, two,", max_tokens=4, n=2, seed=3, logprobs=1)
assert len(both.choices) == 2 and len(both.choices[0].logprobs.tokens) == 4
vectors = client.embeddings.create(model=model, input=["Paris", "France"]).data
assert len(vectors[0].embedding) == 576 and abs(sum(x * x for x in vectors[1].embedding) - 1) < 1e-5
for wrong, kind in ((dict(model="no"), openai.NotFoundError), (dict(temperature=-1), openai.BadRequestError),
                    (dict(max_tokens=10**6), openai.BadRequestError)):
    try:
        client.chat.completions.create(**{"model": model, "messages": ask, **wrong})
        raise SystemExit(f"{wrong} was taken")
    except kind as error:
        assert error.body["message"], error
with client.chat.completions.create(model=model, messages=ask, max_tokens=500, stream=True) as stream:
    next(iter(stream))  # and leaves
print("openai", openai.__version__)
"""


class OpenAI(Case):
    def test_unmodified_client(self):
        with tempfile.TemporaryDirectory() as folder:
            venv.create(folder, with_pip=True)
            python = os.path.join(folder, "bin", "python")
            fetched = subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check",
                                      "--no-cache-dir", "openai"], stderr=subprocess.PIPE, text=True, timeout=600)
            if fetched.returncode != 0:
                print("\n*** NOT TESTED: the openai client cannot be fetched:\n" + fetched.stderr, file=sys.stderr)
                self.skipTest("PyPI cannot be reached")
            result = subprocess.run([python, "-c", OPENAI, str(self.server.port)], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True, timeout=TIMEOUT)
            self.assertEqual(result.returncode, 0, result.stderr)
            print("\n" + result.stdout.strip(), file=sys.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv + (TINY if MAKE and len(sys.argv) == 1 else []), verbosity=2)
