#!/usr/bin/env python3
"""Fuzzes a running server over its sockets: bodies broken in their bytes and in their structure, broken
HTTP, clients that leave at any point, with sound requests between. Runs the built binary (HASTEN_BIN) on
loopback with two tiny random models (MAKE_TINY_MODEL), one of each kind of tokenizer.

    fuzz_serve.py [--seconds 20] [--seed 1] [--case N]

Checked: every answer is whole and sound HTTP of a status that may be, errors have OpenAI's shape, answers
of 200 are JSON or event streams, reference requests always give the text and vectors they gave first; at
the end the server is well, has nothing running or waiting, has its file descriptors back and no more memory
than MEMORY_MIB says above that of a third of the time, and ends with 0 and without a sanitizer's report.

Case N of a seed is always the same bytes: what fails is told with its number, and --case runs it alone.
No times are asserted: timeouts only end what hangs."""
import argparse
import copy
import errno
import itertools
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter

HANGS_S = 120  # seconds without a byte, counted while the server runs: it hangs
IDLE_S = 30
CLIENTS = 8
REFERENCE_EVERY = 50
OPTIONS = ["--ctx", "512", "--slots", "4", "--queue", "5", "--timeout", "60", "--idle", str(IDLE_S)]
# How much more than after a third of the time. The largest bodies raise the heap to what then stays: without
# sanitizers 22 to 46 MiB, not more in 7 minutes. The sanitizers keep freed memory for a while.
MEMORY_MIB = {"": 48, "asan": 96, "tsan": 256}
OURS = {200, 400, 403, 404, 405, 413, 415, 429, 503}
LIBRARYS = {400, 413, 414, 431, 505}  # libmicrohttpd's own pages, for what is no HTTP request
POSTS = ("/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/tokenize", "/detokenize")
GETS = ("/health", "/health/live", "/health/ready", "/version", "/metrics", "/v1/models")
MODELS = ("tiny", "gemma")


class Failure(Exception):
    pass


# ---- sound requests ----

WORDS = ("the", "user", "thing", "Zürich", "日本", "🙂", "<|im_start|>", "<|im_end|>", "\n", "\t", "a" * 40,
         "{{ x }}", "{% if %}", "\u0301", "\x7f", '"', "\\", "")


def text(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 12)))


def tool_calls(rng):
    return [{"id": text(rng), "type": "function", "index": rng.randrange(9), "function": {
        "name": text(rng), "arguments": rng.choice(({"a": [1, {"b": None}]}, '{"a": 1}', [], 1.5))}}]


def message(rng):
    parts = [{"type": "text", "text": text(rng)} for _ in range(rng.randrange(1, 4))]
    content = rng.choice((text(rng), parts, None, ""))
    more = rng.choice(({}, {}, {"name": text(rng)}, {"tool_calls": tool_calls(rng)},
                       {"tool_call_id": "x", "x": {"y": [0]}}))
    return {"role": rng.choice(("user", "assistant", "system", "developer")), "content": content, **more}


def optional(rng, is_chat):
    fields = {"temperature": rng.choice((0, 0.5, 1, 2)), "top_p": rng.random(), "min_p": rng.random(),
              "typical_p": rng.random(), "top_k": rng.randrange(-1, 99), "repetition_penalty": 1.1,
              "presence_penalty": -1, "frequency_penalty": 2, "n": rng.randrange(1, 4),
              "seed": rng.randrange(-5, 1 << 40),
              "stop": rng.choice(("the", ["a", "\n\n", "🙂"], [])), "stream": rng.random() < 0.7,
              "stream_options": {"include_usage": rng.random() < 0.5}, "ignore_eos": True, "user": "x",
              "unknown": {"a": [1]}, "model": rng.choice(MODELS),
              "logit_bias": {str(rng.randrange(300)): rng.randrange(-100, 101) for _ in range(rng.randrange(5))}}
    count = rng.randrange(21)
    fields.update({"logprobs": True, "top_logprobs": count} if is_chat else {"logprobs": count})
    chosen = {name: value for name, value in fields.items() if rng.random() < 0.25}
    if "top_logprobs" in chosen:
        chosen["logprobs"] = True
    return chosen


def sound_fields(rng, path):
    if path == "/v1/chat/completions":
        messages = [message(rng) for _ in range(rng.randrange(1, 5))]
        if rng.random() < 0.03:  # from 100 on the template writes them all as JSON: too long for the context
            messages += [{"role": "user", "content": "", "x": tool_calls(rng)}] * rng.choice((90, 100, 110))
        return {"messages": messages, "max_tokens": rng.randrange(12), **optional(rng, True)}
    ids = [rng.randrange(320) for _ in range(rng.randrange(1, 30))]
    if path == "/detokenize":
        return {"tokens": ids, "model": rng.choice(MODELS)}
    if path == "/tokenize":
        return {"prompt": text(rng), "model": rng.choice(MODELS), "add_special_tokens": rng.random() < 0.5}
    inputs = rng.choice((text(rng) + "x", ids, [text(rng) + "x", "b"], [ids, ids[:1]]))
    if path == "/v1/embeddings":
        many = [text(rng) + "x" for _ in range(rng.choice((40, 300)))] if rng.random() < 0.1 else inputs
        return {"input": many, "model": rng.choice(MODELS), "encoding_format": rng.choice(("float", "base64", None)),
                **({"dimensions": 64} if rng.random() < 0.2 else {})}
    return {"prompt": inputs, "max_tokens": rng.randrange(12), **optional(rng, False)}


