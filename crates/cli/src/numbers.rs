//! Options that take a number. A negative number after a space is their value and not the name of
//! another option, and a number out of range is refused with the range.

use std::any::TypeId;
use std::fmt::Display;
use std::ops::RangeInclusive;

use clap::{Arg, Command};

/// Reads whole numbers of this range: for `value_parser`.
pub(crate) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<i128> + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse::<i128>().ok().and_then(|number| T::try_from(number).ok());
        let (least, most) = (range.start(), range.end());
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("a whole number from {least} to {most} is possible"))
    }
}

/// The command, and all below it, with every option of a number taking negative ones.
pub(crate) fn negative_too(command: Command) -> Command {
    let option = |arg: Arg| match is_number(&arg) {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    command.mut_args(option).mut_subcommands(negative_too)
}

fn is_number(arg: &Arg) -> bool {
    let value = arg.get_value_parser().type_id();
    let numbers = [
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<i32>(),
        TypeId::of::<i64>(),
        TypeId::of::<f32>(),
        TypeId::of::<f64>(),
    ];
    numbers.iter().any(|number| value == *number)
}
