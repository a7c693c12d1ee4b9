#!/usr/bin/env python3
"""Errors as users of the program meet them: every kind of wrong file, lengths, memory, disks, closed
outputs, Ctrl-C. Each has an exit code, a message and a hint, and leaves nothing behind. Runs the built
binary (HASTEN_BIN) on tiny models that MAKE_TINY_MODEL writes; nothing is downloaded. No times are
asserted; timeouts only end what hangs."""
import json
import os
import pathlib
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import harness
from harness import ENV, SCRATCH, TIMEOUT, hasten, main, start

MAKE = os.environ["MAKE_TINY_MODEL"]
IS_SANITIZED = bool(os.environ.get("HASTEN_SANITIZED"))
TEXT = "The singing of the user in the sun is the thing that then rings and rings in the inn. " * 20


def run(path, *args, **more):
    return hasten("run", path, "--raw", "-p", "the sun", "-n", 4, *args, **more)


class Case(harness.Case):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))

    def model(self, *args, name="tiny.gguf"):
        path = self.folder / name
        subprocess.run([MAKE, path, *map(str, args)], check=True)
        return path

    def nothing_but(self, *names):
        self.assertEqual(sorted(os.listdir(self.folder)), sorted(names))


class Files(Case):
    def both(self, path, code, message, hint):
        """The program's commands that open a model, and the JSON form of the error."""
        for command in (["run", path, "--raw", "-p", "x"], ["inspect", path], ["tokenize", path, "x"],
                        ["convert", path, self.folder / "out", "--type", "f32"]):
            result = hasten(*command)
            self.fails(result, code, message, hint)
            self.assertIn(str(path), result.err)
            self.assertEqual(result.out, "")
        error = json.loads(hasten("run", path, "--raw", "-p", "x", "--json").err)["error"]
        self.assertIn(message, error["message"])
        self.assertIn(hint, error["hint"])
        self.assertFalse((self.folder / "out").exists())

    def test_missing_folder_empty(self):
        self.both(self.folder / "none.gguf", 1, "No such file", "check the path")
        self.both(self.folder, 2, "this is a folder", "name a file")
        path = self.folder / "empty.gguf"
        path.write_bytes(b"")
        self.both(path, 2, "the file is empty", "download")

    def test_forbidden(self):
        path = self.model()
        path.chmod(0)
        self.folder.chmod(0o755)
        if os.geteuid() != 0:
            self.both(path, 1, "Permission denied", "permissions")
            return
        SCRATCH.chmod(0o755)  # root may read everything, so be somebody else
        result = run(path, preexec_fn=lambda: os.setuid(65534))
        if "error while loading" not in result.err:  # the build folder may be closed to others
            self.fails(result, 1, "Permission denied", "permissions")

    def test_truncated(self):
        path = self.model()
        data = path.read_bytes()
        for size in (5, 20, 1000, len(data) // 2, len(data) - 33):
            path.write_bytes(data[:size])
            self.both(path, 1, "", "download it again")

    def test_other_byte_order(self):
        path = self.model()
        data = bytearray(path.read_bytes())
        data[4:8] = struct.pack(">I", 3)
        path.write_bytes(data)
        self.both(path, 1, "big-endian", "little-endian")

    def test_unknown_type(self):
        path = self.model("f32")
        data = path.read_bytes()
        name = b"blk.0.attn_q.weight"
        at = data.index(name) + len(name) + 4 + 16
        self.assertEqual(data[at:at + 4], struct.pack("<I", 0))
        path.write_bytes(data[:at] + struct.pack("<I", 16) + data[at + 4:])
        self.both(path, 1, "IQ2_XXS", "another quantization")

    def test_unknown_architecture(self):
        path = self.model()
        path.write_bytes(path.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lmaal", 1))
        result = run(path)
        self.fails(result, 1, "unknown architecture 'lmaal'", "known architectures: llama")

    def test_missing_part(self):
        self.model("parts", 3)
        (self.folder / "tiny.gguf-00002-of-00003.gguf").unlink()
        result = run(self.folder / "tiny.gguf-00001-of-00003.gguf")
        self.fails(result, 1, "part 2 of 3 is missing", "one folder")


class Limits(Case):
    def test_prompt_longer_than_the_context(self):
        result = run(self.model(), "-c", 32, "-p", TEXT)
        self.fails(result, 1, "the context holds 32", "-c ")

    def test_context_beyond_the_trained_one(self):
        result = run(self.model(), "-c", 5000)
        self.assertEqual(result.returncode, 0, result.err)
        self.assertIn("trained for 4096 tokens", result.err)

    @unittest.skipIf(IS_SANITIZED, "sanitizers reserve address space without end")
    def test_model_larger_than_memory(self):
        path = self.model("f32", "embedding", 8192)  # 44 MB
        self.assertEqual(run(path, "-t", 1).returncode, 0)
        result = run(path, "-t", 1, preexec_fn=limited(resource.RLIMIT_AS, 64 << 20))
        self.fails(result, 1, "no ", "")
        self.assertRegex(result.err, r"no (memory|address space) for .*[0-9]")

    def test_weights_that_are_no_numbers(self):
        path = self.model("f32", "nan")
        text = self.folder / "text"
        text.write_text(TEXT)
        result = run(path)
        self.fails(result, 1, "the model computes NaN", "get the file again")
        self.assertEqual(result.out.strip(), "")
        self.fails(hasten("perplexity", path, text, "-c", 64), 1, "the model computes NaN", "again")


def limited(what, size):
    return lambda: resource.setrlimit(what, (size, size))


class Disks(Case):
    def test_full_while_converting(self):
        path = self.model()
        result = hasten("convert", path, self.folder / "out.gguf", "--type", "f32",
                        preexec_fn=limited(resource.RLIMIT_FSIZE, 100_000))
        self.fails(result, 1, "cannot write the file: File too large", "ulimit -f")
        self.nothing_but("tiny.gguf")

    def test_full_while_writing_logits(self):
        path = self.model()
        text = self.folder / "text"
        text.write_text(TEXT)
        result = hasten("perplexity", path, text, "-c", 64, "--logits-out", self.folder / "logits",
                        preexec_fn=limited(resource.RLIMIT_FSIZE, 100_000))
        self.fails(result, 1, "cannot write the file", "ulimit -f")
        self.nothing_but("tiny.gguf", "text")

    @unittest.skipUnless(os.geteuid() == 0, "mounting needs root")
    def test_really_full(self):
        path, disk = self.model(), self.folder / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk],
                          stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no mounting here")
        try:
            result = hasten("convert", path, disk / "out.gguf", "--type", "f32")
            self.fails(result, 1, "cannot write the file: No space left on device", "free space")
            self.assertEqual(os.listdir(disk), [])
        finally:
            subprocess.run(["umount", disk], check=True)

    def test_read_only_folder(self):
        result = hasten("convert", self.model(), "/proc/out.gguf", "--type", "f32")
        self.assertEqual(result.returncode, 1)
        self.assertIn("/proc/out.gguf", result.err)


class Outputs(Case):
    """Each form of output into a full device, a closed pipe and no output at all."""

    def commands(self):
        path, text = self.model(), self.folder / "text"
        text.write_text(TEXT)
        return [["run", path, "--raw", "-p", "the sun", "-n", 8, "--ignore-eos"],
                ["run", path, "--raw", "-p", "the sun", "-n", 8, "--ignore-eos", "--json"],
                ["perplexity", path, text, "-c", 64], ["perplexity", path, text, "-c", 64, "--json"],
                ["inspect", path], ["ir", path], ["tokenize", path, "the sun"]]

    def test_full(self):
        for args in self.commands():
            with open("/dev/full", "wb") as full:
                result = hasten(*args, stdout=full)
            self.assertEqual(result.returncode, 1, (args, result.err))
            self.assertIn("No space left", result.err)
            self.assertIn("error", result.err)

    def test_closed_pipe(self):
        for args in self.commands():
            reading, writing = os.pipe()
            os.close(reading)
            result = hasten(*args, stdout=writing)
            os.close(writing)
            self.assertEqual(result.returncode, 1, (args, result.err))
            self.assertIn("Broken pipe", result.err)

    def test_none(self):
        for args in self.commands():
            result = hasten(*args, stdout=None, preexec_fn=lambda: os.close(1))
            self.assertEqual(result.returncode, 1, (args, result.err))
            self.assertIn("standard output", result.err)


class Interrupts(Case):
    def stop(self, args, seen):
        """Starts a call, sends Ctrl-C when seen(process) is true; the process and its outputs."""
        process = start(*args)
        end = time.monotonic() + TIMEOUT
        while not seen(process) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
        return process.returncode, out, err.decode()

    def test_in_an_answer(self):
        path = self.model()
        args = ["run", path, "--raw", "-p", "the sun", "--ignore-eos", "-n", -1, "-c", 1_000_000]
        code, out, err = self.stop(args, lambda process: process.stdout.read(1))
        self.assertEqual(code, 130, err)
        self.assertTrue(out.endswith(b"\n"))

    def test_while_converting(self):
        path = self.model("embedding", 2048)

        def part_is_there(process):
            return any(".part" in name for name in os.listdir(self.folder))

        for _ in range(5):
            code, out, err = self.stop(["convert", path, self.folder / "out.gguf", "--type", "f32"],
                                       part_is_there)
            if code == 0:  # it was faster
                (self.folder / "out.gguf").unlink()
                continue
            self.assertEqual(code, 130, err)
            self.nothing_but("tiny.gguf")

    def test_while_measuring(self):
        path, text = self.model(), self.folder / "text"
        text.write_text(TEXT * 200)
        code, out, err = self.stop(["perplexity", path, text, "-c", 64, "--logits-out", self.folder / "logits"],
                                   lambda process: any(".part" in n for n in os.listdir(self.folder)))
        self.assertEqual(code, 130, err)
        self.nothing_but("tiny.gguf", "text")


if __name__ == "__main__":
    ENV.pop("HASTEN_HOME", None)
    ENV["XDG_CACHE_HOME"] = ENV["XDG_STATE_HOME"] = str(SCRATCH / "home")
    (SCRATCH / "home").mkdir()
    sys.exit(main())
