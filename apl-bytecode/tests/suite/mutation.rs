//! Whatever happens to a file, reading it never panics, and what is accepted is a program that verifies.

use apl_bytecode::*;

use crate::corpus;

/// Puts the right digest on a file, so that what is behind it is looked at too.
fn reseal(bytes: &mut [u8]) {
    use sha2::{Digest as _, Sha256};
    // Ancillary sections are not covered, so try with all of the file first: the corpus for this test has no debug.
    if bytes.len() < 37 {
        return;
    }
    let mut hash = Sha256::new();
    hash.update(MAGIC);
    hash.update([FORMAT]);
    hash.update(&bytes[37..]);
    let digest = hash.finalize();
    bytes[5..37].copy_from_slice(&digest);
}

fn stripped() -> Vec<(&'static str, Vec<u8>)> {
    corpus::all()
        .into_iter()
        .map(|(name, mut program)| {
            program.debug = None;
            (name, encode(&program))
        })
        .collect()
}

/// Accepted means: writes back as it stood, and what verifies can be asked everything.
fn judge(bytes: &[u8]) -> bool {
    let Ok(program) = decode(bytes) else { return false };
    assert_eq!(encode(&program), bytes, "accepted bytes are canonical");
    let _ = listing(&program);
    let Ok(verified) = verify(program) else {
        return false;
    };
    for route in 0..verified.program().routes.len() {
        let _ = verified.needs(route);
    }
    let _ = verified
        .routes()
        .find(EntityKind::Tool, "get_compensation", Some("x"));
    true
}

#[test]
fn a_flipped_byte_is_refused_by_the_digest() {
    for (name, program) in corpus::all() {
        let bytes = encode(&Program {
            debug: None,
            ..program
        });
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                assert!(load(&changed).is_err(), "{name}: byte {at} ^ {flip:#x}");
            }
        }
    }
}

#[test]
fn a_flipped_byte_under_a_right_digest_is_refused_or_another_valid_program() {
    let mut accepted = 0_u32;
    for (_, bytes) in stripped() {
        for at in 37..bytes.len() {
            for value in [
                0,
                1,
                2,
                0x2f,
                0x40,
                0x7f,
                0x80,
                0xff,
                bytes[at] ^ 1,
                bytes[at].wrapping_add(1),
            ] {
                let mut changed = bytes.clone();
                changed[at] = value;
                reseal(&mut changed);
                accepted += u32::from(judge(&changed));
            }
        }
    }
    // Otherwise this would be a test of the digest again.
    assert!(accepted > 500, "{accepted}");
}

#[test]
fn a_cut_file_is_refused() {
    for (name, program) in corpus::all() {
        let bytes = encode(&Program {
            debug: None,
            ..program
        });
        for length in 0..bytes.len() {
            assert!(load(&bytes[..length]).is_err(), "{name} cut to {length}");
            let mut sealed = bytes[..length].to_vec();
            reseal(&mut sealed);
            judge(&sealed);
        }
    }
}

#[test]
fn a_cut_debug_section_is_refused() {
    let program = corpus::every_variant();
    let whole = encode(&program);
    let code = encode(&Program {
        debug: None,
        ..program
    });
    for length in code.len() + 1..whole.len() {
        assert!(load(&whole[..length]).is_err(), "cut to {length}");
    }
    assert!(load(&code).is_ok());
}

#[test]
fn an_extended_file_is_refused() {
    for (name, bytes) in stripped() {
        for byte in 0..=255 {
            let mut longer = bytes.clone();
            longer.push(byte);
            assert!(load(&longer).is_err(), "{name} and {byte}");
        }
    }
}

#[test]
fn inserted_and_deleted_bytes_never_panic() {
    for (_, bytes) in stripped() {
        for at in 37..bytes.len() {
            let mut shorter = bytes.clone();
            shorter.remove(at);
            reseal(&mut shorter);
            judge(&shorter);
            for value in [0, 1, 0x80] {
                let mut longer = bytes.clone();
                longer.insert(at, value);
                reseal(&mut longer);
                judge(&longer);
            }
        }
    }
}

#[test]
fn noise_under_a_right_header_never_panics() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let mut bytes = [&MAGIC[..], &[FORMAT]].concat();
        bytes.extend([0; 32]);
        for _ in 0..1 + next() % 4 {
            let length = next() % 24;
            bytes.extend([1 + (next() % 15) as u8, 1, length as u8]);
            // Small numbers get further than large ones.
            bytes.extend((0..length).map(|_| (next() % 16) as u8));
        }
        reseal(&mut bytes);
        judge(&bytes);
    }
}
