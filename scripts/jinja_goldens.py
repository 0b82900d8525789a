#!/usr/bin/env python3
"""Write what every builtin of Jinja2 gives, in the environment that transformers makes for chat templates.

Why this exists: another engine runs the templates here, and a filter that differs writes another prompt
without a word. The names are those that Jinja2 itself lists, so that none is forgotten; the test
`jinja.rs` compares `docs/chat-templates.md` with them, name by name.

  crates/models/tests/tokenizers/jinja.json   for each kind and name: templates, and text or error

How to run it (a second):

    python3 -m venv venv && venv/bin/pip install transformers==5.23.0 jinja2==3.1.6
    venv/bin/python scripts/jinja_goldens.py
"""

import json
from pathlib import Path

import jinja2
import transformers
from jinja2 import defaults, filters, tests
from jinja2.runtime import LoopContext
from transformers.utils.chat_template_utils import _compile_jinja_template

OUT = Path(__file__).resolve().parent.parent / "crates" / "models" / "tests" / "tokenizers" / "jinja.json"

# What the templates find. Keys are in no order on purpose.
VARIABLES = {
    "words": ["banana", "Apple", "cherry", "apple"],
    "numbers": [3, 1, 2, 10, 2],
    "people": [
        {"name": "zoe", "age": 30, "city": "Ulm"}, {"name": "Bob", "age": 25, "city": "Köln"},
        {"name": "amy", "age": 30, "city": "ulm"}, {"name": "Dan"},
    ],
    "mapping": {"zeta": 1, "alpha": [1, {"y": None, "b": True}], "Mid": "x"},
    "text": "The quick brown fox\njumps over the lazy dog.\n\n  It doesn't mind; it's used-to it.",
    "unicode": "Straße İstanbul ΣΑΣ ǆ ﬁ 東京 é",
    "html": "<p class=\"a\">Fish &amp; chips <!-- no\n --> &lt;now&gt;</p>\n  it's <b>  bold  </b> &#65; ",
    "markers": {"a": {"b": {"c": 7}}},
    "flag": True, "half": 0.5, "big": 12345678901234567890, "empty": [], "none_value": None,
}

