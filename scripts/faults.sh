#!/usr/bin/env bash
# The fault list as a table: what was injected, what was answered, how much of what was acknowledged was lost (it must be 0).
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
export APLOMB_FAULTS=all

# table ARGUMENTS...: runs tests one by one and keeps the table, and what failed.
table() {
  "${CARGO:-cargo}" test --quiet "$@" 2>&1 | { grep -E '^\||FAILED|panicked|SKIPPED|test result' || true; }
}

echo '| injected | answered | acknowledged | lost |'
echo '|---|---|---|---|'
table --workspace --test service -- --nocapture --test-threads 1 faults::
table --workspace --test faults -- --nocapture --test-threads 1
table --workspace --test gateway -- --nocapture --test-threads 1 evidence::a_killed_envoy
