#!/usr/bin/env python3
"""hasten as it is installed: files, exported symbols, headers in C and C++, and the examples, compiled
through pkg-config against the shared and the static library and run on the default model.

    HASTEN_BUILD=build/release python3 tests/e2e/test_install.py [Install.test_symbols ...]
"""
import os
import re
import shutil
import subprocess
import sys
import unittest

from harness import BUILD, ROOT, SCRATCH, main, run

CC = os.environ.get("CC", "cc")
QUESTION = "What is the capital of France? Answer in one word."
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror"]


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = SCRATCH
        # Staged as packagers do it, then moved: nothing may remember where it was made.
        stage = cls.work / "stage"
        run("cmake", "--install", BUILD, "--prefix", "/opt/hasten",
            env={**os.environ, "DESTDIR": str(stage)})
        cls.prefix = cls.work / "moved"
        shutil.move(stage / "opt/hasten", cls.prefix)
        cls.environment = {**os.environ, "PKG_CONFIG_PATH": str(cls.prefix / "lib/pkgconfig"),
                           "LD_LIBRARY_PATH": str(cls.prefix / "lib")}

    def pkg_config(self, *arguments):
        return run("pkg-config", *arguments, "hasten", env=self.environment).split()

    def compile(self, name, *flags, output):
        run(CC, "-std=c11", "-D_POSIX_C_SOURCE=200809L", *WARNINGS, ROOT / "examples" / name, *flags,
            "-o", self.work / output)
        return self.work / output

    def test_files(self):
        for path in ("bin/hasten", "lib/libhasten.so", "lib/libhasten.so.0", "lib/libhasten.a",
                     "lib/pkgconfig/hasten.pc", "include/hasten/hasten.h",
                     "include/hasten/version.h"):
            self.assertTrue((self.prefix / path).exists(), path)
        installed = {p.name for p in (self.prefix / "include/hasten").iterdir()}
        written = {p.name for p in (ROOT / "include/hasten").glob("*.h")}
        self.assertEqual(installed, written | {"version.h"})

    def test_texts(self):
        """Man page and completions are what the program prints, where it prints any."""
        for path, command in (("man/man1/hasten.1", ["man"]),
                              ("bash-completion/completions/hasten", ["completions", "bash"]),
                              ("zsh/site-functions/_hasten", ["completions", "zsh"]),
                              ("fish/vendor_completions.d/hasten.fish", ["completions", "fish"])):
            printed = subprocess.run([self.prefix / "bin/hasten", *command], capture_output=True,
                                     text=True, check=False)
            file = self.prefix / "share" / path
            if printed.returncode == 0 and printed.stdout:
                self.assertEqual(file.read_text(), printed.stdout)
            else:
                self.assertFalse(file.exists(), path)

    def test_versions_agree(self):
        version = run(self.prefix / "bin/hasten", "version").split()[1]
        self.assertEqual(self.pkg_config("--modversion"), [version])
        self.assertTrue((self.prefix / f"lib/libhasten.so.{version}").exists())
        header = (self.prefix / "include/hasten/version.h").read_text()
        self.assertIn(f'#define HASTEN_VERSION       "{version}"', header)

    def test_symbols(self):
        library = self.prefix / "lib/libhasten.so"
        listed = [line.split() for line in run("nm", "-D", "--defined-only", library).splitlines()]
        exported = {line[-1].split("@")[0] for line in listed if line[-2] != "A"}
        text = "".join(p.read_text() for p in (self.prefix / "include/hasten").glob("*.h"))
        declared = set(re.findall(r"\b(hasten_\w+)\(", text))
        inline = set(re.findall(r"static inline void (hasten_\w+)\(", text))
        self.assertEqual(exported, declared - inline)
        self.assertRegex(run("readelf", "-d", library), r"SONAME.*\[libhasten\.so\.0\]")
        defined = run("nm", "-g", "--defined-only", self.prefix / "lib/libhasten.a").splitlines()
        names = {line.split()[-1] for line in defined if len(line.split()) == 3}
        self.assertEqual(names, exported)

    def test_the_library_neither_prints_nor_exits(self):
        wanted = {line.split()[-1].split("@")[0] for line in
                  run("nm", "-D", "--undefined-only", self.prefix / "lib/libhasten.so").splitlines()}
        self.assertFalse(wanted & {"printf", "puts", "putchar", "fprintf", "vprintf", "perror",
                                   "stdout", "stderr", "exit", "abort", "__assert_fail", "system",
                                   "__printf_chk", "__fprintf_chk"})

    def test_headers_in_c_and_cpp(self):
        flags = self.pkg_config("--cflags")
        for header in sorted((self.prefix / "include/hasten").glob("*.h")):
            source = self.work / "header.c"
            # Twice, and each alone: complete, guarded.
            source.write_text(f"#include <hasten/{header.name}>\n#include <hasten/{header.name}>\n"
                              "int main(void) { return 0; }\n")
            run(CC, "-std=c11", *WARNINGS, "-Wstrict-prototypes", *flags, "-fsyntax-only", source)
            for compiler in ("g++", "clang++"):
                if shutil.which(compiler):
                    run(compiler, "-x", "c++", "-std=c++11", *WARNINGS, *flags, "-fsyntax-only",
                        source)

    def test_cpp_links(self):
        if not shutil.which("g++"):
            self.skipTest("no C++ compiler")
        source = self.work / "version.cc"
        source.write_text("#include <hasten/hasten.h>\n#include <cstring>\n"
                          "int main() { hasten_sampling s; hasten_sampling_init(&s);\n"
                          "return std::strcmp(hasten_version(), HASTEN_VERSION) || s.top_p != 1; }\n")
        run("g++", source, *self.pkg_config("--cflags", "--libs"), "-o", self.work / "version")
        run(self.work / "version", env=self.environment)

    def test_answer_shared(self):
        program = self.compile("answer.c", *self.pkg_config("--cflags", "--libs"), output="answer")
        self.assertIn("libhasten.so.0", run("ldd", program, env=self.environment))
        self.assertEqual(run(program, QUESTION, env=self.environment),
                         "The capital of France is Paris.\n")

    def test_answer_static(self):
        flags = [flag.replace("-lhasten", "-l:libhasten.a")
                 for flag in self.pkg_config("--static", "--cflags", "--libs")]
        program = self.compile("answer.c", *flags, output="answer-static")
        self.assertNotIn("libhasten", run("ldd", program))
        self.assertEqual(run(program, QUESTION), "The capital of France is Paris.\n")

    def test_example_is_short_and_explains_errors(self):
        self.assertLess(len((ROOT / "examples/answer.c").read_text().splitlines()), 60)
        program = self.compile("answer.c", *self.pkg_config("--cflags", "--libs"), output="answer")
        failed = subprocess.run([program, "Hi", "smollm2-135n"], env=self.environment,
                                capture_output=True, text=True, check=False)
        self.assertEqual((failed.returncode, failed.stdout), (1, ""))
        self.assertIn("smollm2-135n", failed.stderr)
        self.assertIn("hint: ", failed.stderr)

    def test_cancel_from_another_thread(self):
        program = self.compile("deadline.c", *self.pkg_config("--cflags", "--libs"), "-pthread",
                               output="deadline")
        cut = subprocess.run([program, "200", "Count from 1 to 1000, in words."], check=True,
                             env=self.environment, capture_output=True, text=True, timeout=600)
        self.assertIn("ended by cancel", cut.stderr)
        whole = subprocess.run([program, "600000", QUESTION], check=True, env=self.environment,
                               capture_output=True, text=True, timeout=600)
        self.assertEqual(whole.stdout, "The capital of France is Paris.")
        self.assertIn("ended by stop", whole.stderr)


if __name__ == "__main__":
    sys.exit(main())
