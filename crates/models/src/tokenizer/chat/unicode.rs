//! What Python's strings know about characters and Rust's do not: the categories behind `isalpha`,
//! `isdigit` and the `\w` of patterns, and case folding.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Digits that write no decimal number: superscripts, circled ones and the like.
const DIGITS: &str = "²³¹፩፪፫፬፭፮፯፰፱᧚⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉①②③④⑤⑥⑦⑧⑨⑴⑵⑶⑷⑸⑹⑺⑻⑼⒈⒉⒊⒋⒌⒍⒎⒏⒐⓪⓵⓶⓷⓸⓹⓺⓻⓼⓽⓿❶❷❸❹❺❻❼❽❾➀➁➂➃➄➅➆➇➈➊➋➌➍➎➏➐➑➒𐩀𐩁𐩂𐩃𐹠𐹡𐹢𐹣𐹤𐹥𐹦𐹧𐹨𑁒𑁓𑁔𑁕𑁖𑁗𑁘𑁙𑁚🄀🄁🄂🄃🄄🄅🄆🄇🄈🄉🄊";
/// Ideographs that stand for numbers.
const NUMERALS: &str = "㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍弎弐拾捌柒漆玖百肆萬貮貳贰阡陆陌陸零參拾兩零六陸什𠀁𠁤𠃢𠄡𠤪𠦃𠦌𠦜𠫪𠫽𠬙𢎐𢦘𣬛𦉭廾";

/// `str.isspace`: with the four separators of ASCII, which Unicode counts as controls.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// `str.isalpha`: letters, without the marks and numbers that Rust adds.
pub(super) fn is_alpha(c: char) -> bool {
    c.is_ascii_alphabetic() || !c.is_ascii() && c.general_category_group() == GeneralCategoryGroup::Letter
}

/// `str.isdecimal`.
pub(super) fn is_decimal(c: char) -> bool {
    c.is_ascii_digit() || !c.is_ascii() && c.general_category() == GeneralCategory::DecimalNumber
}

/// `str.isdigit`.
pub(super) fn is_digit(c: char) -> bool {
    is_decimal(c) || !c.is_ascii() && DIGITS.contains(c)
}

/// `str.isnumeric`.
pub(super) fn is_numeric(c: char) -> bool {
    c.is_ascii_digit()
        || !c.is_ascii() && (c.general_category_group() == GeneralCategoryGroup::Number || NUMERALS.contains(c))
}

/// `str.isalnum`, and with the underscore `\w` of Python's patterns.
pub(super) fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || is_numeric(c)
}

/// `\w`.
pub(super) fn is_word(c: char) -> bool {
    c == '_' || is_alphanumeric(c)
}

/// `str.isprintable`.
pub(super) fn is_printable(c: char) -> bool {
    c == ' ' || !matches!(c.general_category_group(), GeneralCategoryGroup::Other | GeneralCategoryGroup::Separator)
}

/// Whether a character has a case, which `title` and `istitle` go by.
pub(super) fn is_title(c: char) -> bool {
    !c.is_ascii() && c.general_category() == GeneralCategory::TitlecaseLetter
}

/// `str.casefold`: the large form in small letters, but for the few that fold another way.
pub(super) fn casefold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'ı' => out.push(c),
            'ẞ' => out.push_str("ss"),
            // Cherokee folds to its large letters.
            '\u{13A0}'..='\u{13FF}' | '\u{AB70}'..='\u{ABBF}' => out.extend(c.to_uppercase()),
            _ => out.extend(c.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    out
}
