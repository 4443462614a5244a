//! What holds everywhere: settings and credentials.

use apl_compiler::outline::{IssuerView, Outline, PinsView};

use super::{Change, Danger};
use Danger::{Changed, Loosened, Tightened};

fn say(changes: &mut Vec<Change>, danger: Danger, what: String) {
    changes.push(Change {
        danger,
        operation: "policy".to_owned(),
        what,
        old: None,
        new: None,
    });
}

pub(super) fn settings(old: &Outline, new: &Outline, changes: &mut Vec<Change>) {
    match (old.unmatched_allowed, new.unmatched_allowed) {
        (false, true) => say(
            changes,
            Loosened,
            "operations without a route are allowed".to_owned(),
        ),
        (true, false) => say(
            changes,
            Tightened,
            "operations without a route are denied".to_owned(),
        ),
        (true, true) | (false, false) => {}
    }
    if old.data != new.data {
        // What the values are for is not known here.
        say(
            changes,
            Loosened,
            "the static attributes (`data`) are others".to_owned(),
        );
    }
    match (old.never_forward_credentials, new.never_forward_credentials) {
        (true, false) => say(
            changes,
            Loosened,
            "the caller's credentials go on where nothing delegates".to_owned(),
        ),
        (false, true) => say(
            changes,
            Tightened,
            "the caller's credentials never go on".to_owned(),
        ),
        (true, true) | (false, false) => {}
    }
    match (old.waits_for_records, new.waits_for_records) {
        (true, false) => say(
            changes,
            Loosened,
            "nothing waits for its record any more".to_owned(),
        ),
        (false, true) => say(
            changes,
            Tightened,
            "nothing is released before its record is on disk".to_owned(),
        ),
        (true, true) | (false, false) => {}
    }
    match (old.captures, new.captures) {
        (false, true) => say(
            changes,
            Loosened,
            "records carry what the policy read, encrypted".to_owned(),
        ),
        (true, false) => say(
            changes,
            Tightened,
            "records carry nothing of what the policy read".to_owned(),
        ),
        (true, true) | (false, false) => {}
    }
}

/// Pinned tools, and paths that need nobody.
pub(super) fn pins(old: &Outline, new: &Outline, changes: &mut Vec<Change>) {
    fn of<'o>(outline: &'o Outline, like: &PinsView) -> Option<&'o PinsView> {
        outline.pins.iter().find(|pins| pins.scope == like.scope)
    }
    let tool = |pins: &PinsView, name: &str| {
        let found = pins.tools.iter().find(|(known, _)| known == name);
        found.map(|(_, digest)| digest.clone())
    };
    for was in &old.pins {
        let is = of(new, was);
        if was.hides_unpinned && is.is_none_or(|is| !is.hides_unpinned) {
            say(
                changes,
                Loosened,
                format!("tools {} without a pin are no longer hidden", was.server()),
            );
        }
        for (name, digest) in &was.tools {
            match is.and_then(|is| tool(is, name)) {
                None => say(
                    changes,
                    Loosened,
                    format!("the tool `{name}` {} is no longer pinned", was.server()),
                ),
                Some(now) if now != *digest => {
                    say(
                        changes,
                        Changed,
                        format!(
                            "the tool `{name}` {} is pinned to another definition",
                            was.server()
                        ),
                    );
                }
                Some(_) => {}
            }
        }
    }
    for is in &new.pins {
        let was = of(old, is);
        if is.hides_unpinned && was.is_none_or(|was| !was.hides_unpinned) {
            say(
                changes,
                Tightened,
                format!("tools {} without a pin are hidden", is.server()),
            );
        }
        for (name, _) in &is.tools {
            if was.and_then(|was| tool(was, name)).is_none() {
                say(
                    changes,
                    Tightened,
                    format!("the tool `{name}` {} is pinned", is.server()),
                );
            }
        }
    }
    if old.public_paths != new.public_paths {
        let spell = |paths: &Option<Vec<String>>| match paths {
            Some(paths) => format!("[{}]", paths.join(", ")),
            None => "the defaults".to_owned(),
        };
        let what = format!(
            "paths that need no identity changed from {} to {}",
            spell(&old.public_paths),
            spell(&new.public_paths)
        );
        let fewer = matches!((&old.public_paths, &new.public_paths), (Some(was), Some(is)) if is.iter().all(|path| was.contains(path)));
        say(changes, if fewer { Tightened } else { Loosened }, what);
    }
}

pub(super) fn identities(old: &Outline, new: &Outline, changes: &mut Vec<Change>) {
    for is in &new.identities {
        // Who needs a new credential says so; one that nobody needs decides nothing.
        let Some(was) = old.identities.iter().find(|was| was.name == is.name) else {
            continue;
        };
        let name = &is.name;
        if was.what != is.what {
            say(
                changes,
                Loosened,
                format!("credential `{name}`: {} became {}", was.what, is.what),
            );
        }
        for issuer in &is.issuers {
            match was.issuers.iter().find(|other| other.issuer == issuer.issuer) {
                Some(before) => self::issuer(name, before, issuer, changes),
                None => say(
                    changes,
                    Loosened,
                    format!("credential `{name}`: issuer {} is believed", issuer.issuer),
                ),
            }
        }
        for issuer in was
            .issuers
            .iter()
            .filter(|was| !is.issuers.iter().any(|is| is.issuer == was.issuer))
        {
            say(
                changes,
                Tightened,
                format!(
                    "credential `{name}`: issuer {} is no longer believed",
                    issuer.issuer
                ),
            );
        }
    }
}

fn issuer(name: &str, was: &IssuerView, is: &IssuerView, changes: &mut Vec<Change>) {
    let whose = format!("credential `{name}`, issuer {}", is.issuer);
    if was.audiences != is.audiences {
        let more = is.audiences.is_empty()
            || (!was.audiences.is_empty()
                && is
                    .audiences
                    .iter()
                    .any(|audience| !was.audiences.contains(audience)));
        let danger = if more { Loosened } else { Tightened };
        let list = |audiences: &[String]| {
            if audiences.is_empty() {
                "any".to_owned()
            } else {
                audiences.join(", ")
            }
        };
        say(
            changes,
            danger,
            format!(
                "{whose}: audience {} became {}",
                list(&was.audiences),
                list(&is.audiences)
            ),
        );
    }
    let fewer = |a: &[String], b: &[String]| a.iter().all(|item| b.contains(item));
    if !fewer(&is.algorithms, &was.algorithms) || !fewer(&was.algorithms, &is.algorithms) {
        let danger = if fewer(&is.algorithms, &was.algorithms) {
            Tightened
        } else {
            Loosened
        };
        say(
            changes,
            danger,
            format!(
                "{whose}: algorithms {} became {}",
                was.algorithms.join(", "),
                is.algorithms.join(", ")
            ),
        );
    }
    if was.leeway_s != is.leeway_s {
        let danger = if is.leeway_s > was.leeway_s {
            Loosened
        } else {
            Tightened
        };
        say(
            changes,
            danger,
            format!("{whose}: leeway {} s became {} s", was.leeway_s, is.leeway_s),
        );
    }
    if was.jwks != is.jwks {
        say(changes, Loosened, format!("{whose}: other keys"));
    }
}
