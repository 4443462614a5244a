#!/bin/sh
# Fills a configuration of this folder: fill.sh TEMPLATE BUILD_FOLDER MODULE > envoy.yaml
# BUILD_FOLDER is what `aplc build` wrote, MODULE the path of aplomb.wasm as Envoy will see it.
set -eu
if [ $# -ne 3 ]; then
    echo "usage: $0 TEMPLATE BUILD_FOLDER MODULE" >&2
    exit 2
fi
[ -r "$1" ] || { echo "$0: cannot read $1" >&2; exit 2; }
[ -r "$2/filter-config.json" ] || { echo "$0: $2 has no filter-config.json; fix: aplc build POLICY -o $2" >&2; exit 2; }

CONFIG="$2/filter-config.json" MODULE="$3" exec awk '
    # Everything by position, so that no character of the configuration means anything to awk.
    function put(line, mark, value,   at) {
        at = index(line, mark)
        if (at == 0) return line
        return substr(line, 1, at - 1) value substr(line, at + length(mark))
    }
    BEGIN {
        while ((getline line < ENVIRON["CONFIG"]) > 0) {
            config = config line
            if (line ~ /"policy_digest": *"[0-9a-f]+"/) {
                split(line, part, "\"")
                digest = part[4]
            }
        }
        # It stands in single quotes in the YAML.
        gsub(/\047/, "\047\047", config)
    }
    {
        line = put($0, "@APLOMB_FILTER_CONFIG@", config)
        line = put(line, "@APLOMB_POLICY_DIGEST@", digest)
        print put(line, "@APLOMB_WASM@", ENVIRON["MODULE"])
    }
' "$1"
