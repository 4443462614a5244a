//! Applying edits: sort them, settle the commas, copy what lies between.

use super::document::{Change, Document, NodeId, Slot};
use apl_bytecode::sort_by;

/// A stretch of bytes that is left out, and what stands there instead.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// In the added bytes, not the received ones.
    added: bool,
    start: u32,
    end: u32,
    /// The root of the replacement.
    by: Option<u32>,
}

/// Bytes that are being copied.
struct Copying {
    added: bool,
    at: u32,
    end: u32,
}

pub(super) fn render(document: &Document, id: NodeId) -> Vec<u8> {
    let root = id == document.root();
    let whole = Copying {
        added: false,
        at: 0,
        end: document.text.len() as u32,
    };
    let value = |id| {
        document.slot(id).map(|slot| Copying {
            added: slot.has(Slot::ADDED),
            at: slot.start,
            end: slot.end,
        })
    };
    let first = match document.change_of(id.0) {
        Some(Change::Removed) => return b"null".to_vec(),
        // With the white space around it.
        _ if root => Some(whole),
        Some(Change::Replaced(by)) => value(by),
        None => value(id.0),
    };
    let stack = first.into_iter().collect();
    copy(document, &cuts(document), stack)
}

fn copy(document: &Document, cuts: &[Cut], mut stack: Vec<Copying>) -> Vec<u8> {
    let (received, put_in) = cuts.split_at(cuts.partition_point(|cut| !cut.added));
    let mut passed = 0_usize;
    let mut out = Vec::with_capacity(document.text.len().saturating_add(document.added.len()));
    // A cut lies inside what is copied, so the stack holds one entry for every replacement inside a replacement.
    while let Some(top) = stack.last_mut() {
        let source = if top.added {
            document.added.as_bytes()
        } else {
            document.text.as_bytes()
        };
        let next = if top.added {
            put_in.get(put_in.partition_point(|cut| cut.start < top.at)..)
        } else {
            // The received text is walked once, from its first cut to its last.
            while received.get(passed).is_some_and(|cut| cut.start < top.at) {
                passed = passed.wrapping_add(1);
            }
            received.get(passed..)
        };
        match next.and_then(<[Cut]>::first).filter(|cut| cut.end <= top.end) {
            Some(cut) => {
                out.extend_from_slice(
                    source
                        .get(top.at as usize..cut.start as usize)
                        .unwrap_or_default(),
                );
                top.at = cut.end;
                if let Some(slot) = cut.by.and_then(|by| document.slot(by)) {
                    stack.push(Copying {
                        added: true,
                        at: slot.start,
                        end: slot.end,
                    });
                }
            }
            None => {
                out.extend_from_slice(source.get(top.at as usize..top.end as usize).unwrap_or_default());
                stack.pop();
            }
        }
    }
    out
}

/// All cuts, ordered, disjoint: of nested ones the outer stays.
fn cuts(document: &Document) -> Vec<Cut> {
    let mut raw: Vec<Cut> = document
        .changes()
        .filter_map(|(id, change)| raw_cut(document, id, change))
        .collect();
    let rank = |cut: &Cut| (cut.added, cut.start, std::cmp::Reverse(cut.end));
    // They are, where the values were changed in the order in which they stand.
    if !raw.is_sorted_by_key(rank) {
        sort_by(&mut raw, |a, b| rank(a).cmp(&rank(b)));
    }
    let mut done: Vec<Cut> = Vec::with_capacity(raw.len());
    for cut in raw {
        match done.last() {
            Some(outer) if outer.added == cut.added && cut.start < outer.end => {}
            Some(_) | None => {
                let cut = if cut.by.is_none() {
                    with_comma(document, cut, &mut done)
                } else {
                    cut
                };
                done.push(cut);
            }
        }
    }
    done
}

/// The value alone; for a removed member also its key.
fn raw_cut(document: &Document, id: u32, change: Change) -> Option<Cut> {
    let slot = document.slot(id)?;
    let mut cut = Cut {
        added: slot.has(Slot::ADDED),
        start: slot.start,
        end: slot.end,
        by: None,
    };
    match change {
        Change::Replaced(by) => cut.by = Some(by),
        Change::Removed => {
            if let Some(key) = id
                .checked_sub(1)
                .and_then(|before| document.slot(before))
                .filter(|slot| slot.has(Slot::KEY))
            {
                cut.start = key.start;
            }
        }
    }
    Some(cut)
}

/// Extends the removal of one sibling over the comma behind it, or, for the last sibling, over the one before it and all
/// removed siblings between.
fn with_comma(document: &Document, mut cut: Cut, done: &mut Vec<Cut>) -> Cut {
    let source = if cut.added {
        document.added.as_bytes()
    } else {
        document.text.as_bytes()
    };
    let behind = source.get(cut.end as usize..).unwrap_or_default();
    let space = spaces(behind.iter());
    if behind.get(space) == Some(&b',') {
        let comma = space.saturating_add(1);
        let space = spaces(behind.get(comma..).unwrap_or_default().iter());
        cut.end = cut.end.saturating_add(comma.saturating_add(space) as u32);
        return cut;
    }
    // A removed sibling's cut reaches to the start of the next sibling.
    while let Some(before) = done
        .last()
        .filter(|before| before.by.is_none() && before.added == cut.added && before.end == cut.start)
    {
        cut.start = before.start;
        done.pop();
    }
    let before = source.get(..cut.start as usize).unwrap_or_default();
    let space = spaces(before.iter().rev());
    let comma = before.len().saturating_sub(space).saturating_sub(1);
    if before.get(comma) == Some(&b',') {
        cut.start = comma as u32;
    }
    cut
}

fn spaces<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes
        .take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))
        .count()
}