FILTERS = {
    "abs": ["{{ -5 | abs }} {{ -1.5 | abs }} {{ true | abs }}"],
    "attr": ["[{{ words | attr('nothing') }}] [{{ mapping | attr('zeta') }}]", "{{ (none | attr('x')) is undefined }}"],
    "batch": ["{{ numbers | batch(2) | list }}", "{{ numbers | batch(2, 0) | list }} {{ numbers | batch(linecount=4, fill_with='x') | list }}", "{{ [] | batch(3) | list }}"],
    "capitalize": ["{{ 'hELLO wORLD' | capitalize }} {{ 'ñandú' | capitalize }} {{ 5 | capitalize }} {{ unicode | capitalize }}"],
    "center": ["[{{ 'ab' | center(7) }}] [{{ 'abc' | center(8) }}] [{{ 'abc' | center(width=2) }}] [{{ 'é' | center(4) }}] [{{ 12 | center(5) }}]", "{{ 'x' | center | length }}"],
    "count": ["{{ words | count }} {{ 'abc' | count }} {{ mapping | count }}"],
    "d": ["{{ missing | d('x') }} {{ '' | d('x') }} {{ '' | d('x', true) }}"],
    "default": ["{{ missing | default }} {{ missing | default('x') }} {{ none | default('x') }} {{ none | default('x', true) }} {{ 0 | default(default_value=3, boolean=true) }}"],
    "dictsort": ["{{ mapping | dictsort }}", "{{ mapping | dictsort(true) }}", "{{ {'b': 1, 'a': 2} | dictsort(by='value') }}", "{{ {'b': 1, 'a': 2} | dictsort(false, 'key', true) }} {{ {'b': 1, 'a': 2} | dictsort(reverse=true) }}"],
    "e": ["{{ '<a href=\"x\">it\\'s & / more</a>' | e }} {{ 5 | e }}"],
    "escape": ["{{ '<&>\"\\'/' | escape }} {{ none | escape }} {{ [1, '<'] | escape }}", "{{ '&lt;' | escape | escape }}"],
    "filesizeformat": ["{{ 0 | filesizeformat }} {{ 1 | filesizeformat }} {{ 999 | filesizeformat }} {{ 1000 | filesizeformat }} {{ 1234567 | filesizeformat }} {{ 1e30 | filesizeformat }}", "{{ 1024 | filesizeformat(true) }} {{ 1000000 | filesizeformat(binary=true) }} {{ '2048' | filesizeformat }} {{ 300.5 | filesizeformat }}"],
    "first": ["{{ words | first }} {{ 'abc' | first }} {{ mapping | first }} [{{ [] | first }}]"],
    "float": ["{{ '3.5' | float }} {{ 7 | float }} {{ 'x' | float }} {{ 'x' | float(1.5) }} {{ 'x' | float(default=2) }} {{ none | float }} {{ '1e3' | float }} {{ ' 2.5 ' | float }} {{ true | float }}", "{{ '1_000.5' | float }} {{ [] | float }} {{ 'inf' | float }}", "{{ missing | float }}"],
    "forceescape": ["{{ ('<' | e) | forceescape }} {{ '<b>' | forceescape }}"],
    "format": ["{{ '%s-%d' | format('a', 7) }} {{ '%05.2f|%-5s|%5s|%x|%%' | format(3.14159, 'ab', 'cd', 255) }} {{ '%(a)s %(b)r' | format(a=1, b='x') }}", "{{ '%s %s' | format(none, true) }} {{ '%s' | format([1, 'a']) }} {{ '%+d % d %o %e %g %i' | format(5, 5, 8, 12345.678, 0.0001, 3) }}"],
    "groupby": ["{% for city, group in people | selectattr('city', 'defined') | groupby('city') %}{{ city }}: {{ group | map(attribute='name') | join(',') }};{% endfor %}", "{% for g in people | groupby('age', default=0) %}{{ g.grouper }}={{ g.list | length }};{% endfor %}", "{% for city, group in people | groupby('city', default='', case_sensitive=true) %}[{{ city }}:{{ group | length }}]{% endfor %}"],
    "indent": ["{{ text | indent }}", "{{ text | indent(2, true) }}", "{{ text | indent(width='> ', first=true, blank=true) }}", "{{ 'a\\nb\\n' | indent(3) }}|"],
    "int": ["{{ '42' | int }} {{ 3.99 | int }} {{ -3.99 | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 'x' | int(default=8) }} {{ none | int }} {{ true | int }} {{ '3.7' | int }} {{ ' 12 ' | int }}", "{{ '0x1F' | int(0, 16) }} {{ 'ff' | int(base=16) }} {{ '0b101' | int(base=2) }} {{ '1_000' | int }} {{ big | int }} {{ '12345678901234567890' | int }} {{ [] | int }}", "{{ missing | int }}"],
    "items": ["{% for k, v in mapping | items %}{{ k }}={{ v }};{% endfor %}[{{ missing | items | list }}]", "{{ 5 | items | list }}"],
    "join": ["{{ words | join }} {{ words | join(', ') }} {{ people | join('-', attribute='name') }} {{ [1, none, true, 2.5] | join('|') }} {{ 'abc' | join('.') }}", "{{ mapping | join(',') }} {{ people | join(d='+', attribute='age') }} {{ numbers | join(0) }}"],
    "last": ["{{ words | last }} {{ 'abc' | last }} {{ mapping | last }} [{{ [] | last }}]"],
    "length": ["{{ words | length }} {{ 'é東' | length }} {{ mapping | length }} {{ '' | length }}", "{{ 5 | length }}", "{{ missing | length }}"],
    "list": ["{{ 'abc' | list }} {{ mapping | list }} {{ range(3) | list }} {{ (1, 2) | list }} {{ missing | list }}"],
    "lower": ["{{ 'ABC É' | lower }} {{ 5 | lower }} {{ unicode | lower }} {{ true | lower }}"],
    "map": ["{{ words | map('upper') | list }} {{ people | map(attribute='name') | list }} {{ people | map(attribute='age', default='?') | list }}", "{{ words | map('replace', 'a', 'o') | join(' ') }} {{ [markers] | map(attribute='a.b.c') | list }} {{ [[1, 2], [3, 4]] | map(attribute=1) | list }}", "{{ words | map('indent', width=2, first=true) | list }}", "{{ words | map('no_such') | list }}"],
    "max": ["{{ numbers | max }} {{ words | max }} {{ words | max(true) }} {{ people[:3] | max(attribute='age') }} [{{ [] | max }}]", "{{ ['b', 'A'] | max(case_sensitive=true) }} {{ 'hello' | max }}"],
    "min": ["{{ numbers | min }} {{ words | min }} {{ words | min(true) }} {{ people[:3] | min(attribute='age') }} [{{ [] | min }}]", "{{ ['b', 'A'] | min(case_sensitive=true) }}"],
    "pprint": ["{{ mapping | pprint }}", "{{ 'it' | pprint }}"],
    "random": ["{{ [7] | random }}"],
    "reject": ["{{ numbers | reject('odd') | list }} {{ [0, 1, '', 'x', none] | reject | list }} {{ numbers | reject('in', [1, 2]) | list }} {{ numbers | reject('gt', 2) | list }}"],
    "rejectattr": ["{{ people | rejectattr('age') | map(attribute='name') | list }} {{ people | rejectattr('age', 'defined') | map(attribute='name') | list }} {{ people | rejectattr('name', 'equalto', 'Bob') | list | length }}"],
    "replace": ["{{ 'aaa' | replace('a', 'b') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'abc' | replace('', '-') }} {{ 'aXa' | replace('x', 'y') }} {{ 121 | replace(1, 3) }} {{ 'aaa' | replace('a', 'b', count=1) }} {{ 'aaa' | replace('a', 'b', 0) }}"],
    "reverse": ["{{ 'abc' | reverse }} {{ numbers | reverse | list }} {{ (1, 2) | reverse | list }} {{ 'é東x' | reverse }}"],
    "round": ["{{ 42.55 | round }} {{ 42.55 | round(1) }} {{ 42.55 | round(1, 'floor') }} {{ 42.51 | round(1, 'ceil') }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 7 | round }} {{ 1234 | round(-2) }} {{ -1.5 | round(method='floor') }}", "{{ 7 | round(method='ceil') }} {{ 2.675 | round(precision=2) }} {{ 1e20 | round }}"],
    "safe": ["{{ '<b>' | safe }} {{ 5 | safe }}"],
    "select": ["{{ numbers | select('odd') | list }} {{ [0, 1, '', 'x', none] | select | list }} {{ numbers | select('in', [1, 2]) | list }} {{ numbers | select('>', 2) | list }} {{ words | select('string') | list | length }}"],
    "selectattr": ["{{ people | selectattr('age') | map(attribute='name') | list }} {{ people | selectattr('age', 'defined') | map(attribute='name') | list }} {{ people | selectattr('name', 'equalto', 'Bob') | list }} {{ [markers] | selectattr('a.b.c', 'eq', 7) | list | length }} {{ people | selectattr('age', 'ge', 30) | list | length }}" .replace("people | selectattr('age', 'ge', 30)", "people[:3] | selectattr('age', 'ge', 30)")],
    "slice": ["{{ numbers | slice(2) | list }} {{ numbers | slice(3, 0) | list }} {{ numbers | slice(slices=2, fill_with='x') | list }} {{ [] | slice(2) | list }}"],
    "sort": ["{{ numbers | sort }} {{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ numbers | sort(reverse=true) }} {{ numbers | sort(true) }}", "{{ people[:3] | sort(attribute='age,name') | map(attribute='name') | list }} {{ people | sort(attribute='name') | map(attribute='name') | list }} {{ 'cab' | sort }} {{ mapping | sort }}", "{{ [1, 'a'] | sort }}"],
    "string": ["{{ 5 | string }} {{ none | string }} {{ [1, 'a', none, true] | string }} {{ 1.0 | string }} {{ mapping | string }} {{ 'x' | string | length }}"],
    "striptags": ["[{{ html | striptags }}]", "{{ 'a<b>c</b>d' | striptags }} {{ '1 < 2 and 3 > 2' | striptags }} {{ 'x &nbsp;&copy; &unknown; &#x41; &amp;lt;' | striptags }} {{ 5 | striptags }} {{ '<!-- a > b -->c' | striptags }} {{ 'a <!-- b' | striptags }} {{ 'a <b' | striptags }}", "{{ 'a &copy b &#128; &ampx' | striptags }}"],
    "sum": ["{{ numbers | sum }} {{ people[:3] | sum(attribute='age') }} {{ numbers | sum(start=100) }} {{ [0.5, 1] | sum }} {{ [] | sum }} {{ [[1], [2]] | sum(start=[]) }}"],
    "title": ["{{ \"hello world-wide (it's) [a] {b} <c> d.e\" | title }} {{ unicode | title }} {{ 'ABC dEF' | title }} {{ 5 | title }}"],
    "tojson": ["{{ mapping | tojson }} {{ \"<&>' é東\" | tojson }} {{ [1, 1.0, none, true, 1e20, 1e-7, big] | tojson }}", "{{ mapping | tojson(indent=2) }} {{ [] | tojson(indent=2) }} {{ {} | tojson(indent=1) }} {{ {'a': []} | tojson(indent=2) }}", "{{ {'z': 1, 'a': 2} | tojson }} {{ {'z': 1, 'a': {'y': 1, 'b': 2}} | tojson(sort_keys=true) }} {{ {'name': 'f', 'arguments': {'z': 1, 'a': 2}} | tojson }}", "{{ 'é東🦊\\n\\t\"\\\\' | tojson(ensure_ascii=true) }} {{ 'é\\x7f\\u2028' | tojson }}", "{{ {'a': 1, 'b': [1, 2]} | tojson(separators=(',', ':')) }} {{ [1, 2] | tojson(separators=[' ; ', ' = '], indent=1) }}", "{{ {1: 'a', none: 'b', true: 'c', 1.5: 'd'} | tojson }}", "{{ (1, 2) | tojson }} {{ range(3) | list | tojson }} {{ [1] | tojson(indent=0) }}", "{{ mapping | tojson(false) }} {{ mapping | tojson(true, 1) }}", "{{ [1] | tojson(indent='--') }}", "{{ missing | tojson }}", "{{ [0.1, 100000.0, 1234567890123456789.0, 5e-324, -0.0, 1e16, 123456789012345680.0, 0.0001, 0.00001] | tojson }}"],
    "trim": ["[{{ '  x\\n' | trim }}] [{{ 'xxaxx' | trim('x') }}] [{{ 5 | trim }}] [{{ missing | trim }}] [{{ 'abc' | trim(chars='ac') }}]", "[{{ none | trim }}] [{{ '\\x1c a \\u3000' | trim }}]"],
    "truncate": ["{{ 'foo bar baz qux' | truncate(9) }}|{{ 'foo bar baz qux' | truncate(9, true) }}|{{ 'foo bar baz qux' | truncate(11) }}|{{ 'foo bar baz qux' | truncate(11, false, '...', 0) }}|{{ 'foo bar baz' | truncate(length=9, killwords=true, end='…', leeway=0) }}|{{ 'foobarbazqux' | truncate(6, leeway=0) }}", "{{ text | truncate }}|{{ 'é東京 é東京 x' | truncate(6, leeway=0) }}", "{{ 5 | truncate }}", "{{ 'abc' | truncate(1, leeway=0) }}"],
    "unique": ["{{ words | unique | list }} {{ words | unique(true) | list }} {{ numbers | unique | list }} {{ people | unique(attribute='age') | map(attribute='name') | list }} {{ ['b', 'B'] | unique(case_sensitive=true) | list }}"],
    "upper": ["{{ 'abc é ß' | upper }} {{ 5 | upper }} {{ unicode | upper }}"],
    "urlencode": ["{{ 'a b/c?d=é&東~-_.' | urlencode }} {{ 5 | urlencode }}", "{{ {'q': 'a b', 'é': '/'} | urlencode }} {{ [('a', 1), ('b', 'x y')] | urlencode }}"],
    "urlize": ["{{ 'see https://example.org now' | urlize }}"],
    "wordcount": ["{{ text | wordcount }} {{ unicode | wordcount }} {{ 'a_b c-d 5' | wordcount }} {{ '' | wordcount }} {{ 'e\\u0301x ½ ⅷ ²' | wordcount }}"],
    "wordwrap": ["{{ text | wordwrap(20) }}", "{{ text | wordwrap(10, false) }}|{{ 'abcdefghij klm' | wordwrap(4) }}|{{ 'abcdefghij klm' | wordwrap(4, break_long_words=false) }}|{{ 'well-known over-used word' | wordwrap(8) }}|{{ 'well-known over-used word' | wordwrap(8, break_on_hyphens=false) }}|{{ 'a b c' | wordwrap(width=1, wrapstring='<br>') }}", "{{ '  two  spaces   here \\n\\n end  ' | wordwrap(7) }}|{{ '' | wordwrap }}|{{ text | wordwrap }}", "{{ 'x' | wordwrap(0) }}", "{{ 'a--b c---d e.g. --opt=x-y 3-4 -- f' | wordwrap(5) }}", "{{ 'tab\\there and \\x0b vt' | wordwrap(8) }}|{{ 'longword-with-many-hyphens-inside' | wordwrap(12) }}|{{ 'aé東京é東京é東京 bé' | wordwrap(4) }}"],
    "xmlattr": ["<a{{ {'class': 'x y', 'n': none, 'id': 5, 'q': '\"<'} | xmlattr }}>", "{{ {'a': 1} | xmlattr(false) }}", "{{ {'a b': 1} | xmlattr }}"],
}

