//! What the audit log says about one decision, and which earlier ones set the labels that it met.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use companion_protocol::AuditRecord;

use super::Fault;

/// The longest line that is read, in bytes; a record is far below.
const MAX_LINE: usize = 1 << 20;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// The verdict's record.
    pub(super) verdict: Option<AuditRecord>,
    /// Who set the labels that were known then, the newest first.
    pub(super) labels_set: Vec<LabelSet>,
}

/// Which decision set a label.
#[derive(Debug, Clone)]
pub(super) struct LabelSet {
    pub(super) label: String,
    pub(super) decision: String,
    pub(super) entity_type: String,
    pub(super) entity_name: String,
    session: Option<String>,
    subject: Option<String>,
}

/// Reads the log and its sealed segments, oldest first, a line at a time.
pub(super) fn read(log: &Path, decision: &str) -> Result<Story, Fault> {
    let mut story = Story::default();
    // By label, session and subject the newest: bounded by what a log names, not by its length.
    let mut setters: BTreeMap<(String, Option<String>, Option<String>), LabelSet> = BTreeMap::new();
    let wrong = |path: &Path, cause| Fault::File {
        doing: "read",
        path: path.to_owned(),
        cause,
    };
    for path in segments(log).map_err(|cause| wrong(log, cause))? {
        let file = File::open(&path).map_err(|cause| wrong(&path, cause))?;
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|cause| wrong(&path, cause))?;
            if line.len() > MAX_LINE {
                continue;
            }
            let Ok(record) = serde_json::from_slice::<AuditRecord>(&line) else {
                continue;
            };
            if record.verdict.is_none() {
                continue;
            }
            if record.decision_id == decision {
                // The last counts: an operation that was allowed can be denied afterwards, where its record could not be written.
                story.labels_set = setters_of(&record, &setters);
                story.verdict = Some(record);
                continue;
            }
            for label in &record.labels_added {
                let set = LabelSet {
                    label: label.clone(),
                    decision: record.decision_id.clone(),
                    entity_type: record.entity_type.clone(),
                    entity_name: record.entity_name.clone(),
                    session: record.session.clone(),
                    subject: record.subject.clone(),
                };
                setters.insert(
                    (label.clone(), record.session.clone(), record.subject.clone()),
                    set,
                );
            }
        }
    }
    Ok(story)
}

/// Of each label that the decision met: whoever set it last in the same session, else for the same subject.
fn setters_of(
    record: &AuditRecord,
    setters: &BTreeMap<(String, Option<String>, Option<String>), LabelSet>,
) -> Vec<LabelSet> {
    let mut found = Vec::new();
    for label in &record.labels {
        let of = |same: &dyn Fn(&LabelSet) -> bool| {
            setters
                .values()
                .find(|set| set.label == *label && same(set))
                .cloned()
        };
        let session = of(&|set| set.session.is_some() && set.session == record.session);
        found.extend(session.or_else(|| of(&|set| set.subject.is_some() && set.subject == record.subject)));
    }
    found
}

/// `audit-000000000001.jsonl`, ... in the order of their numbers, then the file that is written to.
pub(crate) fn segments(log: &Path) -> std::io::Result<Vec<PathBuf>> {
    let stem = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = log.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut sealed = Vec::new();
    for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let number = name
            .strip_prefix(&format!("{stem}-"))
            .and_then(|rest| rest.strip_suffix(".jsonl"))
            .and_then(|digits| digits.parse::<u64>().ok());
        sealed.extend(number.map(|number| (number, path)));
    }
    sealed.sort();
    let mut files: Vec<PathBuf> = sealed.into_iter().map(|(_, path)| path).collect();
    files.push(log.to_owned());
    Ok(files)
}
