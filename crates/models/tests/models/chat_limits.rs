//! Chat templates that mean harm: what the engine's fuel does not see. Each ends within seconds, and
//! says why.

use std::collections::BTreeMap;
use std::time::Instant;

use unisono_models::{ChatOptions, ChatTemplate, Message};

/// Renders with one message; the text or the error.
fn render(source: &str) -> Result<String, String> {
    let template = ChatTemplate::new(source, BTreeMap::new()).map_err(|e| e.to_string())?;
    template.render(&[Message::new("user", "some words")], &ChatOptions::default()).map_err(|e| e.to_string())
}

/// Fails unless the template is refused soon, with an error that has `part` in it.
fn refused(source: &str, part: &str) {
    let start = Instant::now();
    let shown: String = source.chars().take(200).collect();
    let error = render(source).map(|text| text.len()).expect_err(&shown);
    assert!(start.elapsed().as_secs() < 10, "{shown} took {:?}", start.elapsed());
    assert!(error.contains("chat template") && error.contains(part), "{shown}: {error}");
}

/// A loop that doubles `ns.x` by an expression, and what is done with the result.
fn doubled(expression: &str, then: &str) -> String {
    let step = format!("{{% set ns.x = {expression} %}}");
    format!("{{% set ns = namespace(x=[1, 'a']) %}}{{% for i in range(70) %}}{step}{{% endfor %}}{then}")
}

#[test]
fn lists_that_double() {
    for then in [
        "{{ ns.x }}",
        "{{ ns.x ~ '' }}",
        "{{ ns.x == ns.x + [1] }}",
        "{{ ns.x < ns.x + [1] }}",
        "{{ ns.x | string }}",
        "{{ ns.x | join }}",
        "{{ ''.join(ns.x) }}",
        "{{ ns.x.count(1) }}",
        "{{ ns.x | tojson }}",
        "{{ ns.x | pprint }}",
        "{{ '{}'.format(ns.x) }}",
        "{{ '%s' | format(ns.x) }}",
        "{{ {ns.x: 1} }}",
        "{{ 7 in ns.x }}",
        "{{ 1 if ns.x is eq [] }}",
        "{% for i in ns.x | list %}{% endfor %}",
    ] {
        // The list is made, and is refused where it is used.
        refused(&doubled("ns.x + ns.x", then).replace("range(70)", "range(16)"), "too large");
    }
    for expression in [
        "ns.x + ns.x",
        "[ns.x, ns.x]",
        "(ns.x, ns.x)",
        "{'a': ns.x, 'b': ns.x}",
        "ns.x | list + ns.x | list",
        "dict(a=ns.x, b=ns.x)",
        "[ns.x] | chain([ns.x]) | list",
    ] {
        refused(&doubled(expression, ""), "too ");
    }
    // Without a namespace, by statements alone.
    let statements = "{% set x = [x, x] %}".repeat(70);
    refused(&format!("{{% set x = [1] %}}{statements}{{{{ x }}}}"), "too large");
    refused("{% set s = 'x' * 1000000 %}{% set l = [s, s, s, s, s] %}{{ [l, l, l] }}", "too large");
}

#[test]
fn values_that_nest() {
    for expression in ["[ns.x]", "(ns.x,)", "{'a': ns.x}", "dict(a=ns.x)", "[ns.x] | batch(1) | list", "[ns.x] + [1]"] {
        refused(&doubled(expression, "{{ ns.x }}").replace("range(70)", "range(20000)"), "");
        refused(
            &doubled(expression, "{{ ns.x }}").replace("range(70)", "range(100)").replace("[ns.x] + [1]", "[[ns.x]]"),
            "nested",
        );
    }
    refused("{% macro f(x) %}{{ f([x, x, x, x, x, x, x, x]) }}{% endmacro %}{{ f(1) }}", "");
}