TESTS = {
    "boolean": ["{{ true is boolean }} {{ 1 is boolean }}"],
    "callable": ["{{ range is callable }} {{ 1 is callable }} {{ 'x' is callable }} {% macro m() %}{% endmacro %}{{ m is callable }} {{ cycler(1) is callable }} {{ joiner() is callable }}"],
    "defined": ["{{ words is defined }} {{ missing is defined }} {{ mapping.zzz is defined }} {{ none is defined }} {{ tools is defined }} {{ documents is defined }}"],
    "divisibleby": ["{{ 6 is divisibleby 3 }} {{ 6 is divisibleby(4) }}"],
    "escaped": ["{{ '<' is escaped }} {{ ('<' | e) is escaped }} {{ ('<' | safe) is escaped }}"],
    "even": ["{{ 2 is even }} {{ 3 is even }} {{ -2 is even }}"],
    "odd": ["{{ 2 is odd }} {{ 3 is odd }} {{ -3 is odd }}"],
    "false": ["{{ false is false }} {{ 0 is false }} {{ none is false }}"],
    "true": ["{{ true is true }} {{ 1 is true }}"],
    "filter": ["{{ 'upper' is filter }} {{ 'wordwrap' is filter }} {{ 'nothing' is filter }} {{ 'tojson' is filter }}"],
    "test": ["{{ 'odd' is test }} {{ 'nothing' is test }} {{ 'callable' is test }} {{ '==' is test }}"],
    "float": ["{{ 1.0 is float }} {{ 1 is float }} {{ '1.0' is float }}"],
    "integer": ["{{ 1 is integer }} {{ 1.0 is integer }} {{ true is integer }} {{ big is integer }}"],
    "number": ["{{ 1 is number }} {{ 1.5 is number }} {{ true is number }} {{ '1' is number }}"],
    "in": ["{{ 1 is in [1, 2] }} {{ 'a' is in 'abc' }} {{ 'zeta' is in mapping }} {{ 5 is in numbers }}"],
    "iterable": ["{{ [] is iterable }} {{ 'x' is iterable }} {{ 5 is iterable }} {{ mapping is iterable }} {{ none is iterable }} {{ range(2) is iterable }} {{ missing is iterable }}"],
    "sequence": ["{{ [] is sequence }} {{ 'x' is sequence }} {{ 5 is sequence }} {{ mapping is sequence }} {{ none is sequence }} {{ (1, 2) is sequence }} {{ range(2) is sequence }}", "{{ missing is sequence }}"],
    "mapping": ["{{ mapping is mapping }} {{ [] is mapping }} {{ 'x' is mapping }} {{ dict(a=1) is mapping }}"],
    "none": ["{{ none is none }} {{ missing is none }} {{ none_value is none }} {{ 0 is none }} {{ tools is none }} {{ documents is not none }}"],
    "undefined": ["{{ missing is undefined }} {{ words is undefined }} {{ mapping.zzz is undefined }} {{ tools is undefined }}"],
    "string": ["{{ 'x' is string }} {{ 5 is string }} {{ ('<' | e) is string }}"],
    "lower": ["{{ 'abc' is lower }} {{ 'aBc' is lower }} {{ '1' is lower }} {{ 5 is lower }}"],
    "upper": ["{{ 'ABC' is upper }} {{ 'aBc' is upper }} {{ '1' is upper }}"],
    "sameas": ["{{ none is sameas none }} {{ true is sameas true }} {{ false is sameas none }} {{ words is sameas words }} {{ words is sameas numbers }}"],
    "eq": ["{{ 1 is eq 1.0 }} {{ 'a' is eq 'b' }} {{ [1, {'a': none}] is eq [1, {'a': none}] }}"],
    "equalto": ["{{ 1 is equalto 1 }} {{ 'a' is equalto('b') }}"],
    "ne": ["{{ 1 is ne 1 }} {{ 'a' is ne 'b' }}"],
    "lt": ["{{ 1 is lt 2 }} {{ 'b' is lt 'a' }}"], "lessthan": ["{{ 1 is lessthan 2 }} {{ 2 is lessthan 2 }}"],
    "le": ["{{ 2 is le 2 }} {{ 3 is le 2 }}"], "gt": ["{{ 1 is gt 2 }} {{ [2] is gt [1] }}"],
    "greaterthan": ["{{ 1 is greaterthan 2 }}"], "ge": ["{{ 2 is ge 2 }}"],
    "==": ["{{ [1, 2] | select('==', 2) | list }}"], "!=": ["{{ [1, 2] | select('!=', 2) | list }}"],
    "<": ["{{ [1, 2] | select('<', 2) | list }}"], "<=": ["{{ [1, 2, 3] | select('<=', 2) | list }}"],
    ">": ["{{ [1, 2] | select('>', 1) | list }}"], ">=": ["{{ [1, 2] | select('>=', 2) | list }}"],
}

