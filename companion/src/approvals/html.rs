//! What approvers see. Every value is escaped by the template engine; none becomes an attribute that a browser runs.

use axum::http::StatusCode;
use axum::response::Html;
use companion_protocol::ElicitKind;
use maud::{DOCTYPE, Markup, html};

use super::Page;
use super::session::Session;
use crate::elicitation::{Case, MAX_NOTE_BYTES, State};

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    NotFound,
    Closed,
    OwnRequest,
    Note,
    NoDecision,
    Forged,
    SignIn,
    Unavailable,
}

impl Problem {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Closed => StatusCode::CONFLICT,
            Self::OwnRequest | Self::Forged | Self::SignIn => StatusCode::FORBIDDEN,
            Self::Note | Self::NoDecision => StatusCode::BAD_REQUEST,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::NotFound => (
                "Nothing here for you",
                "There is no such request, or somebody else is asked.",
            ),
            Self::Closed => (
                "No longer open",
                "The request was answered already, or its time is over.",
            ),
            Self::OwnRequest => (
                "Your own request",
                "You asked for this yourself. Somebody else must decide.",
            ),
            Self::Note => ("Note too long", "Go back and shorten the note."),
            Self::NoDecision => ("No decision", "Go back and choose to approve or to deny."),
            Self::Forged => (
                "Not from this page",
                "The answer did not come from a page of this session. Nothing was changed. Open the request again.",
            ),
            Self::SignIn => (
                "Not signed in",
                "The sign-in did not succeed. Start again from the list of approvals.",
            ),
            Self::Unavailable => (
                "Not now",
                "Approvals cannot be read or written at the moment. Nothing was changed.",
            ),
        }
    }
}

fn page(title: &str, session: Option<&Session>, main: &Markup) -> Page {
    let onward: Option<&str> = None;
    framed(title, session, onward, main)
}

fn framed(title: &str, session: Option<&Session>, onward: Option<&str>, main: &Markup) -> Page {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if let Some(to) = onward { meta http-equiv="refresh" content=(format!("0; url={to}")); }
                title { (title) " – approvals" }
                link rel="stylesheet" href="/approvals/style.css";
            }
            body {
                a class="skip" href="#main" { "Skip to content" }
                header {
                    nav aria-label="Approvals" { a href="/approvals" { "Approvals" } }
                    @if let Some(session) = session {
                        form method="post" action="/approvals/sign-out" {
                            input type="hidden" name="csrf" value=(session.csrf());
                            span { "Signed in as " strong { (session.name()) } }
                            button type="submit" { "Sign out" }
                        }
                    }
                }
                main id="main" { h1 { (title) } (main) }
            }
        }
    };
    Html(document.into_string())
}

/// What waits.
pub(super) fn list(session: &Session, cases: &[Case], now_s: u64) -> Page {
    let main = html! {
        @if cases.is_empty() { p { "Nothing waits for you." } }
        @else {
            ul class="cases" {
                @for case in cases {
                    li {
                        a href=(format!("/approvals/{}", case.key())) { (title(case)) }
                        p { "Asked by " (case.requester.name) ", ends in " (left(case, now_s)) "." }
                    }
                }
            }
        }
    };
    page("Waiting for you", Some(session), &main)
}

/// One request, with the form while it is open.
pub(super) fn case(session: &Session, case: &Case, now_s: u64) -> Page {
    let main = html! {
        dl {
            dt { "Number" } dd { (case.intent_id()) }
            dt { "Asked by" } dd { (case.requester.name) " (" (case.requester.subject) ")" }
            dt { "Operation" } dd { code { (case.binding.operation) } }
            @if let Some(purpose) = &case.purpose { dt { "Purpose" } dd { (purpose) } }
            @if let Some(scope) = &case.scope_text { dt { "Holds only if" } dd { code { (scope) } } }
        }
        h2 { "What it would do it with" }
        @if case.shown.is_empty() { p { "The policy shows no arguments. The approval holds for exactly those of this request." } }
        @else {
            table {
                thead { tr { th scope="col" { "Name" } th scope="col" { "Value" } } }
                tbody { @for line in &case.shown { tr { th scope="row" { (line.name) } td { (line.value) } } } }
            }
        }
        @if case.is_open(now_s) { (decision(session, case, now_s)) }
        @else { p role="status" { (outcome(case)) } }
    };
    page(&title(case), Some(session), &main)
}

