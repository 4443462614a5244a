//! Command-line flags of the test programs: `--name value` pairs and nothing else, so that no parser is linked.

use anyhow::{Context as _, bail};

/// The flags of one invocation; each is taken once, and [`Flags::done`] refuses what is left.
#[derive(Debug)]
pub struct Flags {
    left: Vec<(String, Option<String>)>,
}

impl Flags {
    /// Reads `--name value`, `--name=value` and a lone `--name`.
    ///
    /// # Errors
    /// When an argument is not a flag.
    pub fn parse(args: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut left: Vec<(String, Option<String>)> = Vec::new();
        for arg in args {
            if let Some(flag) = arg.strip_prefix("--") {
                match flag.split_once('=') {
                    Some((name, value)) => left.push((name.to_owned(), Some(value.to_owned()))),
                    None => left.push((flag.to_owned(), None)),
                }
            } else {
                match left.last_mut() {
                    Some((_, value @ None)) => *value = Some(arg),
                    Some(_) | None => bail!("unexpected argument `{arg}`"),
                }
            }
        }
        Ok(Flags { left })
    }

    /// The value of `--name`, if it was given.
    ///
    /// # Errors
    /// When it was given without a value.
    pub fn value(&mut self, name: &str) -> anyhow::Result<Option<String>> {
        let Some(at) = self.left.iter().position(|(flag, _)| flag == name) else {
            return Ok(None);
        };
        let (_, value) = self.left.remove(at);
        value
            .map(Some)
            .with_context(|| format!("`--{name}` needs a value"))
    }

    /// The value of `--name`.
    ///
    /// # Errors
    /// When it is missing.
    pub fn required(&mut self, name: &str) -> anyhow::Result<String> {
        self.value(name)?
            .with_context(|| format!("`--{name}` is missing"))
    }

    /// Whether the lone flag `--name` was given.
    ///
    /// # Errors
    /// When it was given with a value.
    pub fn switch(&mut self, name: &str) -> anyhow::Result<bool> {
        let Some(at) = self.left.iter().position(|(flag, _)| flag == name) else {
            return Ok(false);
        };
        match self.left.remove(at) {
            (_, None) => Ok(true),
            (_, Some(value)) => bail!("`--{name}` takes no value, `{value}` was given"),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When a flag was given that nobody took.
    pub fn done(self) -> anyhow::Result<()> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => bail!("unknown flag `--{name}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    fn flags(args: &[&str]) -> Flags {
        Flags::parse(args.iter().map(|arg| (*arg).to_owned())).expect("well formed")
    }

    #[test]
    fn reads_values_and_switches_and_refuses_the_rest() {
        let mut given = flags(&["--listen", "127.0.0.1:0", "--role=hr", "--control", "--odd"]);
        assert_eq!(given.required("listen").expect("given"), "127.0.0.1:0");
        assert_eq!(given.value("role").expect("given").as_deref(), Some("hr"));
        assert!(given.switch("control").expect("a switch"));
        assert!(given.value("absent").expect("absent").is_none());
        assert!(given.done().is_err());
    }
}
