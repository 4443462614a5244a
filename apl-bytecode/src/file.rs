//! The `.aplb` file: a header with a digest, then sections.

use alloc::{string::String, vec::Vec};

use sha2::{Digest as _, Sha256};

use crate::{
    limits,
    model::{Debug, Program, Settings},
    wire::{Reader, Wire, Writer},
};

/// The first bytes of every program.
pub const MAGIC: [u8; 4] = *b"APLB";
/// The format that this build reads and writes. It changes with whatever changes the bytes of a program, so that a program
/// of another build is told by its version and not by what does not fit: a test holds it to the bytes.
pub const FORMAT: u8 = 2;
/// The format before, which [`load`](crate::load) reads too: whoever upgrades the reader need not compile every policy first.
/// Its settings end before [`delivery`](Settings::delivery); else its sections are those of [`FORMAT`]. The next number brings a
/// reader of this one with it.
pub const PREVIOUS_FORMAT: u8 = 1;
/// Sections from this number on are not part of the digest and, if unknown, skipped; unknown ones below are refused.
pub const FIRST_ANCILLARY: u8 = 64;

pub(crate) const HEADER_BYTES: usize = 37;

const STRINGS: u8 = 1;
const CONSTS: u8 = 2;
const ATTRS: u8 = 3;
const REGEXES: u8 = 4;
const DENIALS: u8 = 5;
const BLOCKS: u8 = 6;
const PIPELINES: u8 = 7;
const SCANNERS: u8 = 8;
const EFFECTS: u8 = 9;
const IDENTITIES: u8 = 10;
const ROUTES: u8 = 11;
const FALLBACKS: u8 = 12;
const SETTINGS: u8 = 13;
const DATA: u8 = 14;
const ASSERTIONS: u8 = 15;
const PINS: u8 = 16;
const PUBLIC_PATHS: u8 = 17;
const CHALLENGES: u8 = 18;
const DEBUG: u8 = 64;
pub(crate) const SIGNATURE: u8 = 65;

/// The version of every section that this build writes; it reads no other.
const SECTION_VERSION: u8 = 1;

/// Why bytes are not a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first four bytes.
    #[error("not a compiled policy: it does not begin with `APLB`")]
    Magic,
    /// Another format.
    #[error(
        "format version {found} is not known to this build, which reads versions {PREVIOUS_FORMAT} and {FORMAT}: compile the policy with the `aplc` that belongs to it"
    )]
    Format {
        /// What the header says.
        found: u8,
    },
    /// The format before, and not as its last version wrote it.
    #[error(
        "a program of format version {PREVIOUS_FORMAT}, which cannot be read: {cause}; compile the policy again"
    )]
    Previous {
        /// What is wrong with it.
        cause: alloc::boxed::Box<Self>,
    },
    /// Longer than [`limits::MAX_FILE_BYTES`].
    #[error("{bytes} bytes are more than a program may have ({})", limits::MAX_FILE_BYTES)]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// The digest in the header is not that of the sections.
    #[error("the digest does not match: the file was damaged or changed after it was compiled")]
    Digest,
    /// A section that this build does not know and may not skip.
    #[error("section {id} at byte {at} is not known to this build")]
    UnknownSection {
        /// Its number.
        id: u8,
        /// Where.
        at: usize,
    },
    /// A section in a version that this build does not know.
    #[error("section {id} at byte {at} has version {version}, which is not known to this build")]
    SectionVersion {
        /// Its number.
        id: u8,
        /// Its version.
        version: u8,
        /// Where.
        at: usize,
    },
    /// A section that stands twice or behind one with a higher number.
    #[error("section {id} at byte {at} is out of order")]
    SectionOrder {
        /// Its number.
        id: u8,
        /// Where.
        at: usize,
    },
    /// A table section without entries; it has to be left out.
    #[error("section {id} at byte {at} is empty")]
    EmptySection {
        /// Its number.
        id: u8,
        /// Where.
        at: usize,
    },
    /// No settings.
    #[error("the settings section is missing")]
    NoSettings,
    /// Bytes behind the content of a section.
    #[error("unexpected bytes at the end of a section, from byte {at} on")]
    Trailing {
        /// Where.
        at: usize,
    },
    /// The end came too early.
    #[error("cut off at byte {at}")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// A number that is too large for its place or not in its shortest form.
    #[error("badly written number at byte {at}")]
    Varint {
        /// Where.
        at: usize,
    },
    /// A count of more things than bytes are left.
    #[error("{count} entries announced at byte {at} do not fit in the file")]
    Count {
        /// The count.
        count: usize,
        /// Where.
        at: usize,
    },
    /// A text that is not UTF-8.
    #[error("a text at byte {at} is not UTF-8")]
    Utf8 {
        /// Where.
        at: usize,
    },
    /// A number that stands for nothing.
    #[error("{tag} at byte {at} is no {what}")]
    Tag {
        /// What was expected.
        what: &'static str,
        /// The number.
        tag: u8,
        /// Where.
        at: usize,
    },
}

