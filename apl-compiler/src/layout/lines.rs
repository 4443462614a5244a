//! The text as lines: which hold only a comment or nothing, and where a block scalar ends.

/// Lines without their ends.
pub(super) struct Lines<'t> {
    pub text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Line ends are line feeds.
    pub(super) fn new(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// How many there are; the one behind the last line feed counts.
    pub(super) fn count(&self) -> usize {
        self.starts.len()
    }

    /// The line that holds an offset, from 0.
    pub(super) fn of(&self, offset: usize) -> usize {
        self.starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }

    /// Where a line begins; the end of the text for a line that is not there.
    pub(super) fn start(&self, line: usize) -> usize {
        self.starts.get(line).copied().unwrap_or(self.text.len())
    }

    /// A line's text.
    pub(super) fn get(&self, line: usize) -> &'t str {
        let text = self
            .text
            .get(self.start(line)..self.start(line + 1))
            .unwrap_or("");
        text.strip_suffix('\n').unwrap_or(text)
    }

    /// How far in a line's text begins.
    pub(super) fn indent(&self, line: usize) -> usize {
        let text = self.get(line);
        text.len() - text.trim_start_matches(' ').len()
    }

    /// Whether there is nothing in a line.
    pub(super) fn blank(&self, line: usize) -> bool {
        self.get(line).trim().is_empty()
    }

    /// The column of an offset in its line, in bytes from 0.
    pub(super) fn column(&self, offset: usize) -> usize {
        offset - self.start(self.of(offset)).min(offset)
    }

    /// The last line of the block scalar whose header is in line `header`, of an entry that begins in `column`.
    pub(super) fn block_scalar_end(&self, header: usize, column: usize) -> usize {
        let mut last = header;
        let mut content = None;
        for line in header + 1..self.count() {
            if self.blank(line) {
                continue;
            }
            let indent = self.indent(line);
            let least = *content.get_or_insert(indent);
            if indent < least || indent <= column {
                break;
            }
            last = line;
        }
        last
    }
}
