//! The part of a source that a report shows.
//!
//! A report with the whole text would cost its size again for each diagnostic, and a line of megabytes would fill the
//! terminal. So lines far from the marked places are left empty (their numbers stay right), and long lines are cut around
//! the mark.

use crate::source::{Source, Span};

/// Lines shown before and after a marked place.
const AROUND: u32 = 2;
/// Most lines of one marked place that are shown.
const MOST_LINES: u32 = 12;
/// Longest line that is shown whole, in bytes.
const LONGEST: usize = 400;

/// Text, and where in it each span is: offset and length.
pub(super) struct Excerpt {
    pub text: String,
    pub places: Vec<(usize, usize)>,
    /// A line was cut, so columns in it are not those of the file.
    pub cut: bool,
}

/// Takes what the spans need.
pub(super) fn excerpt(source: &Source, spans: &[Span]) -> Excerpt {
    let windows: Vec<(u32, u32)> = spans
        .iter()
        .map(|span| {
            let first = source.position(span.start).line;
            let last = source
                .position(span.end)
                .line
                .min(first.saturating_add(MOST_LINES));
            (first.saturating_sub(AROUND), last.saturating_add(AROUND))
        })
        .collect();
    let mut out = Excerpt {
        text: String::new(),
        places: vec![(0, 0); spans.len()],
        cut: false,
    };
    let end = windows.iter().map(|(_, last)| *last).max().unwrap_or(1);
    for line in 1..=end {
        let Some((start, stop)) = source.line(line) else {
            break;
        };
        if windows
            .iter()
            .any(|(first, last)| (first..=last).contains(&&line))
        {
            append(source, (start, stop), spans, &mut out);
        }
        out.text.push('\n');
    }
    let length = out.text.len();
    for ((offset, size), span) in out.places.iter_mut().zip(spans) {
        *offset = (*offset).min(length);
        *size = (span.end.saturating_sub(span.start) as usize)
            .min(*size)
            .min(length - *offset);
    }
    out
}

fn append(source: &Source, (start, stop): (usize, usize), spans: &[Span], out: &mut Excerpt) {
    let text = source.text.get(start..stop).unwrap_or("");
    let mark = spans
        .iter()
        .map(|span| span.start as usize)
        .find(|at| (start..=stop).contains(at))
        .unwrap_or(start);
    let (mut from, mut to) = (0, text.len());
    if text.len() > LONGEST {
        out.cut = true;
        from = (mark - start).saturating_sub(LONGEST / 4);
        to = (from + LONGEST).min(text.len());
        while !text.is_char_boundary(from) {
            from -= 1;
        }
        while !text.is_char_boundary(to) {
            to += 1;
        }
    }
    let base = out.text.len();
    for (place, span) in out.places.iter_mut().zip(spans) {
        let (first, last) = (span.start as usize, span.end as usize);
        if (start..=stop).contains(&first) {
            place.0 = base + (first - start).saturating_sub(from);
            place.1 = last.min(start + to).saturating_sub(first);
        } else if first < start && last > start {
            // A later line of the span: everything from its first place to here is marked.
            place.1 = (base + last.min(start + to) - start).saturating_sub(place.0);
        }
    }
    out.text.push_str(text.get(from..to).unwrap_or(""));
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, excerpt};
    use crate::source::{Source, Span, to_u32};

    #[test]
    fn a_long_line_is_cut_around_the_mark_and_line_numbers_stay() {
        let text = format!("a: 1\n{}MARK{}\nz: 2\n", "x".repeat(100_000), "y".repeat(100_000));
        let source = Source::new("p", text.clone());
        let at = text.find("MARK").expect("there");
        let span = Span {
            file: 0,
            start: to_u32(at),
            end: to_u32(at + 4),
        };
        let found = excerpt(&source, &[span]);
        assert!(found.cut && found.text.len() < LONGEST + 100);
        let (offset, length) = found.places[0];
        assert_eq!(&found.text[offset..offset + length], "MARK");
        assert_eq!(found.text[..offset].matches('\n').count(), 1);
    }

    #[test]
    fn far_lines_are_empty_and_both_places_are_marked() {
        let text: String = (0..1000).map(|line| format!("key{line}: value\n")).collect();
        let source = Source::new("p", text.clone());
        let span = |word: &str| {
            let at = text.find(word).expect("there");
            Span {
                file: 0,
                start: to_u32(at),
                end: to_u32(at + word.len()),
            }
        };
        let found = excerpt(&source, &[span("key900"), span("key10:")]);
        for ((offset, length), word) in found.places.iter().zip(["key900", "key10:"]) {
            assert_eq!(&found.text[*offset..offset + length], word);
        }
        assert!(!found.text.contains("key500") && !found.cut);
    }
}
