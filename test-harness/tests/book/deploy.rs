//! The unit that we ship, read by systemd itself.

use std::process::Command;

use aplomb_test_harness::{programs, tools};

#[test]
fn systemd_takes_the_unit_and_finds_it_confined() {
    // No part of `make setup`: machines without systemd have no use for it.
    let Some(analyze) = tools::program("systemd-analyze") else {
        eprintln!("SKIPPED: systemd-analyze is not here");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("aplomb-companion.service");
    let companion = programs::ours("aplomb-companion").expect("built");
    // It looks whether the program is there.
    let text = crate::text("deploy/aplomb-companion.service").replace(
        "/usr/local/bin/aplomb-companion",
        &companion.display().to_string(),
    );
    std::fs::write(&unit, text).expect("written");
    for arguments in [
        &["verify", "--man=no"][..],
        // Of 10: 0 is confined in every way that systemd knows.
        &["security", "--offline=true", "--threshold=20", "--no-pager"],
    ] {
        let output = Command::new(&analyze)
            .args(arguments)
            .arg(&unit)
            .output()
            .expect("runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}
