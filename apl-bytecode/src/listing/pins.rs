//! Pins, public paths and challenges.

use alloc::{format, string::String};
use core::fmt::Write as _;

use super::Listing;

impl Listing<'_> {
    pub(super) fn pins(&mut self) {
        let program = self.program;
        for pins in &program.pins {
            let scope = pins
                .scope
                .map_or_else(String::new, |id| format!(" scope={}", self.str(id)));
            let unpinned = if pins.hides_unpinned { "hide" } else { "allow" };
            self.line(&format!("pins{scope} unpinned={unpinned}"));
            for pin in &pins.tools {
                let mut line = format!("  {} ", self.str(pin.name));
                for byte in pin.digest {
                    let _ = write!(line, "{byte:02x}");
                }
                self.line(&line);
            }
        }
        if let Some(paths) = &program.public_paths {
            self.line(&format!("public paths [{}]", self.list(paths)));
        }
    }

    pub(super) fn challenges(&mut self) {
        for challenge in &self.program.challenges {
            let lists = if challenge.annotates { "annotate" } else { "hide" };
            self.line(&format!(
                "challenge route {} scopes=[{}] lists={lists}",
                challenge.route,
                self.list(&challenge.scopes)
            ));
        }
    }
}
