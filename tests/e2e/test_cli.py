#!/usr/bin/env python3
"""The program as its users meet it: every command, wrong lines, wrong files, full disks, Ctrl-C, the
chat in a terminal. Runs the built binary (HASTEN_BIN) on the real default model, which it fetches
when missing. Needs python3 only. No times are asserted; timeouts only end what hangs."""
import http.server
import json
import math
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

from harness import BIN, ENV, ROOT, SCRATCH, TIMEOUT, Case, hasten, main, start

MODEL = "smollm2-135m"
TEXT = ROOT / "tests/data/opticks.txt"
COMMANDS = ["run", "serve", "perplexity", "tokenize", "detokenize", "inspect", "ir", "convert", "bench", "pull",
            "list", "rm", "cpu", "man", "completions", "version"]
FRANCE = "What is the capital of France? Answer in one word."
LONG = "Write a very long story about a ship."


class Terminal:
    """A program in a pseudo-terminal of its own session, as a user's shell would start it."""

    def __init__(self, *args, env=None):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(BIN, [BIN, *args], {**(env or ENV), "TERM": "xterm"})

    def send(self, text):
        os.write(self.fd, text.encode())

    def read(self, seconds):
        """What comes within the time; None at the end of the program's output."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return ""
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return None
        return data.decode(errors="replace") if data else None

    def expect(self, pattern):
        """Reads until the pattern is there, gives the text up to its end and forgets it."""
        end = time.monotonic() + TIMEOUT
        while True:
            match = re.search(pattern, self.seen)
            if match:
                text, self.seen = self.seen[:match.end()], self.seen[match.end():]
                return text
            more = self.read(1.0)
            if more is None or time.monotonic() > end:
                raise AssertionError(f"no {pattern!r} in {self.seen!r}")
            self.seen += more

    def finish(self):
        """Exit code of the program, after reading what is left."""
        while True:
            more = self.read(TIMEOUT)
            if more is None:
                break
            if not more:
                os.kill(self.pid, signal.SIGKILL)
            self.seen += more
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


class Help(Case):
    def test_program(self):
        text = self.ok(hasten("--help")).out
        self.assertEqual(text, self.ok(hasten("help")).out)
        for command in COMMANDS:
            self.assertRegex(text, rf"\n  {command} +\w")

    def test_commands(self):
        for command in COMMANDS:
            text = self.ok(hasten(command, "--help")).out
            self.assertTrue(text.startswith(f"usage: hasten {command}"), text)
            self.assertEqual(text, self.ok(hasten("help", command)).out)
            self.assertEqual(text, self.ok(hasten(command, "--no-such-option", "-h")).out)
        self.assertIn("--temperature X", hasten("run", "--help").out)

    def test_help_as_a_value(self):
        self.fails(hasten("run", "/no/such.gguf", "-p", "--help"), 1, "No such file")

    def test_version(self):
        version = re.search(r"VERSION (\d+\.\d+\.\d+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
        self.assertEqual(self.ok(hasten("version")).out, f"hasten {version}\n")
        self.assertEqual(self.ok(hasten("--version")).out, f"hasten {version}\n")
        self.assertEqual(json.loads(hasten("version", "--json").out), {"version": version})


class WrongLines(Case):
    def test_commands(self):
        self.fails(hasten(), 2, "no command given", "hasten --help")
        self.fails(hasten("rnu"), 2, "unknown command 'rnu'", "did you mean hasten run?")
        self.fails(hasten("help", "perplexty"), 2, "unknown command", "hasten perplexity")
        self.fails(hasten("--json", "run"), 2, "unknown option --json", "after the command")

    def test_options(self):
        self.fails(hasten("run", "--temprature", "1", "-p", "x"), 2, "unknown option --temprature",
                   "did you mean --temperature?")
        self.fails(hasten("run", "-n", "many", "-p", "x"), 2, "no whole number")
        self.fails(hasten("run", "--top-p", "2", "-p", "x"), 2, "out of range", "from 0 to 1")
        self.fails(hasten("run", "-t", "0", "-p", "x"), 2, "out of range")
        self.fails(hasten("run", "--kv-type", "q3", "-p", "x"), 2, "no choice", "f32, f16")
        self.fails(hasten("run", "-p"), 2, "needs a value")
        self.fails(hasten("run", "--raw", "--system", "x", "-p", "y"), 2, "--system")
        self.fails(hasten("bench", "llm", "-t", "1,x"), 2, "--threads")

    def test_arguments(self):
        self.fails(hasten("run", MODEL, "and", "more"), 2, "unexpected argument 'and'", "--help")
        self.fails(hasten("convert", MODEL), 2, "argument is missing", "--help")
        self.fails(hasten("convert", MODEL, "x.gguf"), 2, "no type", "--type f32")
        self.fails(hasten("bench", "network"), 2, "no benchmark 'network'", "bench llm")
        self.fails(hasten("perplexity"), 2, "argument is missing")
        self.fails(hasten("rm"), 2, "argument is missing")
        self.fails(hasten("perplexity", "--logits-top", "4", MODEL, TEXT), 2, "--logits-out")

    def test_remote_names(self):
        self.fails(hasten("run", "hf:owner", "-p", "x"), 2, "hf: needs OWNER/NAME", "hf:OWNER/NAME/FILE.gguf")
        self.fails(hasten("pull", "http://example.com/x.gguf"), 2, "plain http")
        self.fails(hasten("pull", "https://example.com/x.bin"), 2, "does not name a .gguf file")
        self.fails(hasten("rm", "hf:owner/name"), 1, "not in the cache", "hasten pull hf:owner/name")

    def test_names(self):
        self.fails(hasten("run", "smollm2-135", "-p", "x"), 1, "smollm2-135", MODEL)
        self.fails(hasten("pull", "smolm2-135m"), 1, "smolm2-135m", f"did you mean '{MODEL}'?")
        self.fails(hasten("ir", "--no-pass", "packk"), 2, "packk", "pack")

    def test_json_errors(self):
        for args, code in ((["run", "--json", "--temprature", "1"], 2),
                           (["run", "--json", "/no/such.gguf", "-p", "x"], 1),
                           (["inspect", "--json", str(ROOT)], 2)):
            result = hasten(*args)
            self.assertEqual(result.returncode, code)
            self.assertEqual(result.out, "")
            error = json.loads(result.err)["error"]
            self.assertEqual(set(error), {"message", "hint", "place"})
            self.assertTrue(error["message"])


class WrongFiles(Case):
    def test_missing_and_folder(self):
        self.fails(hasten("run", "/no/such.gguf", "-p", "x"), 1, "at: /no/such.gguf", "path")
        self.fails(hasten("inspect", ROOT), 2, "folder", "file")
        self.fails(hasten("perplexity", MODEL, "/no/such.txt"), 1, "/no/such.txt")

    def test_damaged(self):
        head = pathlib.Path(MODEL_PATH).open("rb").read(3_000_000)
        cases = {"empty.gguf": b"", "text.gguf": b"hello\n" * 100, "magic.gguf": head[:4],
                 "short.gguf": head[:1000], "half.gguf": head}
        for name, data in cases.items():
            path = SCRATCH / name
            path.write_bytes(data)
            for args in (["run", path, "-p", "x"], ["inspect", path], ["ir", path]):
                result = hasten(*args)
                self.assertIn(result.returncode, (1, 2), name)
                self.assertIn("error: ", result.err)
                self.assertIn(name, result.err)
                self.assertEqual(result.out, "")

    def test_convert_to_nowhere(self):
        result = hasten("convert", MODEL, "/no/such/folder/x.gguf", "--type", "f32")
        self.fails(result, 1, "/no/such/folder")


class Run(Case):
    def test_paris(self):
        result = self.ok(hasten("run", "-p", FRANCE))
        self.assertIn("Paris", result.out)
        self.assertTrue(result.out.endswith("\n") and not result.out.endswith("\n\n"))
        self.assertEqual(result.err, "")

    def test_pipe_is_one_turn(self):
        alone = self.ok(hasten("run", MODEL, "-p", FRANCE)).out
        self.assertEqual(self.ok(hasten("run", MODEL, stdin=FRANCE + "\n")).out, alone)
        self.assertEqual(self.ok(hasten("run", MODEL_PATH, stdin=FRANCE)).out, alone)

    def test_json(self):
        plain = self.ok(hasten("run", "-p", FRANCE, "-n", 20)).out
        result = self.ok(hasten("run", "-p", FRANCE, "-n", 20, "--json"))
        value = json.loads(result.out)
        self.assertEqual(set(value), {"text", "tokens", "finish_reason", "prompt_tokens",
                                      "completion_tokens", "timings", "peak_rss_bytes", "model",
                                      "recipe"})
        self.assertEqual(set(value["timings"]), {"load_ms", "ttft_ms", "prompt_tps", "decode_tps",
                                                 "itl_p50_ms", "itl_p99_ms"})
        self.assertTrue(all(figure > 0 for figure in value["timings"].values()))
        self.assertEqual(value["text"].rstrip("\n") + "\n", plain)
        self.assertEqual(value["finish_reason"], "stop")
        self.assertEqual(len(value["tokens"]), value["completion_tokens"])
        self.assertEqual(value["model"], MODEL)
        text = self.ok(hasten("detokenize", MODEL, *value["tokens"])).out
        self.assertEqual(text, value["text"])

    def test_max_tokens(self):
        for count in (0, 1, 3):
            value = json.loads(self.ok(hasten("run", "-p", LONG, "-n", count, "--json")).out)
            self.assertEqual(value["completion_tokens"], count)
            self.assertEqual(value["finish_reason"], "length")

    def test_context_ends_an_answer(self):
        value = json.loads(self.ok(hasten("run", "-p", LONG, "-c", 64, "--json")).out)
        self.assertEqual(value["finish_reason"], "length")
        self.assertEqual(value["prompt_tokens"] + value["completion_tokens"], 64 + 1)

    def test_ignore_eos(self):
        value = json.loads(self.ok(hasten("run", "-p", FRANCE, "-n", 30, "--ignore-eos", "--json")).out)
        self.assertEqual(value["completion_tokens"], 30)

    def test_raw(self):
        text = "The capital of France is"
        raw = json.loads(self.ok(hasten("run", "--raw", "-p", text, "-n", 4, "--json")).out)
        chat = json.loads(self.ok(hasten("run", "-p", text, "-n", 4, "--json")).out)
        self.assertIn("Paris", raw["text"])
        self.assertLess(raw["prompt_tokens"], chat["prompt_tokens"])

    def test_system(self):
        first = json.loads(self.ok(hasten("run", "-p", "Hi", "-n", 1, "--json")).out)
        second = json.loads(self.ok(hasten("run", "-p", "Hi", "-n", 1, "--json", "--system",
                                           "You are a pirate who answers in very few words and "
                                           "never forgets to speak of the sea.")).out)
        self.assertNotEqual(first["prompt_tokens"], second["prompt_tokens"])

    def test_empty_and_huge_prompts(self):
        self.fails(hasten("run", "-p", ""), 2, "prompt is empty", "-p")
        self.fails(hasten("run", stdin=""), 2, "prompt is empty", "standard input")
        result = hasten("run", stdin="word " * 9000)
        self.fails(result, 1, "the context holds 4096", "-c ")
        self.assertRegex(result.err, r"the prompt has 9\d\d\d tokens")

    def test_same_tokens_whatever_the_threads_and_passes(self):
        def tokens(*args):
            return json.loads(self.ok(hasten("run", "-p", LONG, "-n", 24, "--json", *args)).out)["tokens"]

        base = tokens()
        self.assertEqual(tokens("-t", 1), base)
        self.assertEqual(tokens("--no-pass", "fuse-glu", "--no-pass", "pack"), base)

    def test_sampling(self):
        def sample(seed):
            return self.ok(hasten("run", "-p", LONG, "-n", 24, "--temperature", "1.2", "--top-k", 50,
                                  "--top-p", "0.95", "--min-p", "0.01", "--seed", seed)).out

        self.assertEqual(sample(7), sample(7))
        self.assertNotEqual(sample(7), sample(8))

    def test_penalties_and_bias(self):
        def value(*args):
            return json.loads(self.ok(hasten("run", "--raw", "-p", "One, two, three, four,", "-n", 24,
                                             "--json", *args)).out)

        base = value()
        first = base["tokens"][0]
        self.assertNotIn(first, value("--logit-bias", f"{first}=-inf")["tokens"])
        self.assertEqual(set(value("--logit-bias", f"{first}=1000")["tokens"]), {first})
        many = value("--repeat-penalty", "1.5", "--repeat-last-n", -1)["tokens"]
        self.assertGreater(len(set(many)), len(set(base["tokens"])))
        many = value("--presence-penalty", "3", "--frequency-penalty", "3")["tokens"]
        self.assertGreater(len(set(many)), len(set(base["tokens"])))
        self.assertEqual(value("--repeat-penalty", "1.5", "--repeat-last-n", 0)["tokens"],
                         base["tokens"])
        typical = value("--temperature", "1", "--typical-p", "0.3", "--seed", 1)["tokens"]
        self.assertNotEqual(typical, value("--temperature", "1", "--seed", 1)["tokens"])

    def test_stop(self):
        args = ("run", "--raw", "-p", "One, two, three, four,", "-n", 40)
        whole = json.loads(self.ok(hasten(*args, "--json")).out)
        text = whole["text"]
        for stop in (text[7:12], text[3:4], text[20:33]):
            value = json.loads(self.ok(hasten(*args, "--stop", stop, "--stop", "never there",
                                              "--json")).out)
            self.assertEqual(value["text"], text[:text.index(stop)])
            self.assertEqual(value["finish_reason"], "stop")
            self.assertLess(value["completion_tokens"], whole["completion_tokens"])
            self.assertEqual(self.ok(hasten(*args, "--stop", stop)).out, value["text"].rstrip("\n") + "\n")
        value = json.loads(self.ok(hasten(*args, "--stop", text[-3:] + "no", "--json")).out)
        self.assertEqual(value["text"], text)  # what was held back comes at the end
        self.assertEqual(value["finish_reason"], "length")
        self.fails(hasten(*args, "--stop", ""), 2, "stop string 1 is empty")

    def test_logprobs(self):
        value = json.loads(self.ok(hasten("run", "--raw", "-p", "The capital of France is", "-n", 6,
                                          "--json", "--logprobs", 3)).out)
        self.assertEqual([one["id"] for one in value["logprobs"]], value["tokens"])
        for one in value["logprobs"]:
            self.assertEqual(len(one["top"]), 3)
            self.assertEqual(one["top"][0]["id"], one["id"])  # greedy
            self.assertEqual(one["top"][0]["logprob"], one["logprob"])
            self.assertLess(sum(math.exp(top["logprob"]) for top in one["top"]), 1)
            self.assertGreater(one["top"][0]["logprob"], one["top"][1]["logprob"])
        self.assertEqual("".join(one["token"] for one in value["logprobs"]), value["text"])
        self.fails(hasten("run", "-p", "x", "--logprobs", 3), 2, "--json")
        for wrong in ("5", "x=1", "5=", "5=nan", "-1=2", "5=inf"):
            self.fails(hasten("run", "-p", "x", "--logit-bias=" + wrong), 2, "cannot be read", "198=-5")

    def test_cpu_class(self):
        value = json.loads(self.ok(hasten("run", "-p", "Hi", "-n", 2, "--cpu", "ref", "--kv-type", "f32",
                                          "--json")).out)
        self.assertTrue(value["recipe"].startswith("ref-"), value["recipe"])
        self.assertIn("kv.f32", value["recipe"])

    def test_stats_and_profile(self):
        result = self.ok(hasten("run", "-p", FRANCE, "--stats", "--profile"))
        self.assertEqual(result.out, self.ok(hasten("run", "-p", FRANCE)).out)
        for word in ("recipe", "tok/s", "p99", "load", "linear__", "GMAC/s"):
            self.assertIn(word, result.err)

    def test_interrupt(self):
        for args in ([], ["--json"]):
            process = start("run", "-p", LONG, "--ignore-eos", "-n", "3000", *args)
            first = b"" if args else process.stdout.read(1)
            if args:
                time.sleep(2)  # JSON shows nothing before the end
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=TIMEOUT)
            self.assertEqual(process.returncode, 130, err)
            self.assertEqual(err, b"")
            if args:
                self.assertEqual(json.loads(out)["finish_reason"], "cancel")
            else:
                self.assertTrue((first + out).endswith(b"\n"))


class Templates(Case):
    """Copies of the model whose template is missing or cannot be read."""

    def setUp(self):
        self.path = SCRATCH / f"{self._testMethodName}.gguf"

    def tearDown(self):
        self.path.unlink(missing_ok=True)

    def change(self, old, new):
        data = pathlib.Path(MODEL_PATH).read_bytes()
        self.assertEqual(data.count(old), 1)
        self.assertEqual(len(old), len(new))
        self.path.write_bytes(data.replace(old, new))

    def test_without(self):
        self.change(b"tokenizer.chat_template", b"tokenizer.chat_tamplete")
        result = self.ok(hasten("run", self.path, "-p", "The capital of France is", "-n", 4))
        self.assertIn("Paris", result.out)
        self.assertIn("note: ", result.err)
        self.assertIn("no chat template", result.err)
        terminal = Terminal("run", str(self.path))
        terminal.expect("no chat template")
        terminal.expect("hint: .*--raw -p")
        self.assertEqual(terminal.finish(), 1)

    def test_broken(self):
        self.change(b"{% for message in messages %}", b"{% fur message in messages %}")
        result = hasten("run", self.path, "-p", "Hi")
        self.fails(result, 1, "template", "--raw")
        self.ok(hasten("run", self.path, "--raw", "-p", "Hi", "-n", 2))


class Output(Case):
    def test_full_disk(self):
        for args in (["run", "-p", "Hi", "-n", "3"], ["run", "-p", "Hi", "-n", "3", "--json"],
                     ["inspect"], ["--help"], ["cpu"]):
            with open("/dev/full", "wb") as full:
                result = hasten(*args, stdout=full)
            self.assertEqual(result.returncode, 1, args)
            self.assertIn("No space left", result.err)

    def test_closed_pipe(self):
        process = start("run", "-p", LONG, "--ignore-eos", "-n", "2000")
        process.stdout.read(1)
        process.stdout.close()
        self.assertIn(b"Broken pipe", process.stderr.read())
        process.stderr.close()
        self.assertEqual(process.wait(TIMEOUT), 1)

    def test_closed_stdout(self):
        result = subprocess.run(["sh", "-c", f'exec "{BIN}" version >&-'], stderr=subprocess.PIPE, env=ENV)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"standard output", result.stderr)

    def test_other_locale(self):
        env = {**ENV, "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}
        json.loads(self.ok(hasten("run", "-p", "Hi", "-n", 2, "--json", env=env)).out)


class Tokens(Case):
    def test_round_trip(self):
        text = "Grüße, 世界! It's 12345  spaced\n\tout <|im_end|>."
        value = json.loads(self.ok(hasten("tokenize", MODEL, text, "--json")).out)
        self.assertEqual(set(value), {"ids", "pieces"})
        self.assertEqual(len(value["ids"]), len(value["pieces"]))
        self.assertEqual(self.ok(hasten("detokenize", MODEL, *value["ids"])).out, text)
        self.assertEqual(json.loads(hasten("tokenize", MODEL, "--json", stdin=text).out), value)

    def test_special(self):
        plain = json.loads(hasten("tokenize", MODEL, "a<|im_end|>", "--json").out)["ids"]
        special = json.loads(hasten("tokenize", MODEL, "a<|im_end|>", "--json", "--special").out)["ids"]
        self.assertEqual(len(special), 2)
        self.assertGreater(len(plain), 2)
        self.assertEqual(self.ok(hasten("detokenize", MODEL, *special)).out, "a")
        self.assertEqual(self.ok(hasten("detokenize", MODEL, *special, "--special")).out, "a<|im_end|>")

    def test_text_form(self):
        lines = self.ok(hasten("tokenize", MODEL, "Hello\nworld", "--no-bos")).out.splitlines()
        self.assertEqual([line.split()[0] for line in lines],
                         [str(n) for n in json.loads(hasten("tokenize", MODEL, "Hello\nworld",
                                                            "--json").out)["ids"]])

    def test_wrong_ids(self):
        self.fails(hasten("detokenize", MODEL, "99999999"), 2, "no token id", "tokenize")
        self.fails(hasten("detokenize", MODEL, "-5"), 2, "unknown option")
        self.fails(hasten("detokenize", MODEL, "1", "x"), 2, "'x'")
        self.assertEqual(self.ok(hasten("detokenize", "[19556, 905]")).out, "Hello world")


class Looking(Case):
    def test_inspect(self):
        value = json.loads(self.ok(hasten("inspect", "--json")).out)
        self.assertEqual(set(value), {"architecture", "parameters", "size_bytes", "metadata", "tensors"})
        self.assertEqual(value["architecture"], "llama")
        self.assertEqual(value["size_bytes"], os.path.getsize(MODEL_PATH))
        self.assertEqual(value["metadata"]["llama.block_count"], 30)
        self.assertEqual(value["metadata"]["tokenizer.ggml.tokens"], {"type": "string", "count": 49152})
        first = {tensor["name"]: tensor for tensor in value["tensors"]}["token_embd.weight"]
        self.assertEqual(first, {"name": "token_embd.weight", "type": "q8_0", "shape": [49152, 576],
                                 "size_bytes": 49152 * 576 // 32 * 34})
        elements = sum(math.prod(tensor["shape"]) for tensor in value["tensors"])
        self.assertEqual(value["parameters"], elements)
        full = json.loads(self.ok(hasten("inspect", "--json", "--full")).out)
        self.assertEqual(len(full["metadata"]["tokenizer.ggml.tokens"]), 49152)
        self.assertLess(len(self.ok(hasten("inspect")).out), 40000)

    def test_ir(self):
        passes = self.ok(hasten("ir", "--passes")).out
        self.assertRegex(passes, r"(?m)^pack +\w")
        canonical = self.ok(hasten("ir", "--level", "canonical")).out
        lowered = self.ok(hasten("ir")).out
        self.assertIn("matmul", canonical)
        self.assertNotIn("matmul", lowered)
        self.assertIn("linear", lowered)
        self.assertNotEqual(self.ok(hasten("ir", "--no-pass", "fuse-glu")).out, lowered)
        self.assertIn("linear__", self.ok(hasten("ir", "--plan")).out)

    def test_cpu(self):
        value = json.loads(self.ok(hasten("cpu", "--json")).out)
        self.assertGreaterEqual(value["logical_cpus"], 1)
        capped = json.loads(hasten("cpu", "--json", env={**ENV, "HASTEN_CPU": "ref"}).out)
        self.assertEqual(capped["class_used"], "ref")
        self.assertEqual(capped["class_best"], value["class_best"])
        self.assertIn(value["class_used"], self.ok(hasten("cpu")).out)


class Measuring(Case):
    def setUp(self):
        self.text = SCRATCH / "text.txt"
        self.text.write_bytes(TEXT.read_bytes()[:6000])

    def perplexity(self, *args):
        return self.ok(hasten("perplexity", MODEL, self.text, "--ctx", 128, "--chunks", 3, *args))

    def test_perplexity(self):
        value = json.loads(self.perplexity("--json").out)
        self.assertEqual(set(value), {"perplexity", "stderr", "scored_tokens", "ctx", "chunks", "kv_type"})
        self.assertEqual(value["scored_tokens"], 3 * 63)
        self.assertTrue(2 < value["perplexity"] < 200)
        self.assertIn(f"{value['perplexity']:.4f}", self.perplexity().out)
        other = json.loads(self.perplexity("--json", "--kv-type", "f32").out)
        self.assertEqual(other["kv_type"], "f32")

    def test_logits(self):
        whole, compact = SCRATCH / "whole.bin", SCRATCH / "compact.bin"
        value = json.loads(self.perplexity("--logits-out", whole, "--json").out)
        self.perplexity("--logits-out", compact, "--logits-top", 5)
        self.assertEqual(whole.stat().st_size, value["scored_tokens"] * 49152 * 4)
        data = compact.read_bytes()
        self.assertEqual(struct.unpack_from("<4s3IQ", data), (b"HTOP", 1, 49152, 5, 3 * 63))
        target, = struct.unpack_from("<i", data, 24)
        log_sum_exp, = struct.unpack_from("<d", data, 28)
        ids = struct.unpack_from("<5I", data, 36)
        logits = struct.unpack_from("<5f", data, 56)
        self.assertEqual(len(data), 24 + 3 * 63 * (4 + 8 + 5 * 8))
        self.assertEqual(list(logits), sorted(logits, reverse=True))
        with whole.open("rb") as file:
            first = struct.unpack("<49152f", file.read(4 * 49152))
        self.assertEqual(max(first), logits[0])
        self.assertEqual([first[i] for i in ids], list(logits))
        self.assertGreater(log_sum_exp, logits[0])
        self.assertTrue(0 <= target < 49152)
        self.assertEqual(list(SCRATCH.glob("*.part*")), [])

    def test_too_many_logits(self):
        text = SCRATCH / "long.txt"
        text.write_bytes(TEXT.read_bytes() * 4)
        out = SCRATCH / "long.bin"
        result = hasten("perplexity", MODEL, text, "--logits-out", out)
        self.fails(result, 1, "GiB", "--force")
        self.assertFalse(out.exists())

    def test_short_text(self):
        self.fails(hasten("perplexity", MODEL, "-", stdin="too short"), 2, "one window needs 512", "longer text")

    def test_bench(self):
        rows = json.loads(self.ok(hasten("bench", "llm", MODEL, "-p", "16,32", "-n", 4, "-r", 2, "-t", "1",
                                         "--json")).out)
        self.assertEqual([(row["n_prompt"], row["n_gen"]) for row in rows], [(16, 0), (32, 0), (0, 4)])
        for row in rows:
            rate = row["tokens_per_s"]
            self.assertTrue(0 < rate["min"] <= rate["median"] <= rate["max"])
            self.assertEqual((row["threads"], row["n_depth"]), (1, 0))
        self.assertIn("decode", self.ok(hasten("bench", "llm", "-p", 8, "-n", 2, "-r", 1)).out)


    def test_bench_machine(self):
        result = json.loads(self.ok(hasten("bench", "machine", "-r", 1, "-t", 2, "--json")).out)
        rows = {(row["name"], row["threads"], row["detail"]): row for row in result["rows"]}
        self.assertTrue({("read", 1, "memory"), ("read", 2, "memory"), ("copy", 2, "memory"),
                         ("dispatch", 2, "an empty job")} <= set(rows))
        self.assertEqual({row["name"] for row in result["rows"]},
                         {"clock", "dot", "fma", "read", "fill", "copy", "dispatch"})
        for row in rows.values():
            self.assertTrue(0 < row["min"] <= row["median"] <= row["max"], row)
        self.assertRegex(hasten("bench", "machine", "-r", 1, "-t", 1, "--cpu", "ref").out, r"(?m)^fma +1 .*plain C")
        self.fails(hasten("bench", "machines"), 2, "no benchmark 'machines'", "bench machine")


class Catalog(Case):
    def test_list(self):
        models = {model["name"]: model for model in json.loads(self.ok(hasten("list", "--json")).out)}
        model = models[MODEL]
        self.assertTrue(model["present"] and model["default"])
        self.assertEqual(model["licence"], "Apache-2.0")
        self.assertEqual(os.path.getsize(model["path"]), model["size_bytes"])
        self.assertRegex(self.ok(hasten("list")).out, rf"(?m)^\* {MODEL} ")

    def test_pull_and_rm(self):
        result = self.ok(hasten("pull", MODEL))
        self.assertIn("already", result.err)
        with tempfile.TemporaryDirectory() as home:
            env = {**ENV, "HASTEN_HOME": home}
            self.assertFalse(listed(env)["present"])
            self.fails(hasten("rm", MODEL, env=env), 1, MODEL)
            os.mkdir(f"{home}/models")
            link = f"{home}/models/{os.path.basename(MODEL_PATH)}"
            os.link(MODEL_PATH, link) if same_disk(home) else shutil.copy(MODEL_PATH, link)
            self.assertTrue(listed(env)["present"])
            self.ok(hasten("rm", MODEL, env=env))
            self.assertFalse(os.path.exists(link))


class WebHandler(http.server.BaseHTTPRequestHandler):
    """A model hub: a list of files, ranges, ETags; cuts bodies, waits and refuses as its server says."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        web, path = self.server, self.path
        web.paths.append(path)
        if path.startswith("/api/models/"):
            names = ["README.md", "tiny-Q8_0.gguf", "tiny-Q4_K_M.gguf"]
            return self.answer(200, json.dumps({"siblings": [{"rfilename": name} for name in names]}).encode())
        if web.refusals:
            code, headers = web.refusals.pop(0)
            return self.answer(code, b"no", headers)
        first = 0
        headers = {"ETag": web.etag}
        given = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        if given and self.headers.get("If-Range", web.etag) == web.etag:
            first = int(given.group(1))
            headers["Content-Range"] = f"bytes {first}-{len(web.data) - 1}/{len(web.data)}"
        web.bodies.append(first)
        self.answer(206 if "Content-Range" in headers else 200, web.data[first:], headers)

    def answer(self, code, body, headers=()):
        self.send_response(code)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        step = self.server.cut or len(body)
        for at in range(0, min(step, len(body)), 65536):
            self.server.gate.wait()
            self.wfile.write(body[at:min(at + 65536, step)])

    def log_message(self, *args):
        pass


