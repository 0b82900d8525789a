//! What a result of a report runs with: the device, level and fault that its command names, and the
//! environment that the report's device shows. Results that agree in all of it share workers.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use unisono::DeviceSummary;
use unisono_conformance::Level;
use unisono_conformance::report::{CaseResult, DeviceFacts};

use crate::isolate::Opening;
use crate::output::Usage;
use crate::{Arguments, Command, check, mutants};

/// The variables that decide how a device computes, each with its value or none.
type Environment = Vec<(&'static str, Option<String>)>;

/// What a result runs with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Setting {
    device: String,
    level: Level,
    plant: Option<String>,
    extra: Option<PathBuf>,
    environment: Environment,
}

impl Setting {
    /// As the command of `result` says, on `other` where that is given.
    pub(super) fn of(result: &CaseResult, facts: &DeviceFacts, other: Option<&str>) -> Result<Setting> {
        let none = || Usage(format!("'{}' is no command of this program", result.reproduce));
        let words = words(&result.reproduce).filter(|words| words.first().is_some_and(|w| w == "unisono"));
        let parsed = Arguments::try_parse_from(words.ok_or_else(none)?).map_err(|_| none())?;
        let Some(Command::Check(command)) = parsed.command else { return Err(none().into()) };
        let [device] = command.devices.as_slice() else { return Err(none().into()) };
        if command.cases != [result.id.as_str()] {
            return Err(none().into());
        }
        let own = other.is_none_or(|other| other == device);
        Ok(Setting {
            device: other.unwrap_or(device).to_owned(),
            level: command.level.into(),
            plant: command.plant,
            extra: command.extra,
            environment: if own { environment(facts) } else { Vec::new() },
        })
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// The device of this machine, and how workers open it.
    pub(super) fn device(&self) -> Result<(DeviceSummary, Opening)> {
        let names = [self.device.clone()];
        let mut found = match &self.plant {
            Some(name) => mutants::devices_for(&mutants::named(name, self.extra.as_deref())?, &names)?,
            None => check::chosen(&names)?,
        };
        let summary = found.swap_remove(0);
        let opening = Opening::new(&summary)
            .planting(self.plant.clone(), self.extra.clone())
            .with_environment(self.environment.clone());
        Ok((summary, opening))
    }
}

/// The environment in which a device with these facts was opened.
fn environment(facts: &DeviceFacts) -> Environment {
    let property = |name: &str, value: &str| facts.properties.get(name).is_some_and(|v| v == value);
    let set = |is: bool, value: &str| is.then(|| value.to_owned());
    let int8 = facts.numeric_modes.iter().any(|mode| mode == "int8-activations");
    vec![
        ("UNISONO_PROFILE", set(property("profile", "forced"), &facts.profile)),
        ("UNISONO_LIMITS", set(property("limits", "default"), "default")),
        ("UNISONO_POISON", set(property("poison", "on"), "1")),
        ("UNISONO_MODES", set(int8, "int8-activations")),
    ]
}

/// The words of a command as the program prints it: quoted in single quotes where need be. `None`
/// where a quote is not closed.
fn words(command: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_with(String::new);
            }
            '\\' if !quoted => word.get_or_insert_with(String::new).push(chars.next()?),
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

#[cfg(test)]
mod tests {
    use unisono::{DeviceInfo, DeviceKind};

    use super::*;

    #[test]
    fn commands_are_read_as_a_shell_reads_them() {
        let read = words(r"unisono check --device 'it'\''s' --case 'a/b:k=1 2' --kernel ''").unwrap();
        assert_eq!(read, ["unisono", "check", "--device", "it's", "--case", "a/b:k=1 2", "--kernel", ""]);
        assert_eq!(words("unisono 'check"), None);
    }

    #[test]
    fn the_environment_is_that_of_the_report() {
        let mut facts = DeviceFacts::of(&DeviceInfo::new("wgpu:0", "x", DeviceKind::Software));
        assert!(environment(&facts).iter().all(|(_, value)| value.is_none()), "nothing is inherited");
        facts.profile = "amd".into();
        facts.numeric_modes = vec!["int8-activations".into()];
        for (name, value) in [("profile", "forced"), ("limits", "default"), ("poison", "on")] {
            facts.properties.insert(name.into(), value.into());
        }
        let values: Vec<Option<String>> = environment(&facts).into_iter().map(|(_, value)| value).collect();
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(values, [text("amd"), text("default"), text("1"), text("int8-activations")]);
    }
}
