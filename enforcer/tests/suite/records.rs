//! Where records go when there is no companion.

use aplomb_enforcer::Command;

use crate::{
    host::{Backend, Worker, call},
    program::Builder,
};

/// More than fit into one request to a companion, and fewer than the queue holds.
const BURST: usize = 600;

#[test]
fn without_a_companion_one_tick_tells_the_log_all_that_waits() {
    let mut bare = Builder::default();
    bare.route("open", Vec::new(), None, &[]);
    bare.housekeeping(&[]);
    let mut worker = Worker::cold(&bare.bytes(), |config| {
        config.as_object_mut().expect("an object").remove("companion");
    });
    let backend = Backend::json(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
    for round in 0..4 {
        for at in 0..BURST {
            let seen = worker.post(&[], &call("open", "{}"), Some(&backend));
            assert_eq!(seen.code(), "", "round {round}, call {at}");
        }
        let told = worker.engine.on_tick(worker.now_ms);
        let records = told
            .iter()
            .filter(|command| matches!(command, Command::Log { text, .. } if text.starts_with("audit {")))
            .count();
        assert_eq!(records, BURST, "round {round}");
    }
}

#[test]
fn a_record_names_the_plugin_whose_credential_is_not_believed() {
    let mut worker = Worker::new();
    let seen = worker.post(&[], &call("get_compensation", "{}"), None);
    assert_eq!(seen.code(), "auth.malformed_header");
    assert!(
        !format!("{:?}", seen.reply).contains("plugins."),
        "the client learns nothing of it"
    );
    worker.tick();
    worker.post(&[], &call("get_compensation", "{}"), None);
    let rules: Vec<_> = worker
        .companion
        .records
        .iter()
        .filter(|record| record.code.as_deref() == Some("auth.malformed_header"))
        .map(|record| record.rule.clone())
        .collect();
    assert!(
        !rules.is_empty() && rules.iter().all(|rule| rule.as_deref() == Some("plugins.jwt")),
        "{rules:?}"
    );
}