GLOBALS = {
    "cycler": ["{% set c = cycler('a', 'b', 3) %}{% for i in range(5) %}{{ c.next() }}{{ c.current }} {% endfor %}{{ c.reset() }}{{ c.next() }}", "{% set c = cycler() %}"],
    "joiner": ["{% set j = joiner() %}{% for i in range(3) %}{{ j() }}{{ i }}{% endfor %}|{% set k = joiner(' / ') %}{{ k() }}{{ k() }}{{ k() }}|{% set l = joiner(sep='+') %}{{ l() }}{{ l() }}"],
    "dict": ["{{ dict(b=1, a=2) }} {{ dict({'x': 1}, y=2) }} {{ dict([('a', 1), ('b', 2)]) }} {{ dict() }}", "{{ dict.fromkeys(['b', 'a'], 0) }} {{ dict.fromkeys('ab') }}"],
    "lipsum": ["{{ lipsum(n=1) is string }}"],
    "namespace": ["{% set ns = namespace(a=1) %}{% for i in range(3) %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }} [{{ ns.b }}] {% set n = namespace({'x': 5}, y=6) %}{{ n.x }}{{ n.y }}{{ n['x'] }}", "{% set ns = namespace(_hidden=1) %}"],
    "range": ["{{ range(3) | list }} {{ range(1, 4) | list }} {{ range(5, 0, -2) | list }} {{ range(0) | list }} {{ range(3)[1] }} {{ range(4) | length }} {{ 2 in range(3) }}", "{{ range(3) }}"],
}

