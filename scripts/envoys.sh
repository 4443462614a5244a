#!/usr/bin/env bash
# The scenario in each supported Envoy, in both ways of installing the filter; prints a line for each.
. "$(dirname "$0")/lib.sh"

cd "$ROOT"
failed=
for version in $OLDER_ENVOYS $ENVOY_VERSION; do
  envoy="$TOOLS/envoys/$version/envoy/_bin/envoy"
  [ "$version" != "$ENVOY_VERSION" ] || envoy="$TOOLS/envoy"
  "$envoy" --version | grep -q "/$version/" || die "$envoy is not Envoy $version" "\`scripts/setup.sh envoys\`"
  log="$(mktemp)"
  if APLOMB_ENVOY="$envoy" cargo test --quiet -p aplomb-test-harness --test scenarios --test streams --test misinstalled >"$log" 2>&1; then
    printf 'Envoy %s: %s passed, full and paired\n' "$version" "$(awk '/^test result: ok/ { all += $4 } END { print all }' "$log")"
    rm -f "$log"
  else
    printf 'Envoy %s: FAILED, see %s\n' "$version" "$log"
    failed=yes
  fi
done
[ -z "$failed" ] || die "a supported Envoy does not run the filter" "read the log named above"
