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
  } | sed -uE 's/^(\|([^|]*\|){4})$/\1 – | – |/' | tee -a "$rows"
}

# A row of four columns is about evidence, where nothing can be let through.
echo '| injected | answered | acknowledged | lost | failed open | unanswered |'
echo '|---|---|---|---|---|---|'
table --workspace --test service -- --nocapture --test-threads 1 faults::
table --workspace --test faults -- --nocapture --test-threads 1
table --workspace --test gateway -- --nocapture --test-threads 1 evidence::a_killed_envoy

# The last four columns of every row. What a test does not count it asserts: a failed one is no run without faults.
awk -F '|' '/^\|/ { rows++; acknowledged += $(NF - 4); lost += $(NF - 3); open += $(NF - 2); unanswered += $(NF - 1) }
  /SKIPPED/ { skipped++ }
  /FAILED|panicked/ { failed++ }
  END {
    printf "%d rows, %d skipped, %d failed: %d acknowledged, %d lost, %d failed open, %d unanswered\n",
      rows, skipped, failed, acknowledged, lost, open, unanswered
    exit !(rows > 0 && lost + open + unanswered + failed == 0)
  }' "$rows"