#[test]
fn namespaces_hold_no_namespace() {
    for source in [
        "{% set ns = namespace() %}{% set ns.a = ns %}",
        "{% set ns = namespace() %}{% set ns.a = [ns] %}",
        "{% set ns = namespace() %}{% set ns.a = {'b': ns} %}",
        "{% set ns = namespace() %}{% set other = namespace(a=ns) %}",
        "{% set ns = namespace() %}{% set ns.a = ns | reverse %}",
        "{% set ns = namespace() %}{% set ns.a = {} | chain(ns) %}",
        "{% set ns = namespace() %}{% for x in [1] %}{% set ns.a = loop %}{% endfor %}",
    ] {
        refused(source, "namespace");
    }
    let views =
        "{% set ns = namespace(a=1) %}{% set ns.b = ns.items() %}{% set ns.b = ns.values() %}{{ ns.b | length }}";
    assert!(render(views).is_err() || render(views).unwrap() == "2");
    let macros = "{% macro f(n) %}{{ n.a }}{% endmacro %}{% set ns = namespace(a=1) %}{% set m = ns %}{{ f(m) }}";
    assert_eq!(render(macros).unwrap(), "1");
}

#[test]
fn sizes_that_multiply() {
    for source in [
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:>1000000000}'.format('x') }}",
        "{{ '{:.1000000000f}'.format(1.5) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '%.1000000000f' | format(1.5) }}",
        "{{ '%*d' | format(1000000000, 1) }}",
    ] {
        refused(source, "format");
    }
    for source in [
        "{{ [1] * 100000000 }}",
        "{{ ([1] * 100000000) | length }}",
        "{{ 100000000 * [1] ~ '' }}",
        "{{ (1, 2) * 100000000 }}",
        "{{ messages * 100000000 }}",
    ] {
        refused(source, "multiplied");
    }
    for source in [
        "{{ 'x' * 100000000 }}",
        "{{ 100000000 * 'x' }}",
        "{{ ('{0}' * 100000).format('x' * 1000000) }}",
        "{{ ('{}' * 100000).format('x' * 1000000) }}",
        "{{ ('%(a)s' * 100000) | format({'a': 'x' * 1000000}) }}",
        "{{ 'x' | indent(1000000000) }}",
        "{{ ('x\n' * 100000) | indent(100000) }}",
        "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
        "{{ ('x' * 100000).replace('', 'y' * 100000) }}",
        "{{ range(100000) | join('y' * 100000) }}",
        "{{ ('y' * 100000).join(range(100000)) }}",
        "{{ [1] | batch(1000000000, 'x') | list | length }}",
        "{{ [1] | slice(1000000000, 'x') | list | length }}",
        "{{ ('x' * 3000000) | trim('y' * 1000000 ~ 'x') }}",
        "{{ ('x' * 3000000).strip('y' * 1000000 ~ 'x') }}",
        "{{ ('x' * 3000000).rstrip('y' * 1000000 ~ 'x') }}",
        "{{ ('x,' * 3000000).split(',') | length }}",
        "{{ ('x\n' * 3000000).splitlines() | length }}",
        "{% set s = 'x' * 3000000 %}{% for i in range(100000) %}{% set c = s[2999999] %}{% endfor %}",
        "{% set s = 'x' * 3000000 %}{% for i in range(100000) %}{% set c = s == s ~ 'x' %}{% endfor %}",
        "{% for i in range(100000) %}{% set c = range(100000) | list %}{% endfor %}",
        "{{ range(3000) | sort(attribute='a,' * 1000000) | length }}",
    ] {
        refused(source, "");
    }
    refused("{{ range(100000000) }}", "range");
    refused("{{ debug() }}", "debug");
    // Absurd numbers that cost nothing.
    for source in ["{{ 1.5 | round(2000000000) }}", "{{ 1.5 | round(-2000000000) }}", "{{ 15 | round(-2000000000) }}"] {
        let start = Instant::now();
        let _ = render(source);
        assert!(start.elapsed().as_secs() < 5, "{source} took {:?}", start.elapsed());
    }
    refused("{{ 9999999999 ** 9999999999 }}", "");
}

