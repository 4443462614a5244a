#!/usr/bin/env bash
# Makes test-harness/previous of a revision: the module and a policy that its own `aplc` built. `scripts/previous.sh REVISION`
. "$(dirname "$0")/lib.sh"

revision="${1:-}"
[ -n "$revision" ] || die "no revision was given" "\`scripts/previous.sh v0.1.0\`"
source="$(mktemp -d)"
trap 'git -C "$ROOT" worktree remove --force "$source"' EXIT
git -C "$ROOT" worktree add --quiet --detach "$source" "$revision"
ln -s "$TOOLS" "$source/.tools"

say "Building $revision"
export CARGO_TARGET_DIR="$source/target"
(cd "$source" && make filter && cargo build --package apl-compiler --bin aplc)

kept="$ROOT/test-harness/previous"
gzip -9 -n -c "$source/dist/aplomb.wasm" >"$kept/aplomb.wasm.gz"
(cd "$ROOT" && "$CARGO_TARGET_DIR/debug/aplc" build test-harness/previous/policy.yaml -o test-harness/previous/build \
  --mode full --protocol /mcp=mcp)
rm "$kept/build/policy.aplb"
note "name the revision in test-harness/previous/README.md: $(git -C "$source" rev-parse --short HEAD)"
