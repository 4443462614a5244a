//! The alerts that are shipped, in Prometheus' own words.

use std::process::Command;

use aplomb_test_harness::{programs, tools};

/// Runs promtool in the folder of the alerts, if it is installed.
fn promtool(arguments: &[&str]) {
    let Some(program) = tools::needed("promtool", tools::program("promtool")) else {
        return;
    };
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
}

#[test]
fn prometheus_takes_the_alerts() {
    promtool(&["check", "rules", "--lint-fatal", "prometheus-alerts.yaml"]);
}

#[test]
fn each_alert_comes_when_it_should_and_not_otherwise() {
    promtool(&[
        "test",
        "rules",
        "prometheus-alerts.test.yaml",
        "prometheus-alerts.months.test.yaml",
    ]);
}
