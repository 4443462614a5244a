//! Replays the corpora of the fuzz targets: whatever they once reached still holds. See `docs/testing.md`.

#[expect(unreachable_pub, reason = "in the fuzz targets the same file is a library")]
#[path = "../../fuzz/src/targets.rs"]
mod targets;

use std::path::Path;

fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(name);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus is in the repository") {
        let path = entry.expect("an entry").path();
        let data = std::fs::read(&path).expect("an input");
        // The name of the input is what a failure is reproduced with.
        if std::panic::catch_unwind(|| target(&data)).is_err() {
            panic!(
                "{} fails: scripts/fuzz.sh runs the target `{name}`",
                path.display()
            );
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn the_corpus_of_the_yaml_layer_still_holds() {
    replay("yaml", targets::yaml);
}

#[test]
fn the_corpus_of_predicates_still_holds() {
    replay("predicate", targets::predicate);
}

#[test]
fn the_corpus_of_pipelines_still_holds() {
    replay("pipeline", targets::pipeline);
}

#[test]
fn the_corpus_of_the_loader_still_holds() {
    replay("loader", targets::loader);
}

#[test]
fn the_corpus_of_the_machine_still_holds() {
    replay("vm", targets::vm);
}

#[test]
fn the_corpus_of_the_companions_protocol_still_holds() {
    replay("effects", targets::effects);
}
