//! A Biscuit as it was brought: whose signature it bears, whom it names, and when it ends.
//!
//! Whoever holds a Biscuit may add blocks, so only the first is the issuer's. What the others cost to evaluate is bounded before
//! anything of them is evaluated.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use biscuit_auth::builder::{BlockBuilder, date, fact};
use biscuit_auth::datalog::SymbolTable;
use biscuit_auth::error::{FailedCheck, Logic, Token as Fault};
use biscuit_auth::format::schema::{AuthorizerWorld, Check, Predicate, Rule, op, term};
use biscuit_auth::{AuthorizerBuilder, AuthorizerLimits, Biscuit, PublicKey};

use super::TIME;
use crate::delegation::DelegationError;

/// The longest token that is looked at, decoded.
const MAX_BYTES: usize = 8 * 1024;

/// The most blocks that others than the issuer may have added.
const MAX_APPENDED: usize = 16;

/// Combinations of facts that the checks of appended blocks may try.
const MAX_COMBINATIONS: u64 = 1_000_000;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A token that a root signed.
pub(super) struct Presented {
    token: Biscuit,
    world: AuthorizerWorld,
    symbols: SymbolTable,
}

impl Presented {
    /// Checks every signature. One of the keys is the issuer's.
    pub(super) fn verified(keys: &[PublicKey], text: &str) -> Result<Self, DelegationError> {
        use DelegationError::{AttenuationFailed, TokenInvalid};
        if text.len() > MAX_BYTES * 4 / 3 + 4 {
            return Err(AttenuationFailed("it is too large"));
        }
        let bytes = BASE64.decode(text).map_err(|_| TokenInvalid)?;
        let token = keys.iter().find_map(|key| Biscuit::from(&bytes, key).ok());
        let token = token.ok_or(TokenInvalid)?;
        // Blocks as they are encoded, not as they are printed: printed texts are not escaped.
        let world = token.authorizer().and_then(|empty| Ok(empty.snapshot()?.world));
        let world = world.map_err(|_| TokenInvalid)?;
        let symbols = SymbolTable::from(world.symbols.clone()).map_err(|_| TokenInvalid)?;
        let presented = Self {
            token,
            world,
            symbols,
        };
        if presented.is_costly() {
            return Err(AttenuationFailed(
                "a block that was added to it is too costly to check",
            ));
        }
        Ok(presented)
    }

    /// Whether the first block states something under this name, or has a rule that may.
    pub(super) fn says(&self, name: &str) -> bool {
        let mut blocks = self.world.blocks.iter().take(1);
        blocks.any(|block| {
            block.facts.iter().any(|fact| self.is(&fact.predicate, name))
                || block.rules.iter().any(|rule| self.is(&rule.head, name))
        })
    }

    /// Checks that the first block names this subject, and no other.
    pub(super) fn is_of(&self, name: &str, sub: &str) -> Result<(), DelegationError> {
        let blocks = self.world.blocks.iter().take(1);
        let facts = blocks.flat_map(|block| &block.facts).map(|fact| &fact.predicate);
        let named: Vec<&Predicate> = facts.filter(|fact| self.is(fact, name)).collect();
        if named.is_empty() {
            return Err(DelegationError::SubjectUnverifiable);
        }
        match named
            .iter()
            .all(|fact| self.only_text(fact).as_deref() == Some(sub))
        {
            true => Ok(()),
            false => Err(DelegationError::SubjectMismatch),
        }
    }

