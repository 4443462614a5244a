#!/usr/bin/env bash
# The build before this one. `scripts/previous.sh REVISION` makes test-harness/previous of a revision: the module, and a policy that its
# own `aplc` built. `scripts/previous.sh companion` builds the companion of the revision that is kept there into .tools/previous.
. "$(dirname "$0")/lib.sh"

kept="$ROOT/test-harness/previous"
wanted="${1:-}"
[ -n "$wanted" ] || die "no revision was given" "\`scripts/previous.sh v0.1.0\`, or \`scripts/previous.sh companion\`"
revision="$wanted"
companion="$TOOLS/previous/aplomb-companion"
if [ "$wanted" = companion ]; then
  revision="$(cat "$kept/REVISION")"
  if [ -x "$companion" ] && [ "$(cat "$TOOLS/previous/REVISION" 2>/dev/null)" = "$revision" ]; then
    note "the companion of $revision is built"
    exit 0
  fi
fi
git -C "$ROOT" cat-file -e "$revision^{commit}" 2>/dev/null ||
  die "this clone has no revision $revision" "\`git fetch --unshallow\`, or clone it whole"
source="$(mktemp -d)"
trap 'git -C "$ROOT" worktree remove --force "$source"' EXIT
git -C "$ROOT" worktree add --quiet --detach "$source" "$revision"
ln -s "$TOOLS" "$source/.tools"
export CARGO_TARGET_DIR="$source/target"

if [ "$wanted" = companion ]; then
  say "Building the companion of $revision (some minutes)"
  (cd "$source" && cargo build --quiet --package aplomb-companion --bin aplomb-companion)
  mkdir -p "$TOOLS/previous"
  cp "$CARGO_TARGET_DIR/debug/aplomb-companion" "$companion"
  echo "$revision" >"$TOOLS/previous/REVISION"
  exit 0
fi

say "Building $revision"
(cd "$source" && make filter && cargo build --package apl-compiler --bin aplc)
gzip -9 -n -c "$source/dist/aplomb.wasm" >"$kept/aplomb.wasm.gz"
(cd "$ROOT" && "$CARGO_TARGET_DIR/debug/aplc" build test-harness/previous/policy.yaml -o test-harness/previous/build \
  --mode full --protocol /mcp=mcp)
rm "$kept/build/policy.aplb"
git -C "$source" rev-parse --short HEAD >"$kept/REVISION"