/// The program as bytes. The same program gives the same bytes.
#[must_use]
pub fn encode(program: &Program) -> Vec<u8> {
    let sections = semantic_sections(program);
    let mut out = Writer::default();
    out.raw(&MAGIC);
    out.byte(FORMAT);
    out.raw(&digest_of(FORMAT, &sections));
    out.raw(&sections);
    if let Some(debug) = &program.debug {
        section(&mut out, DEBUG, debug);
    }
    out.into_bytes()
}

/// The program in the bytes. Structure only: [`verify`](crate::verify) it before it is run.
///
/// Whatever this accepts, [`encode`] gives back byte for byte, but for ancillary sections.
///
/// # Errors
///
/// If the bytes are not exactly one program of a known format, or the digest does not match.
pub fn decode(bytes: &[u8]) -> Result<Program, DecodeError> {
    // What is read here is written back byte for byte, which a program of another format is not.
    let (found, ..) = after_header(bytes)?;
    if found != FORMAT {
        return Err(DecodeError::Format { found });
    }
    Ok(decode_with_digest(bytes, Debugging::Kept)?.0)
}

/// What becomes of the debug section.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Debugging {
    /// It is read.
    Kept,
    /// It is skipped like a section that is not known.
    Skipped,
}

/// The program and the digest that its bytes have, of this format or the one before.
pub(crate) fn decode_with_digest(
    bytes: &[u8],
    debugging: Debugging,
) -> Result<(Program, [u8; 32]), DecodeError> {
    let (format, claimed, input) = after_header(bytes)?;
    let sections = Sections {
        bytes,
        format,
        claimed,
        debugging,
    };
    sections.read(input).map_err(|cause| match format {
        PREVIOUS_FORMAT => DecodeError::Previous {
            cause: alloc::boxed::Box::new(cause),
        },
        _ => cause,
    })
}

/// What stands behind a header.
struct Sections<'a> {
    bytes: &'a [u8],
    format: u8,
    claimed: &'a [u8],
    debugging: Debugging,
}

