//! Text from files in messages. It goes to terminals and logs: control characters are escaped, and
//! what is very long is cut.

/// A name.
pub(crate) fn shown(name: &str) -> String {
    escaped(name, 100)
}

/// A message that quotes a file.
pub(crate) fn printable(message: impl std::fmt::Display) -> String {
    escaped(&message.to_string(), 1000)
}

fn escaped(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(most) {
        match c.is_control() {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    if text.chars().nth(most).is_some() {
        out.push('…');
    }
    out
}
