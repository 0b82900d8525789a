//! What every page of a report has in common, whatever it reports: one HTML file without scripts and
//! without anything from elsewhere. The template next to this file holds the style that all share.

use std::fmt::{Display, Write};

/// A whole page: a title as plain text, a body in HTML, and further rules in CSS.
pub fn page(title: &str, style: &str, body: &str) -> String {
    let title = escape(title);
    let mut page = String::new();
    for part in include_str!("page.html").split("{{") {
        match part.split_once("}}") {
            Some(("title", rest)) => page.extend([&title, rest]),
            Some(("style", rest)) => page.extend([style, rest]),
            Some(("body", rest)) => page.extend([body, rest]),
            _ => page.push_str(part),
        }
    }
    page
}

/// `text` with everything that HTML gives a meaning to replaced.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// `text` escaped, with places to break the line behind the marks that ids of cases have.
pub fn breakable(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for part in text.split_inclusive([':', ',', '/', '_', ' ']) {
        escaped.push_str(&escape(part));
        if part.ends_with([':', ',', '/', '_']) {
            escaped.push_str("<wbr>");
        }
    }
    escaped
}

/// Appends a line. Writing to a `String` cannot fail.
pub fn line(out: &mut String, text: impl Display) {
    let _ = writeln!(out, "{text}");
}

/// Appends a named value to a list of class `facts`; nothing where the value is empty.
pub fn fact(out: &mut String, name: &str, value: impl Display) {
    let value = value.to_string();
    if !value.is_empty() {
        line(out, format_args!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(&value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_whole_and_its_title_is_text() {
        let page = page("a < b", ".x { color: red }", "<p>{{title}}</p>");
        assert!(page.contains("<title>a &lt; b</title>") && page.contains(".x { color: red }"));
        assert!(
            page.contains("<p>{{title}}</p>") && page.ends_with("</html>\n"),
            "what is filled in is not a template"
        );
    }

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(escape("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
        assert_eq!(breakable("a/b:k=1,d=<2> x"), "a/<wbr>b:<wbr>k=1,<wbr>d=&lt;2&gt; x");
        let mut out = String::new();
        fact(&mut out, "none", "");
        assert_eq!(out, "");
        fact(&mut out, "<", "&");
        assert_eq!(out, "<div><dt>&lt;</dt><dd>&amp;</dd></div>\n");
    }
}
