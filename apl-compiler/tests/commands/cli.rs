//! Running `aplc` in a folder of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A policy with something of everything.
pub(crate) const POLICY: &str = include_str!("policy.yaml");

/// A folder with `policy.yaml`.
pub(crate) fn folder(policy: impl AsRef<[u8]>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("policy.yaml"), policy).expect("written");
    folder
}

/// Runs `aplc`.
pub(crate) fn aplc(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("runs")
}

/// Runs, checks the exit code, and returns standard output and standard error.
pub(crate) fn run(folder: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = aplc(folder, arguments);
    let out = String::from_utf8(output.stdout).expect("text");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!(
        output.status.code(),
        Some(code),
        "aplc {arguments:?}\n{out}\n{err}"
    );
    assert!(!err.contains("panicked"), "{err}");
    (out, err)
}

#[test]
fn a_route_without_scope_that_two_servers_share_is_a_warning() {
    let policy = "routes:\n  - tool: search\n    pre_invocation: ['require(role.hr)']\n  - tool: send\n    pre_invocation: ['require(role.hr)']\n  \
                  - tool: send\n    meta: {scope: mail}\n    pre_invocation: ['require(role.hr)']\n";
    let folder = folder(policy);
    let build = |servers: &[&str]| {
        let mut arguments = vec!["build", "policy.yaml", "-o", "out"];
        for server in servers {
            arguments.extend(["--protocol", server]);
        }
        run(folder.path(), &arguments, 0).1
    };
    let said = build(&["/hr=mcp@hr", "/mail=mcp@mail"]);
    assert!(
        said.contains("warning: route tool:search has no scope and governs hr and mail"),
        "{said}"
    );
    assert!(
        !said.contains("route tool:send"),
        "in `mail` it has a route of its own: {said}"
    );
    assert!(!build(&["/hr=mcp@hr"]).contains("has no scope"));
}