class Downloads(Case):
    """hf: and https: names against a server of our own. The file served is not a model: what is
    tested is how it gets into the cache."""

    def setUp(self):
        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), WebHandler)
        self.web.daemon_threads = True
        self.web.handle_error = lambda *_: None  # clients that go away are part of the tests
        self.web.data = bytes(range(256)) * 8192  # 2 MiB
        self.web.etag, self.web.cut, self.web.refusals, self.web.paths, self.web.bodies = '"v1"', 0, [], [], []
        self.web.gate = threading.Event()
        self.web.gate.set()
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        self.home = tempfile.TemporaryDirectory()
        self.url = f"http://127.0.0.1:{self.web.server_port}"
        self.env = {**ENV, "HASTEN_HOME": self.home.name, "HF_ENDPOINT": self.url, "HASTEN_NET_BACKOFF_MS": "10"}

    def tearDown(self):
        self.web.gate.set()
        self.web.shutdown()
        self.web.server_close()
        self.home.cleanup()

    def path(self, name="hf/owner/tiny/main/tiny-Q4_K_M.gguf"):
        return pathlib.Path(self.home.name) / "models" / name

    def start(self, *args):
        return start(*args, env=self.env)

    def wait_for_part(self, name=None):
        part = pathlib.Path(str(self.path(*([name] if name else []))) + ".part")
        end = time.monotonic() + TIMEOUT
        while not (part.exists() and part.stat().st_size):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        return part

    def test_hub(self):
        self.web.cut = 300000
        self.web.refusals = [(503, {}), (429, {"Retry-After": "1"})]
        result = self.ok(hasten("pull", "hf:owner/tiny", env=self.env))
        self.assertIn("hf:owner/tiny/tiny-Q4_K_M.gguf: 2.1 MB", result.out)
        self.assertEqual(self.path().read_bytes(), self.web.data)
        self.assertEqual(self.web.bodies[:3], [0, 300000, 600000])
        self.assertIn("already", self.ok(hasten("pull", "hf:owner/tiny:q4_k_m", env=self.env)).err)
        self.assertIn("hf:owner/tiny/tiny-Q4_K_M.gguf", self.ok(hasten("list", env=self.env)).out)
        models = json.loads(hasten("list", "--json", env=self.env).out)
        self.assertEqual((models[-1]["present"], models[-1]["path"]), (True, str(self.path())))
        # as a MODEL: no server is needed now, and the file is opened (and is no model)
        self.web.paths.clear()
        self.fails(hasten("inspect", "hf:owner/tiny", env=self.env), 1, "GGUF")
        self.assertEqual(self.web.paths, [])
        self.ok(hasten("rm", "hf:owner/tiny", env=self.env))
        self.assertFalse(self.path("hf/owner").exists())

    def test_model_argument_fetches(self):
        result = hasten("inspect", f"{self.url}/a/x.gguf?sig=1", env=self.env)
        self.assertEqual(result.returncode, 1)
        self.assertIn("error: not a GGUF file", result.err)
        self.assertEqual(self.path(f"http/127.0.0.1:{self.web.server_port}/a/x.gguf").read_bytes(), self.web.data)

    def test_two_at_once(self):
        self.web.gate.clear()
        first = self.start("pull", "hf:owner/tiny/x.gguf")
        end = time.monotonic() + TIMEOUT
        while not self.web.bodies and time.monotonic() < end:
            time.sleep(0.01)
        second = self.start("pull", "hf:owner/tiny/x.gguf")
        while b"waiting for another download" not in (line := second.stderr.readline()):
            self.assertTrue(line)
        self.web.gate.set()
        self.assertEqual(first.wait(TIMEOUT), 0)
        self.assertEqual(second.wait(TIMEOUT), 0)
        self.assertEqual(self.web.bodies, [0])
        for process in (first, second):
            process.stdout.close(), process.stderr.close()

    def test_interrupt_and_kill_leave_a_part(self):
        for number in (signal.SIGINT, signal.SIGKILL):
            self.web.cut, self.web.gate = 0, Gate(5)
            process = self.start("pull", "hf:owner/tiny/x.gguf")
            part = self.wait_for_part("hf/owner/tiny/main/x.gguf")
            process.send_signal(number)
            code = process.wait(TIMEOUT)
            process.stdout.close(), process.stderr.close()
            self.assertIn(code, (130, -signal.SIGINT) if number == signal.SIGINT else (-signal.SIGKILL,))
            self.assertTrue(part.exists())
            self.assertFalse(self.path("hf/owner/tiny/main/x.gguf").exists())
            self.web.gate.set()
        self.ok(hasten("pull", "hf:owner/tiny/x.gguf", env=self.env))
        self.assertGreater(self.web.bodies[-1], 0)
        self.assertEqual(self.path("hf/owner/tiny/main/x.gguf").read_bytes(), self.web.data)

    @unittest.skipUnless(shutil.which("openssl"), "no openssl to make a certificate with")
    def test_tls(self):
        key, cert = (str(pathlib.Path(self.home.name) / name) for name in ("key.pem", "cert.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert], check=True,
                       capture_output=True, timeout=TIMEOUT)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.web.socket = context.wrap_socket(self.web.socket, server_side=True)
        url = f"https://localhost:{self.web.server_port}/x.gguf"
        result = hasten("pull", url, env={**self.env, "SSL_CERT_FILE": ""})
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.err, "(?s)error: .*certificate.*hint: set SSL_CERT_FILE")
        self.assertFalse(self.path("https").exists() and list(self.path("https").rglob("*.gguf*")))
        self.ok(hasten("pull", url, env={**self.env, "SSL_CERT_FILE": cert}))
        self.assertEqual(self.path(f"https/localhost:{self.web.server_port}/x.gguf").read_bytes(), self.web.data)

    def test_changed_meanwhile(self):
        self.web.cut = 700000
        result = hasten("pull", "hf:owner/tiny/x.gguf", env={**self.env, "HASTEN_NET_RETRIES": "0"})
        self.assertEqual(result.returncode, 1)
        self.assertIn("error: the connection was lost", result.err)
        self.assertIn("hint: run it again: the download goes on where it stopped", result.err)
        self.web.cut, self.web.etag, self.web.data = 0, '"v2"', b"x" * 2000000
        self.ok(hasten("pull", "hf:owner/tiny/x.gguf", env=self.env))
        self.assertEqual(self.path("hf/owner/tiny/main/x.gguf").read_bytes(), self.web.data)


