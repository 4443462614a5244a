#!/usr/bin/env bash
# Runs the fuzz targets: scripts/fuzz.sh [TARGET [SECONDS [JOBS]]]. TARGET `all` runs each in turn; `minimise` rewrites the
# corpora with the smallest inputs that reach what all inputs reached.
#
# libFuzzer needs coverage counters in the code, and they are an ordinary code generation option: no nightly compiler, no
# cargo-fuzz. There is no address sanitizer, because there is no unsafe code in what is fuzzed.
#
# The minute that an input may take is by the clock on the wall: on a busy machine ten seconds were reported of inputs that take half of one.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:-all}
seconds=${2:-900}
# One target alone builds alone.
only=()
case $target in yaml | predicate | pipeline | loader | vm | effects) only=(--bin "$target") ;; esac
targets=(yaml predicate pipeline loader vm effects)
work=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
triple=$(rustc -vV | sed -n 's/^host: //p')

RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1" \
    cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target "$triple" --target-dir "$work/build" "${only[@]}"
programs=$work/build/$triple/release

# What a run found goes beside the build; `minimise` moves what is worth keeping to the repository.
run() {
    local name=$1
    mkdir -p "$work/found/$name" "$work/crashes" "fuzz/corpus/$name"
    echo "fuzz $name: $seconds seconds"
    "$programs/$name" "$work/found/$name" "fuzz/corpus/$name" -artifact_prefix="$work/crashes/$name-" \
        -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
        -use_value_profile=1 >"$work/$name.log" 2>&1 || {
        tail -30 "$work/$name.log"
        echo "fuzz $name: a finding; the input is in $work/crashes, the log in $work/$name.log" >&2
        return 1
    }
    sed -n 's/^stat::\(number_of_executed_units\|new_units_added\|peak_rss_mb\): */  \1 /p' "$work/$name.log"
    grep 'DONE' "$work/$name.log" | sed 's/^/  /' || true
}

minimise() {
    local name=$1
    mkdir -p "$work/found/$name" "fuzz/corpus/$name"
    rm -rf "$work/minimal"
    mkdir -p "$work/minimal"
    "$programs/$name" -merge=1 -max_len=4096 "$work/minimal" "fuzz/corpus/$name" "$work/found/$name" >"$work/$name.merge.log" 2>&1
    rm -rf "fuzz/corpus/$name"
    mv "$work/minimal" "fuzz/corpus/$name"
    du -sh --apparent-size "fuzz/corpus/$name"
}

case $target in
build) ;;
all)
    failed=0
    for name in "${targets[@]}"; do run "$name" || failed=1; done
    exit "$failed"
    ;;
minimise) for name in "${targets[@]}"; do minimise "$name"; done ;;
yaml | predicate | pipeline | loader | vm | effects) run "$target" ;;
*)
    echo "fuzz: no target is called \`$target\`: choose of ${targets[*]}, all, minimise" >&2
    exit 2
    ;;
esac