fn decision(session: &Session, case: &Case, now_s: u64) -> Markup {
    html! {
        h2 id="decide" { "Your decision" }
        form method="post" action=(format!("/approvals/{}", case.key())) aria-labelledby="decide" {
            input type="hidden" name="csrf" value=(session.csrf());
            input type="hidden" name="nonce" value=(case.nonce);
            label for="note" { "Note (optional)" }
            textarea id="note" name="note" rows="3" maxlength=(MAX_NOTE_BYTES / 4) aria-describedby="ends" {}
            p id="ends" { "The request ends in " (left(case, now_s)) ". The note is kept with your decision." }
            div class="buttons" {
                button type="submit" name="decision" value="approve" class="approve" { "Approve" }
                button type="submit" name="decision" value="deny" class="deny" { "Deny" }
            }
        }
    }
}

/// After an answer.
pub(super) fn answered(session: &Session, case: &Case, approved: bool) -> Page {
    let main = html! {
        p role="status" { (outcome(case)) }
        p { a href="/approvals" { "Back to the list" } }
    };
    page(if approved { "Approved" } else { "Denied" }, Some(session), &main)
}

fn outcome(case: &Case) -> String {
    match &case.state {
        State::Open => "Its time is over. Nobody has answered.".to_owned(),
        State::Answered {
            approved: true, by, ..
        } => {
            format!("Approved by {by}. The requester may do it once, exactly as shown.")
        }
        State::Answered { by, .. } => format!("Denied by {by}."),
        State::Spent { by, .. } => format!("Approved by {by}, and done."),
    }
}

fn title(case: &Case) -> String {
    let verb = match case.verb {
        ElicitKind::Approval => "Approve",
        ElicitKind::Confirm => "Confirm",
        ElicitKind::StepUp => "Confirm it is you for",
        ElicitKind::Attestation => "Attest",
        ElicitKind::Info => "Answer about",
        ElicitKind::Review => "Review",
    };
    format!("{verb} {}", case.binding.operation)
}

fn left(case: &Case, now_s: u64) -> String {
    match case.expires_at.saturating_sub(now_s) {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3600),
    }
}

/// For whoever is not signed in.
pub(super) fn sign_in(can_sign_in: bool, to: Option<&str>) -> Page {
    let to = to.filter(|to| to.bytes().all(|b| b.is_ascii_hexdigit()));
    let href = to.map_or("/approvals/sign-in".to_owned(), |to| {
        format!("/approvals/sign-in?to={to}")
    });
    let main = html! {
        @if can_sign_in { p { a class="button" href=(href) { "Sign in" } } }
        @else { p { "Open the link that you were given. It works once." } }
    };
    page("Sign in to decide", None, &main)
}

/// Asks before a one-time link is used up.
pub(super) fn link(from: &str, key: &str, link: &str) -> Page {
    let main = html! {
        p { "This link lets you decide one request as " strong { (from) } ". It works once." }
        form method="post" action=(format!("/approvals/link/{key}/{link}")) {
            button type="submit" { "Continue as " (from) }
        }
    };
    page("One-time link", None, &main)
}

/// After a sign-in.
pub(super) fn onward(to: &str) -> Page {
    let main = html! { p { a href=(to) { "Continue" } } };
    framed("Signed in", None, Some(to), &main)
}

/// What went wrong.
pub(super) fn problem(problem: Problem) -> Page {
    let (title, text) = problem.text();
    let main = html! {
        p role="alert" { (text) }
        p { a href="/approvals" { "To the list of approvals" } }
    };
    page(title, None, &main)
}