    /// The last second, of those from `now_s` to `most_s`, in which its own checks of the time hold.
    pub(super) fn ends(&self, now_s: u64, most_s: u64) -> Result<u64, DelegationError> {
        if !self.holds_at(now_s)? {
            return Err(DelegationError::TokenExpired);
        }
        let (mut good, mut bad) = (now_s, most_s.saturating_add(1));
        if self.holds_at(most_s)? {
            return Ok(most_s);
        }
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if self.holds_at(middle)? {
                good = middle;
            } else {
                bad = middle;
            }
        }
        Ok(good)
    }

    /// The token with this block behind its own.
    pub(super) fn with(&self, block: BlockBuilder) -> Result<String, DelegationError> {
        let longer = self.token.append(block).map_err(|fault| match fault {
            Fault::AppendOnSealed => DelegationError::AttenuationFailed("it is sealed"),
            _ => DelegationError::AttenuationFailed("no block can be added to it"),
        })?;
        longer
            .to_base64()
            .map_err(|_| DelegationError::AttenuationFailed("it cannot be written"))
    }

    /// Whether every check that depends on nothing but the time holds then. The others are the backend's: they ask for facts
    /// that nobody has here.
    fn holds_at(&self, at_s: u64) -> Result<bool, DelegationError> {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at_s);
        let limits = AuthorizerLimits {
            // What is evaluated is bounded already; the clock is for what is wrong with that.
            max_time: Duration::from_secs(5),
            ..AuthorizerLimits::default()
        };
        let outcome = AuthorizerBuilder::new()
            .set_limits(limits)
            .fact(fact(TIME, &[date(&at)]))
            .and_then(|builder| builder.policy("allow if true")?.build(&self.token))
            .and_then(|mut authorizer| authorizer.authorize());
        let failed = match outcome {
            Ok(_) => return Ok(true),
            Err(Fault::FailedLogic(
                Logic::Unauthorized { checks, .. } | Logic::NoMatchingPolicy { checks },
            )) => checks,
            Err(_) => return Err(DelegationError::TokenInvalid),
        };
        Ok(!failed.iter().any(|check| match check {
            FailedCheck::Block(failed) => self.is_of_time(failed.block_id, failed.check_id),
            FailedCheck::Authorizer(_) => true,
        }))
    }

    fn is_of_time(&self, block: u32, check: u32) -> bool {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let block = self.world.blocks.get(place(block));
        let check: Option<&Check> = block.and_then(|block| block.checks.get(place(check)));
        // A check that cannot be found again failed, whatever it asked.
        check.is_none_or(|check| {
            let mut asked = check.queries.iter().flat_map(|query| &query.body);
            asked.all(|predicate| self.is(predicate, TIME))
        })
    }

    /// Whether what others added could take long: rules, which make facts of facts, functions over sets, too many
    /// combinations.
    fn is_costly(&self) -> bool {
        let appended = self.world.blocks.get(1..).unwrap_or_default();
        let facts: usize = self.world.blocks.iter().map(|block| block.facts.len()).sum();
        // The time is one more.
        let facts = u64::try_from(facts).unwrap_or(u64::MAX).saturating_add(1);
        let queries = || {
            appended
                .iter()
                .flat_map(|block| &block.checks)
                .flat_map(|check| &check.queries)
        };
        let tried = |query: &Rule| facts.saturating_pow(u32::try_from(query.body.len()).unwrap_or(u32::MAX));
        appended.len() > MAX_APPENDED
            || appended.iter().any(|block| !block.rules.is_empty())
            || queries().any(has_closure)
            || queries().map(tried).fold(0, u64::saturating_add) > MAX_COMBINATIONS
    }

    fn is(&self, predicate: &Predicate, name: &str) -> bool {
        self.symbols
            .print_symbol(predicate.name)
            .is_ok_and(|own| own == name)
    }

    /// The text of a fact with nothing else in it.
    fn only_text(&self, fact: &Predicate) -> Option<String> {
        match fact.terms.as_slice() {
            [one] => match one.content {
                Some(term::Content::String(symbol)) => self.symbols.print_symbol(symbol).ok(),
                _ => None,
            },
            _ => None,
        }
    }
}

fn has_closure(query: &Rule) -> bool {
    let mut ops = query.expressions.iter().flat_map(|expression| &expression.ops);
    ops.any(|op| matches!(op.content, Some(op::Content::Closure(_))))
}