def post_path(rng):
    return rng.choices(POSTS, (4, 4, 2, 1, 1))[0]


def head(path, length, method="POST", version="HTTP/1.1", more=()):
    lines = [f"{method} {path} {version}", "Host: localhost", "Content-Type: application/json", *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(path, body, **more):
    return head(path, len(body), **more) + body


def sound(rng, path):
    return post(path, json.dumps(sound_fields(rng, path), ensure_ascii=rng.random() < 0.5).encode())


# ---- bodies broken in their structure ----

class Raw:
    """JSON as it is, or what is none."""

    def __init__(self, data):
        self.data = data if isinstance(data, bytes) else data.encode()


def nested(rng):
    depth = rng.choice((3, 40, 60, 63, 64, 65, 70, 5000))
    begin, end = rng.choice((("[", "]"), ('{"a":', "}"), ('[{"role":', "}]")))
    return Raw(begin * depth + "1" + end * (depth if rng.random() < 0.7 else depth - 1))


def big(rng):
    count = rng.choice((100, 3000, 20000, 262144, 300000) if rng.random() < 0.2 else (100, 3000))
    return rng.choice((lambda: Raw('"' + "a" * count + '"'), lambda: Raw('"' + "the a " * count + '"'),
                       lambda: Raw("1" * count), lambda: Raw("[" + "0," * count + "0]"),
                       lambda: Raw("[" + '"x",' * count + '"y"]'), lambda: Raw("[" + "[]," * count + "[]]"),
                       lambda: {str(i): 1 for i in range(count)}, lambda: Raw('"' + "\\u00e9" * count + '"'),
                       lambda: Raw('"' + "<|im_end|>" * count + '"'), lambda: Raw('"' + " \\n" * count + '"')))()


ODD = (None, True, False, 0, -1, 1, 2, 16, 17, 32, 64, 65, 319, 320, 511, 512, 1 << 31, (1 << 31) - 1,
       (1 << 53) + 1, 1 << 63, (1 << 63) - 1, -(1 << 63), 1 << 64, 0.5, -0.0, 1e-320, 1e308, 100.0000001, "", "a",
       "0", "-1", "true", [], {}, [[]], [{}], [None], [""], [[""]], [[1], ["a"]], ["a", [1]], [1, "a"], [1.0], [-1],
       [320], [1 << 40], {"": ""}, {"type": "text"}, [{"type": "text"}], [{"type": "text", "text": 1}],
       [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}], [{"role": "user"}],
       [{"role": "user", "content": None}], [{"role": "", "content": "x"}], [{"role": "tool", "content": "x"}],
       [{"content": "x"}], [{"role": 1, "content": {}}], {"role": "user", "content": "x"}, {"1": 1e9}, {"-1": 1},
       {"0x1": 1}, {"999999999": 1}, {"1": "1"}, {"": 0})
ODD_RAW = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e-999", "00", "+1", ".5", "1.", "0x10", "nan",
           "'a'", "undefined", '"\\ud800"', '"\\udfff\\ud800"', '"\\ud83d\\ude42"', '"\\u0000"', '"a\\u0000b"',
           '"\\x"', '"\\u12"', "1 2", "[1,]", "[,]", '{"a"}', '{"a":}', "{,}", "/**/1", b'"\xff\xfe"',
           b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b'"\x00"', b'"\x1f"', b"\x00",
           b"\xef\xbb\xbf1", '"<|im_start|>system\\n"', "", "]", "}", '"', "\\")
FIELDS = ("model", "messages", "prompt", "input", "tokens", "content", "max_tokens", "max_completion_tokens",
          "temperature", "top_p", "n", "seed", "stop", "stream", "stream_options", "logprobs", "top_logprobs",
          "logit_bias", "presence_penalty", "frequency_penalty", "top_k", "min_p", "typical_p",
          "repetition_penalty", "ignore_eos", "echo", "suffix", "best_of", "tools", "tool_choice",
          "response_format", "functions", "audio", "guided_json", "stop_token_ids", "bad_words", "prompt_logprobs",
          "encoding_format", "dimensions", "add_special_tokens", "add_special", "user", "\u00e9", "")


def odd(rng):
    kind = rng.random()
    if kind < 0.5:
        return copy.deepcopy(rng.choice(ODD))
    if kind < 0.8:
        return Raw(rng.choice(ODD_RAW))
    if kind < 0.84:
        return {"a": tool_calls(rng), "b": message(rng)}
    return nested(rng) if kind < 0.93 else big(rng)


def places(value, out):
    """Every (container, key) of a tree."""
    if isinstance(value, (dict, list)):
        for key in (value if isinstance(value, dict) else range(len(value))):
            out.append((value, key))
            places(value[key], out)
    return out


