//! All tables but code.

use alloc::vec::Vec;

use super::{Place, VerifyError};
use crate::{
    limits,
    model::{
        Attr, AttrId, BlockId, BlockKind, Code, Const, DenialId, Detector, PathSeg, Pipeline, Program, Regex,
        RegexId, Scanner, ScannerId, Scopes, Seg, Stage, StrId,
    },
};

pub(super) type Checked = Result<(), VerifyError>;

/// Checks every table but the blocks' code.
pub(super) fn check(program: &Program) -> Checked {
    let cx = Entries { program };
    cx.sizes()?;
    for (at, text) in program.strings.iter().enumerate() {
        at_most(text.len(), limits::MAX_STRING_BYTES, "bytes", Place::Text(at))?;
    }
    at_most(
        program.data.len(),
        limits::MAX_DATA_BYTES,
        "bytes of static attributes",
        Place::Tables,
    )?;
    for (at, constant) in program.consts.iter().enumerate() {
        cx.constant(*constant, Place::Const(at))?;
    }
    cx.attrs()?;
    for (at, Regex { pattern, dfa }) in program.regexes.iter().enumerate() {
        cx.text(*pattern, Place::Regex(at))?;
        at_most(dfa.len(), limits::MAX_DFA_BYTES, "bytes", Place::Regex(at))?;
    }
    for (at, denial) in program.denials.iter().enumerate() {
        cx.code(&denial.code, Place::Denial(at))?;
        cx.option(denial.reason, Place::Denial(at))?;
    }
    for (at, pipeline) in program.pipelines.iter().enumerate() {
        cx.pipeline(pipeline, Place::Pipeline(at))?;
    }
    for (at, scanner) in program.scanners.iter().enumerate() {
        cx.scanner(scanner, Place::Scanner(at))?;
    }
    for (at, effect) in program.effects.iter().enumerate() {
        cx.effect(effect, Place::Effect(at))?;
    }
    identities(program)?;
    for (at, route) in program.routes.iter().enumerate() {
        cx.route(route, Place::Route(at))?;
    }
    cx.fallbacks()?;
    cx.assertions()?;
    cx.pins()?;
    cx.public_paths()?;
    cx.challenges()
}

/// Checks the debug section.
pub(super) fn debug(program: &Program) -> Checked {
    let cx = Entries { program };
    program.debug.as_ref().map_or(Ok(()), |debug| cx.debug(debug))
}

pub(super) fn identities(program: &Program) -> Checked {
    let cx = Entries { program };
    for (at, identity) in program.identities.iter().enumerate() {
        cx.identity(identity, Place::Identity(at))?;
    }
    Ok(())
}

pub(super) fn at_most(count: usize, limit: usize, what: &'static str, place: Place) -> Checked {
    if count > limit {
        Err(VerifyError::TooMany { place, what, limit })
    } else {
        Ok(())
    }
}

pub(super) fn at_least_one(count: usize, what: &'static str, place: Place) -> Checked {
    if count == 0 {
        Err(VerifyError::Empty { place, what })
    } else {
        Ok(())
    }
}

pub(super) fn present(index: u32, table: usize, what: &'static str, place: Place) -> Checked {
    if (index as usize) < table {
        Ok(())
    } else {
        Err(VerifyError::Index { place, what, index })
    }
}

pub(super) struct Entries<'a> {
    pub(super) program: &'a Program,
}

