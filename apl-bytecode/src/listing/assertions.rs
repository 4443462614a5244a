//! Assertions in a listing.

use alloc::format;
use core::fmt::Write as _;

use super::Listing;
use crate::model::{Assertions, Contract, Encoding, HeaderSource};

impl Listing<'_> {
    pub(super) fn assertions(&mut self, at: usize, assertions: &Assertions) {
        for (direction, contract) in [
            ("request", &assertions.request),
            ("response", &assertions.response),
        ] {
            self.contract(at, direction, contract);
        }
    }

    fn contract(&mut self, at: usize, direction: &str, contract: &Contract) {
        for pattern in &contract.strip {
            self.line(&format!(
                "assertions {at} {direction} strip {}",
                self.str(*pattern)
            ));
        }
        for header in &contract.headers {
            let mut line = format!("assertions {at} {direction} {} =", self.str(header.name));
            match &header.source {
                HeaderSource::Attr(attr) => {
                    let _ = write!(line, " {}", self.attr(*attr));
                }
                HeaderSource::Variable(name) => {
                    let _ = write!(line, " environment {}", self.str(*name));
                }
                HeaderSource::Members(members) => {
                    for (key, attr) in members {
                        let _ = write!(line, " {}: {}", self.str(*key), self.attr(*attr));
                    }
                }
            }
            line.push_str(match header.encoding {
                Encoding::Plain => "",
                Encoding::Json => " as json",
                Encoding::Csv => " as csv",
            });
            if header.required {
                line.push_str(" or deny");
            }
            self.line(&line);
        }
    }
}
