//! What a case shows.

use crate::gate::{Ask, send};

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was answered with a refusal, and nothing reached the other end.
    Refused,
    /// It passed under policy: what policy denies or removes did not get through.
    Governed,
    /// It is for another part of the system to prevent.
    NotOurs(&'static str),
    /// What it takes is not here.
    NotTestable(&'static str),
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Refused => f.write_str("refused"),
            Verdict::Governed => f.write_str("governed"),
            Verdict::NotOurs(why) => write!(f, "not ours: {why}"),
            Verdict::NotTestable(why) => write!(f, "not testable here: {why}"),
        }
    }
}

/// What was tried, what came of it, and what that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) sent: String,
    pub(crate) came: String,
    pub(crate) verdict: Verdict,
}

pub(crate) fn refused(sent: &str, came: impl Into<String>) -> Proof {
    proof(sent, came, Verdict::Refused)
}

pub(crate) fn governed(sent: &str, came: impl Into<String>) -> Proof {
    proof(sent, came, Verdict::Governed)
}

pub(crate) fn proof(sent: &str, came: impl Into<String>, verdict: Verdict) -> Proof {
    Proof {
        sent: sent.to_owned(),
        came: came.into(),
        verdict,
    }
}

/// Each of these is refused, with this status and code, before anything reaches the backend.
pub(crate) fn refuses<'a>(tries: impl IntoIterator<Item = (&'a str, Ask, u16, &'a str)>) -> Proof {
    let (mut sent, mut came) = (Vec::new(), Vec::new());
    for (what, ask, status, code) in tries {
        let seen = send(&ask);
        assert!(!seen.upstream.started, "GOT THROUGH: {what}: {:?}", seen.upstream);
        let got = format!("{} {}", seen.status, seen.code);
        assert_eq!(got, format!("{status} {code}"), "{what}");
        sent.push(what);
        if !came.contains(&got) {
            came.push(got);
        }
    }
    refused(&sent.join("; "), came.join("; "))
}