# What transformers adds; `strftime_now` gives another text every second, and has tests of its own.
ADDED = {
    "raise_exception": ["{{ raise_exception('no such role') }}"],
    "strftime_now": ["{{ strftime_now is callable }} {{ strftime_now('%%') }}"],
    "{% generation %}": ["a {% generation %}b{% endgeneration %} c", "{%- for m in [1, 2] -%}{%- generation -%} {{ m }} {%- endgeneration -%}{%- endfor -%}"],
    "{% break %}": ["{% for i in range(5) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}"],
    "{% continue %}": ["{% for i in range(5) %}{% if i == 3 %}{% continue %}{% endif %}{{ i }}{% endfor %}"],
}

STRING = {
    "capitalize": ["{{ 'hELLO wORLD'.capitalize() }} {{ unicode.capitalize() }} {{ 'ﬁX'.capitalize() }}"],
    "casefold": ["{{ 'Straße ΣΑΣ'.casefold() }} {{ 'ABC'.casefold() }} {{ 'ﬁ İ'.casefold() }}"],
    "center": ["[{{ 'ab'.center(7) }}] [{{ 'abc'.center(8, '*') }}] [{{ 'ab'.center(5, '*') }}] [{{ 'abc'.center(2) }}] [{{ 'é'.center(4, '東') }}]", "{{ 'a'.center(5, 'xy') }}"],
    "count": ["{{ 'banana'.count('an') }} {{ 'aaaa'.count('aa') }} {{ 'banana'.count('a', 2) }} {{ 'banana'.count('a', 2, 4) }} {{ 'abc'.count('') }} {{ 'banana'.count('a', -1) }}"],
    "encode": ["{{ 'é'.encode() }}"],
    "endswith": ["{{ 'abc'.endswith('bc') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.endswith('b', 0, 2) }} {{ 'abc'.endswith('') }}"],
    "expandtabs": ["[{{ 'a\\tbc\\td'.expandtabs() }}] [{{ 'a\\tbc\\n\\td'.expandtabs(4) }}] [{{ 'a\\tb'.expandtabs(0) }}] [{{ 'é\\tb'.expandtabs(tabsize=3) }}]"],
    "find": ["{{ 'banana'.find('an') }} {{ 'banana'.find('x') }} {{ 'banana'.find('an', 2) }} {{ 'banana'.find('a', 2, 3) }} {{ 'é東x'.find('x') }} {{ 'abc'.find('') }} {{ 'abc'.find('', 5) }} {{ 'banana'.find('a', -2) }}"],
    "format": ["{{ '{} {:>4} {x} {0!r}'.format('a', 'b', x=1) if false else '{0} {1:>4} {x}'.format('a', 'b', x=1) }} {{ '{:.2f} {:d} {:x} {:,} {{}}'.format(3.14159, 7, 255, 1234567) }} {{ '{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c') }} {{ '{0[0]} {a}'.format([1, 2], a=none) }}", "{{ '{!r} {!s}'.format('a', 'b') }} {{ '{:%}'.format(0.25) }} {{ '{:e}'.format(1234.5) }} {{ '{:05d} {:+d}'.format(42, 7) }}"],
    "format_map": ["{{ '{a}'.format_map({'a': 1}) }}"],
    "index": ["{{ 'banana'.index('an') }} {{ 'banana'.index('an', 2) }} {{ 'é東x'.index('x') }}", "{{ 'banana'.index('x') }}"],
    "isalnum": ["{{ 'ab1'.isalnum() }} {{ 'a b'.isalnum() }} {{ ''.isalnum() }} {{ 'é東²½'.isalnum() }}"],
    "isalpha": ["{{ 'ab'.isalpha() }} {{ 'a1'.isalpha() }} {{ ''.isalpha() }} {{ 'é東'.isalpha() }} {{ 'ⅷ'.isalpha() }} {{ 'e\\u0345'.isalpha() }}"],
    "isascii": ["{{ 'ab'.isascii() }} {{ 'é'.isascii() }} {{ ''.isascii() }}"],
    "isdecimal": ["{{ '12'.isdecimal() }} {{ '1²'.isdecimal() }} {{ '٣'.isdecimal() }} {{ ''.isdecimal() }} {{ '½'.isdecimal() }}"],
    "isdigit": ["{{ '12'.isdigit() }} {{ '1²'.isdigit() }} {{ '1.5'.isdigit() }} {{ ''.isdigit() }} {{ '½'.isdigit() }} {{ '-1'.isdigit() }} {{ '①'.isdigit() }} {{ 'ⅷ'.isdigit() }}"],
    "isidentifier": ["{{ 'a_1'.isidentifier() }} {{ '1a'.isidentifier() }} {{ ''.isidentifier() }} {{ 'é'.isidentifier() }}"],
    "islower": ["{{ 'ab1'.islower() }} {{ 'aB'.islower() }} {{ '1'.islower() }} {{ 'é'.islower() }}"],
    "isnumeric": ["{{ '12'.isnumeric() }} {{ '½²ⅷ'.isnumeric() }} {{ 'a'.isnumeric() }} {{ ''.isnumeric() }} {{ '四'.isnumeric() }}"],
    "isprintable": ["{{ 'ab é'.isprintable() }} {{ 'a\\n'.isprintable() }} {{ ''.isprintable() }} {{ '\\u200b'.isprintable() }}"],
    "isspace": ["{{ ' \\t\\n'.isspace() }} {{ 'a '.isspace() }} {{ ''.isspace() }} {{ '\\x1c\\u3000'.isspace() }}"],
    "istitle": ["{{ 'Hello World'.istitle() }} {{ 'Hello world'.istitle() }} {{ 'HELLO'.istitle() }} {{ ''.istitle() }} {{ \"They'Re 1St\".istitle() }}"],
    "isupper": ["{{ 'AB1'.isupper() }} {{ 'aB'.isupper() }} {{ '1'.isupper() }}"],
    "join": ["{{ ', '.join(words) }} {{ '-'.join('abc') }} [{{ 'x'.join([]) }}] {{ ','.join(mapping) }}", "{{ ','.join([1, 2]) }}"],
    "ljust": ["[{{ 'ab'.ljust(5) }}] [{{ 'ab'.ljust(5, '.') }}] [{{ 'abc'.ljust(2) }}] [{{ 'é'.ljust(3, '東') }}] [{{ 'ab'.ljust(-1) }}]"],
    "lower": ["{{ 'ABC É'.lower() }} {{ unicode.lower() }}"],
    "lstrip": ["[{{ '  x '.lstrip() }}] [{{ 'xyxa'.lstrip('xy') }}] [{{ ' x'.lstrip(none) }}]"],
    "maketrans": ["{{ 'x'.maketrans('a', 'b') }}"],
    "partition": ["{{ 'a=b=c'.partition('=') }} {{ 'abc'.partition('=') }} {{ 'é東x'.partition('東') }}", "{{ 'abc'.partition('') }}"],
    "removeprefix": ["{{ 'abcabc'.removeprefix('abc') }} {{ 'abc'.removeprefix('x') }} {{ 'abc'.removeprefix('') }}"],
    "removesuffix": ["{{ 'abcabc'.removesuffix('abc') }} {{ 'abc'.removesuffix('x') }} {{ 'abc'.removesuffix('') }}"],
    "replace": ["{{ 'aaa'.replace('a', 'b') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'abc'.replace('', '-') }} {{ 'aaa'.replace('a', 'b', 0) }} {{ 'aaa'.replace('a', 'b', -1) }}"],
    "rfind": ["{{ 'banana'.rfind('an') }} {{ 'banana'.rfind('x') }} {{ 'banana'.rfind('an', 0, 4) }} {{ 'é東x東'.rfind('東') }}"],
    "rindex": ["{{ 'banana'.rindex('an') }}", "{{ 'banana'.rindex('x') }}"],
    "rjust": ["[{{ 'ab'.rjust(5) }}] [{{ 'ab'.rjust(5, '.') }}] [{{ 'abc'.rjust(2) }}]"],
    "rpartition": ["{{ 'a=b=c'.rpartition('=') }} {{ 'abc'.rpartition('=') }}"],
    "rsplit": ["{{ 'a b  c'.rsplit() }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a b  c'.rsplit(none, 1) }} {{ 'a,b,c'.rsplit(',') }} {{ 'a,b,c'.rsplit(',', maxsplit=1) }} {{ ' a  b '.rsplit(none, 1) }} {{ 'aXbXc'.rsplit('X', 0) }}"],
    "rstrip": ["[{{ ' x  '.rstrip() }}] [{{ 'axyx'.rstrip('xy') }}]"],
    "split": ["{{ 'a b  c'.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b  c'.split(none, 1) }} {{ ' a  b '.split(' ') }} {{ 'a,b,c'.split(sep=',', maxsplit=1) }} {{ ''.split() }} {{ ''.split(',') }} {{ ' a  b '.split(none, 1) }} {{ 'aXbXc'.split('X', 0) }} {{ 'a,b'.split(',', -1) }} {{ 'a\\x1cb'.split() }}", "{{ 'abc'.split('') }}"],
    "splitlines": ["{{ 'a\\nb\\r\\nc\\rd\\n'.splitlines() }} {{ 'a\\n\\nb'.splitlines(true) }} {{ ''.splitlines() }} {{ 'a\\x0bb\\x0cc\\u2028d\\x85e\\x1cf'.splitlines() }} {{ 'a\\r\\nb\\r'.splitlines(keepends=true) }}"],
    "startswith": ["{{ 'abc'.startswith('ab') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.startswith('') }}"],
    "strip": ["[{{ ' x '.strip() }}] [{{ 'xyaxy'.strip('xy') }}] [{{ '\\x1c x\\u3000'.strip() }}] [{{ ' x '.strip(none) }}]"],
    "swapcase": ["{{ 'aBc É ß'.swapcase() }}"],
    "title": ["{{ \"hello world it's 3d x-ray\".title() }} {{ 'ABC dEF'.title() }} {{ unicode.title() }}"],
    "translate": ["{{ 'abc'.translate({97: 'x'}) }}"],
    "upper": ["{{ 'abc é ß'.upper() }} {{ unicode.upper() }}"],
    "zfill": ["{{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ '+1'.zfill(4) }} {{ 'abc'.zfill(2) }} {{ ''.zfill(2) }} {{ '--1'.zfill(5) }}"],
}

