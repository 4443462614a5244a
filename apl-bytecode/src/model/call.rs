//! Functions of expressions.

/// CEL functions. The number of arguments is part of the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are CEL's own")]
pub enum Call {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    Int,
    Uint,
    Double,
    String,
    Bool,
    LowerAscii,
    UpperAscii,
    Trim,
    /// The name of the value's type, for comparisons with another one.
    Type,
    Split,
    SplitMost,
    Join,
    JoinWith,
    Replace,
    ReplaceMost,
    SubstringFrom,
    Substring,
    IndexOf,
    LastIndexOf,
    CharAt,
    Reverse,
    /// A text in RFC 3339, or seconds since the Unix epoch.
    Timestamp,
    /// A text such as `1h30m`.
    Duration,
    GetFullYear,
    GetMonth,
    GetDayOfMonth,
    GetDate,
    GetDayOfWeek,
    GetDayOfYear,
    GetHours,
    GetMinutes,
    GetSeconds,
    GetMilliseconds,
}

impl Call {
    /// Every function, in the order of their numbers in the file.
    pub const ALL: [Self; 37] = [
        Self::Size,
        Self::StartsWith,
        Self::EndsWith,
        Self::Contains,
        Self::Int,
        Self::Uint,
        Self::Double,
        Self::String,
        Self::Bool,
        Self::LowerAscii,
        Self::UpperAscii,
        Self::Trim,
        Self::Type,
        Self::Split,
        Self::SplitMost,
        Self::Join,
        Self::JoinWith,
        Self::Replace,
        Self::ReplaceMost,
        Self::SubstringFrom,
        Self::Substring,
        Self::IndexOf,
        Self::LastIndexOf,
        Self::CharAt,
        Self::Reverse,
        Self::Timestamp,
        Self::Duration,
        Self::GetFullYear,
        Self::GetMonth,
        Self::GetDayOfMonth,
        Self::GetDate,
        Self::GetDayOfWeek,
        Self::GetDayOfYear,
        Self::GetHours,
        Self::GetMinutes,
        Self::GetSeconds,
        Self::GetMilliseconds,
    ];

    /// The name in an expression.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Contains => "contains",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bool => "bool",
            Self::LowerAscii => "lowerAscii",
            Self::UpperAscii => "upperAscii",
            Self::Trim => "trim",
            Self::Type => "type",
            Self::Split | Self::SplitMost => "split",
            Self::Join | Self::JoinWith => "join",
            Self::Replace | Self::ReplaceMost => "replace",
            Self::SubstringFrom | Self::Substring => "substring",
            Self::IndexOf => "indexOf",
            Self::LastIndexOf => "lastIndexOf",
            Self::CharAt => "charAt",
            Self::Reverse => "reverse",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::GetFullYear => "getFullYear",
            Self::GetMonth => "getMonth",
            Self::GetDayOfMonth => "getDayOfMonth",
            Self::GetDate => "getDate",
            Self::GetDayOfWeek => "getDayOfWeek",
            Self::GetDayOfYear => "getDayOfYear",
            Self::GetHours => "getHours",
            Self::GetMinutes => "getMinutes",
            Self::GetSeconds => "getSeconds",
            Self::GetMilliseconds => "getMilliseconds",
        }
    }

    /// Whether it is called on a receiver only, as `text.trim()`.
    #[must_use]
    pub const fn is_method(self) -> bool {
        !matches!(
            self,
            Self::Size
                | Self::Int
                | Self::Uint
                | Self::Double
                | Self::String
                | Self::Bool
                | Self::Type
                | Self::Timestamp
                | Self::Duration
        )
    }

    /// How many values it takes from the stack.
    #[must_use]
    pub const fn arity(self) -> u16 {
        match self {
            Self::ReplaceMost => 4,
            Self::SplitMost | Self::Replace | Self::Substring => 3,
            Self::StartsWith
            | Self::EndsWith
            | Self::Contains
            | Self::Split
            | Self::JoinWith
            | Self::SubstringFrom
            | Self::IndexOf
            | Self::LastIndexOf
            | Self::CharAt => 2,
            Self::Size
            | Self::Int
            | Self::Uint
            | Self::Double
            | Self::String
            | Self::Bool
            | Self::LowerAscii
            | Self::UpperAscii
            | Self::Trim
            | Self::Type
            | Self::Join
            | Self::Reverse
            | Self::Timestamp
            | Self::Duration
            | Self::GetFullYear
            | Self::GetMonth
            | Self::GetDayOfMonth
            | Self::GetDate
            | Self::GetDayOfWeek
            | Self::GetDayOfYear
            | Self::GetHours
            | Self::GetMinutes
            | Self::GetSeconds
            | Self::GetMilliseconds => 1,
        }
    }
}
