//! The alerts that are shipped, in Prometheus' own words.

use std::process::Command;

use aplomb_test_harness::programs;

/// Runs promtool in the folder of the alerts; nothing if it is not installed.
fn promtool(arguments: &[&str]) -> Option<()> {
    let program = programs::root().join(".tools/promtool");
    if !program.is_file() {
        assert!(
            std::env::var_os("CI").is_none(),
            "promtool is not here: `make setup` installs it"
        );
        println!("SKIPPED: promtool is not here; `make setup` installs it");
        return None;
    }
    let output = Command::new(program)
        .args(arguments)
        .current_dir(programs::root().join("envoy-config"))
        .output()
        .expect("runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "promtool {arguments:?}:\n{}",
        String::from_utf8_lossy(&said)
    );
    Some(())
}

#[test]
fn prometheus_takes_the_alerts() {
    promtool(&["check", "rules", "--lint-fatal", "prometheus-alerts.yaml"]);
}

#[test]
fn each_alert_comes_when_it_should_and_not_otherwise() {
    promtool(&["test", "rules", "prometheus-alerts.test.yaml"]);
}
