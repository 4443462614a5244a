//! `aplc emit envoy`: which backends serve what is governed.

use crate::cli::{folder, run};

#[test]
fn an_upstream_serves_a_governed_path_by_whole_segments_only() {
    let folder = folder("routes:\n  - tool: search\n    pre_invocation: ['require(role.hr)']\n");
    run(
        folder.path(),
        &["build", "policy.yaml", "-o", "out", "--protocol", "/hr/mcp=mcp"],
        0,
    );
    let emit = |upstream: &str, code| {
        let module = ["--module", "aplomb.wasm", "--upstream", upstream];
        let arguments = [&["emit", "envoy", "--build", "out"][..], &module].concat();
        run(folder.path(), &arguments, code)
    };
    for served in ["/hr/mcp", "/hr", "/", "/hr/mcp/v2"] {
        emit(&format!("{served}=http://127.0.0.1:9000/mcp"), 0);
    }
    for other in ["/hr/mcp2", "/hr/mc", "/mail"] {
        let (_, err) = emit(&format!("{other}=http://127.0.0.1:9000/mcp"), 2);
        assert!(err.contains("the policy governs `/hr/mcp`"), "{other}: {err}");
    }
}
