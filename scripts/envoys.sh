#!/usr/bin/env bash
# The scenario, sessions and streams, all traffic, delivery and misinstallations in each supported Envoy, in both ways of installing the
# filter; prints a table and fails if a test failed or a way of installing was not tested.
. "$(dirname "$0")/lib.sh"

cd "$ROOT"
suites="scenarios streams protocols http misinstalled"
selected=()
for suite in $suites; do selected+=(--test "$suite"); done

# Reads what the tests print; one line a suite: passed of run, by the end of the tests' names.
table() {
  awk -v version="$1" '
    /^ *Running / { suite = $2; sub(/^tests\//, "", suite); sub(/(\/main)?\.rs$/, "", suite) }
    /^test [^ ]+ \.\.\. / {
      mode = $2 ~ /in_full_mode/ ? "full" : $2 ~ /in_paired_mode/ ? "paired" : "other"
      if (!(suite in known)) { known[suite] = 1; order[++count] = suite }
      all[suite, mode]++
      if ($4 == "ok") passed[suite, mode]++
    }
    function cell(suite, mode) { return all[suite, mode] ? passed[suite, mode] + 0 "/" all[suite, mode] : "-" }
    END {
      for (at = 1; at <= count; at++)
        printf "%-10s %-14s %8s %8s %8s\n", version, order[at], cell(order[at], "full"), cell(order[at], "paired"), cell(order[at], "other")
    }'
}

failed=
printf '%-10s %-14s %8s %8s %8s\n' Envoy tests full paired other
for version in $OLDER_ENVOYS $ENVOY_VERSION; do
  envoy="$TOOLS/envoys/$version/envoy/_bin/envoy"
  [ "$version" != "$ENVOY_VERSION" ] || envoy="$TOOLS/envoy"
  is_envoy "$envoy" "$version" || die "$envoy is not Envoy $version" "\`scripts/setup.sh envoys\`"
  log="$(mktemp)"
  status=0
  APLOMB_ENVOY="$envoy" cargo test --workspace --no-fail-fast "${selected[@]}" >"$log" 2>&1 || status=$?
  lines="$(table "$version" <"$log")"
  printf '%s\n' "$lines"
  for suite in scenarios streams protocols http; do
    # A suite that was not run in one of the two ways proves nothing about it.
    awk -v suite="$suite" '$2 == suite && $3 != "-" && $4 != "-" { found = 1 } END { exit !found }' <<<"$lines" || status=1
  done
  if [ "$status" = 0 ]; then
    rm -f "$log"
  else
    note "Envoy $version: FAILED, see $log"
    failed=yes
  fi
done
[ -z "$failed" ] || die "a supported Envoy does not run the filter" "read the log named above"
