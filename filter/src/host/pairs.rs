//! The ABI's encoding of a list of pairs (headers): a count, then for each pair the two lengths, then for each pair the
//! name and the value, each followed by a NUL. Numbers are 32 bits, little endian.
//!
//! Source: proxy-wasm-cpp-host, `pairs_util.cc`.

/// Bytes of a name and of a value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// More pairs than a host sends (its own limit is 1,024) are refused before anything is reserved for them.
const MAX_PAIRS: usize = 4096;

/// Reads a block. `None` if it is not one: lengths that do not fit, too many pairs.
pub(super) fn decode(block: &[u8]) -> Option<Vec<Pair>> {
    if block.is_empty() {
        return Some(Vec::new());
    }
    let (count, rest) = number(block)?;
    if count > MAX_PAIRS {
        return None;
    }
    let (mut lengths, mut text) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_size, after) = number(lengths)?;
        let (value_size, after) = number(after)?;
        lengths = after;
        let (name, after) = terminated(text, name_size)?;
        let (value, after) = terminated(after, value_size)?;
        text = after;
        pairs.push((name.to_vec(), value.to_vec()));
    }
    Some(pairs)
}

/// Writes a block.
pub(super) fn encode(pairs: &[(String, String)]) -> Vec<u8> {
    let text: usize = pairs
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()).saturating_add(10))
        .sum();
    let mut block = Vec::with_capacity(text.saturating_add(4));
    push_number(&mut block, pairs.len());
    for (name, value) in pairs {
        push_number(&mut block, name.len());
        push_number(&mut block, value.len());
    }
    for (name, value) in pairs {
        block.extend_from_slice(name.as_bytes());
        block.push(0);
        block.extend_from_slice(value.as_bytes());
        block.push(0);
    }
    block
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*head)).ok()?, rest))
}

fn push_number(block: &mut Vec<u8>, number: usize) {
    // Nothing that stands in the guest's 32-bit memory is longer.
    block.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

fn terminated(text: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (bytes, rest) = text.split_at_checked(size)?;
    Some((bytes, rest.strip_prefix(&[0])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        encode(&[
            (":path".to_owned(), "/mcp".to_owned()),
            ("x-empty".to_owned(), String::new()),
        ])
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(
            decode(&sample()),
            Some(vec![
                (b":path".to_vec(), b"/mcp".to_vec()),
                (b"x-empty".to_vec(), Vec::new())
            ])
        );
    }

    #[test]
    fn no_cut_of_a_block_is_read() {
        let block = sample();
        for cut in 1..block.len() {
            assert_eq!(decode(&block[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn no_changed_byte_panics() {
        let block = sample();
        for at in 0..block.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = block.clone();
                changed[at] = value;
                let _ = decode(&changed);
            }
        }
    }

    #[test]
    fn an_empty_block_is_an_empty_list() {
        assert_eq!(decode(&[]), Some(Vec::new()));
    }
}
