//! The verifier: everything that running relies on, checked once.
//!
//! It makes one pass over every table. What it accepts can be run without a check that fails: indices are in bounds, a
//! block ends after at most as many instructions as it has, the stack neither underflows nor grows beyond a known size,
//! comprehensions nest to a known depth.

mod assertions;
mod bind;
mod code;
mod effects;
mod entries;
mod error;
mod identities;
mod pins;
mod routes;

pub use bind::BoundIssuer;
pub use error::{Place, VerifyError};

use alloc::{string::String, vec::Vec};

use crate::{
    DecodeError, file,
    lookup::{HttpRoutes, RouteTable, Routes},
    model::{Attr, AttrId, BlockId, EntityKind, Phase, Program, Seg},
    needs::{self, Bits, Needs, PhaseNeeds},
    order::{ByHash, Hash},
};

/// A program that can be run. Made by [`verify`] and [`load`] only.
#[derive(Debug, Clone)]
pub struct VerifiedProgram {
    program: Program,
    digest: [u8; 32],
    phases: Vec<Option<Phase>>,
    needs: Vec<Bits>,
    keys: Vec<Option<String>>,
    by_key: ByHash,
    routes: RouteTable,
    http: HttpRoutes,
}

/// Why bytes do not load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// They are no program.
    #[error("the program cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// They are a program that must not be run.
    #[error("the program does not verify: {0}")]
    Verify(#[from] VerifyError),
}

/// Decodes and verifies.
///
/// # Errors
///
/// If the bytes are not exactly one program of [`FORMAT`](crate::FORMAT) or [`PREVIOUS_FORMAT`](crate::PREVIOUS_FORMAT) with the right
/// digest, or it does not verify.
pub fn load(bytes: &[u8]) -> Result<VerifiedProgram, LoadError> {
    let (program, digest) = file::decode_with_digest(bytes, file::Debugging::Kept)?;
    entries::debug(&program)?;
    // What was read is written in one way only, so that the digest need not be computed from the model again.
    Ok(verified(program, digest)?)
}

/// As [`load`], without the debug section, of which running needs nothing: it is not even read.
///
/// # Errors
///
/// As [`load`], but for what is wrong with the debug section.
pub fn load_to_run(bytes: &[u8]) -> Result<VerifiedProgram, LoadError> {
    let (program, digest) = file::decode_with_digest(bytes, file::Debugging::Skipped)?;
    // What was read is written in one way only, so that the digest need not be computed from the model again.
    Ok(verified(program, digest)?)
}

/// Verifies.
///
/// # Errors
///
/// The first thing that is wrong, table by table.
pub fn verify(program: Program) -> Result<VerifiedProgram, VerifyError> {
    let digest = file::digest(&program);
    entries::debug(&program)?;
    verified(program, digest)
}

fn verified(program: Program, digest: [u8; 32]) -> Result<VerifiedProgram, VerifyError> {
    entries::check(&program)?;
    let phases = code::check(&program)?;
    let keys: Vec<Option<String>> = program.attrs.iter().map(|attr| key(&program, attr)).collect();
    let hashes = (0_u32..)
        .zip(&keys)
        .filter_map(|(at, key)| Some((key_hash(key.as_ref()?), at)));
    Ok(VerifiedProgram {
        digest,
        needs: needs::of_blocks(&program),
        by_key: ByHash::new(&hashes.collect::<Vec<_>>()),
        keys,
        routes: RouteTable::new(&program),
        http: HttpRoutes::new(&program),
        phases,
        program,
    })
}

impl VerifiedProgram {
    /// The model.
    #[must_use]
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// SHA-256 over the magic, the format version and every section but debug and signature.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The digest of what governs an operation: this route with everything that it leads to, or, when there is none, the
    /// fallback for the kind. Changes elsewhere in the policy do not change it.
    #[must_use]
    pub fn route_digest(&self, route: Option<usize>, kind: Option<EntityKind>) -> [u8; 32] {
        let fallbacks = &self.program.fallbacks;
        match route.and_then(|at| self.program.routes.get(at)) {
            Some(route) => file::digest_of_route(&self.program, route),
            None => match fallbacks.iter().find(|fallback| fallback.entity == kind) {
                Some(fallback) => file::digest_of_route(&self.program, fallback),
                None => self.digest,
            },
        }
    }

