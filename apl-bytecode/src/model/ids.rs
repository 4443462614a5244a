//! Indices into the program's tables.

macro_rules! id {
    ($(#[$doc:meta] $name:ident)*) => {$(
        #[$doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The index as a `usize`. Every target has at least 32 bits.
            #[must_use]
            pub const fn at(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

id! {
    /// Into [`Program::strings`](super::Program::strings).
    StrId
    /// Into [`Program::consts`](super::Program::consts).
    ConstId
    /// Into [`Program::attrs`](super::Program::attrs).
    AttrId
    /// Into [`Program::blocks`](super::Program::blocks).
    BlockId
    /// Into [`Program::pipelines`](super::Program::pipelines).
    PipelineId
    /// Into [`Program::effects`](super::Program::effects).
    EffectId
    /// Into [`Program::denials`](super::Program::denials).
    DenialId
    /// Into [`Program::regexes`](super::Program::regexes).
    RegexId
    /// Into [`Program::scanners`](super::Program::scanners).
    ScannerId
    /// Into [`Program::identities`](super::Program::identities).
    IdentityId
    /// Into [`Program::assertions`](super::Program::assertions).
    AssertionsId
}
