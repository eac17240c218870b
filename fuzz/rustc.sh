#!/bin/sh
# Cargo's RUSTC_WORKSPACE_WRAPPER while it builds a target: the project's own crates tell libFuzzer where they have been and
# check their arithmetic; what they depend on is built, and kept, as for any other release build.
set -eu
rustc=$1
shift
exec "$rustc" "$@" \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-sanitizer-coverage-stack-depth \
    -Coverflow-checks=on \
    -Cdebug-assertions=on \
    -Clink-arg=-Wl,-z,nostart-stop-gc