impl Sections<'_> {
    fn read(&self, input: Reader<'_>) -> Result<(Program, [u8; 32]), DecodeError> {
        let (bytes, debugging) = (self.bytes, self.debugging);
        let mut input = input;
        let mut program = Program::default();
        let mut settings = None;
        let mut last = 0_u8;
        let mut semantic_end = HEADER_BYTES;
        while !input.is_empty() {
            let at = input.at();
            let id = input.byte()?;
            let version = input.byte()?;
            let length = input.count()?;
            let start = input.at();
            let content = input.take(length)?;
            let mut body = Reader::new(content, start);
            if id <= last {
                return Err(DecodeError::SectionOrder { id, at });
            }
            last = id;
            if id < FIRST_ANCILLARY {
                semantic_end = input.at();
            }
            let known = matches!(id, STRINGS..=CHALLENGES | DEBUG);
            if known && version != SECTION_VERSION {
                return Err(DecodeError::SectionVersion { id, version, at });
            }
            match id {
                STRINGS => program.strings = table(&mut body, id)?,
                CONSTS => program.consts = table(&mut body, id)?,
                ATTRS => program.attrs = table(&mut body, id)?,
                REGEXES => program.regexes = table(&mut body, id)?,
                DENIALS => program.denials = table(&mut body, id)?,
                BLOCKS => program.blocks = table(&mut body, id)?,
                PIPELINES => program.pipelines = table(&mut body, id)?,
                SCANNERS => program.scanners = table(&mut body, id)?,
                EFFECTS => program.effects = table(&mut body, id)?,
                IDENTITIES => program.identities = table(&mut body, id)?,
                ROUTES => program.routes = table(&mut body, id)?,
                FALLBACKS => program.fallbacks = table(&mut body, id)?,
                SETTINGS if self.format == PREVIOUS_FORMAT => {
                    settings = Some(previous_settings(content, start)?);
                    continue;
                }
                SETTINGS => settings = Some(Settings::get(&mut body)?),
                ASSERTIONS => program.assertions = table(&mut body, id)?,
                DATA => program.data = text(&mut body, id)?,
                PINS => program.pins = table(&mut body, id)?,
                PUBLIC_PATHS => program.public_paths = Some(Vec::get(&mut body)?),
                CHALLENGES => program.challenges = table(&mut body, id)?,
                DEBUG if debugging == Debugging::Kept => program.debug = Some(Debug::get(&mut body)?),
                // The signature is over the digest and checked by whoever holds the key; others are for newer readers.
                FIRST_ANCILLARY.. => continue,
                _ => return Err(DecodeError::UnknownSection { id, at }),
            }
            if !body.is_empty() {
                return Err(DecodeError::Trailing { at: body.at() });
            }
        }
        let sections = bytes.get(HEADER_BYTES..semantic_end).unwrap_or_default();
        let digest = digest_of(self.format, sections);
        if digest != *self.claimed {
            return Err(DecodeError::Digest);
        }
        program.settings = settings.ok_or(DecodeError::NoSettings)?;
        Ok((program, digest))
    }
}

/// Settings as the format before wrote them: without how records are delivered, which was in batches, and without capture.
fn previous_settings(content: &[u8], start: usize) -> Result<Settings, DecodeError> {
    let longer = [content, &[0, 0]].concat();
    let mut body = Reader::new(&longer, start);
    let settings = Settings::get(&mut body)?;
    if body.is_empty() {
        Ok(settings)
    } else {
        Err(DecodeError::Trailing { at: body.at() })
    }
}

/// The format and the digest in the header, and a reader at the first section.
pub(crate) fn after_header(bytes: &[u8]) -> Result<(u8, &[u8], Reader<'_>), DecodeError> {
    if bytes.len() > limits::MAX_FILE_BYTES {
        return Err(DecodeError::TooLarge { bytes: bytes.len() });
    }
    let mut input = Reader::new(bytes, 0);
    if !bytes.starts_with(&MAGIC) {
        return Err(DecodeError::Magic);
    }
    input.take(MAGIC.len())?;
    let found = input.byte()?;
    if found != FORMAT && found != PREVIOUS_FORMAT {
        return Err(DecodeError::Format { found });
    }
    let claimed = input.take(32)?;
    Ok((found, claimed, input))
}

/// What a section holds, for readers.
pub(crate) const fn section_name(id: u8) -> &'static str {
    match id {
        STRINGS => "strings",
        CONSTS => "constants",
        ATTRS => "attributes",
        DATA => "static attributes",
        REGEXES => "patterns",
        DENIALS => "denials",
        BLOCKS => "code",
        PIPELINES => "pipelines",
        SCANNERS => "scanners",
        EFFECTS => "effects",
        IDENTITIES => "identities",
        ROUTES => "routes",
        FALLBACKS => "fallbacks",
        SETTINGS => "settings",
        ASSERTIONS => "assertions",
        PINS => "pins",
        PUBLIC_PATHS => "public paths",
        CHALLENGES => "challenges",
        DEBUG => "debug",
        SIGNATURE => "signature",
        _ => "unknown",
    }
}

