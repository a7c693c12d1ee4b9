#!/bin/sh
# Builds the golden makers and the logits comparator.
#
# usage: make_golden.sh [LLAMA_BUILD_DIR]
#
# LLAMA_BUILD_DIR is a cmake build of llama.cpp with shared libraries; the headers are found
# through its cache. Without it only kl_logits is built, which needs no llama.cpp. The programs
# go to $OUT (build/golden under the repository unless set). Goldens are made by hand and
# committed; nothing in the ordinary build or its tests runs this.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-$here/../../build/golden}
cc=${CC:-cc}
flags="-std=c11 -O2 -ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow -Wconversion
       -Wstrict-prototypes -Wmissing-prototypes"

mkdir -p "$out"
# shellcheck disable=SC2086 # the flags are words
"$cc" $flags -o "$out/kl_logits" "$here/kl_logits.c" -lm
[ $# -ge 1 ] || exit 0

build=$(cd "$1" && pwd)
source=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt")
lib=$(dirname "$(find "$build" -name 'libllama.so' | head -n 1)")
for name in make_golden make_tokens; do
    # shellcheck disable=SC2086
    "$cc" $flags -isystem "$source/include" -isystem "$source/ggml/include" \
        -o "$out/$name" "$here/$name.c" "$here/golden_util.c" \
        -L"$lib" -Wl,-rpath,"$lib" -lllama -lggml -lggml-base -lm
done
