#!/usr/bin/env bash
# Builds dist/aplomb.wasm: compiles the filter crate for wasm32-wasip1, strips and optimises it, prints its size.
. "$(dirname "$0")/lib.sh"

[ -s "$TOOLS/wasm-toolchain" ] || die "no compiler for wasm was chosen yet" "\`make setup\`"
toolchain="$(cat "$TOOLS/wasm-toolchain")"
# A folder of its own: the module's compiler may be another than the host's, and the two builds need not wait for each other.
target_dir="$TARGET/wasm"
linked="$target_dir/wasm32-wasip1/filter/aplomb_filter.wasm"

# Panic messages name source files: relative ones are shorter, and the same wherever the module is built.
# The sources of the dependencies must be there before their folder can be named.
cargo fetch --quiet --target wasm32-wasip1
remap="--remap-path-prefix=$ROOT/="
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
  remap+=" --remap-path-prefix=$sources="
done

# The host's lints are not for this compiler.
unset RUSTC_WORKSPACE_WRAPPER

say "Compiling the filter ($toolchain)"
build=(build --package aplomb-filter --lib --profile filter --target wasm32-wasip1 --target-dir "$target_dir")
case "$toolchain" in
  rustup)
    CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="$remap" cargo "${build[@]}"
    ;;
  debian)
    PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1 \
      CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld \
      CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="-L native=/usr/lib/wasm32-wasi -C link-self-contained=no $remap" \
      /usr/bin/cargo "${build[@]}" -Zbuild-std=std,panic_abort
    ;;
  *) die "unknown compiler \`$toolchain\` in .tools/wasm-toolchain" "\`make setup\`" ;;
esac
[ -f "$linked" ] || die "the compiler left no $(basename "$linked")" "\`make clean\`, then \`make filter\`"

mkdir -p "$DIST"
digest="$(sha256sum "$linked" | cut -d' ' -f1)"
if [ -f "$DIST/aplomb.wasm" ] && [ "$(cat "$DIST/.linked.sha256" 2>/dev/null)" = "$digest" ]; then
  note "unchanged"
else
  say "Optimising with wasm-opt"
  wasm_opt="$TOOLS/node_modules/.bin/wasm-opt"
  [ -x "$wasm_opt" ] || wasm_opt="$(command -v wasm-opt)" || die "wasm-opt is not here" "\`make setup\`"
  "$wasm_opt" -Oz --strip-debug --strip-producers --strip-target-features "$linked" -o "$DIST/aplomb.wasm.new"
  mv "$DIST/aplomb.wasm.new" "$DIST/aplomb.wasm"
  echo "$digest" >"$DIST/.linked.sha256"
fi
say "dist/aplomb.wasm: $(file_size "$DIST/aplomb.wasm") bytes ($(gzip -9c "$DIST/aplomb.wasm" | wc -c | tr -d ' ') compressed)," \
  "$(file_size "$linked") before wasm-opt"