/// What was added to the engine pays as its own does.
#[test]
fn sizes_of_python_methods_and_filters() {
    for source in [
        "{{ 'x'.center(1000000000) }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ 'x'.rjust(9223372036854775807, '東') }}",
        "{{ '-1'.zfill(1000000000) }}",
        "{{ 'x' | center(1000000000) }}",
        "{{ ('\t' * 100000).expandtabs(100000) }}",
        "{{ ('x ' * 100000) | wordwrap(1, wrapstring='y' * 100000) }}",
        "{{ ('x\n' * 100000) | wordwrap(wrapstring='y' * 100000) }}",
        "{{ ('x' * 3000000) | wordwrap(1) }}",
        "{{ ('x,' * 3000000).rsplit(',') | length }}",
        "{{ ('x ' * 3000000).rsplit() | length }}",
        "{{ ('x\r' * 3000000).splitlines() | length }}",
        "{{ ('x' * 3000000).lstrip('y' * 1000000 ~ 'x') }}",
        "{{ ('{a}' * 100000).format_map({'a': 'x' * 1000000}) }}",
        "{{ ('<' * 3000000) | e }}",
        "{{ ('é' * 3000000) | urlencode }}",
        "{{ ('é' * 3000000) | tojson(ensure_ascii=true) }}",
        "{{ range(100000) | map('string') | join | wordwrap(1) }}",
        "{% set s = 'x' * 3000000 %}{% for i in range(100000) %}{% set c = s.count('yz') %}{% endfor %}",
        "{% set s = 'x' * 3000000 %}{% for i in range(100000) %}{% set c = s.isalpha() %}{% endfor %}",
        "{% set s = 'x' * 3000000 %}{% for i in range(100000) %}{% set c = s.islower() %}{% endfor %}",
        "{% set s = 'x' * 3000000 %}{% for i in range(100000) %}{% set c = s.partition('y') %}{% endfor %}",
        "{% set s = 'x' * 3000000 %}{% for i in range(100000) %}{% set c = s | wordcount %}{% endfor %}",
        "{% set s = 'x' * 3000000 %}{% for i in range(100000) %}{% set c = s | truncate %}{% endfor %}",
        "{% set l = range(99999) | list %}{% for i in range(100000) %}{% set c = l.index(99998) %}{% endfor %}",
        "{{ dict.fromkeys(range(99999), 'x' * 1000000) }}",
        "{{ messages | tojson(indent='x' * 1000) }}",
        "{{ [[[[]]]] | tojson(indent=' ' * 65) }}",
    ] {
        refused(source, "");
    }
    // Work that must stay in proportion to the text, whether or not it is paid for.
    for part in ["<", "<!--", "<!---->", "&", "&amp", "&amp;", "a-", "a--", "-", "ab-cd", " ", "ß"] {
        for filter in ["striptags", "wordwrap(3)", "wordcount", "title", "truncate(9)", "urlencode", "e"] {
            let source = format!("{{{{ ('{part}' * 100000) | {filter} | length }}}}");
            let start = Instant::now();
            let _ = render(&source);
            assert!(start.elapsed().as_secs() < 5, "{source} took {:?}", start.elapsed());
        }
        for method in ["title()", "swapcase()", "casefold()", "istitle()", "expandtabs(1)", "split('-', 5)"] {
            let source = format!("{{{{ ('{part}' * 100000).{method} | string | length }}}}");
            let start = Instant::now();
            let _ = render(&source);
            assert!(start.elapsed().as_secs() < 5, "{source} took {:?}", start.elapsed());
        }
    }
}

