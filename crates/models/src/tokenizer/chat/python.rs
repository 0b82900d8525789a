//! What templates expect of Python's Jinja as transformers sets it up.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, syntax::SyntaxConfig};

use crate::tokenizer::chat::number::float;
use crate::tokenizer::chat::{adapted, filters, helpers, json};
use crate::tokenizer::strftime::strftime;

/// Options, functions and filters.
pub(super) fn set_up(environment: &mut Environment<'static>, time: Option<u64>) {
    // Cannot fail: the delimiters are the default ones.
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Number if !value.is_integer() => {
            out.write_str(&float(f64::try_from(value.clone())?)).map_err(Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    adapted::set_up(environment);
    filters::set_up(environment);
    helpers::set_up(environment);
    json::set_up(environment);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    if let Some(time) = time {
        environment.add_function("strftime_now", move |format: String| {
            let unknown = |letter| format!("strftime_now does not know %{letter}");
            strftime(time, &format).map_err(|letter| Error::new(ErrorKind::InvalidOperation, unknown(letter)))
        });
    }
}

/// Turns `{% generation %}`, with which transformers marks what the model wrote, into a block that
/// changes nothing.
pub(super) fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start + 2);
        out.push_str(before);
        let body = tag.trim_start_matches(['-', '+']).trim_start();
        out.push_str(&tag[..tag.len() - body.len()]);
        rest = body;
        for (word, replacement) in [("generation", "if true"), ("endgeneration", "endif")] {
            if let Some(after) = body.strip_prefix(word)
                && after.trim_start().trim_start_matches(['-', '+']).starts_with("%}")
            {
                out.push_str(replacement);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}
