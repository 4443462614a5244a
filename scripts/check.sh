#!/usr/bin/env bash
# The lints of `make check`. Where RUSTC_WORKSPACE_WRAPPER names clippy's driver (`.ci/run`), the tests are compiled by it: it makes
# code too, so that lints and tests share one compilation, where clippy beside the tests compiles the workspace and what it stands
# on twice.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}

case ${RUSTC_WORKSPACE_WRAPPER:-} in
*clippy-driver)
  "$cargo" test --workspace --exclude aplomb-filter --all-targets --no-run
  # Native code of the filter is never linked.
  env -u RUSTC_WORKSPACE_WRAPPER "$cargo" clippy -p aplomb-filter --all-targets -- -D warnings
  ;;
*) "$cargo" clippy --workspace --all-targets -- -D warnings ;;
esac