#[test]
fn cyclers_and_joiners_hold_no_others() {
    for source in [
        "{% set ns = namespace(x=1) %}{% for i in range(20000) %}{% set ns.x = cycler(ns.x) %}{% endfor %}",
        "{% set ns = namespace(x=1) %}{% for i in range(20000) %}{% set ns.x = cycler([ns.x]) %}{% endfor %}",
        "{% set ns = namespace(x=1) %}{% for i in range(20000) %}{% set ns.x = cycler({'a': [ns.x]}) %}{% endfor %}",
        "{% set ns = namespace(x='') %}{% for i in range(20000) %}{% set ns.x = joiner(ns.x) %}{% endfor %}",
        "{% set ns = namespace(x='') %}{% for i in range(20000) %}{% set ns.x = joiner(sep=[cycler(ns.x)]) %}{% endfor %}",
    ] {
        refused(source, "cannot be part of another");
    }
    refused("{% set ns = namespace() %}{% set ns.c = cycler(ns) %}", "namespace");
    refused("{% set ns = namespace() %}{% set j = joiner(ns) %}", "namespace");
    refused("{% for x in [1] %}{% set c = cycler(loop) %}{% endfor %}", "namespace");
}

#[test]
fn text_that_nests() {
    let many = |before: &str, inside: &str, after: &str| {
        let n = 100_000;
        format!("{{{{ {}{inside}{} }}}}", before.repeat(n), after.repeat(n))
    };
    for (before, inside, after) in [
        ("-", "1", ""),
        ("not ", "1", ""),
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{1: ", "1", "}"),
        ("f(", "1", ")"),
        ("1 + ", "1", ""),
        ("1 ~ ", "1", ""),
        ("1 ** ", "1", ""),
        ("1 and ", "1", ""),
        ("1 == ", "1", ""),
        ("1 if 1 else ", "1", ""),
        ("", "x", ".x"),
        ("", "x", "[0]"),
        ("", "x", "()"),
        ("", "x", " | list"),
        ("", "x", " is none"),
        ("- not ", "1", ""),
        ("x[", "1", "]"),
        ("", "1", " if 1"),
    ] {
        let source = many(before, inside, after);
        refused(&source, "");
        refused(&format!("{{% set x = {} %}}", &source[2..source.len() - 2]), "");
        refused(&format!("{{% if {} %}}{{% endif %}}", &source[2..source.len() - 2]), "");
    }
    for (before, after) in [
        ("{% if 1 %}", "{% endif %}"),
        ("{% for x in y %}", "{% endfor %}"),
        ("{% with x = 1 %}", "{% endwith %}"),
        ("{% macro f() %}", "{% endmacro %}"),
        ("{% set x %}", "{% endset %}"),
        ("{% filter trim %}", "{% endfilter %}"),
        ("{% call f() %}", "{% endcall %}"),
        ("{% autoescape 1 %}", "{% endautoescape %}"),
    ] {
        refused(&format!("{}{}", before.repeat(25_000), after.repeat(25_000)), "nested");
    }
    refused(&format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(50_000)), "nested");
    refused(&"x".repeat((1 << 20) + 1), "bytes");
}

/// The largest that is allowed fits the stack of a thread of a test, 2 MiB, without optimisation.
#[test]
fn what_is_allowed_fits_the_stack() {
    for (before, inside, after, n) in [
        ("-", "1", "", 199),
        ("not ", "1", "", 199),
        ("(", "1", ")", 31),
        ("[[", "1", "]]", 15),
        ("1 + ", "1", "", 199),
        ("1 if 1 else ", "1", "", 99),
        ("", "'x'", " | trim", 198),
        ("", "x", "[0]", 60),
        ("- - - - (", "1", ")", 31),
    ] {
        let source = format!("{{{{ {}{inside}{} }}}}", before.repeat(n), after.repeat(n));
        let source = format!("{}{source}{}", "{% if 1 %}".repeat(63), "{% endif %}".repeat(63));
        // An error is fine; a stack that overflows would end the test.
        let _ = render(&source);
    }
    assert_eq!(render(&format!("{{{{ {}1 }}}}", "1 + ".repeat(199))).unwrap(), "200");
    let elif = format!("{{% if 0 %}}{}{{% else %}}x{{% endif %}}", "{% elif 0 %}".repeat(63));
    assert_eq!(render(&elif).unwrap(), "x");
}