def written(value):
    if isinstance(value, Raw):
        return value.data
    if isinstance(value, dict):
        return b"{" + b",".join(json.dumps(k).encode() + b":" + written(v) for k, v in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(written, value)) + b"]"
    return json.dumps(value).encode()


def break_structure(rng, path):
    fields = json.loads(json.dumps(sound_fields(rng, path)))
    for _ in range(rng.randrange(1, 4)):
        what = rng.randrange(10)
        container, key = rng.choice(places(fields, []))
        if what < 4:
            container[key] = odd(rng)
        elif what < 8:
            fields[rng.choice(FIELDS)] = odd(rng)
        elif what == 8 and isinstance(container, dict):
            del container[key]
        else:
            container[key] = [container[key]] * rng.choice((0, 1, 2, 33, 70))
        if not fields:
            break
    body = written(fields)
    if rng.random() < 0.1:  # a field twice
        body = body[:-1] + b"," + json.dumps(rng.choice(FIELDS)).encode() + b":" + written(odd(rng)) + b"}"
    if rng.random() < 0.05:
        body = rng.choice((b" " * 5000 + body, body + b"\n\n", body + body, b"[" + body + b"]", b"",
                           b"\xff\xfe" + body, b"null"))
    return body


# ---- bodies broken in their bytes ----

SPECIAL = b'{}[]",:0\\x\xff\x00\xed\xa0 -+eE.9tfn/'


def break_bytes(rng, data, other):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        size = min(rng.choice((1, 1, 2, 4, 16, 200)), len(data) - at)
        what = rng.randrange(8)
        if what == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1 and at < len(data):
            data[at] = rng.choice(SPECIAL)
        elif what == 2:
            data[at:at] = bytes(rng.choice(SPECIAL) for _ in range(rng.choice((1, 1, 3, 50))))
        elif what == 3:
            del data[at:at + size]
        elif what == 4:
            data[at:at] = data[at:at + size] * rng.choice((1, 2, 50))
        elif what == 5:
            del data[at:]
        elif what == 6:
            data[at:] = other[rng.randrange(len(other) + 1):]
        else:
            data[at:at + size] = rng.randbytes(size)
    return bytes(data)


def broken_body(rng, path):
    if rng.random() < 0.6:
        return break_structure(rng, path)
    first, other = (json.dumps(sound_fields(rng, p)).encode() for p in (path, post_path(rng)))
    return break_bytes(rng, first, other)


# ---- cases: what is sent, how it ends, what must come ----

class Case:
    """parts: bytes to send in this order, or seconds to wait. answers: how many must come whole; None: as
    many as may. paths of the answers, in order, where known."""

    def __init__(self, kind, parts, answers=None, paths=(), is_head=False, end="close", read=None,
                 may=OURS | LIBRARYS):
        self.kind, self.parts, self.answers, self.paths, self.is_head = kind, parts, answers, paths, is_head
        self.end, self.read, self.may = end, read, may


def case_sound(rng):
    path = post_path(rng)
    return Case("sound", [sound(rng, path)], 1, [path], may={200, 400, 429, 503})


def case_get(rng):
    path = rng.choice(GETS)
    is_head = rng.random() < 0.2
    return Case("get", [head(path, None, method="HEAD" if is_head else "GET")], 1, [path], is_head, may={200})


def case_structure(rng):
    path = post_path(rng)
    return Case("structure", [post(path, break_structure(rng, path))], 1, [path], may=OURS)


def case_bytes(rng):
    path = post_path(rng)
    first, other = (json.dumps(sound_fields(rng, p)).encode() for p in (path, post_path(rng)))
    return Case("bytes", [post(path, break_bytes(rng, first, other))], 1, [path], may=OURS)


def chunks(rng, body):
    out = b""
    while body:
        size = min(len(body), rng.choice((1, 2, 7, 100, 5000)))
        out += (b"%x\r\n" if rng.random() < 0.5 else b"%04X\r\n") % size + body[:size] + b"\r\n"
        body = body[size:]
    return out + b"0\r\n\r\n"


CHUNKED = ("Transfer-Encoding: chunked",)


def case_chunked(rng):
    path = post_path(rng)
    body = broken_body(rng, path) if rng.random() < 0.5 else json.dumps(sound_fields(rng, path)).encode()
    return Case("chunked", [head(path, None, more=CHUNKED) + chunks(rng, body[:20000])], 1, [path], may=OURS)


def case_bad_chunks(rng):
    path = post_path(rng)
    data = chunks(rng, json.dumps(sound_fields(rng, path)).encode())
    size = rng.choice((b"-1", b"ffffffffffffffff", b"10000000000000000", b"FFFFFFFF", b"7fffffffffffffff", b"g", b"",
                       b"0x5", b" 5",
                       b"5;a=b", b"5" * 5000, b"3\r\n{}\r\n0\r\nX: " + b"y" * rng.choice((3, 40000)), b"0",
                       b"00000000005"))
    data = rng.choice((lambda: size + b"\r\n" + data, lambda: data.replace(b"\r\n", b"\n"),
                       lambda: break_bytes(rng, data, size),
                       lambda: data[:rng.randrange(len(data))], lambda: data[:-2] + b"Trailer: x\r\n\r\n",
                       lambda: data[:-5] + size + b"\r\n\r\n"))()
    length = rng.choice((None, None, len(data), 0, 5, 1 << 62))
    more = rng.choice((CHUNKED, CHUNKED * 2, ("Transfer-Encoding: gzip, chunked",), ("Transfer-Encoding: identity",),
                       ("transfer-encoding:\tChUnKeD ",), ("Transfer-Encoding: x",)))
    return Case("bad chunks", [head(path, length, more=more) + data])


