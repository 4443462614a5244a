#!/usr/bin/env bash
# Builds everything for speed and compares the chains. Arguments go to aplomb-bench (--rounds, --seconds, --mode, ...).
. "$(dirname "$0")/lib.sh"

have wrk || apt_install wrk || die "wrk is not here" "install it (Debian: \`apt-get install wrk\`)"
wasm_as="$TOOLS/node_modules/.bin/wasm-as"
[ -x "$wasm_as" ] || wasm_as="$(command -v wasm-as)" || die "wasm-as is not here" "\`make setup\`"

say "Building for speed (some minutes the first time)"
cargo build --release --workspace --exclude aplomb-filter --bins
mkdir -p "$DIST"
"$wasm_as" "$ROOT/benches/noop.wat" -o "$DIST/noop.wasm"
exec "$TARGET/release/aplomb-bench" --noop "$DIST/noop.wasm" "$@"
