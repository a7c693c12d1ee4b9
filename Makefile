# Thin door in front of CMake (presets in CMakePresets.json).
#
#   make            build build/release/hasten
#   make run        build, fetch the default model, chat in a terminal
#   make run PROMPT="..."   answer once and exit; stdout holds only the answer (make -s)
#   make serve      build, fetch the default model, answer over HTTP on 127.0.0.1:8080 (ARGS="--port 0")
#   make test       build and run everything a fresh machine can
#   make install    program, libraries, headers into PREFIX (/usr/local), under DESTDIR if given
#   make wheel      Python package into build/wheel
#   make fuzz       fuzz every parser for 60 s (SECONDS_EACH=N)
#   make bench      build the benchmarks; see bench/README.md
#   make format     clang-format the sources
#   make clean
#
# Missing Debian packages (tools/debian-packages.txt) are installed first, with sudo when not root.

MODEL  ?= smollm2-135m
PREFIX ?= /usr/local
PYTHON ?= /usr/bin/python3
HASTEN := build/release/hasten
SOURCES = $(shell git ls-files '*.c' '*.h')

.PHONY: all build deps run serve test install wheel fuzz bench format clean

all: build

deps:
	@tools/install-deps

build: deps
	@mkdir -p build
	@test -f build/release/build.ninja || cmake --preset release >build/configure.log 2>&1 || \
	    { cat build/configure.log >&2; rm -f build/release/build.ninja; exit 1; }
	@# ninja says that it has nothing to do even when asked to be quiet
	@bash -o pipefail -c "cmake --build build/release -- --quiet | sed '/^ninja: no work to do\.$$/d' >&2"

run: build
	@$(HASTEN) run $(if $(PROMPT),-p "$$PROMPT") $(MODEL) $(ARGS)
run: export PROMPT := $(PROMPT)

serve: build
	@exec $(HASTEN) serve $(MODEL) $(ARGS)

test: build
	@cd build/release && ctest --output-on-failure -j2 $(CTEST_ARGS)

install: build
	@DESTDIR="$(DESTDIR)" cmake --install build/release --prefix "$(PREFIX)"

wheel: build
	@HASTEN_LIBRARY="$(CURDIR)/build/release/libhasten.so" $(PYTHON) -m pip wheel -q --no-deps \
	    --no-build-isolation --disable-pip-version-check -w build/wheel ./python && ls build/wheel/*.whl

fuzz: deps
	@tools/install-deps tools/debian-packages-ci.txt && tools/fuzz $(SECONDS_EACH)

bench: deps
	@cmake --preset bench >/dev/null && cmake --build build/bench -- --quiet

format:
	clang-format -i $(SOURCES)

clean:
	rm -rf build python/build python/*.egg-info