def case_length(rng):
    path = post_path(rng)
    body = json.dumps(sound_fields(rng, path)).encode()
    length = rng.choice(("-1", "-5", "0", "1", str(len(body) - 1), str(len(body) + 1), str(len(body) + 9999), "abc",
                         "", "+5", "5 5",
                         "5,5", "1e3", "0x10", "9" * 20, str((1 << 64) - 1), str((1 << 64) + len(body)),
                         str(1 << 63), "4194304",
                         "4194305", "99999999", "0" * 3000 + "5", f"{len(body)}\r\nContent-Length: {len(body)}",
                         f"{len(body)}\r\nContent-Length: 3", f"3\r\nContent-Length: {len(body)}", f" {len(body)} "))
    return Case("length", [head(path, length) + body], end=rng.choice(("close", "half", "reset")))


# After "GET PATH HTTP/1.1" and after "POST PATH HTTP/1.1" with a host.
GET_HEADERS = ("", "Host: evil.example", "Host: " + "h" * 300, "Host:", "Host: [::1]:80\r\nHost: a",
               "Host: 127.0.0.1:x", "X: " + "y" * 10, "X: " + "y" * 4000, "X: " + "y" * 33000, "X: " + "y" * 100000,
               "\r\n".join(f"X{i}: y" for i in range(50)), "\r\n".join(f"X{i}: y" for i in range(3000)), "no colon",
               ": empty", " folded: x\r\nHost: localhost", "A: b\r\n c\r\n\td", "A\x00B: c\x00",
               "Connection: close", "Connection: upgrade\r\nUpgrade: h2c", "Connection: keep-alive, close",
               "Connection: " + "," * 500, 'Cookie: a=b; a=b;;=;="', "Cookie: " + "a=b; " * 2000,
               "Range: bytes=0-1")
POST_HEADERS = ("", "Content-Type: text/plain", "Content-Type: application/json; charset=utf-16",
                "Content-Type: multipart/form-data; boundary=", "Content-Type: application/x-www-form-urlencoded",
                "Content-Type: application/json\r\nContent-Encoding: gzip", "Content-Type:",
                "Content-Type: " + "x" * 9000)
REQUEST_LINES = ("GET %s", "GET  %s HTTP/1.1", "GET %s HTTP/1.0", "GET %s HTTP/0.9", "GET %s HTTP/1.2",
                 "GET %s HTTP/2.0", "GET %s HTTP/9999999999.1", "GET %s HTPP/1.1", "GET %s http/1.1",
                 "GET *%s HTTP/1.1", "GET %s?a=b& HTTP/1.1", "GET %s?" + "a=b&" * 3000 + " HTTP/1.1",
                 "GET %s%%00%%ff%%2e%%2e HTTP/1.1", "GET %s/../../etc/passwd HTTP/1.1",
                 "GET http://localhost%s HTTP/1.1", "GET ///%s HTTP/1.1", "GET %s" + "/" * 40000 + " HTTP/1.1",
                 "OPTIONS %s HTTP/1.1", "CONNECT localhost:1%s HTTP/1.1", "TRACE %s HTTP/1.1",
                 "X" * 30 + " %s HTTP/1.1", "X" * 40000 + " %s HTTP/1.1", "PUT %s HTTP/1.1", "DELETE %s HTTP/1.1",
                 "POST %s HTTP/1.1", "PATCH %s HTTP/1.1")
OTHER_HEADS = ("GARBAGE\r\n\r\n", "\r\n\r\n\r\n", "GET\r\n\r\n", "GET \r\n\r\n", "GET /health\r\n",
               "GET /health\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
               "GET /health HTTP/1.1\nHost: localhost\n\n", "GET /health HTTP/1.1\rHost: localhost\r\r",
               "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04")


def lines_of(rng):
    """Request lines and headers, most of them wrong."""
    path, host, what = rng.choice(POSTS + GETS), "Host: localhost\r\n", rng.random()
    if what < 0.1:
        return rng.choice(OTHER_HEADS).encode()
    if what < 0.4:
        return f"GET {path} HTTP/1.1\r\n{rng.choice(('', host))}{rng.choice(GET_HEADERS)}\r\n\r\n".encode()
    if what < 0.6:
        return f"POST {path} HTTP/1.1\r\n{host}Content-Length: 2\r\n{rng.choice(POST_HEADERS)}\r\n\r\n{{}}".encode()
    length = rng.choice(("", "Content-Length: 2\r\n"))
    return f"{rng.choice(REQUEST_LINES) % path}\r\n{host}{length}\r\n".encode()


def case_lines(rng):
    data = lines_of(rng)
    if rng.random() < 0.4:
        data = break_bytes(rng, data, lines_of(rng))
    return Case("lines", [data], end=rng.choice(("close", "half", "reset")))


