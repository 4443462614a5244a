//! What an exchange speaks, and so how its messages are read and how its client is told of a denial.

use crate::{config::Speaks, llm, refusal::Shape};

/// A protocol, and of models its dialect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Codec {
    /// JSON-RPC.
    #[default]
    Mcp,
    /// JSON-RPC.
    A2a,
    /// Completions, embeddings and responses as OpenAI has them.
    OpenAi,
    /// Messages as Anthropic has them.
    Anthropic,
    /// Any HTTP resource.
    Http,
}

impl Codec {
    /// Of a `protocols` entry and the request's path.
    pub(crate) fn of(speaks: Speaks, path: &str) -> Self {
        match speaks {
            Speaks::Mcp => Self::Mcp,
            Speaks::A2a => Self::A2a,
            Speaks::Http => Self::Http,
            Speaks::Llm => llm::endpoint(path).map_or(Self::OpenAi, |(_, codec)| codec),
        }
    }

    /// How its clients are told, where that does not depend on the message: a body stands for itself, in no JSON-RPC
    /// envelope.
    pub(crate) const fn shape(self) -> Option<Shape<'static>> {
        match self {
            Self::Mcp | Self::A2a => None,
            Self::OpenAi => Some(Shape::OpenAi),
            Self::Anthropic => Some(Shape::Anthropic),
            Self::Http => Some(Shape::Problem),
        }
    }

    /// Whether a whole body is the arguments or the result.
    pub(crate) const fn is_plain(self) -> bool {
        self.shape().is_some()
    }

    /// Whose models they are.
    pub(crate) const fn provider(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("openai"),
            Self::Anthropic => Some("anthropic"),
            Self::Mcp | Self::A2a | Self::Http => None,
        }
    }
}
