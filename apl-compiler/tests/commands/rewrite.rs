//! `aplc fmt` and `aplc migrate`.

use std::fs;

use crate::cli::{POLICY, folder, run};

const OLD: &str = "# old\nroutes:\n- tool: x\n  policy: ['require(role.hr)'] # who\n";

#[test]
fn fmt_writes_and_check_only_shows() {
    let folder = folder(OLD);
    let (out, _) = run(folder.path(), &["fmt", "--check", "policy.yaml"], 1);
    assert!(
        out.contains("-- tool: x") && out.contains("+  - tool: x"),
        "{out}"
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("policy.yaml")).unwrap(),
        OLD
    );
    run(folder.path(), &["fmt", "policy.yaml"], 0);
    run(folder.path(), &["fmt", "--check", "policy.yaml"], 0);
    let text = fs::read_to_string(folder.path().join("policy.yaml")).unwrap();
    assert!(text.contains("# old") && text.contains("# who"), "{text}");
}

#[test]
fn migrate_shows_and_writes_only_when_told() {
    let folder = folder(OLD);
    let (out, _) = run(folder.path(), &["migrate", "policy.yaml"], 0);
    assert!(
        out.contains("+  pre_invocation: ['require(role.hr)'] # who"),
        "{out}"
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("policy.yaml")).unwrap(),
        OLD
    );
    run(folder.path(), &["migrate", "--write", "policy.yaml"], 0);
    let (out, _) = run(folder.path(), &["migrate", "policy.yaml"], 0);
    assert!(out.contains("nothing to migrate"), "{out}");
}

#[test]
fn a_policy_that_does_not_compile_is_left_as_it_is() {
    let bad = OLD.replace("require(role.hr)", "require(role.hr");
    let folder = folder(&bad);
    for command in ["fmt", "migrate"] {
        let (_, err) = run(folder.path(), &[command, "policy.yaml"], 1);
        assert!(err.contains("nothing can be proved"), "{err}");
    }
    assert_eq!(
        fs::read_to_string(folder.path().join("policy.yaml")).unwrap(),
        bad
    );
}

#[test]
fn the_policy_of_these_tests_is_laid_out() {
    run(folder(POLICY).path(), &["fmt", "--check", "policy.yaml"], 0);
}

#[test]
fn a_folder_is_rewritten_as_one_policy_and_proved_as_one() {
    let folder = folder("");
    let root = folder.path().join("hr");
    fs::create_dir_all(root.join("teams")).unwrap();
    let platform = "teams: {pay: {tool: [pay_*]}}\nroutes:\n- tool: shared\n  policy: ['require(role.hr)']\n";
    let team = "routes:\n- tool: pay_now   # theirs\n  policy: ['require(role.pay)']\n";
    fs::write(root.join("platform.yaml"), platform).unwrap();
    fs::write(root.join("teams/pay.yaml"), team).unwrap();
    let (out, _) = run(folder.path(), &["fmt", "--check", "hr"], 1);
    assert!(
        out.contains("hr/platform.yaml") && out.contains("hr/teams/pay.yaml"),
        "{out}"
    );
    for command in [&["migrate", "--write", "hr"][..], &["fmt", "hr"][..]] {
        run(folder.path(), command, 0);
    }
    run(folder.path(), &["fmt", "--check", "hr"], 0);
    assert_eq!(
        fs::read_to_string(root.join("teams/pay.yaml")).unwrap(),
        "routes:\n  - tool: pay_now   # theirs\n    pre_invocation: ['require(role.pay)']\n"
    );
    // A team that oversteps is refused as a whole: no file is touched.
    fs::write(root.join("teams/pay.yaml"), team.replace("pay_now", "other")).unwrap();
    let (_, err) = run(folder.path(), &["fmt", "hr"], 1);
    assert!(err.contains("nothing can be proved"), "{err}");
}

#[test]
fn an_anchor_before_a_flow_list_is_laid_out_like_any_value() {
    let folder =
        folder("routes:\n- tool: a\n  pre_invocation: &gate ['deny']\n- tool: b\n  pre_invocation: *gate\n");
    run(folder.path(), &["fmt", "policy.yaml"], 0);
    let text = fs::read_to_string(folder.path().join("policy.yaml")).unwrap();
    assert!(text.contains("\n    pre_invocation: &gate ['deny']\n"), "{text}");
    run(folder.path(), &["fmt", "--check", "policy.yaml"], 0);
}