class Gate:
    """Lets some pieces of a body through, then waits for set()."""

    def __init__(self, count):
        self.count, self.event = count, threading.Event()

    def wait(self):
        self.count -= 1
        if self.count < 0:
            self.event.wait()

    def set(self):
        self.event.set()


class Shells(Case):
    def test_man(self):
        page = self.ok(hasten("man")).out
        for command in COMMANDS:
            self.assertIn(f"\n.SS {command}\n", page)
        self.assertIn("\\fB\\-\\-temperature\\fR \\fIX\\fR", page)
        if shutil.which("mandoc"):
            lint = subprocess.run(["mandoc", "-T", "lint"], input=page.encode(), capture_output=True, timeout=TIMEOUT)
            self.assertEqual((lint.returncode, lint.stdout + lint.stderr), (0, b""))
            text = subprocess.run(["mandoc", "-T", "utf8"], input=page.encode(), capture_output=True,
                                  timeout=TIMEOUT).stdout.decode()
            self.assertIn("HASTEN_HOME", re.sub(".\b", "", text))

    def test_completions(self):
        self.fails(hasten("completions", "tcsh"), 2, "tcsh", "bash, zsh or fish")
        for shell in ("bash", "zsh", "fish"):
            script = self.ok(hasten("completions", shell)).out
            self.assertIn("kv-type", script)
            if shutil.which(shell):
                subprocess.run([shell, "-n"], input=script.encode(), check=True, timeout=TIMEOUT)

    def complete(self, line, folder=None):
        """What bash offers when the key is pressed at the end of the line."""
        words = re.findall(r"[^\s=:]+|[=:]", line) + ([""] if line[-1] in " =:" else [])
        script = ('source <("$BIN" completions bash); hasten() { "$BIN" "$@"; }; COMP_WORDS=("$@"); '
                  'COMP_CWORD=$(($# - 1)); COMP_LINE=$LINE; COMP_POINT=${#LINE}; _hasten hasten; '
                  'printf "%s\n" "${COMPREPLY[@]}"')
        result = subprocess.run(["bash", "-c", script, "bash", *words], env={**ENV, "BIN": BIN, "LINE": line},
                                capture_output=True, timeout=TIMEOUT, cwd=folder or SCRATCH)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        return set(result.stdout.decode().split())

    def test_bash(self):
        self.assertEqual(self.complete("hasten "), {*COMMANDS, "help", "--help", "--version"})
        self.assertEqual(self.complete("hasten per"), {"perplexity"})
        self.assertEqual(self.complete("hasten help tok"), {"tokenize"})
        self.assertEqual(self.complete("hasten run --temp"), {"--temperature"})
        self.assertEqual(self.complete("hasten run --cpu "), {"ref", "avx2", "avx512vnni"})
        self.assertEqual(self.complete("hasten run --cpu=avx2"), {"avx2"})
        self.assertIn("f32", self.complete("hasten run --raw --kv-type f"))
        self.assertEqual(self.complete("hasten completions "), {"bash", "zsh", "fish"})
        self.assertIn("machine", self.complete("hasten bench "))
        self.assertEqual(self.complete("hasten run smol"), {MODEL})
        self.assertEqual(self.complete("hasten run --raw smol"), {MODEL})
        self.assertEqual(self.complete("hasten cpu x"), set())
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "other.gguf").touch()
            self.assertEqual(self.complete("hasten inspect oth", folder), {"other.gguf"})

    def test_bash_names_with_colons(self):
        with tempfile.TemporaryDirectory() as home:
            place = pathlib.Path(home, "models/hf/owner/tiny/main/x.gguf")
            place.parent.mkdir(parents=True)
            place.touch()
            with unittest.mock.patch.dict(ENV, {"HASTEN_HOME": home}):
                self.assertEqual(self.ok(hasten("list", "--names")).out.split()[-1], "hf:owner/tiny/x.gguf")
                self.assertEqual(self.complete("hasten run hf:ow"), {"owner/tiny/x.gguf"})