LIST = {
    "append": ["{{ words.append('x') }}"], "clear": ["{{ words.clear() }}"], "extend": ["{{ words.extend(['x']) }}"],
    "insert": ["{{ words.insert(0, 'x') }}"], "pop": ["{{ words.pop() }}"], "remove": ["{{ words.remove('Apple') }}"],
    "reverse": ["{{ words.reverse() }}"], "sort": ["{{ words.sort() }}"],
    "copy": ["{{ words.copy() }}"],
    "count": ["{{ numbers.count(2) }} {{ words.count('x') }} {{ (1, 2, 1).count(1) }}"],
    "index": ["{{ numbers.index(2) }} {{ words.index('cherry') }} {{ numbers.index(2, 3) }} {{ (5, 6).index(6) }}", "{{ numbers.index(99) }}"],
}

DICT = {
    "clear": ["{{ mapping.clear() }}"], "pop": ["{{ mapping.pop('zeta') }}"], "popitem": ["{{ mapping.popitem() }}"],
    "setdefault": ["{{ mapping.setdefault('q', 1) }}"], "update": ["{{ mapping.update({'q': 1}) }}"],
    "copy": ["{{ mapping.copy() }}"], "fromkeys": ["{{ mapping.fromkeys(['a'], 1) }}"],
    "get": ["{{ mapping.get('zeta') }} {{ mapping.get('q') }} {{ mapping.get('q', 5) }}"],
    "items": ["{% for k, v in mapping.items() %}{{ k }}:{{ v }};{% endfor %} {{ mapping.items() | list }} {{ mapping.items() | length }}"],
    "keys": ["{{ mapping.keys() | list }} {{ 'zeta' in mapping.keys() }} {{ mapping.keys() | join(',') }}"],
    "values": ["{{ mapping.values() | list }} {{ {'a': 1}.values() | sum }}"],
}

