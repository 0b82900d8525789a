//! The few options of the tasks, parsed by hand: a parser crate would take longer to compile than
//! all of xtask.

use anyhow::{Result, bail};

/// Which options a task takes, and what was given.
#[derive(Debug, Default)]
pub(crate) struct Options {
    flags: Vec<String>,
    values: Vec<(String, String)>,
}

impl Options {
    /// Reads `args`; `flags` stand alone, `valued` take a value (`--name VALUE` or `--name=VALUE`).
    pub(crate) fn parse(args: &[String], flags: &[&str], valued: &[&str]) -> Result<Options> {
        let mut options = Options::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (arg.as_str(), None),
            };
            if flags.contains(&name) && inline.is_none() {
                options.flags.push(name.to_owned());
            } else if valued.contains(&name) {
                let Some(value) = inline.or_else(|| rest.next().cloned()) else {
                    bail!("{name} needs a value");
                };
                options.values.push((name.to_owned(), value));
            } else {
                bail!("unknown option '{arg}'; `cargo xtask help` lists the options");
            }
        }
        Ok(options)
    }

    /// Whether a flag was given.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|f| f == flag)
    }

    /// All values given to an option, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.values.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(args: &[&str]) -> Vec<String> {
        args.iter().map(|&a| a.to_owned()).collect()
    }

    #[test]
    fn flags_and_repeated_values() {
        let args = strings(&["--device", "cpu", "--no-install", "--device=wgpu:0"]);
        let options = Options::parse(&args, &["--no-install"], &["--device"]).unwrap();
        assert!(options.has("--no-install"));
        assert!(!options.has("--device"));
        assert_eq!(options.all("--device").collect::<Vec<_>>(), ["cpu", "wgpu:0"]);
    }

    #[test]
    fn mistakes_are_named() {
        let missing = Options::parse(&strings(&["--device"]), &[], &["--device"]).unwrap_err();
        assert!(missing.to_string().contains("--device needs a value"));
        let unknown = Options::parse(&strings(&["--devise", "x"]), &[], &["--device"]);
        assert!(unknown.unwrap_err().to_string().contains("'--devise'"));
        let flag_with_value = Options::parse(&strings(&["--fast=1"]), &["--fast"], &[]);
        assert!(flag_with_value.is_err());
    }
}
