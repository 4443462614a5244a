//! The table.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::judge::Expected;
use super::target::Target;

/// What came of a request.
pub(super) enum Came {
    /// It was not sent, and why.
    NotSent(String),
    /// Nothing came back.
    Unanswered(String),
    /// An answer.
    Answered {
        /// Its status.
        status: u16,
        /// The filter wrote it.
        ours: bool,
        /// The violation.
        code: Option<String>,
        /// The decision id, for `aplc why`.
        decision: Option<String>,
    },
}

/// One request.
pub(super) struct Line {
    /// Which of `protocols`.
    pub(super) entry: usize,
    /// What was tried.
    pub(super) attempt: String,
    /// What the policy makes of it.
    pub(super) expected: Expected,
    /// What came.
    pub(super) came: Came,
    /// The proxy may have tidied it up, or refused it, before the filter saw it.
    pub(super) tidied: bool,
}

/// How a line is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Denied,
    /// By the proxy itself, as it may what is not even a proper path.
    Refused,
    /// By the filter, and otherwise than this configuration says.
    Otherwise,
    Through,
    Silent,
    Skipped,
    /// It may be allowed, so that every answer is right.
    Told,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Refused => "refused_by_the_proxy",
            Self::Otherwise => "denied_otherwise",
            Self::Through => "got_through",
            Self::Silent => "no_answer",
            Self::Skipped => "not_sent",
            Self::Told => "may_be_allowed",
        }
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Denied | Self::Refused | Self::Otherwise => "ok  ",
            Self::Through | Self::Silent => "FAIL",
            Self::Skipped | Self::Told => "-   ",
        }
    }
}

fn verdict(line: &Line) -> Verdict {
    match (&line.came, &line.expected) {
        (Came::NotSent(_), _) => Verdict::Skipped,
        (_, Expected::Open { .. }) => Verdict::Told,
        (Came::Unanswered(_), _) => Verdict::Silent,
        (
            Came::Answered {
                status: 400,
                ours: false,
                ..
            },
            _,
        ) if line.tidied => Verdict::Refused,
        (Came::Answered { ours: false, .. } | Came::Answered { code: None, .. }, _) => Verdict::Through,
        (Came::Answered { code: Some(got), .. }, Expected::Denied { code, .. }) => {
            // Which of a credential's faults is found first hangs on the issuer's keys.
            let of_identity = |code: &str| code.starts_with("auth.");
            if got == code || line.tidied || of_identity(got) && of_identity(code) {
                Verdict::Denied
            } else {
                Verdict::Otherwise
            }
        }
    }
}

/// It must be denied, and something else than the filter answered.
pub(super) fn got_through(line: &Line) -> bool {
    verdict(line) == Verdict::Through
}

/// Something was sent, and all of it was denied.
pub(super) fn is_fine(lines: &[Line]) -> bool {
    let verdicts: Vec<Verdict> = lines.iter().map(verdict).collect();
    let denied = verdicts
        .iter()
        .any(|verdict| matches!(verdict, Verdict::Denied | Verdict::Otherwise));
    let failed = verdicts
        .iter()
        .any(|verdict| matches!(verdict, Verdict::Through | Verdict::Silent));
    denied && !failed
}

/// What is said beside the verdict.
fn told(line: &Line) -> String {
    let expected = match &line.expected {
        Expected::Denied { code, .. } => code.as_str(),
        Expected::Open { .. } => "",
    };
    match (&line.came, verdict(line)) {
        (Came::NotSent(why), _) => format!("not sent: {why}"),
        (Came::Unanswered(why), _) => format!("{why}; expected `{expected}`"),
        (Came::Answered { status, .. }, Verdict::Refused) => format!("{status} from the proxy itself"),
        (Came::Answered { status, code, .. }, Verdict::Denied | Verdict::Told) => {
            format!("{status} {}", code.as_deref().unwrap_or("without a violation"))
        }
        (Came::Answered { status, code, .. }, Verdict::Otherwise) => format!(
            "{status} {}; this configuration says `{expected}`: does the gateway run another one?",
            code.as_deref().unwrap_or_default()
        ),
        (
            Came::Answered {
                status, ours: true, ..
            },
            _,
        ) => {
            format!("{status} from the filter, without a violation; expected `{expected}`")
        }
        (Came::Answered { status, .. }, _) => {
            format!("{status} without a verdict of the filter: it got through; expected `{expected}`")
        }
    }
}

/// For people.
pub(super) fn text(target: &Target, lines: &[Line]) -> String {
    let mut out = String::new();
    let width = lines
        .iter()
        .map(|line| line.attempt.chars().count())
        .max()
        .unwrap_or(0)
        .min(70);
    for (at, entry) in target.entries.iter().enumerate() {
        let scope = entry
            .scope
            .as_ref()
            .map_or_else(String::new, |scope| format!(", scope {scope}"));
        let _ = writeln!(out, "{}{} ({}{scope})", entry.authority, entry.path, entry.speaks);
        for line in lines.iter().filter(|line| line.entry == at) {
            let mark = verdict(line).mark();
            let _ = writeln!(out, "  {mark}  {:width$}  {}", line.attempt, told(line));
        }
    }
    let count = |wanted: &[Verdict]| {
        lines
            .iter()
            .filter(|line| wanted.contains(&verdict(line)))
            .count()
    };
    let sent = lines.len() - count(&[Verdict::Skipped]);
    let _ = writeln!(
        out,
        "{sent} sent: {} denied, {} got through, {} without an answer{}; {} not sent",
        count(&[Verdict::Denied, Verdict::Refused, Verdict::Otherwise]),
        count(&[Verdict::Through]),
        count(&[Verdict::Silent]),
        match count(&[Verdict::Told]) {
            0 => String::new(),
            told => format!(", {told} that may be allowed"),
        },
        count(&[Verdict::Skipped]),
    );
    if count(&[Verdict::Denied, Verdict::Otherwise]) == 0 {
        let _ = writeln!(
            out,
            "nothing was denied: is the filter in the chain of this gateway, and is this its configuration?"
        );
    }
    out
}

/// For tools.
pub(super) fn json(target: &Target, lines: &[Line]) -> Value {
    let lines_of = |line: &Line| {
        let entry = target.entries.get(line.entry);
        let (expected, why) = match &line.expected {
            Expected::Denied { status, code } => (json!({ "status": status, "code": code }), None),
            Expected::Open { why } => (Value::Null, Some(why)),
        };
        let came = match &line.came {
            Came::NotSent(_) => Value::Null,
            Came::Unanswered(why) => json!({ "error": why }),
            Came::Answered {
                status,
                ours,
                code,
                decision,
            } => {
                json!({ "status": status, "by_the_filter": ours, "code": code, "decision_id": decision })
            }
        };
        json!({
            "path": entry.map(|entry| entry.path.as_str()),
            "scope": entry.and_then(|entry| entry.scope.as_deref()),
            "attempt": line.attempt,
            "verdict": verdict(line).name(),
            "expected": expected,
            "may_be_allowed_because": why,
            "came": came,
        })
    };
    json!({ "ok": is_fine(lines), "probes": lines.iter().map(lines_of).collect::<Vec<_>>() })
}
