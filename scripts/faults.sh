#!/usr/bin/env bash
# The fault list as a table: what was injected, what was answered, how much of what was acknowledged was lost (it must be 0).
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
export APLOMB_FAULTS=all

rows="$(mktemp)"
trap 'rm -f "$rows"' EXIT

# table ARGUMENTS...: runs tests one by one and keeps the table, and what failed. `--quiet` writes a dot before a test's first line.
table() {
  "${CARGO:-cargo}" test --quiet "$@" 2>&1 | sed -uE 's/^\.+\|/|/' | {
    grep --line-buffered -E '^\||FAILED|panicked|SKIPPED|test result' || true
  } | tee -a "$rows"
}

echo '| injected | answered | acknowledged | lost |'
echo '|---|---|---|---|'
table --workspace --test service -- --nocapture --test-threads 1 faults::
table --workspace --test faults -- --nocapture --test-threads 1
table --workspace --test gateway -- --nocapture --test-threads 1 evidence::a_killed_envoy

# The last two columns of every row.
awk -F '|' '/^\|/ { rows++; acknowledged += $(NF - 2); lost += $(NF - 1) }
  /SKIPPED/ { skipped++ }
  END {
    printf "%d rows, %d skipped, %d acknowledged, %d lost\n", rows, skipped, acknowledged, lost
    exit !(rows > 0 && lost == 0)
  }' "$rows"