def listed(env):
    models = json.loads(hasten("list", "--json", env=env).out)
    return next(model for model in models if model["name"] == MODEL)


def same_disk(folder):
    return os.stat(folder).st_dev == os.stat(MODEL_PATH).st_dev


class Chat(Case):
    PROMPT = r"> (\x1b\[[0-9;?]*[A-Za-z])*$"

    def start(self, *args):
        terminal = Terminal("run", MODEL, *args)
        terminal.expect("/help lists commands")
        terminal.expect(self.PROMPT)
        return terminal

    def test_conversation(self):
        chat = self.start("--stats")
        chat.send(FRANCE + "\n")
        chat.expect("Paris")
        chat.expect("load .*ms")
        chat.expect(self.PROMPT)
        chat.send("And of Italy?\n")
        text = chat.expect("load .*ms")
        self.assertIn("Rome", text)
        total, new = map(int, re.search(r"prompt +(\d+) tokens \((\d+) new\)", text).groups())
        self.assertLess(new, total // 2)
        chat.expect(self.PROMPT)
        chat.send("/reset\n")
        chat.expect("starts anew")
        chat.expect(self.PROMPT)
        chat.send(FRANCE + "\n")
        self.assertRegex(chat.expect("load .*ms"), "Paris")
        chat.expect(self.PROMPT)
        chat.send("\x04")
        self.assertEqual(chat.finish(), 0)
        history = next(pathlib.Path(ENV["XDG_STATE_HOME"]).rglob("chat_history"))
        self.assertIn("Italy", history.read_text())

    def test_commands(self):
        chat = self.start()
        chat.send("/help\n")
        chat.expect("/reset +forget")
        chat.expect(self.PROMPT)
        chat.send("/rest\n")
        chat.expect("did you mean /reset")
        chat.expect(self.PROMPT)
        chat.send("\n")
        chat.expect(self.PROMPT)
        chat.send("/exit\n")
        self.assertEqual(chat.finish(), 0)

    def test_interrupts(self):
        chat = self.start("--ignore-eos")
        chat.send(LONG + "\n")
        chat.expect(r"ship\.\r\n")
        chat.expect(r"\w+ \w+ \w+")
        chat.send("\x03")
        chat.expect(r"\(stopped\)")
        chat.expect(self.PROMPT)
        chat.send("half a line\x03")
        chat.expect("Ctrl-C again")
        chat.expect(self.PROMPT)
        chat.send("/help\n")
        chat.expect("this list")
        chat.expect(self.PROMPT)
        chat.send("\x03")
        chat.expect("Ctrl-C again")
        chat.expect(self.PROMPT)
        chat.send("\x03")
        self.assertEqual(chat.finish(), 0)

    def test_long_prompt_ends_only_the_turn(self):
        chat = self.start("-c", "64")
        chat.send("word " * 100 + "\n")
        chat.expect("the context holds 64")
        chat.expect(self.PROMPT)
        chat.send(FRANCE + "\n")
        chat.expect("Paris")
        chat.expect(self.PROMPT)
        chat.send("\x04")
        self.assertEqual(chat.finish(), 0)

    def test_letters_beyond_ascii(self):
        chat = self.start("-n", "1")
        chat.send("Grüße 世界\n")
        chat.expect("Grüße 世界\r\n")
        chat.expect(self.PROMPT)
        chat.send("\x04")
        self.assertEqual(chat.finish(), 0)

    def test_refused(self):
        for option in ("--json", "--raw"):
            terminal = Terminal("run", MODEL, option)
            terminal.expect("needs a prompt")
            self.assertEqual(terminal.finish(), 2)


def prepare():
    """The model, and a home of the tests' own, so that no history of the user is touched; the model
    there is a link."""
    global MODEL_PATH
    subprocess.run([BIN, "pull", MODEL], check=True, env=ENV, stdout=subprocess.DEVNULL)
    path = pathlib.Path(listed(ENV)["path"])
    MODEL_PATH = os.path.realpath(path)
    home = SCRATCH / "home"
    (home / "hasten/models").mkdir(parents=True)
    (home / "hasten/models" / path.name).symlink_to(MODEL_PATH)
    ENV.pop("HASTEN_HOME", None)
    ENV["XDG_CACHE_HOME"] = ENV["XDG_STATE_HOME"] = str(home)
    # For sanitizer builds: libedit keeps the names of functions that a program adds to it.
    suppressions = SCRATCH / "lsan.txt"
    suppressions.write_text("leak:wcsdup\n")
    ENV["LSAN_OPTIONS"] = f"suppressions={suppressions}:print_suppressions=0"


if __name__ == "__main__":
    prepare()
    sys.exit(main())
