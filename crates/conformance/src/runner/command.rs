//! The command line that runs one result again: printed with a failure, kept in the report, and
//! replayed from there.

use std::collections::BTreeMap;

use crate::Level;
use crate::runner::Options;

impl Options {
    /// The command that runs case `id` on `device` and on the kernel of that name (any kernel where
    /// it is empty), as often as this run did.
    pub fn command(&self, device: &str, id: &str, kernel: &str) -> String {
        let mut words = vec!["unisono check --device".to_string(), quoted(device), "--case".to_string(), quoted(id)];
        let mut option = |name: &str, value: &str| words.extend([name.to_string(), quoted(value)]);
        if !kernel.is_empty() {
            option("--kernel", kernel);
        }
        if self.level != Level::Quick {
            option("--level", self.level.name());
        }
        words.join(" ")
    }
}

/// The options of the command that plant a fault again, where one was planted into the device.
pub(crate) fn planted(properties: &BTreeMap<String, String>) -> String {
    let mut options = String::new();
    for (property, option) in [("planted-fault", "--plant"), ("planted-fault-file", "--extra")] {
        if let Some(value) = properties.get(property) {
            options.push_str(&format!(" {option} {}", quoted(value)));
        }
    }
    options
}

/// `word` as a shell takes it: in single quotes, unless it has nothing that a shell would read.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_pins_the_kernel_and_the_level() {
        let quick = Options::new(Level::Quick);
        let command = quick.command("wgpu:0", "add/a:k=1,d=2:seed=3", "add_4");
        assert_eq!(command, "unisono check --device wgpu:0 --case 'add/a:k=1,d=2:seed=3' --kernel add_4");
        let full = Options::new(Level::Full);
        assert_eq!(full.command("it's", "a/b", ""), "unisono check --device 'it'\\''s' --case 'a/b' --level full");
    }
}