def case_noise(rng):
    data = rng.randbytes(rng.choice((1, 10, 300, 5000, 60000)))
    return Case("noise", [rng.choice((b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n",
                                      head("/tokenize", 100))) + data],
                end=rng.choice(("close", "half", "reset")))


def case_mutated(rng):
    """A whole request broken in its bytes, head and all."""
    data, other = sound(rng, post_path(rng)), sound(rng, post_path(rng))
    return Case("mutated", [break_bytes(rng, data, other)], end=rng.choice(("close", "half", "reset")))


def case_pipelined(rng):
    data, paths = b"", []
    for _ in range(rng.randrange(2, 6)):
        paths.append(rng.choice(GETS) if rng.random() < 0.4 else post_path(rng))
        if paths[-1] in GETS:
            data += head(paths[-1], None, method="GET")
        else:
            body = broken_body(rng, paths[-1])[:3000]
            data += post(paths[-1], body) if rng.random() < 0.5 else sound(rng, paths[-1])
    cut = rng.randrange(len(data))
    return Case("pipelined", [data] if rng.random() < 0.5 else [data[:cut], 0.01, data[cut:]], len(paths), paths,
                may=OURS)


def case_version(rng):
    path = post_path(rng)
    body = json.dumps(sound_fields(rng, path)).encode()
    more = rng.choice(((), ("Connection: keep-alive",), ("Connection: close",)))
    version = rng.choice(("HTTP/1.0", "HTTP/1.0", "HTTP/1.1"))
    return Case("version", [post(path, body, version=version, more=more)], 1, [path], may=OURS)


def case_expect(rng):
    path = post_path(rng)
    body = broken_body(rng, path) if rng.random() < 0.5 else json.dumps(sound_fields(rng, path)).encode()
    body = body[:50000]
    expected = rng.choice(("100-continue", "100-Continue", "200-ok"))
    start = head(path, len(body), more=(f"Expect: {expected}",))
    pause = rng.choice((0, 0.02, 0.02 if expected == "200-ok" else "continue"))
    return Case("expect", [start, pause, body], 1, [path], may=OURS)


def case_dribble(rng):
    path = rng.choice(("/tokenize", "/v1/completions"))
    data = sound(rng, path)
    at = sorted(rng.randrange(len(data)) for _ in range(40))
    parts = [x for a, b in zip([0] + at, at + [len(data)]) for x in (data[a:b], 0.002)]
    if rng.random() < 0.3:
        data = data[:300]
        parts = [x for i in range(len(data)) for x in (data[i:i + 1], 0.0005)]
        return Case("dribble", parts, end=rng.choice(("close", "reset")))
    return Case("dribble", parts, 1, [path], may=OURS)


def case_short(rng):
    data = sound(rng, post_path(rng))
    return Case("short", [data[:rng.randrange(1, len(data))]], end=rng.choice(("close", "half", "reset")), read=0.05)


def case_leave(rng):
    """A whole request whose client leaves before the end of the answer."""
    path = rng.choice(POSTS[:3])
    fields = {**sound_fields(rng, path), "max_tokens": rng.choice((1, 100, 400)), "ignore_eos": True,
              "stream": rng.random() < 0.7}
    return Case("leave", [post(path, json.dumps(fields).encode())], end=rng.choice(("close", "half", "reset")),
                read=rng.choice((0, 0, 0.01, 0.1, "first")))


def case_half(rng):
    """A whole request whose client closes its sending side and reads on. libmicrohttpd closes, without an
    answer, when the end comes with the request."""
    path = rng.choice(POSTS[:3])
    fields = {**sound_fields(rng, path), "max_tokens": rng.choice((0, 1, 100, 400)), "stream": rng.random() < 0.5}
    parts = [post(path, json.dumps(fields).encode()), rng.choice((0, 0.01, 0.05))]
    return Case("half", parts, None, [path], end="half", may=OURS)


def case_large(rng):
    """Bodies around the limit of 4 MiB."""
    size = rng.choice(((4 << 20) - 1, 4 << 20, (4 << 20) + 1, 6 << 20))
    fill = rng.choice((b" ", b"a", b"[", b'"x",', b"\x00", b"\xff"))
    return Case("large", [post(rng.choice(POSTS), (b'{"prompt":"' + fill * size)[:size])], 1, may=OURS)


CASES = ((case_sound, 8), (case_get, 3), (case_structure, 30), (case_bytes, 20), (case_chunked, 5),
         (case_bad_chunks, 5), (case_length, 5), (case_lines, 10), (case_noise, 3), (case_mutated, 8),
         (case_pipelined, 5), (case_version, 3), (case_expect, 3), (case_dribble, 1), (case_short, 5),
         (case_leave, 8), (case_half, 3), (case_large, 0.1))


def make_case(seed, number):
    if number % REFERENCE_EVERY == 0:
        return Case("reference", [])
    rng = random.Random(f"{seed}:{number}")
    return rng.choices([c for c, _ in CASES], [w for _, w in CASES])[0](rng)


# ---- HTTP answers ----

