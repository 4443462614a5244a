#!/usr/bin/env bash
# Fails when dist/aplomb.wasm exceeds its size budget.
. "$(dirname "$0")/lib.sh"

[ -f "$DIST/aplomb.wasm" ] || die "dist/aplomb.wasm is not built" "\`make filter\`"
size="$(file_size "$DIST/aplomb.wasm")"
if [ "$size" -gt "$SIZE_BUDGET" ]; then
  die "dist/aplomb.wasm has $size bytes, its budget is $SIZE_BUDGET" \
    "see what grew (\`twiggy top\`), take it out of the filter, or raise SIZE_BUDGET in scripts/lib.sh with a reason"
fi
say "dist/aplomb.wasm: $size of $SIZE_BUDGET bytes"