impl Entries<'_> {
    fn sizes(&self) -> Checked {
        let p = self.program;
        for (count, what) in [
            (p.strings.len(), "texts"),
            (p.consts.len(), "constants"),
            (p.attrs.len(), "attributes"),
            (p.regexes.len(), "patterns"),
            (p.denials.len(), "denials"),
            (p.blocks.len(), "blocks"),
            (p.pipelines.len(), "pipelines"),
            (p.scanners.len(), "scanners"),
            (p.effects.len(), "effects"),
            (p.identities.len(), "identities"),
            (p.routes.len(), "routes"),
            (p.fallbacks.len(), "fallbacks"),
            (p.assertions.len(), "assertions"),
            (p.pins.len(), "pinned servers"),
            (p.challenges.len(), "challenges"),
        ] {
            at_most(count, limits::MAX_TABLE, what, Place::Tables)?;
        }
        Ok(())
    }

    pub(super) fn text(&self, id: StrId, place: Place) -> Checked {
        present(id.0, self.program.strings.len(), "text", place)
    }

    pub(super) fn option(&self, id: Option<StrId>, place: Place) -> Checked {
        id.map_or(Ok(()), |id| self.text(id, place))
    }

    pub(super) fn texts(&self, ids: &[StrId], what: &'static str, place: Place) -> Checked {
        at_most(ids.len(), limits::MAX_LIST, what, place)?;
        ids.iter().try_for_each(|id| self.text(*id, place))
    }

    pub(super) fn denial(&self, id: DenialId, place: Place) -> Checked {
        present(id.0, self.program.denials.len(), "denial", place)
    }

    pub(super) fn regex(&self, id: RegexId, place: Place) -> Checked {
        present(id.0, self.program.regexes.len(), "pattern", place)
    }

    fn scanner_id(&self, id: ScannerId, place: Place) -> Checked {
        present(id.0, self.program.scanners.len(), "scanner", place)
    }

    pub(super) fn block(&self, id: BlockId, kind: BlockKind, place: Place) -> Checked {
        match self.program.blocks.get(id.at()) {
            None => Err(VerifyError::Index {
                place,
                what: "block",
                index: id.0,
            }),
            Some(block) if block.kind != kind => Err(VerifyError::BlockKind { place, block: id.0 }),
            Some(_) => Ok(()),
        }
    }

    fn constant(&self, constant: Const, place: Place) -> Checked {
        match constant {
            Const::Str(text) => self.text(text, place),
            Const::Null | Const::Bool(_) | Const::Int(_) | Const::Uint(_) | Const::Float(_) => Ok(()),
        }
    }

    /// In bounds, acyclic, and cheap to resolve: a path that interpolates paths that interpolate paths doubles its cost
    /// with each.
    fn attrs(&self) -> Checked {
        let mut costs: Vec<u32> = Vec::new();
        for (at, Attr { segs }) in self.program.attrs.iter().enumerate() {
            let place = Place::Attr(at);
            at_most(segs.len(), limits::MAX_SEGMENTS, "segments", place)?;
            if !matches!(segs.first(), Some(Seg::Name(_))) {
                return Err(VerifyError::NoNamespace { place });
            }
            let mut cost = 0_u32;
            for seg in segs {
                let more = match seg {
                    Seg::Name(name) => {
                        self.text(*name, place)?;
                        1
                    }
                    Seg::Value(AttrId(index)) => {
                        let inner = costs
                            .get(*index as usize)
                            .ok_or(VerifyError::AttrOrder { place, index: *index })?;
                        inner.saturating_add(1)
                    }
                };
                cost = cost.saturating_add(more);
            }
            if cost > limits::MAX_RESOLUTION {
                return Err(VerifyError::Resolution { place });
            }
            costs.push(cost);
        }
        Ok(())
    }

    pub(super) fn code(&self, code: &Code, place: Place) -> Checked {
        match code {
            Code::Text(text) => self.text(*text, place),
            Code::Step {
                source,
                phase: _,
                index: _,
                reactions,
            } => {
                at_most(reactions.len(), limits::MAX_LIST, "reactions", place)?;
                self.text(*source, place)
            }
            Code::Named {
                code,
                source,
                phase: _,
                index: _,
                reactions,
            } => {
                at_most(reactions.len(), limits::MAX_LIST, "reactions", place)?;
                self.text(*code, place)?;
                self.text(*source, place)
            }
            Code::Field {
                source,
                result: _,
                field,
            } => {
                self.text(*source, place)?;
                self.text(*field, place)
            }
        }
    }

    fn pipeline(&self, pipeline: &Pipeline, place: Place) -> Checked {
        let Pipeline {
            side: _,
            path,
            stages,
            denial,
        } = pipeline;
        // A scanner looks into everything below a value, so its value may be the whole of a side.
        if !stages.iter().all(|stage| matches!(stage, Stage::Scan { .. })) {
            at_least_one(path.len(), "field", place)?;
        }
        at_most(path.len(), limits::MAX_SEGMENTS, "segments", place)?;
        at_least_one(stages.len(), "stage", place)?;
        at_most(stages.len(), limits::MAX_STAGES, "stages", place)?;
        self.denial(*denial, place)?;
        let redacts = stages.iter().any(|stage| matches!(stage, Stage::Redact(_)));
        for seg in path {
            match seg {
                PathSeg::Key(name) => self.text(*name, place)?,
                PathSeg::AnyDepth if redacts => {}
                PathSeg::AnyDepth => {
                    return Err(VerifyError::Meaningless {
                        place,
                        what: "a `**` without a redaction",
                    });
                }
            }
        }
        stages.iter().try_for_each(|stage| self.stage(stage, place))
    }

    fn stage(&self, stage: &Stage, place: Place) -> Checked {
        match stage {
            Stage::Type(_)
            | Stage::Email
            | Stage::Url
            | Stage::Uuid
            | Stage::Range(..)
            | Stage::Len(..)
            | Stage::Mask(_)
            | Stage::Omit
            | Stage::Hash
            | Stage::Required
            | Stage::Redact(None) => Ok(()),
            Stage::Enum(values) => self.texts(values, "values", place),
            Stage::Regex(regex) => self.regex(*regex, place),
            Stage::Redact(Some(condition)) => self.block(*condition, BlockKind::Expr, place),
            Stage::Taint(label, scopes) => {
                self.text(*label, place)?;
                Self::scopes(*scopes, place)
            }
            Stage::Scan {
                scanner,
                mode: _,
                label,
            } => {
                self.scanner_id(*scanner, place)?;
                self.option(*label, place)
            }
        }
    }

    pub(super) fn scopes(scopes: Scopes, place: Place) -> Checked {
        let all = Scopes::SESSION.with(Scopes::MESSAGE).with(Scopes::SUBJECT);
        if scopes.0 == 0 {
            return Err(VerifyError::Empty { place, what: "scope" });
        }
        if all.has(scopes) {
            Ok(())
        } else {
            Err(VerifyError::Meaningless {
                place,
                what: "a scope",
            })
        }
    }

    fn scanner(&self, scanner: &Scanner, place: Place) -> Checked {
        let Scanner {
            name,
            detectors,
            code,
        } = scanner;
        self.text(*name, place)?;
        self.text(*code, place)?;
        at_least_one(detectors.len(), "detector", place)?;
        at_most(detectors.len(), limits::MAX_LIST, "detectors", place)?;
        for detector in detectors {
            if let Detector::Custom(name, regex) = detector {
                self.text(*name, place)?;
                self.regex(*regex, place)?;
            }
        }
        Ok(())
    }
}