/// Checks change no result: templates that use every place where an operand can stand.
#[test]
fn checks_change_nothing() {
    let mut wrong = Vec::new();
    for (source, wanted) in [
        ("{{ 'a' 'b' ~ 1 }}", "ab1"),
        ("{{ 2 * 3 ** 2 - -1 }}", "19"),
        ("{{ -(messages|length) }}", "-1"),
        ("{{ '-' * 3 }}{{ 3 * '=' }}", "---==="),
        ("{{ messages[0]['content'][1:4][0] }}", "o"),
        ("{{ messages[0].content.split(' ')[-1][::-1] }}", "sdrow"),
        ("{{ messages[0]['role'] if messages[0] is mapping else 'none' }}", "user"),
        ("{% set a, b = 1, 'x' %}{{ a }}{{ b }}", "1x"),
        ("{% set (a, b) = (1, 'x') %}{{ a }}{{ b }}", "1x"),
        (
            "{% set ns = namespace(a=0, b=[]) %}{% for m in messages %}{% set ns.a = ns.a + 1 %}{% set ns.b = ns.b + [m.role] %}{% endfor %}{{ ns.a }}{{ ns.b }}",
            "1['user']",
        ),
        ("{% with a = 1, b = a %}{{ a }}{% endwith %}", "1"),
        ("{% with (a, b) = (1, 2) %}{{ a + b }}{% endwith %}", "3"),
        (
            "{% macro f(a, b=1 + 1) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(b=2, a=3) }}{{ f(*[4], **{'b': 5}) }}",
            "123245",
        ),
        ("{% macro f() %}[{{ caller('x') }}]{% endmacro %}{% call(a) f() %}{{ a }}{% endcall %}", "[x]"),
        ("{% filter upper %}a{% endfilter %}{% set x | replace('a', 'b') %}aa{% endset %}{{ x }}", "Abb"),
        ("{% for a, b in {'x': 1}.items() %}{{ a }}{{ b }}{% endfor %}", "x1"),
        (
            "{% for x in [1, [2, [3]]] recursive %}{% if x is sequence %}{{ loop(x) }}{% else %}{{ x }}{% endif %}{% endfor %}",
            "123",
        ),
        ("{% for x in range(6) if x is odd and not x == 3 %}{{ x }}{{ ',' if not loop.last }}{% endfor %}", "1,5"),
        ("{{ nothing is defined }}{{ nothing is not defined }}{{ messages is not none }}", "FalseTrueTrue"),
        ("{{ nothing | default('x') }}{{ nothing }}", "x"),
        ("{{ 6 is divisibleby 3 }}{{ 6 is divisibleby(4) }}{{ 'a' is in ['a'] }}", "TrueFalseTrue"),
        ("{{ 'a' in 'ab' and 1 not in [2] or 0 }}", "True"),
        ("{{ {'a': 1, 'b': [2, (3,)]}['b'][1][0] }}{{ [1, 2][0] }}", "31"),
        ("{{ '%s-%d' | format('a', 7) }}{{ '{}{:>3}{a}'.format('x', 'y', a=1) }}", "a-7x  y1"),
        (
            "{{ '%(a)s' | format(a=1) }}{{ '{} in 2024'.format(1) }}{{ '%s in 2024' | format(1) }}",
            "11 in 20241 in 2024",
        ),
        ("{{ ' x ' | trim }}{{ 'xax' | trim('x') }}{{ 'xax'.strip('x') }}{{ nothing | trim }}", "xaa"),
        ("{% raw %}{{ x | y }}{% endraw %}{# {{ #}{{ '}}' }}{{ \"%}\" }}", "{{ x | y }}}}%}"),
        ("{% if 1 < 2 <= 2 -%} a {%- endif %}", "a"),
        ("{{ 1.5 + 1e1 + 0x10 }}{{ [[1, 2]].0.1 }}", "27.52"),
        ("{{ messages | map(attribute='role') | join(', ') | upper }}", "USER"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"),
        ("{% do messages[0].get('role') %}{{ messages[0].get('x', 'y') }}", "y"),
    ] {
        let found = render(source);
        if found.as_deref() != Ok(wanted) {
            wrong.push(format!("{source}: {found:?}, not {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
