//! Dates for chat templates: the part of `strftime` that they use, in English and UTC.

use std::fmt::Write;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// Formats a time in seconds since 1970. The error is the letter that is not known.
pub(super) fn strftime(time: u64, format: &str) -> Result<String, char> {
    // No date after the year 9999.
    let time = time.min(253_402_300_799);
    let (days, second) = (time / 86_400, time % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut day) = (1970, days);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let year_day = day + 1;
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (day, number, week_day) = (day + 1, month + 1, DAYS[(days % 7) as usize]);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);

    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let written = match letters.next().unwrap_or('%') {
            'Y' => write!(out, "{year:04}"),
            'y' => write!(out, "{:02}", year % 100),
            'm' => write!(out, "{number:02}"),
            'B' => write!(out, "{}", MONTHS[month]),
            'b' => write!(out, "{}", &MONTHS[month][..3]),
            'd' => write!(out, "{day:02}"),
            'j' => write!(out, "{year_day:03}"),
            'A' => write!(out, "{week_day}"),
            'a' => write!(out, "{}", &week_day[..3]),
            'H' => write!(out, "{hour:02}"),
            'I' => write!(out, "{:02}", (hour + 11) % 12 + 1),
            'p' => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
            'M' => write!(out, "{minute:02}"),
            'S' => write!(out, "{second:02}"),
            '%' => write!(out, "%"),
            other => return Err(other),
        };
        // Writing to a string cannot fail.
        written.map_err(|_| '%')?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::strftime;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // As `date -u -d @N` prints them.
        let all = "%Y-%m-%d %H:%M:%S %A %a %B %b %y %j %I %p %%";
        let expected = "1970-01-01 00:00:00 Thursday Thu January Jan 70 001 12 AM %";
        assert_eq!(strftime(0, all).as_deref(), Ok(expected));
        let expected = "2024-02-29 23:59:59 Thursday Thu February Feb 24 060 11 PM %";
        assert_eq!(strftime(1_709_251_199, all).as_deref(), Ok(expected));
        let expected = "2100-03-01 12:00:00 Monday Mon March Mar 00 060 12 PM %";
        assert_eq!(strftime(4_107_585_600, all).as_deref(), Ok(expected));
        assert_eq!(strftime(0, "%d %Q"), Err('Q'));
        assert!(strftime(u64::MAX, "%Y").is_ok());
    }
}
