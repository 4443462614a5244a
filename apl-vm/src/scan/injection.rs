//! Phrases that address the model instead of the reader.
//!
//! A list, not a judgement: it finds the well-known wordings in any case and with any white space or punctuation between
//! the words, and nothing else. Two shapes:
//!
//! * *orders*: a verb, then within five words a qualifier and a noun (`ignore all of the previous instructions`),
//! * *phrases* and *markers*, as they stand.

use super::detect::byte;

const LONGEST_WORD: usize = 20;
const REACH: usize = 6;
const LONGEST_GAP: usize = 8;

const ORDERS: &[(&[&str], &[&str], &[&str])] = &[
    (
        &["ignore", "disregard", "forget", "override", "bypass", "neglect"],
        &[
            "previous",
            "prior",
            "above",
            "earlier",
            "preceding",
            "all",
            "any",
            "your",
            "system",
            "original",
            "initial",
            "these",
            "those",
        ],
        &[
            "instructions",
            "instruction",
            "rules",
            "guidelines",
            "directives",
            "prompt",
            "prompts",
            "commands",
            "constraints",
            "policies",
        ],
    ),
    (
        &[
            "reveal", "print", "show", "repeat", "output", "leak", "expose", "display", "disclose",
        ],
        &[
            "system",
            "hidden",
            "initial",
            "original",
            "developer",
            "secret",
            "internal",
        ],
        &["prompt", "prompts", "instructions", "instruction", "message"],
    ),
];

const PHRASES: &[&[&str]] = &[
    &["do", "not", "tell", "the", "user"],
    &["don", "t", "tell", "the", "user"],
    &["without", "telling", "the", "user"],
    &["without", "informing", "the", "user"],
    &["do", "not", "mention", "this", "to", "the", "user"],
    &["you", "are", "no", "longer", "bound"],
    &["you", "are", "now", "in", "developer", "mode"],
    &["enable", "developer", "mode"],
    &["enter", "developer", "mode"],
    &["do", "anything", "now"],
    &["jailbreak", "mode"],
    &["pretend", "you", "have", "no", "restrictions"],
    &["act", "as", "an", "unrestricted"],
    &["new", "system", "prompt"],
    &["begin", "system", "prompt"],
    &["end", "of", "system", "prompt"],
];

const MARKERS: &[&str] = &[
    "<|im_start|>",
    "<|im_end|>",
    "<|system|>",
    "<|endoftext|>",
    "<<SYS>>",
    "[INST]",
    "[/INST]",
    "[system](",
];

/// A phrase or marker that starts here.
pub(super) fn phrase(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    if matches!(byte(bytes, at), b'<' | b'[') {
        let marker = MARKERS.iter().find(|marker| {
            rest.get(..marker.len())
                .is_some_and(|text| text.eq_ignore_ascii_case(marker.as_bytes()))
        })?;
        return at.checked_add(marker.len());
    }
    let mut words = Words { bytes, at };
    let (first, _) = words.next()?;
    order(first, &words).or_else(|| fixed(first, &words))
}

/// Whether what comes behind a text that may go on could make a phrase or marker of its beginning.
pub(super) fn is_open(rest: &[u8]) -> bool {
    // Eight words and the gaps between them.
    const LONGEST: usize = 8 * (LONGEST_WORD + LONGEST_GAP);
    if matches!(byte(rest, 0), b'<' | b'[') {
        return MARKERS.iter().any(|marker| {
            let shorter = rest.get(..marker.len().min(rest.len()));
            shorter.is_some_and(|text| {
                text.len() < marker.len()
                    && marker
                        .as_bytes()
                        .get(..text.len())
                        .is_some_and(|known| known.eq_ignore_ascii_case(text))
            })
        });
    }
    let word = rest
        .iter()
        .take(LONGEST_WORD.saturating_add(1))
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    if word == rest.len() {
        return word <= LONGEST_WORD;
    }
    let word = rest.get(..word).unwrap_or_default();
    let known = ORDERS.iter().any(|(verbs, _, _)| among(verbs, word))
        || PHRASES
            .iter()
            .any(|phrase| among(phrase.get(..1).unwrap_or_default(), word));
    known && rest.len() < LONGEST
}

/// Whether an order or a phrase starts with this lower-case letter.
pub(super) const fn starts_phrase(letter: u8) -> bool {
    let mut orders = ORDERS;
    while let [(verbs, _, _), rest @ ..] = orders {
        if one_starts(verbs, letter) {
            return true;
        }
        orders = rest;
    }
    let mut phrases = PHRASES;
    while let [phrase, rest @ ..] = phrases {
        if let [first, ..] = *phrase
            && one_starts(&[*first], letter)
        {
            return true;
        }
        phrases = rest;
    }
    false
}

const fn one_starts(mut words: &[&str], letter: u8) -> bool {
    while let [word, rest @ ..] = words {
        if let [first, ..] = word.as_bytes()
            && *first == letter
        {
            return true;
        }
        words = rest;
    }
    false
}

fn order(verb: &[u8], words: &Words<'_>) -> Option<usize> {
    let (_, qualifiers, nouns) = ORDERS.iter().find(|(verbs, _, _)| among(verbs, verb))?;
    let mut qualified = false;
    for (word, end) in words.clone().take(REACH) {
        if qualified && among(nouns, word) {
            return Some(end);
        }
        qualified |= among(qualifiers, word);
    }
    None
}

fn fixed(first: &[u8], words: &Words<'_>) -> Option<usize> {
    PHRASES.iter().find_map(|phrase| {
        let (start, rest) = phrase.split_first()?;
        if !first.eq_ignore_ascii_case(start.as_bytes()) {
            return None;
        }
        let mut words = words.clone();
        rest.iter().try_fold(0, |_, wanted| {
            let (word, end) = words.next()?;
            word.eq_ignore_ascii_case(wanted.as_bytes()).then_some(end)
        })
    })
}

fn among(list: &[&str], word: &[u8]) -> bool {
    list.iter()
        .any(|entry| word.eq_ignore_ascii_case(entry.as_bytes()))
}

/// Words and where they end. Ends at a word or a gap that is too long to be prose.
#[derive(Clone)]
struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = (&'a [u8], usize);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        let letter = |byte: &&u8| byte.is_ascii_alphabetic();
        let gap = rest
            .iter()
            .take(LONGEST_GAP)
            .take_while(|byte| !letter(byte))
            .count();
        let rest = rest.get(gap..)?;
        let length = rest
            .iter()
            .take(LONGEST_WORD.saturating_add(1))
            .take_while(letter)
            .count();
        if length == 0 || length > LONGEST_WORD {
            return None;
        }
        self.at = self.at.saturating_add(gap).saturating_add(length);
        Some((rest.get(..length)?, self.at))
    }
}
