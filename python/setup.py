"""Puts libhasten.so into the wheel and takes the version from CMakeLists.txt.

HASTEN_LIBRARY names the library; by default it is the one that `make` built.
"""
import os
import pathlib
import re
import shutil

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel  # setuptools 70.1 and later
except ImportError:
    from wheel.bdist_wheel import bdist_wheel

HERE = pathlib.Path(__file__).resolve().parent


def version():
    text = (HERE.parent / "CMakeLists.txt").read_text()
    return re.search(r"project\(hasten VERSION (\S+)", text).group(1)


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        library = pathlib.Path(os.environ.get("HASTEN_LIBRARY",
                                              HERE.parent / "build/release/libhasten.so"))
        if not library.exists():
            raise SystemExit(f"{library} does not exist: run make first, or set HASTEN_LIBRARY")
        shutil.copyfile(library, pathlib.Path(self.build_lib) / "hasten/libhasten.so")


class PlatformDistribution(Distribution):
    def has_ext_modules(self):
        return True  # libhasten.so: the wheel belongs to this platform


class PlatformWheel(bdist_wheel):
    """One wheel for every Python 3 of this platform: nothing is compiled against Python."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(version=version(), distclass=PlatformDistribution,
      cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel})
