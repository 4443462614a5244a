//! As much of the text format of protocol buffers as the tests need.

/// A message: fields in written order.
#[derive(Debug, Default)]
pub(crate) struct Message(pub Vec<(String, Field)>);

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Field {
    Message(Message),
    /// Quoted, with escapes resolved; bytes that are no text are replaced.
    Text(String),
    /// A number, `true`, a name of an enum.
    Word(String),
}

impl Message {
    pub(crate) fn get(&self, name: &str) -> Option<&Field> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, field)| field)
    }

    pub(crate) fn all<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m Self> {
        self.0.iter().filter_map(move |(known, field)| match field {
            Field::Message(message) if known == name => Some(message),
            _ => None,
        })
    }

    pub(crate) fn message(&self, name: &str) -> Option<&Self> {
        match self.get(name)? {
            Field::Message(message) => Some(message),
            Field::Text(_) | Field::Word(_) => None,
        }
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Field::Text(text) | Field::Word(text)) => text,
            Some(Field::Message(_)) | None => "",
        }
    }
}

/// Parses a file.
pub(crate) fn parse(text: &str) -> Message {
    let mut chars = text.chars().collect::<Vec<_>>();
    chars.push('\n');
    let mut parser = Parser { chars, at: 0 };
    let message = parser.message(None);
    parser.space();
    assert_eq!(parser.at, parser.chars.len(), "the whole file is read");
    message
}

struct Parser {
    chars: Vec<char>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(ch) = self.peek() {
            if ch == '#' {
                while self.peek().is_some_and(|ch| ch != '\n') {
                    self.at += 1;
                }
            } else if ch.is_whitespace() || ch == ',' || ch == ';' {
                self.at += 1;
            } else {
                break;
            }
        }
    }

    fn message(&mut self, end: Option<char>) -> Message {
        let mut fields = Vec::new();
        loop {
            self.space();
            match self.peek() {
                None => break,
                Some(ch) if Some(ch) == end => {
                    self.at += 1;
                    break;
                }
                Some(_) => {}
            }
            let name = self.name();
            self.space();
            if self.peek() == Some(':') {
                self.at += 1;
                self.space();
            }
            if self.peek() == Some('[') {
                self.at += 1;
                loop {
                    self.space();
                    if self.peek() == Some(']') {
                        self.at += 1;
                        break;
                    }
                    let field = self.field();
                    fields.push((name.clone(), field));
                }
            } else {
                let field = self.field();
                fields.push((name, field));
            }
        }
        Message(fields)
    }

    /// A name, or the type in brackets of an `Any`.
    fn name(&mut self) -> String {
        let start = self.at;
        if self.peek() == Some('[') {
            while self.peek().is_some_and(|ch| ch != ']') {
                self.at += 1;
            }
            self.at += 1;
        } else {
            while self.peek().is_some_and(|ch| ch.is_alphanumeric() || ch == '_') {
                self.at += 1;
            }
        }
        assert!(self.at > start, "a name at {start}");
        self.chars[start..self.at].iter().collect()
    }

    fn field(&mut self) -> Field {
        match self.peek() {
            Some('{') => {
                self.at += 1;
                Field::Message(self.message(Some('}')))
            }
            Some('<') => {
                self.at += 1;
                Field::Message(self.message(Some('>')))
            }
            Some('"' | '\'') => {
                let mut bytes = Vec::new();
                // Texts beside each other are one.
                while let Some(quote @ ('"' | '\'')) = self.peek() {
                    self.quoted(quote, &mut bytes);
                    self.space();
                }
                Field::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => {
                let start = self.at;
                while self
                    .peek()
                    .is_some_and(|ch| ch.is_alphanumeric() || "_.+-".contains(ch))
                {
                    self.at += 1;
                }
                assert!(self.at > start, "a value at {start}");
                Field::Word(self.chars[start..self.at].iter().collect())
            }
        }
    }

    fn quoted(&mut self, quote: char, bytes: &mut Vec<u8>) {
        self.at += 1;
        loop {
            let ch = self.peek().expect("a quote at the end");
            self.at += 1;
            if ch == quote {
                return;
            }
            let mut put = |ch: char| bytes.extend(ch.encode_utf8(&mut [0; 4]).as_bytes());
            if ch != '\\' {
                put(ch);
                continue;
            }
            let escaped = self.peek().expect("an escape");
            self.at += 1;
            match escaped {
                'n' => put('\n'),
                'r' => put('\r'),
                't' => put('\t'),
                'a' => put('\u{7}'),
                'b' => put('\u{8}'),
                'f' => put('\u{c}'),
                'v' => put('\u{b}'),
                'x' | 'X' => {
                    let byte = self.digits(16, 2);
                    bytes.push(u8::try_from(byte).expect("a byte"));
                }
                'u' => put(char::from_u32(self.digits(16, 4)).expect("a character")),
                'U' => put(char::from_u32(self.digits(16, 8)).expect("a character")),
                '0'..='7' => {
                    self.at -= 1;
                    let byte = self.digits(8, 3);
                    bytes.push(u8::try_from(byte).expect("a byte"));
                }
                other => put(other),
            }
        }
    }

    fn digits(&mut self, base: u32, most: usize) -> u32 {
        let mut value = 0;
        for _ in 0..most {
            let Some(digit) = self.peek().and_then(|ch| ch.to_digit(base)) else {
                break;
            };
            value = value * base + digit;
            self.at += 1;
        }
        value
    }
}