class Reader:
    """One connection. Waits in short pieces, so that time in which client or server are stopped does not
    count."""

    def __init__(self, port, is_stopped):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=HANGS_S)
        self.sock.settimeout(1)
        self.is_stopped, self.data = is_stopped, b""

    def patiently(self, step, *arguments):
        waited = 0
        while waited < HANGS_S:
            try:
                return step(*arguments)
            except TimeoutError:
                waited += 0 if self.is_stopped() else 1
        raise Failure(f"the server reads and writes nothing for {HANGS_S} s")

    def send(self, data):
        at = 0
        while at < len(data):
            at += self.patiently(self.sock.send, data[at:at + (1 << 20)])

    def more(self):
        piece = self.patiently(self.sock.recv, 1 << 16)
        self.data += piece
        return bool(piece)

    def is_quiet(self, seconds):
        """Nothing comes any more."""
        self.sock.settimeout(seconds)
        try:
            piece = self.sock.recv(1 << 16)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(1)
        self.data += piece
        return not piece

    def until(self, end):
        while end not in self.data:
            if not self.more():
                raise Failure(f"the connection ended within an answer: {self.data[-2000:]!r}")
        line, _, self.data = self.data.partition(end)
        return line

    def exact(self, size):
        while len(self.data) < size:
            if not self.more():
                raise Failure(f"the connection ended within a body: {len(self.data)} of {size} bytes")
        piece, self.data = self.data[:size], self.data[size:]
        return piece

    def chunked(self):
        body = b""
        while True:
            line = self.until(b"\r\n")
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", line):
                raise Failure(f"a chunk has the size {line[:200]!r}")
            size = int(line, 16)
            body += self.exact(size)
            if self.exact(2) != b"\r\n":
                raise Failure("a chunk does not end where it should")
            if size == 0:
                return body

    def answer(self, is_head):
        """Status, headers, body; the first byte is there already."""
        start, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        found = re.fullmatch(r"HTTP/1\.[01] (\d\d\d) [^\r\n\x00]*", start)
        if not found or any(not re.fullmatch(r"[A-Za-z0-9-]+: ?[^\r\n\x00]*", line) for line in lines):
            raise Failure(f"an answer's head is wrong: {[start] + lines}")
        status, headers = int(found.group(1)), {}
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() in headers:
                raise Failure(f"the header {name} comes twice")
            headers[name.lower()] = value.strip()
        if status == 100 or is_head:
            return status, headers, b""
        if "content-type" not in headers and status in LIBRARYS and headers.get("connection") == "close":
            headers.pop("content-length")  # libmicrohttpd 0.9.75 sends some of its pages with the head twice
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return status, headers, self.chunked()
        if "content-length" in headers:
            return status, headers, self.exact(int(headers["content-length"]))
        while self.more():
            pass
        body, self.data = self.data, b""
        return status, headers, body


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def parsed(data):
    try:
        return json.loads(data.decode("utf-8"), parse_constant=no_constant)
    except ValueError as error:
        raise Failure(f"an answer is no JSON ({error}): {data[:2000]!r}") from error


def check_error(value, status):
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict) or not error.get("message") or not isinstance(error["message"], str) or \
            not isinstance(error.get("type"), str) or not isinstance(error.get("param", ""), (str, type(None))) or \
            not isinstance(error.get("code", ""), (str, type(None))):
        raise Failure(f"an error of {status} has the wrong shape: {value}")
    if re.search(r"0x[0-9a-f]{6}|\.c:\d|/tmp/", error["message"]):
        raise Failure(f"an error tells too much: {error}")


def check_stream(body):
    events = body.decode("utf-8").split("\n\n")
    if events.pop() != "" or not events or any(not e.startswith("data: ") for e in events):
        raise Failure(f"a stream has the wrong shape: {body[-2000:]!r}")
    values = [parsed(e[6:].encode()) for e in events if e != "data: [DONE]"]
    if any("error" not in v and not isinstance(v.get("choices"), list) for v in values):
        raise Failure(f"a chunk has the wrong shape: {body[-2000:]!r}")
    is_failed = any("error" in v for v in values)
    if is_failed:
        check_error(values[-1], "a stream")
    if is_failed == (events[-1] == "data: [DONE]"):
        raise Failure(f"a stream has the wrong end: {body[-2000:]!r}")


def check_answer(case, answer, path):
    status, headers, body = answer
    kind = headers.get("content-type", "")
    is_ours = kind.startswith(("application/json", "text/event-stream", "text/plain"))
    if status not in case.may or (status not in LIBRARYS and not is_ours):
        raise Failure(f"status {status} of {path or 'a request'}: {headers} {body[:2000]!r}")
    if case.answers is not None and not is_ours:
        raise Failure(f"sound HTTP was refused: {status} {headers} {body[:2000]!r}")
    if case.is_head or not is_ours or not body and case.answers is None and status != 200:
        return  # the last: a HEAD that mutation made
    if status >= 400:
        value = parsed(body)
        check_error(value, status)
        if case.kind == "sound" and status == 400 and value["error"]["code"] != "context_length_exceeded" or \
                status == 503 and "longer than" not in value["error"]["message"]:
            raise Failure(f"refused for a reason that is not there: {body[:2000]!r}")
        if status == 429 and "retry-after" not in headers or status == 405 and "allow" not in headers:
            raise Failure(f"a header is missing: {status} {headers}")
    elif kind.startswith("text/event-stream"):
        check_stream(body)
    elif kind.startswith("application/json"):
        value = parsed(body)
        if "error" in value or path in POSTS[:2] and not value["choices"] or any(
                c["finish_reason"] not in ("stop", "length") for c in value.get("choices", ())) or \
                path == "/v1/embeddings" and not isinstance(value.get("data"), list):
            raise Failure(f"an answer has the wrong shape: {body[:2000]!r}")