LOOP = {
    "index": ["{% for x in words %}{{ loop.index }}{% endfor %}"], "index0": ["{% for x in words %}{{ loop.index0 }}{% endfor %}"],
    "revindex": ["{% for x in words %}{{ loop.revindex }}{% endfor %}"], "revindex0": ["{% for x in words %}{{ loop.revindex0 }}{% endfor %}"],
    "first": ["{% for x in words %}{{ loop.first }} {% endfor %}"], "last": ["{% for x in words %}{{ loop.last }} {% endfor %}"],
    "length": ["{% for x in words %}{{ loop.length }}{% endfor %}"],
    "depth": ["{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}{{ loop(x) }}{% else %}{{ x }}:{{ loop.depth }} {% endif %}{% endfor %}"],
    "depth0": ["{% for x in words %}{{ loop.depth0 }}{% endfor %}"],
    "cycle": ["{% for x in words %}{{ loop.cycle('a', 'b', 'c') }}{% endfor %}"],
    "changed": ["{% for x in [1, 1, 2, 1] %}{{ loop.changed(x) }} {% endfor %}"],
    "previtem": ["{% for x in words %}[{{ loop.previtem }}]{% endfor %}"], "nextitem": ["{% for x in words %}[{{ loop.nextitem }}]{% endfor %}"],
}