/// SHA-256 over the magic, the format version and every section but the ancillary ones.
pub(crate) fn digest(program: &Program) -> [u8; 32] {
    digest_of(FORMAT, &semantic_sections(program))
}

/// SHA-256 over what an operation is governed by: the route, or the fallback, with everything that it leads to and
/// nothing else. It stays the same when other parts of the policy change.
pub(crate) fn digest_of_route<T: Wire>(program: &Program, entry: &T) -> [u8; 32] {
    let mut out = Writer::of_whole(program);
    out.raw(&MAGIC);
    out.byte(FORMAT);
    entry.put(&mut out);
    Sha256::digest(out.into_bytes()).into()
}

fn digest_of(format: u8, sections: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(MAGIC);
    hash.update([format]);
    hash.update(sections);
    hash.finalize().into()
}

fn semantic_sections(program: &Program) -> Vec<u8> {
    let Program {
        strings,
        consts,
        attrs,
        regexes,
        denials,
        blocks,
        pipelines,
        scanners,
        effects,
        identities,
        routes,
        fallbacks,
        settings,
        data,
        assertions,
        pins,
        public_paths,
        challenges,
        debug: _,
    } = program;
    let mut out = Writer::default();
    put_table(&mut out, STRINGS, strings);
    put_table(&mut out, CONSTS, consts);
    put_table(&mut out, ATTRS, attrs);
    put_table(&mut out, REGEXES, regexes);
    put_table(&mut out, DENIALS, denials);
    put_table(&mut out, BLOCKS, blocks);
    put_table(&mut out, PIPELINES, pipelines);
    put_table(&mut out, SCANNERS, scanners);
    put_table(&mut out, EFFECTS, effects);
    put_table(&mut out, IDENTITIES, identities);
    put_table(&mut out, ROUTES, routes);
    put_table(&mut out, FALLBACKS, fallbacks);
    section(&mut out, SETTINGS, settings);
    if !data.is_empty() {
        section(&mut out, DATA, data);
    }
    put_table(&mut out, ASSERTIONS, assertions);
    put_table(&mut out, PINS, pins);
    if let Some(paths) = public_paths {
        section(&mut out, PUBLIC_PATHS, paths);
    }
    put_table(&mut out, CHALLENGES, challenges);
    out.into_bytes()
}

fn put_table<T: Wire>(out: &mut Writer<'_>, id: u8, entries: &Vec<T>) {
    if !entries.is_empty() {
        section(out, id, entries);
    }
}

fn section<T: Wire>(out: &mut Writer<'_>, id: u8, content: &T) {
    let mut body = Writer::default();
    content.put(&mut body);
    put_section(out, id, &body.into_bytes());
}

/// Appends a section with this content.
pub(crate) fn put_section(out: &mut Writer, id: u8, content: &[u8]) {
    out.byte(id);
    out.byte(SECTION_VERSION);
    out.count(content.len());
    out.raw(content);
}

fn table<T: Wire>(body: &mut Reader<'_>, id: u8) -> Result<Vec<T>, DecodeError> {
    let at = body.at();
    let entries = T::get_list(body)?;
    if entries.is_empty() {
        Err(DecodeError::EmptySection { id, at })
    } else {
        Ok(entries)
    }
}

fn text(body: &mut Reader<'_>, id: u8) -> Result<String, DecodeError> {
    let at = body.at();
    let text = String::get(body)?;
    if text.is_empty() {
        Err(DecodeError::EmptySection { id, at })
    } else {
        Ok(text)
    }
}
