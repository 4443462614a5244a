//! The same model gives the same bytes, and the bytes give the model back.

use apl_bytecode::*;

use crate::corpus;

#[test]
fn programs_survive_encoding() {
    for (name, program) in corpus::all() {
        let bytes = encode(&program);
        assert_eq!(decode(&bytes).unwrap(), program, "{name}");
        assert_eq!(encode(&decode(&bytes).unwrap()), bytes, "{name}");
    }
}

#[test]
fn the_corpus_verifies() {
    for (name, program) in corpus::all() {
        let bytes = encode(&program);
        match load(&bytes) {
            Ok(loaded) => assert_eq!(loaded.digest()[..], bytes[5..37], "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn the_digest_does_not_cover_debug() {
    let mut program = corpus::every_variant();
    let with = verify(program.clone()).unwrap();
    program.debug = None;
    let without = verify(program).unwrap();
    assert_eq!(with.digest(), without.digest());
    assert_eq!(with.digest_hex().len(), 64);
}

#[test]
fn the_seed_policy_fits_in_a_kilobyte_and_a_half() {
    let bytes = encode(&corpus::hr()).len();
    assert!(bytes <= 1_536, "{bytes} bytes");
}

#[test]
fn unknown_ancillary_sections_are_skipped_and_unknown_critical_ones_refused() {
    let plain = encode(&corpus::hr());
    let mut more = plain.clone();
    more.extend([99, 1, 2, b'h', b'i']);
    assert_eq!(decode(&more).unwrap(), corpus::hr());

    let mut unknown = plain.clone();
    unknown.extend([63, 1, 2, b'h', b'i']);
    assert!(matches!(
        decode(&unknown),
        Err(DecodeError::UnknownSection { id: 63, .. })
    ));

    let mut twice = plain.clone();
    twice.extend([13, 1, 2, 0, 0]);
    assert!(matches!(
        decode(&twice),
        Err(DecodeError::SectionOrder { id: 13, .. })
    ));
}

#[test]
fn bytes_that_are_no_program_are_named_as_such() {
    let good = encode(&corpus::hr());
    assert_eq!(decode(b""), Err(DecodeError::Magic));
    assert_eq!(decode(b"\x7fELF and so on"), Err(DecodeError::Magic));
    assert!(matches!(decode(&good[..20]), Err(DecodeError::Truncated { .. })));
    for found in [FORMAT - 1, FORMAT + 1] {
        let mut other = good.clone();
        other[4] = found;
        assert_eq!(decode(&other), Err(DecodeError::Format { found }));
    }
    let mut changed = good;
    changed[10] ^= 1;
    assert_eq!(decode(&changed), Err(DecodeError::Digest));
    assert!(matches!(
        decode(&vec![0; limits::MAX_FILE_BYTES + 1]),
        Err(DecodeError::TooLarge { .. })
    ));
}

/// SHA-256 over every program of the corpus, encoded as this format has it.
const BYTES_OF_THIS_FORMAT: (u8, &str) = (
    2,
    "59b1a8d1a49138bd9a2667231360ed86aa84bb4257051c0f7bc5bb8cec8f17ba",
);

/// A reader of another build would otherwise read on until something does not fit, or worse, does.
#[test]
fn the_format_has_another_number_when_programs_have_other_bytes() {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    for (_, program) in corpus::all() {
        hash.update(encode(&program));
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        (FORMAT, digest.as_str()),
        BYTES_OF_THIS_FORMAT,
        "programs have other bytes than before: give `FORMAT` the next number, if the last release had this one, and put what is new here"
    );
}

/// The same program with another format in its header, and the digest that belongs to it.
fn of_format(format: u8, bytes: &[u8]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let mut other = bytes.to_vec();
    other[4] = format;
    let mut hash = Sha256::new();
    hash.update(&other[..5]);
    hash.update(&other[37..]);
    other[5..37].copy_from_slice(&hash.finalize());
    other
}

/// The same without the two bytes that the settings have since.
fn with_previous_settings(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (bytes[..37].to_vec(), 37);
    while at < bytes.len() {
        let (id, mut length, mut shift, mut end) = (bytes[at], 0_usize, 0, at + 2);
        loop {
            length |= usize::from(bytes[end] & 0x7f) << shift;
            shift += 7;
            end += 1;
            if bytes[end - 1] < 0x80 {
                break;
            }
        }
        let content = &bytes[end..end + length];
        if id == 13 {
            assert!(length < 128 && content.ends_with(&[0, 0]), "{content:?}");
            out.extend([id, 1, u8::try_from(length - 2).unwrap()]);
            out.extend(&content[..length - 2]);
        } else {
            out.extend(&bytes[at..end + length]);
        }
        at = end + length;
    }
    out
}

/// What a filter meets that was upgraded before its policy, and one that was rolled back before it.
#[test]
fn the_format_before_is_loaded_and_every_other_is_refused_by_its_version() {
    let mut program = corpus::hr();
    program.debug = None;
    let now = encode(&program);
    let before = of_format(PREVIOUS_FORMAT, &with_previous_settings(&now));
    let loaded = load_to_run(&before).expect("loads");
    assert_eq!(loaded.program(), load_to_run(&now).expect("loads").program());
    assert_eq!(
        loaded.digest(),
        &before[5..37],
        "its digest is the one that it was built with"
    );
    assert_eq!(load(&before).expect("loads").digest(), loaded.digest());
    assert_eq!(
        decode(&before),
        Err(DecodeError::Format {
            found: PREVIOUS_FORMAT
        })
    );
    for found in [0, FORMAT + 1, 255] {
        let error = load(&of_format(found, &now)).unwrap_err().to_string();
        assert!(
            error.contains(&format!("format version {found} is not known")),
            "{error}"
        );
        assert!(error.contains("compile the policy"), "{error}");
    }
}

/// The format's sections once had other fields: such a program is told by its version, whatever does not fit.
#[test]
fn a_program_of_the_format_before_that_does_not_fit_is_told_by_its_version() {
    let mut bytes = encode(&corpus::hr());
    bytes.truncate(bytes.len() - 1);
    let error = load(&of_format(PREVIOUS_FORMAT, &bytes)).unwrap_err().to_string();
    assert!(error.contains("format version 1"), "{error}");
    assert!(error.contains("compile the policy again"), "{error}");
}

/// A file of one section, with a header that fits.
fn file(section: &[u8]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let mut bytes = [&MAGIC[..], &[FORMAT]].concat();
    let mut hash = Sha256::new();
    hash.update(&bytes);
    hash.update(section);
    bytes.extend_from_slice(&hash.finalize());
    bytes.extend_from_slice(section);
    bytes
}

#[test]
fn there_is_one_way_to_write_everything() {
    const SETTINGS: [u8; 9] = [13, 1, 6, 0, 0, 0, 0, 0, 0];
    assert_eq!(decode(&file(&SETTINGS)), Ok(Program::default()));
    let with = |section: &[u8]| decode(&file(&[section, &SETTINGS].concat()));

    // An over-long count, an over-long length, an empty table, bytes behind the table, another section version.
    assert!(matches!(
        with(&[1, 1, 3, 0x80, 0x00, 0]),
        Err(DecodeError::Varint { .. })
    ));
    assert!(matches!(
        with(&[1, 1, 0x82, 0x00, 1, 0]),
        Err(DecodeError::Varint { .. })
    ));
    assert!(matches!(
        with(&[1, 1, 1, 0]),
        Err(DecodeError::EmptySection { id: 1, .. })
    ));
    assert!(matches!(
        with(&[1, 1, 3, 1, 0, 9]),
        Err(DecodeError::Trailing { .. })
    ));
    assert!(matches!(
        with(&[1, 2, 2, 1, 0]),
        Err(DecodeError::SectionVersion {
            id: 1,
            version: 2,
            ..
        })
    ));
    // A boolean of 2, an 11-byte number, a text that is not UTF-8, an opcode of nobody.
    assert!(matches!(
        with(&[2, 1, 3, 1, 1, 2]),
        Err(DecodeError::Tag { what: "boolean", .. })
    ));
    let long = [&[2, 1, 12, 1, 3][..], &[0xff; 9], &[0x02]].concat();
    assert!(matches!(with(&long), Err(DecodeError::Varint { .. })));
    assert!(matches!(
        with(&[1, 1, 3, 1, 1, 0xff]),
        Err(DecodeError::Utf8 { .. })
    ));
    assert!(matches!(
        with(&[6, 1, 4, 1, 0, 1, 0x77]),
        Err(DecodeError::Tag {
            what: "instruction",
            ..
        })
    ));
    // No settings at all.
    assert_eq!(decode(&file(&[1, 1, 2, 1, 0])), Err(DecodeError::NoSettings));
}

#[test]
fn a_count_that_the_file_cannot_hold_is_refused_before_anything_is_allocated() {
    let section = [1, 1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(
        decode(&file(&section)),
        Err(DecodeError::Count {
            count: 0xffff_ffff,
            ..
        })
    ));
}
