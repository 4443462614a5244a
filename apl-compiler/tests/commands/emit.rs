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

/// What `aplc emit envoy` says with these companions, of a policy that keeps labels in `store`.
fn with_companions(store: &str, companions: &[&str], code: i32) -> (String, String) {
    let policy = format!(
        "global:\n  session_store: {store}\nroutes:\n  - tool: read\n    pre_invocation: ['taint(secret, session)']\n"
    );
    let folder = folder(&policy);
    let build = ["build", "policy.yaml", "-o", "out", "--protocol", "/mcp=mcp"];
    run(folder.path(), &build, 0);
    let mut arguments = vec!["emit", "envoy", "--build", "out", "--module", "aplomb.wasm"];
    arguments.extend(["--upstream", "/mcp=http://127.0.0.1:9000/mcp"]);
    for companion in companions {
        arguments.extend(["--companion", companion]);
    }
    run(folder.path(), &arguments, code)
}

const SHARED: &str = "{kind: valkey, endpoint: '127.0.0.1:6379'}";
const TWO: [&str; 2] = ["http://127.0.0.1:9470", "http://127.0.0.1:9471"];

#[test]
fn several_companions_are_one_cluster_whose_members_are_checked() {
    let (one, _) = with_companions(SHARED, &TWO[..1], 0);
    assert!(
        !one.contains("health_checks") && !one.contains("retry_policy"),
        "{one}"
    );
    let (two, _) = with_companions(SHARED, &TWO, 0);
    for text in [
        "port_value: 9470",
        "port_value: 9471",
        "path: /readyz",
        "retry_policy:",
        "outlier_detection:",
    ] {
        assert_eq!(two.matches(text).count(), 1, "{text}:\n{two}");
    }
    let remote = ["https://one.example:9470", "https://two.example:9470"];
    let (remote, _) = with_companions(SHARED, &remote, 0);
    for text in [
        "auto_host_sni: true",
        "exact: one.example",
        "exact: two.example",
        "STRICT_DNS",
    ] {
        assert_eq!(remote.matches(text).count(), 1, "{text}:\n{remote}");
    }
}

#[test]
fn a_proxys_own_certificate_is_two_files_in_one_argument() {
    let policy = "routes:\n  - tool: read\n    pre_invocation: ['taint(secret, session)']\n";
    let folder = folder(policy);
    let build = ["build", "policy.yaml", "-o", "out", "--protocol", "/mcp=mcp"];
    run(folder.path(), &build, 0);
    let emit = |identity: &str, code| {
        let arguments = [
            ["emit", "envoy"],
            ["--build", "out"],
            ["--module", "aplomb.wasm"],
            ["--upstream", "/mcp=http://127.0.0.1:9000/mcp"],
            ["--companion", "https://one.example:9470"],
            ["--companion-identity", identity],
        ];
        run(folder.path(), arguments.as_flattened(), code)
    };
    let (out, _) = emit("own.pem,own.key", 0);
    assert!(
        out.contains("filename: own.pem") && out.contains("filename: own.key"),
        "{out}"
    );
    let (_, err) = emit("own.pem", 2);
    assert!(err.contains("names one file"), "{err}");
}

#[test]
fn companions_that_cannot_stand_in_for_each_other_are_refused() {
    for (store, companions, says) in [
        ("{kind: memory}", TWO, "on a companion's own disk"),
        (SHARED, [TWO[0], TWO[0]], "127.0.0.1:9470 twice"),
        (
            SHARED,
            [TWO[0], "https://127.0.0.1:9471"],
            "give all of them TLS or none",
        ),
        (
            SHARED,
            [TWO[0], "http://127.0.0.1:9471/other"],
            "aplc build --companion-path",
        ),
        (
            SHARED,
            [TWO[0], "http://10.0.0.1:9470"],
            "plain HTTP to another host",
        ),
    ] {
        let (_, err) = with_companions(store, &companions, 2);
        assert!(err.contains(says), "{companions:?}: {err}");
    }
}
