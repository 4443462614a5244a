//! RESP2, as far as loads need it: commands are written into one buffer, and replies are read where they lie.
//!
//! Of the libraries' codecs, those of `redis` and `redis-protocol` give every string and every list of a reply a place of its
//! own on the heap, and read a list that is not all there yet from its beginning: with them a batch of loads takes the client
//! twice the time that it takes the server (`make figures-companion`).

/// What is not RESP2, or not the reply that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Adds a command.
pub(super) fn command(out: &mut Vec<u8>, words: &[&str]) {
    length(out, b'*', words.len());
    for word in words {
        length(out, b'$', word.len());
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

fn length(out: &mut Vec<u8>, kind: u8, length: usize) {
    out.push(kind);
    out.extend_from_slice(length.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Finds out whether so many replies are all there, looking at every byte once however they arrive.
pub(super) struct Scan {
    /// Replies, and elements of lists, that are still to come.
    left: u64,
    /// What was seen.
    at: usize,
}

impl Scan {
    pub(super) fn new(replies: usize) -> Self {
        let left = replies as u64;
        Self { left, at: 0 }
    }

    /// `bytes`: all that has come so far. Where the replies end, when all of them are there; what is behind is others'.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        while self.left > 0 {
            let mut cursor = Cursor { bytes, at: self.at };
            let Some(item) = cursor.step()? else {
                return Ok(None);
            };
            self.at = cursor.at;
            self.left -= 1;
            if let Item::List(length) = item {
                self.left = self.left.checked_add(length).ok_or(Malformed)?;
            }
        }
        Ok(Some(self.at))
    }
}

/// One element of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A status line.
    Status(&'a [u8]),
    /// An error line.
    Error(&'a [u8]),
    Number(i64),
    Text(&'a [u8]),
    /// No text, or no list.
    Nil,
    /// So many elements follow.
    List(u64),
}

/// Goes through replies.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Over replies that are whole.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next element; of a list its length, and its elements after it.
    pub(super) fn next(&mut self) -> Result<Item<'a>, Malformed> {
        self.step()?.ok_or(Malformed)
    }

    /// Passes over the elements of a list, and of the lists in it.
    pub(super) fn skip(&mut self, elements: u64) -> Result<(), Malformed> {
        let mut left = elements;
        while left > 0 {
            left -= 1;
            if let Item::List(length) = self.next()? {
                left = left.checked_add(length).ok_or(Malformed)?;
            }
        }
        Ok(())
    }

    /// `None`: it is not all there.
    fn step(&mut self) -> Result<Option<Item<'a>>, Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\r') else {
            return Ok(None);
        };
        let (Some((kind, line)), Some(newline)) = (
            rest.get(..end).and_then(|line| line.split_first()),
            rest.get(end + 1),
        ) else {
            // A line without a kind is none; one without its last byte is not there yet.
            return if end == 0 { Err(Malformed) } else { Ok(None) };
        };
        if *newline != b'\n' {
            return Err(Malformed);
        }
        let behind = end + 2;
        let (item, length) = match kind {
            b'+' => (Item::Status(line), behind),
            b'-' => (Item::Error(line), behind),
            b':' => (Item::Number(number(line)?), behind),
            b'*' | b'$' if line == b"-1" => (Item::Nil, behind),
            b'*' => (Item::List(unsigned(line)?), behind),
            b'$' => {
                let length = usize::try_from(unsigned(line)?).map_err(|_| Malformed)?;
                let last = behind.checked_add(length).ok_or(Malformed)?;
                let whole = last.checked_add(2).ok_or(Malformed)?;
                let Some(text) = rest.get(behind..whole) else {
                    return Ok(None);
                };
                match text.split_at_checked(length) {
                    Some((text, b"\r\n")) => (Item::Text(text), whole),
                    Some(_) | None => return Err(Malformed),
                }
            }
            _ => return Err(Malformed),
        };
        self.at += length;
        Ok(Some(item))
    }
}

fn number(digits: &[u8]) -> Result<i64, Malformed> {
    let text = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    text.parse().map_err(|_| Malformed)
}

fn unsigned(digits: &[u8]) -> Result<u64, Malformed> {
    u64::try_from(number(digits)?).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: &[u8] =
        b"+OK\r\n*3\r\n$6\r\nsecret\r\n$0\r\n\r\n*1\r\n:-7\r\n-WRONGTYPE no\r\n$-1\r\n*-1\r\n";

    #[test]
    fn a_command_is_written_as_the_protocol_says() {
        let mut out = Vec::new();
        command(&mut out, &["GET", "k\u{e4}y"]);
        assert_eq!(out, "*2\r\n$3\r\nGET\r\n$4\r\nk\u{e4}y\r\n".as_bytes());
    }

    #[test]
    fn replies_are_read_in_order_and_lists_before_what_is_in_them() {
        let mut cursor = Cursor::new(REPLIES);
        for expected in [
            Item::Status(b"OK"),
            Item::List(3),
            Item::Text(b"secret"),
            Item::Text(b""),
            Item::List(1),
            Item::Number(-7),
            Item::Error(b"WRONGTYPE no"),
            Item::Nil,
            Item::Nil,
        ] {
            assert_eq!(cursor.next(), Ok(expected));
        }
        assert_eq!(cursor.next(), Err(Malformed));
    }

    #[test]
    fn a_list_is_passed_over_with_all_that_is_in_it() {
        let mut cursor = Cursor::new(REPLIES);
        assert_eq!(
            (cursor.next(), cursor.next()),
            (Ok(Item::Status(b"OK")), Ok(Item::List(3)))
        );
        assert_eq!(cursor.skip(3), Ok(()));
        assert_eq!(cursor.next(), Ok(Item::Error(b"WRONGTYPE no")));
    }

    #[test]
    fn replies_are_whole_with_their_last_byte_wherever_they_were_cut() {
        for first in 0..REPLIES.len() {
            for second in first..REPLIES.len() {
                let mut scan = Scan::new(5);
                assert_eq!(scan.end(&REPLIES[..first]), Ok(None), "{first}");
                assert_eq!(scan.end(&REPLIES[..second]), Ok(None), "{second}");
                assert_eq!(scan.end(REPLIES), Ok(Some(REPLIES.len())));
            }
        }
        let more = [REPLIES, b"+OK\r\n"].concat();
        assert_eq!(Scan::new(5).end(&more), Ok(Some(REPLIES.len())));
    }

    #[test]
    fn what_is_no_reply_is_refused_and_takes_no_memory() {
        for bad in [
            &b"?\r\n"[..],
            b"\r\n",
            b"+OK\rx",
            b":1x\r\n",
            b"$-2\r\n",
            b"$1\r\nab\r\n",
            b"$99999999999999999999\r\n",
            b"*-2\r\n",
            b"*9223372036854775807\r\n*9223372036854775807\r\n*9223372036854775807\r\n",
        ] {
            assert_eq!(Scan::new(1).end(bad), Err(Malformed), "{bad:?}");
        }
        // A list of very many elements is waited for, and nothing is set aside for it.
        assert_eq!(Scan::new(1).end(b"*9223372036854775807\r\n"), Ok(None));
    }
}
