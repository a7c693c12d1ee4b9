#!/usr/bin/env python3
"""The Python package as its users meet it: the wheel is built, installed into a fresh virtual
environment (offline) and used there on the default model.

    HASTEN_BUILD=build/release python3 tests/e2e/test_python.py
"""
import functools
import os
import shutil
import sys
import textwrap
import unittest
import zipfile

import harness
from harness import BUILD, ROOT, SCRATCH, main

# Nothing may be fetched, and nothing of the outer environment may leak in.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if not name.startswith(("PYTHON", "PIP_", "HASTEN_LIB", "LD_LIBRARY"))}
ENVIRONMENT["PIP_NO_INDEX"] = "1"
run = functools.partial(harness.run, env=ENVIRONMENT)


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = SCRATCH
        # A copy: pip leaves build/ and *.egg-info behind in the folder it builds.
        source = cls.work / "hasten"
        shutil.copytree(ROOT / "python", source / "python",
                        ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        shutil.copy(ROOT / "CMakeLists.txt", source)
        ENVIRONMENT["HASTEN_LIBRARY"] = str(BUILD / "libhasten.so")
        run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation",
            "--disable-pip-version-check", "-w", cls.work, source / "python")
        del ENVIRONMENT["HASTEN_LIBRARY"]
        cls.wheel = next(cls.work.glob("*.whl"))
        run(sys.executable, "-m", "venv", cls.work / "venv")
        cls.python = cls.work / "venv/bin/python"
        run(cls.python, "-m", "pip", "install", "--no-deps", "--disable-pip-version-check",
            cls.wheel)

    def script(self, text):
        """Runs a script in the fresh environment; what it prints."""
        return run(self.python, "-c", textwrap.dedent(text), cwd=self.work)

    def test_wheel(self):
        names = set(zipfile.ZipFile(self.wheel).namelist())
        self.assertTrue({"hasten/__init__.py", "hasten/_library.py", "hasten/libhasten.so"} <= names)
        self.assertRegex(self.wheel.name, r"^hasten-\d+\.\d+\.\d+-py3-none-linux_\w+\.whl$")
        printed = run(BUILD / "hasten", "version").split()[1]
        self.assertEqual(self.wheel.name.split("-")[1], printed)
        self.assertEqual(self.script("import hasten; print(hasten.__version__)").strip(), printed)

    def test_chat_generate_stream(self):
        printed = self.script("""
            import hasten
            question = [{"role": "user",
                         "content": "What is the capital of France? Answer in one word."}]
            with hasten.open("smollm2-135m", context=1024) as model:
                assert model.info["architecture"] == "llama" and model.info["context"] == 1024
                print(model.chat(question))
                print("".join(model.chat(question, stream=True)))
                whole = model.complete("Once upon a time", max_tokens=12)
                assert whole.finish == "length" and whole.completion_tokens == 12
                pieces = list(model.stream("Once upon a time", max_tokens=12))
                assert len(pieces) > 3 and "".join(pieces) == whole.text, pieces
                assert model.generate(model.tokenize("Once upon a time", begin=True),
                                      max_tokens=12) == whole.text
                text = "Grüße, 世界! \\U0001f600 <|im_end|>"
                assert model.detokenize(model.tokenize(text)) == text
                assert len(model.tokenize(text, special=True)) < len(model.tokenize(text))
                same = [model.generate("A", max_tokens=8, temperature=1.0, seed=s) for s in (1, 1, 2)]
                assert same[0] == same[1] != same[2], same
                first = model.complete("The", max_tokens=1)
                token = model.tokenize(first.text)[0]
                assert model.generate("The", max_tokens=1,
                                      logit_bias={token: -1e9}) != first.text
                stopped = model.complete("1 2 3 4 5", max_tokens=40, stop=[" 9"])
                assert stopped.finish == "stop" and "9" not in stopped.text, stopped
            """)
        self.assertEqual(printed, "The capital of France is Paris.\n" * 2)

    def test_a_chat_computes_only_what_is_new(self):
        self.script("""
            import hasten
            with hasten.open("smollm2-135m") as model, model.open_chat("You are brief.") as chat:
                chat.send("Name a colour.", max_tokens=8)
                chat.send("Another one.", max_tokens=8)
                assert chat.result.reused_tokens > 20, chat.result
                again = model.chat(chat.messages[:-1], max_tokens=8)
                assert again == chat.messages[-1]["content"], (again, chat.messages)
            """)

    def test_cancel(self):
        self.script("""
            import hasten, signal, threading, time, os
            with hasten.open("smollm2-135m") as model:
                stream = model.stream("Count: 1, 2, 3,", ignore_end=True)
                next(stream)
                stream.close()
                assert threading.active_count() == 1
                for piece in model.stream("Count: 1, 2, 3,", ignore_end=True):
                    break
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
                try:
                    model.generate("Count: 1, 2, 3,", ignore_end=True)
                    raise SystemExit("Ctrl-C was not seen")
                except KeyboardInterrupt:
                    pass
                assert model.generate("Hi", max_tokens=2)
            """)

    def test_threads_get_what_runs_alone_get(self):
        self.script("""
            import hasten
            from concurrent.futures import ThreadPoolExecutor
            prompts = ["Once upon a time", "The sea is", "def main():", "In 1704 Newton"]
            with hasten.open("smollm2-135m") as model:
                ask = lambda prompt: model.generate(prompt, max_tokens=16)
                alone = [ask(prompt) for prompt in prompts]
                with ThreadPoolExecutor(4) as pool:
                    assert list(pool.map(ask, prompts)) == alone
            """)

    def test_errors(self):
        self.script("""
            import hasten
            def fails(kind, function, *arguments, **options):
                try:
                    function(*arguments, **options)
                except kind as error:
                    return error
                raise SystemExit(f"{function} did not fail")
            error = fails(hasten.Error, hasten.open, "smollm2-135n")
            assert error.status == "not_found" and "smollm2-135m" in error.hint, repr(error)
            assert fails(hasten.Error, hasten.open, "/nowhere.gguf").status == "not_found"
            model = hasten.open("smollm2-135m", context=64)
            assert fails(hasten.Error, model.generate, "word " * 100).status == "limit"
            assert fails(hasten.Error, model.generate, "a", top_p=7).status == "invalid_argument"
            assert fails(hasten.Error, model.generate, [10**6]).status == "invalid_argument"
            assert fails(hasten.Error, model.generate, []).status == "invalid_argument"
            fails(TypeError, model.generate, "a", temprature=1)
            fails(TypeError, model.stream, "a", temprature=1)
            model.close()
            model.close()
            fails(ValueError, model.generate, "a")
            """)


if __name__ == "__main__":
    sys.exit(main())
