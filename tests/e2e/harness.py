"""What the end-to-end tests share: calls of the program and of other commands, what their results
must be, a folder for the time of the tests, and the end of a test file: sys.exit(main())."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HASTEN_BUILD", ROOT / "build/release")).resolve()
BIN = os.environ.get("HASTEN_BIN", str(BUILD / "hasten"))
ENV = {**os.environ}  # of the program's calls
TIMEOUT = 300  # ends what hangs
_scratch = tempfile.TemporaryDirectory(prefix="hasten-e2e-")
SCRATCH = pathlib.Path(_scratch.name)


def hasten(*args, stdin="", env=None, stdout=subprocess.PIPE, **more):
    """Result of a call, with the texts of its outputs as out and err."""
    result = subprocess.run([BIN, *map(str, args)], input=stdin.encode(), stdout=stdout, stderr=subprocess.PIPE,
                            timeout=TIMEOUT, env=env or ENV, **more)
    result.out = (result.stdout or b"").decode()
    result.err = result.stderr.decode()
    return result


def start(*args, env=None):
    """A call that runs on, with empty input."""
    return subprocess.Popen([BIN, *map(str, args)], env=env or ENV, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(*command, **options):
    """What any command prints; it must succeed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600, check=False,
                          **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Case(unittest.TestCase):
    def ok(self, result):
        self.assertEqual(result.returncode, 0, result.err)
        return result

    def fails(self, result, code, message, hint=None):
        self.assertEqual(result.returncode, code, (result.out, result.err))
        self.assertTrue(result.err.startswith("error: "), result.err)
        self.assertIn(message, result.err)
        if hint is not None:
            self.assertIn("\nhint: ", result.err)
            self.assertIn(hint, result.err)


def main():
    """Runs the tests of the file, or those that the command line names; the exit code."""
    file, names, loader = sys.modules["__main__"], sys.argv[1:], unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(names, file) if names else loader.loadTestsFromModule(file)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0