# ---- one exchange ----

def send(reader, case, answers):
    for part in case.parts:
        if isinstance(part, bytes):
            reader.send(part)
        elif part == "continue":  # waits for the interim answer, or another
            if not reader.more():
                return
            if reader.data.startswith(b"HTTP/1.1 100"):
                answers.append(reader.answer(False))
        else:
            time.sleep(part)
    if case.end == "half":
        reader.sock.shutdown(socket.SHUT_WR)


def receive(reader, case, answers):
    wanted, quiet_s = case.answers, 1 if case.kind == "half" else 0.1
    while wanted is None or sum(a[0] != 100 for a in answers) < wanted:
        if not reader.data and (reader.is_quiet(quiet_s) if wanted is None else not reader.more()):
            break
        answers.append(reader.answer(case.is_head))


def leave(reader, case):
    """Reads a while at most, and any part of an answer."""
    if case.read == "first":
        reader.sock.settimeout(2)
        reader.sock.recv(200)
    elif case.read:
        time.sleep(case.read)


def attempt(server, case):
    """The answers that came; with case.read, none: the client left."""
    answers, reader = [], Reader(server.port, server.is_stopped)
    with reader.sock:
        try:
            try:
                send(reader, case, answers)
            except OSError as error:  # refused before its end: the answer may be there
                if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                    raise
            if case.read is not None:
                leave(reader, case)
            else:
                receive(reader, case, answers)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            if reader.data:
                raise Failure(f"the connection was cut within an answer: {reader.data[-2000:]!r}") from None
        if case.end == "reset":
            reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return [a for a in answers if a[0] != 100]


def exchange(server, case):
    """The same; once more when somebody was stopped for so long that the server may have closed."""
    for _ in range(10):
        begin, answers, failure = time.monotonic(), [], None
        try:
            answers = attempt(server, case)
        except Failure as error:
            failure = error
        if time.monotonic() - begin < IDLE_S * 0.8 or not failure and case.answers in (None, len(answers)):
            break
    if failure:
        raise failure
    if case.answers not in (None, len(answers)):
        raise Failure(f"{len(answers)} answers to {case.answers} sound HTTP requests: {[a[0] for a in answers]}")
    return answers


def run_case(server, case):
    answers = exchange(server, case)
    for i, answer in enumerate(answers):
        check_answer(case, answer, case.paths[i] if i < len(case.paths) else None)
    return [a[0] for a in answers]


# ---- the server ----

class Server:
    def __init__(self, folder):
        models = [os.path.join(folder, name + ".gguf") for name in MODELS]
        for model, more in zip(models, ([], ["gemma3"])):
            subprocess.run([os.environ["MAKE_TINY_MODEL"], model, *more], check=True)
        self.stderr = open(os.path.join(folder, "stderr"), "w+b")
        # freed memory is kept less long, so that the bound of memory means something
        env = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=16:" + os.environ.get("ASAN_OPTIONS", "")}
        self.process = subprocess.Popen([os.environ["HASTEN_BIN"], "serve", *models, "--port", "0", *OPTIONS],
                                        stdout=subprocess.PIPE, stderr=self.stderr, env=env)
        found = re.match(rb"listening on http://127\.0\.0\.1:(\d+)\n", self.process.stdout.readline())
        if not found:
            raise SystemExit("the server does not start: " + self.errors())
        self.port = int(found.group(1))
        for _ in range(len(MODELS) + 1):
            self.process.stdout.readline()
        with open(f"/proc/{self.process.pid}/maps") as maps:
            loaded = maps.read()
        self.sanitizer = "asan" if "libasan" in loaded else "tsan" if "libtsan" in loaded else ""

    def errors(self):
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")

    def is_stopped(self):
        try:
            with open(f"/proc/{self.process.pid}/stat") as stat:
                return stat.read().rpartition(")")[2].split()[0] in "Tt"
        except OSError:
            return False

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024

    def get(self, path):
        answer, = exchange(self, Case("get", [head(path, None, method="GET")], 1))
        return answer[0], answer[2].decode()

    def metric(self, name, more=""):
        found = re.findall(rf"^{re.escape(name)}\{{[^}}]*{more}[^}}]*\}} (\S+)$", self.get("/metrics")[1], re.M)
        return sum(map(float, found))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(HANGS_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "hangs"


GREEDY = {"temperature": 0, "max_tokens": 24}
REFERENCES = [post(path, json.dumps({**fields, **GREEDY}).encode()) for path, fields in (
    ("/v1/completions", {"prompt": "the user thing"}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "the thing"}]}),
    ("/v1/embeddings", {"input": ["the user thing", "a"], "encoding_format": "base64"}))]