# The language itself: statements, operators, and how values are written out.
LANGUAGE = {
    "if": ["{% if 0 %}a{% elif [] %}b{% elif none %}c{% else %}d{% endif %}{{ 'x' if false }}|"],
    "for": ["{% for a, b in [(1, 2), (3, 4)] if a > 1 %}{{ a }}{{ b }}{% else %}none{% endfor %}{% for x in [] %}{% else %}empty{% endfor %}", "{% for k in mapping %}{{ k }},{% endfor %}{% for c in 'é東' %}{{ c }}.{% endfor %}"],
    "set": ["{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c %}x{{ a }}{% endset %}{{ c }}{% set d | upper %}up{% endset %}{{ d }}", "{% for i in [1] %}{% set x = i %}{% endfor %}[{{ x }}]"],
    "macro": ["{% macro f(a, b='d') %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1) }}{{ f(1, 2) }}".replace("{{ varargs }}{{ kwargs }}", ""), "{% macro f(a) %}[{{ caller() }}{{ a }}]{% endmacro %}{% call f(1) %}in{% endcall %} {{ f.name }}"],
    "varargs": ["{% macro f() %}{{ varargs }}{% endmacro %}{{ f(1, 2) }}"], "kwargs": ["{% macro f() %}{{ kwargs }}{% endmacro %}{{ f(a=1) }}"],
    "call": ["{% macro f() %}<{{ caller(1, 2) }}>{% endmacro %}{% call(a, b) f() %}{{ a + b }}{% endcall %}"],
    "filter": ["{% filter upper | replace('A', 'b') %}abc{% endfilter %}"],
    "with": ["{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}[{{ a }}]"],
    "raw": ["{% raw %}{{ x }} {% if %}{% endraw %}"],
    "block": ["{% block a %}x{% endblock %}"], "extends": ["{% extends 'x' %}"], "include": ["{% include 'x' %}"],
    "import": ["{% import 'x' as y %}"], "from": ["{% from 'x' import y %}"],
    "autoescape": ["{% autoescape true %}{{ '<' }}{% endautoescape %}{{ '<' }}"],
    "comments": ["a{# b #}c {#- d -#} e"],
    "white space": ["  {% if true %}\n  a\n  {% endif %}\n b {%- if true -%} c {%- endif -%} d {{- 'e' -}} f\n", "{% if true +%}\n  x{% endif %}\n  {%+ if true %}y{% endif %}\nz\n"],
    "+": ["{{ 1 + 2 }} {{ 1 + 2.0 }} {{ 'a' + 'b' }} {{ [1] + [2] }} {{ (1,) + (2,) }} {{ true + 1 }}", "{{ 'a' + 1 }}", "{{ [1] + (2,) }}"],
    "-": ["{{ 3 - 5 }} {{ -3 }} {{ 2.5 - 1 }}"], "*": ["{{ 3 * 4 }} {{ 'ab' * 3 }} {{ 2 * 'x' }} {{ 1.5 * 2 }}"],
    "/": ["{{ 7 / 2 }} {{ 6 / 2 }}", "{{ 1 / 0 }}"], "//": ["{{ 7 // 2 }} {{ -7 // 2 }} {{ 7.5 // 2 }}"], "%": ["{{ 7 % 4 }} {{ -7 % 4 }} {{ 7.5 % 2 }}"],
    "% of strings": ["{{ '%s-%d' % ('a', 7) }} {{ '%s' % 'x' }} {{ '%(a)s' % {'a': 1} }}"],
    "**": ["{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }}"], "~": ["{{ 1 ~ 'a' ~ none ~ true ~ 1.0 ~ [1, 'b'] }}"],
    "comparisons": ["{{ 1 < 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ none == none }} {{ 1 != '1' }} {{ 3 >= 3 }}", "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }}", "{{ 1 < 'a' }}"],
    "in": ["{{ 'a' in 'abc' }} {{ 1 in [1] }} {{ 1 not in [1] }} {{ 'zeta' in mapping }} {{ 'x' in missing }}"],
    "and, or, not": ["{{ 1 and 'x' }} {{ 0 or 'y' }} {{ [] or {} or 0 }} {{ not 1 }} {{ not '' }} {{ '' and 1 }}"],
    "if else": ["{{ 'a' if 1 else 'b' }} {{ 'a' if 0 else 'b' }} [{{ 'a' if 0 }}]"],
    "subscripts": ["{{ words[0] }} {{ words[-1] }} {{ 'abc'[1] }} {{ 'abc'[-1] }} {{ mapping['zeta'] }} [{{ words[9] }}] [{{ mapping['q'] }}] {{ mapping.zeta }} {{ words.0 }} {{ 'é東x'[1] }}"],
    "slices": ["{{ words[1:] }} {{ words[:-1] }} {{ words[::-1] }} {{ words[::2] }} {{ 'abcdef'[1:4] }} {{ 'abcdef'[::-1] }} {{ 'abcdef'[-3:] }} {{ words[5:] }} {{ 'é東x'[1:] }} {{ (1, 2, 3)[1:] }} {{ words[3:0:-1] }}"],
    "numbers": ["{{ 1_000 }} {{ 0x1F }} {{ 0b11 }} {{ 0o17 }} {{ 1.5e3 }} {{ 1e20 }} {{ 1e16 }} {{ 123456789.0 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 1.0 }} {{ -0.0 }} {{ 1e15 }} {{ big }} {{ 9007199254740993 }} {{ 1e300 * 1e10 }}"],
    "strings": ["{{ 'a\\nb\\t\\\\ \\x41 \\u00e9 \\' \\101' }} {{ \"it's\" }} {{ 'a' 'b' }}"],
    "lists": ["{{ [1, 'a', none, true, 1.0, \"it's\", 'a\"b', 'é\\n\\x07', [], {}, (1,), ()] }}", "{{ [1e20] }} {{ 1e20 ~ '' }}", "{{ ['\\u200b', 'a\\u2028', '\\\\', '\\'\"', '🦊', '\\x7f'] }}"],
    "dicts": ["{{ {'z': 1, 'a': 2, 1: 'x', none: 3} }} {{ mapping }} {{ {'b': {'c': [1, 'x']}} }}", "{% set d = {'z': 1, 'a': 2} %}{% for k in d %}{{ k }}{% endfor %} {{ d | items | list }} {{ dict(d, b=3) }} {{ {'a': 1, 'a': 2} }}"],
    "tuples": ["{{ (1, 'a') }} {{ (1,) }} {{ () }}"],
    "none, true, false": ["{{ none }} {{ None }} {{ true }} {{ True }} {{ false }} {{ False }} {{ [none, true] }}"],
    "undefined": ["[{{ missing }}] [{{ mapping.q }}] [{{ missing ~ 'a' }}] {{ missing == none }} {{ not missing }} {{ [missing] }}", "{{ missing.attribute }}", "{{ missing() }}", "{{ missing + 1 }}"],
    "tools, documents": ["{% if tools is not none %}tools{% endif %}{% if documents is not none %}documents{% endif %}{{ tools }}{{ documents }}{% if tools %}x{% endif %}"],
    "self": ["{{ self }}"],
}

KINDS = {
    "filter": (FILTERS, filters.FILTERS),
    "test": (TESTS, tests.TESTS),
    "global": (GLOBALS, defaults.DEFAULT_NAMESPACE),
    "transformers": (ADDED, ADDED),
    "string": (STRING, [n for n in dir(str) if not n.startswith("_")]),
    "list": (LIST, [n for n in dir(list) if not n.startswith("_")]),
    "dict": (DICT, [n for n in dir(dict) if not n.startswith("_")]),
    "loop": (LOOP, ["depth0", *(n for n in dir(LoopContext) if not n.startswith("_"))]),
    "language": (LANGUAGE, LANGUAGE),
}


def render(source):
    try:
        template = _compile_jinja_template(source)
        return {"template": source, "text": template.render(messages=[], tools=None, documents=None, add_generation_prompt=True, **VARIABLES)}
    except Exception as error:  # whatever a template does wrong in Python
        return {"template": source, "error": f"{type(error).__name__}: {error}"}


def main():
    golden = {}
    for kind, (cases, names) in KINDS.items():
        assert set(cases) == set(names), (kind, set(cases) ^ set(names))
        golden[kind] = {name: [render(source) for source in cases[name]] for name in sorted(names)}
    made_with = f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}"
    OUT.write_text(json.dumps({"made_with": made_with, "variables": VARIABLES, "kinds": golden}, ensure_ascii=True, separators=(",", ":")) + "\n")
    flat = [case for names in golden.values() for cases in names.values() for case in cases]
    print(f"{sum(map(len, golden.values()))} names, {len(flat)} cases, {sum('error' in c for c in flat)} errors, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