    /// The digest in lower-case hexadecimal.
    #[must_use]
    pub fn digest_hex(&self) -> String {
        const DIGITS: [char; 16] = [
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
        ];
        let nibbles = self.digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        nibbles
            .filter_map(|nibble| DIGITS.get(usize::from(nibble)))
            .collect()
    }

    /// The phase in which a block of steps runs; `None` for expressions and for blocks that nothing refers to.
    #[must_use]
    pub fn phase(&self, block: BlockId) -> Option<Phase> {
        self.phases.get(block.at()).copied().flatten()
    }

    /// What a route needs of its host. A route that is not there needs nothing.
    #[must_use]
    pub fn needs(&self, route: usize) -> Needs {
        self.program
            .routes
            .get(route)
            .map_or_else(Needs::default, |route| self.needs_of(route.pre, route.post))
    }

    /// What two phases need of their host: the way to ask for a fallback's needs.
    #[must_use]
    pub fn needs_of(&self, pre: Option<BlockId>, post: Option<BlockId>) -> Needs {
        let of = |block: Option<BlockId>| {
            let bits = block.and_then(|block| self.needs.get(block.at()).copied());
            bits.unwrap_or_default().needs()
        };
        Needs {
            pre: of(pre),
            post: of(post),
        }
    }

    /// What any phase of any route or fallback needs of its host.
    #[must_use]
    pub fn all_needs(&self) -> PhaseNeeds {
        let (routes, fallbacks) = (&self.program.routes, &self.program.fallbacks);
        let blocks = (routes.iter().map(|route| [route.pre, route.post]))
            .chain(fallbacks.iter().map(|fallback| [fallback.pre, fallback.post]));
        blocks
            .flatten()
            .flatten()
            .filter_map(|block| self.needs.get(block.at()).copied())
            .fold(Bits::default(), Bits::or)
            .needs()
    }

    /// The dotted spelling of an attribute without interpolated segments, as facts are keyed.
    #[must_use]
    pub fn key(&self, attr: AttrId) -> Option<&str> {
        self.keys.get(attr.at())?.as_deref()
    }

    /// Whether the program spells this attribute out, by its dotted spelling.
    #[must_use]
    pub fn spells(&self, key: &str) -> bool {
        let candidates = self.by_key.candidates(key_hash(key));
        candidates.iter().any(|at| self.key(AttrId(*at)) == Some(key))
    }

    /// The index of the route that governs an HTTP request: `path` is decoded, without its query.
    #[must_use]
    pub fn http_route(&self, path: &str, method: &str, scope: Option<&str>) -> Option<usize> {
        self.http.find(&self.program, path, method, scope, false)
    }

    /// Whether a backend that reads paths without case would take the request for one that another route governs.
    #[must_use]
    pub fn is_case_variant(&self, path: &str, method: &str, scope: Option<&str>) -> bool {
        self.http.find(&self.program, path, method, scope, true) != self.http_route(path, method, scope)
    }

    /// Whether there are routes for HTTP paths.
    #[must_use]
    pub const fn has_http_routes(&self) -> bool {
        !self.http.is_empty()
    }

    /// The routes, for look-up.
    #[must_use]
    pub const fn routes(&self) -> Routes<'_> {
        Routes {
            program: &self.program,
            table: &self.routes,
        }
    }
}

fn key_hash(key: &str) -> u32 {
    Hash::NEW.bytes(key.as_bytes()).get()
}

fn key(program: &Program, attr: &Attr) -> Option<String> {
    let mut key = String::new();
    for seg in &attr.segs {
        let Seg::Name(name) = seg else { return None };
        push_key_segment(&mut key, program.strings.get(name.at())?);
    }
    Some(key)
}

/// Appends one segment to the dotted spelling of an attribute, as facts are keyed. A dot or backslash inside the segment
/// is escaped with a backslash, so that no key spans two segments: `claim["a.b"]` is `claim.a\.b`, not `claim.a.b`.
pub fn push_key_segment(key: &mut String, segment: &str) {
    if !key.is_empty() {
        key.push('.');
    }
    for character in segment.chars() {
        if matches!(character, '.' | '\\') {
            key.push('\\');
        }
        key.push(character);
    }
}