def reference(server, i):
    """The text of a greedy answer, or vectors; again when the queue is full or a time limit struck."""
    for _ in range(600):
        (status, _, body), = exchange(server, Case("reference", [REFERENCES[i]], 1))
        if status == 200:
            value = parsed(body)
            if "data" in value:
                return [item["embedding"] for item in value["data"]]
            choice = value["choices"][0]
            return choice["message"]["content"] if "message" in choice else choice["text"]
        if status not in (429, 503):
            raise Failure(f"the reference request got {status}: {body!r}")
        time.sleep(0.1)
    raise Failure("the reference request is always refused")


# ---- the run ----

class Run:
    def __init__(self, options, server):
        self.options, self.server = options, server
        self.numbers, self.lock, self.stop = itertools.count(), threading.Lock(), threading.Event()
        self.counts, self.failures, self.current = Counter(), [], {}
        self.end = time.monotonic() + options.seconds
        self.expected = [reference(server, i) for i in range(len(REFERENCES))]

    def fail(self, number, case, why):
        with self.lock:
            self.failures.append((number, case, why))
        self.stop.set()

    def one(self, number, case):
        if case.kind == "reference":
            i = number // REFERENCE_EVERY % len(REFERENCES)
            got = reference(self.server, i)
            if got != self.expected[i]:
                raise Failure(f"the reference text is {got!r}, was {self.expected[i]!r}")
            return [200]
        return run_case(self.server, case)

    def client(self):
        while not self.stop.is_set() and time.monotonic() < self.end:
            number, case = next(self.numbers), Case("none", [])
            self.current[threading.get_ident()] = number
            try:
                case = make_case(self.options.seed, number)
                statuses = self.one(number, case)
            except Exception as error:  # of any kind: a thread that ends in silence would look like success
                self.fail(number, case, f"{type(error).__name__}: {error}")
                return
            with self.lock:
                self.counts.update((case.kind, status) for status in statuses or ["-"])

    def load(self):
        """Memory after a third of the time."""
        threads = [threading.Thread(target=self.client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        self.stop.wait(self.options.seconds / 3)
        memory = self.server.memory_mib() if self.server.process.poll() is None else 0
        for thread in threads:
            thread.join()
        return memory

    def tell(self):
        statuses = sorted({s for _, s in self.counts}, key=str)
        print(f"{'requests by status':<20}" + "".join(f"{s:>8}" for s in statuses))
        for kind in sorted({k for k, _ in self.counts}):
            print(f"{kind:<20}" + "".join(f"{self.counts[kind, s] or '':>8}" for s in statuses))
        sums = [sum(c for (_, s), c in self.counts.items() if s == status) for status in statuses]
        print(f"{'all':<20}" + "".join(f"{n:>8}" for n in sums))
        for number, case, why in self.failures:
            print(f"\nFAILED: --seed {self.options.seed} --case {number} ({case.kind}, {case.end}): {why[:6000]}")
            print("\n".join(repr(part)[:6000] for part in case.parts))


def wait_for(get, is_good, what):
    for _ in range(HANGS_S * 10):
        if is_good(value := get()):
            return value
        time.sleep(0.1)
    raise Failure(f"{what}: {value}")


def check_end(server, fds, memory):
    """What must hold when all clients are gone."""
    if server.get("/health")[0] != 200:
        raise Failure("the server is not well at the end")
    wait_for(lambda: server.metric("vllm:num_requests_running") + server.metric("vllm:num_requests_waiting"),
             lambda n: n == 0, "requests do not end")
    left = wait_for(server.fds, lambda n: n <= fds, f"file descriptors are left open, {fds} at the start")
    if failed := server.metric("vllm:request_success_total", 'finished_reason="error"'):
        raise Failure(f"the engine failed {failed:.0f} requests")
    bound, now = MEMORY_MIB[server.sanitizer], server.memory_mib()
    print(f"memory {memory:.1f} MiB after a third, {now:.1f} at the end (bound {bound} more); fds {fds}, {left}")
    if now > memory + bound:
        raise Failure("memory grows")


def judge(options, server):
    """Runs it all; what is wrong."""
    why, run = [], None
    try:
        fds = server.fds()
        run = Run(options, server)
        if options.case is not None:
            print(run.one(options.case, make_case(options.seed, options.case)))
        else:
            memory = run.load()
            run.tell()
            if run.failures:
                why.append("see above")
            else:
                check_end(server, fds, memory)
    except Failure as failure:
        why.append(str(failure))
    died = server.process.poll()
    if died is not None:
        why.append(f"the server died: {died}; cases that ran then: {sorted(run.current.values()) if run else []}")
    elif (code := server.stop()) != 0:
        why.append(f"the server ended with {code}")
    if re.search(r"Sanitizer|runtime error", server.errors()):
        why.append("a sanitizer's report")
    return why


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="run this case alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        try:
            why = judge(options, server)
        finally:
            server.process.kill()
        if why:
            print(f"FAILED (seed {options.seed}): " + "; ".join(why) + "\n" + server.errors()[-20000:])
            return 1
    print("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
