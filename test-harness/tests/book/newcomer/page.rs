//! The commands of a page, and what it shows of their output.

/// A block of commands.
#[derive(Debug)]
pub(super) struct Block {
    /// The line of the page at which it begins.
    pub(super) line: usize,
    pub(super) commands: String,
    /// The lines that it prints.
    pub(super) shown: Vec<String>,
}

/// What of a page is run.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) name: String,
    pub(super) blocks: Vec<Block>,
}

impl Page {
    pub(super) fn read(name: &str) -> Self {
        let page = Self::parse(name, &crate::text(name));
        assert!(!page.blocks.is_empty(), "{name} has no commands");
        page
    }

    fn parse(name: &str, text: &str) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        let mut lines = text.lines().enumerate();
        let mut skipped = false;
        // Whether a text block would be about the commands before it.
        let mut fresh = false;
        while let Some((number, line)) = lines.next() {
            let mut body = || -> Vec<String> {
                let body = lines.by_ref().map(|(_, line)| line.to_owned());
                body.take_while(|line| line != "```").collect()
            };
            match line {
                "```sh" => {
                    let commands = body().join("\n");
                    fresh = !skipped;
                    if !skipped {
                        blocks.push(Block {
                            line: number + 1,
                            commands,
                            shown: Vec::new(),
                        });
                    }
                }
                "```text" => {
                    let shown = body();
                    if let (true, Some(block)) = (fresh, blocks.last_mut()) {
                        block.shown = shown;
                    }
                    fresh = false;
                }
                "" => continue,
                comment if comment.starts_with("<!-- not run: ") => {
                    skipped = true;
                    continue;
                }
                other if other.starts_with("```") => {
                    body();
                    fresh = false;
                }
                _ => {}
            }
            skipped = false;
        }
        Self {
            name: name.to_owned(),
            blocks,
        }
    }

    /// Replaces a word in commands and output.
    pub(super) fn replace(&mut self, word: &str, by: &str) {
        let found = self.blocks.iter().any(|block| block.commands.contains(word));
        assert!(found, "{} has no `{word}` any more", self.name);
        for block in &mut self.blocks {
            block.commands = block.commands.replace(word, by);
            for line in &mut block.shown {
                *line = line.replace(word, by);
            }
        }
    }
}

/// The first of these lines that is not printed, in their order; `…` stands for anything.
pub(super) fn missing<'a>(shown: &'a [String], printed: &str) -> Option<&'a str> {
    let mut printed = printed.lines();
    shown
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
        .find(|wanted| !printed.any(|line| matches(wanted, line.trim())))
}

fn matches(wanted: &str, line: &str) -> bool {
    let mut parts = wanted.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[test]
fn lines_match_as_the_pages_say() {
    for (wanted, line, matched) in [
        ("2 passed, 0 failed", "2 passed, 0 failed", true),
        ("2 passed", "2 passed, 0 failed", false),
        ("digest …", "digest 5a", true),
        ("…REDACTED…", "{\"ssn\": \"[REDACTED]\"}", true),
        ("a…b…c", "a1b2c", true),
        ("a…b…c", "a1b2", false),
        ("a…c…b", "a1b2c3", false),
    ] {
        assert_eq!(matches(wanted, line), matched, "{wanted} {line}");
    }
    let lines = ["a".to_owned(), "c".to_owned()];
    assert_eq!(missing(&lines, "a\nb\nc\n"), None);
    assert_eq!(missing(&lines, "c\na\n"), Some("c"));
}

#[test]
fn blocks_are_taken_as_the_pages_say() {
    let text = "```sh\none\n```\n\n```text\n1\n```\n\n<!-- not run: x -->\n```sh\ntwo\n```\n\n```text\n2\n```\n\n```yaml\na: 1\n```\n```sh\nthree\n```\n";
    let page = Page::parse("p", text);
    let seen: Vec<(&str, &[String])> = page
        .blocks
        .iter()
        .map(|block| (block.commands.as_str(), block.shown.as_slice()))
        .collect();
    assert_eq!(seen, [("one", &["1".to_owned()][..]), ("three", &[])]);
}
