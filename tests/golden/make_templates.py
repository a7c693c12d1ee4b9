#!/usr/bin/env python3
"""Writes tests/golden/template_cases.h: small chat templates, one or more for each construct, with
what Jinja2 makes of them.

The oracle is Jinja2's ImmutableSandboxedEnvironment set up as the transformers library does it
(trim_blocks, lstrip_blocks, loop controls, tojson without escaping, raise_exception). Needs jinja2
(3.1) in the Python environment; not run in CI.

usage: make_templates.py > tests/golden/template_cases.h
"""
import json

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

# The same conversations stand in tests/unit/text/test_template.c.
CONVERSATIONS = [
    [("user", 'Hello, "x"!')],
    [("system", "Be <b>brief</b>."), ("user", "  Hi\nthere "), ("assistant", "Yo \\ \u00e9"),
     ("user", "bye")],
    [],
]

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
    "'<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# (source, conversation, add_generation_prompt)
CASES = [
    ("", 0, 0),
    ("plain text\n", 0, 0),
    ("two newlines\n\n", 0, 0),
    ("a\r\nb\rc", 0, 0),
    (SMOLLM2, 0, 0),
    (SMOLLM2, 0, 1),
    (SMOLLM2, 1, 0),
    (SMOLLM2, 1, 1),
    (SMOLLM2, 2, 1),
    # variables
    ("{{ bos_token }}|{{ eos_token }}|{{ nothing }}|{{ messages | length }}", 1, 0),
    ("{{ tools is none }} {{ documents is defined }} {{ unknown is defined }}", 0, 0),
    # white-space control
    ("a\n  {% if true %}\n  b\n  {% endif %}\nc", 0, 0),
    ("a\n  {%- if true -%}\n  b\n  {%- endif -%}\nc", 0, 0),
    ("a\n  {%+ if true +%}\n  b\n  {%+ endif %}\nc", 0, 0),
    ("a  {{- ' x ' -}}  b", 0, 0),
    ("a\n  {{ 1 }}\nb", 0, 0),
    ("  {% set x = 1 %}  {% set y = 2 %}\n{{ x }}{{ y }}", 0, 0),
    ("{% set x = 1 %}\n   {% set y = 2 %}z", 0, 0),
    ("x {# comment #}\ny {#- c -#}  z\n   {# whole line #}\nend", 0, 0),
    ("\u3000\u00a0{%- if true %}a\u2003{%- endif -%}\u2028b", 0, 0),
    ("{% raw %}\n{{ not evaluated }} {% if %}\n{% endraw %}\nafter", 0, 0),
    ("a {%- raw -%} {{ x }} {%- endraw -%} b", 0, 0),
    # literals
    ("{{ 1 }} {{ 1_000 }} {{ 1.5 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 1e15 }}",
     0, 0),
    ("{{ 'a\\n\\t\\\\\\'\\\"\\x41\\u00e9\\101\\q' }}{{ \"b'\" }}", 0, 0),
    ("{{ 'a' 'b' \"c\" }}", 0, 0),
    ("{{ true }} {{ True }} {{ false }} {{ none }} {{ None }}", 0, 0),
    ("{{ [1, 'a', none, [true], (1,), ()] }} {{ {'a': 1, 'b': [2.0]} }}", 0, 0),
    ("{{ ['it\\'s', 'say \"x\"', 'both \\' \"', 'n\\n', '\u00e9', '\\x7f'] }}", 0, 0),
    ("{{ 1, 2 }} {{ (1, 2)[0] }} {{ (3) }}", 0, 0),
    ("{{ {'a': {'b': {}}} }}", 0, 0),
    # operators
    ("{{ 7 + 2 * 3 - 1 }} {{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7.5 // 2 }} "
     "{{ -7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}", 0, 0),
    ("{{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ 2 * 'x' }} {{ [1] + [2] }} {{ [1] * 2 }} {{ 'a' ~ 1 ~ none "
     "~ 1.0 ~ nothing }}", 0, 0),
    ("{{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' == 'a' }} {{ [1] == [1] }} {{ none == none }} "
     "{{ {'a': 1} == {'a': 1} }} {{ 1 != 2 }} {{ '1' == 1 }}", 0, 0),
    ("{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 'a' < 'b' }} {{ 'B' < 'a' }} {{ [1, 2] < [1, 3] }} "
     "{{ 1 <= 1 }} {{ 2 >= 3 }}", 0, 0),
    ("{{ 'a' in 'abc' }} {{ 1 in [1, 2] }} {{ 'k' in {'k': 1} }} {{ 3 not in (1, 2) }} "
     "{{ 'x' in nothing }} {{ not 1 in [1] }}", 0, 0),
    ("{{ 1 and 2 }} {{ 0 or 'x' }} {{ not '' }} {{ none or false }} {{ 1 if true else 2 }} "
     "{{ 1 if false }} {{ 'a' if 0 else 'b' if 0 else 'c' }}", 0, 0),
    ("{{ -3 | abs }} {{ - 3 }} {{ +3 }} {{ 1 - -1 }} {{ true + true }}", 0, 0),
    ("{{ 1 ~ 2 + 3 }}", 0, 0),  # an error: str + int
    # attributes, items, slices
    ("{{ messages[0].role }} {{ messages[0]['content'] }} {{ messages[-1].role }} "
     "{{ messages.0.role }}", 1, 0),
    ("{{ messages[9] is defined }} {{ messages[0].nothing is defined }} "
     "{{ messages[0]['nothing'] is defined }}", 1, 0),
    ("{% for m in messages[1:] %}{{ m.role }},{% endfor %}{{ messages[::-1][0].content }}", 1, 0),
    ("{{ 'h\u00e9llo'[1] }}{{ 'h\u00e9llo'[-1] }} {{ 'h\u00e9llo'[1:3] }} {{ 'hello'[::-1] }} "
     "{{ 'hello'[-3:] }} {{ 'hello'[:-3] }} {{ 'hello'[::2] }} {{ 'hello'[4:1:-1] }}", 0, 0),
    ("{{ [1, 2, 3, 4][1:3] }} {{ (1, 2, 3)[::-1] }} {{ [1, 2][5:] }} {{ [1, 2][-9:9] }}", 0, 0),
    ("{{ {'items': 1}['items'] }} {{ {'a': 1}.a }} {{ {1: 'x'}[1] }}", 0, 0),
    # statements
    ("{% if 0 %}a{% elif 1 %}b{% elif 2 %}c{% else %}d{% endif %}"
     "{% if none %}a{% else %}e{% endif %}", 0, 0),
    ("{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 "
     "}}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }} {% endfor %}", 1, 0),
    ("{% for x in [1, 2, 3] %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}", 0, 0),
    ("{% for x in [1, 2, 3] %}{{ loop.cycle('a', 'b') }}{% endfor %}", 0, 0),
    ("{% for x in [] %}x{% else %}empty{% endfor %}{% for x in nothing %}x{% else %}none{% endfor "
     "%}", 0, 0),
    ("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }} {% endfor %}"
     "{% for k in {'a': 1} %}{{ k }}{% endfor %}{% for c in 'h\u00e9' %}[{{ c }}]{% endfor %}", 0, 0),
    ("{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }} {{ m.content "
     "}};{% endfor %}", 1, 0),
    ("{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}"
     "{% endif %}{{ x }}{% endfor %}", 0, 0),
    ("{% for x in [1, 2] %}{% break %}{% else %}else{% endfor %}{% for x in [1, 2] %}{% if x == 2 %}"
     "{% break %}{% endif %}{% else %}else{% endfor %}", 0, 0),
    ("{{ 0 // -2.5 }} {{ -4.0 % 2 }} {{ 4.0 % -2 }}", 0, 0),
    ("{{ nothing | int }}", 0, 0),
    ("{{ 2.5 is odd }} {{ 2.5 is even }} {{ -3 is odd }}", 0, 0),
    ("{{ [1] in {'a': 1} }}", 0, 0),
    ("{% for a in [1, 2] %}{% for b in [3, 4] %}{{ loop.depth }}{{ a }}{{ b }}{% if b == 3 %}"
     "{% break %}{% endif %}{% endfor %}{{ loop.index }}{% endfor %}", 0, 0),
    ("{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}", 0, 0),
    ("{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", 0, 0),
    ("{% set a, b = 1, 'z' %}{{ a }}{{ b }}", 0, 0),
    ("{% set ns = namespace(n=0, found=false) %}{% for i in [1, 2, 3] %}{% set ns.n = ns.n + i %}"
     "{% set ns.found = true %}{% endfor %}{{ ns.n }}{{ ns.found }}", 0, 0),
    ("{% set x %}block {{ 1 + 1 }}{% endset %}[{{ x }}]", 0, 0),
    ("{{ range(3) | list }} {{ range(1, 4) | list }} {{ range(5, 0, -2) | list }} "
     "{{ range(0) | list }}", 0, 0),
    ("{% set d = dict(a=1, b='x') %}{{ d }}", 0, 0),
    # filters
    ("[{{ '  a b ' | trim }}] [{{ 'xxaxx' | trim('x') }}] {{ 'abc' | length }} {{ [1, 2] | count "
     "}} {{ {'a': 1} | length }} {{ 'h\u00e9' | length }} {{ nothing | length }}", 0, 0),
    ("{{ 'aBc' | upper }} {{ 'aBc' | lower }} {{ 'aBC' | capitalize }}", 0, 0),
    ("{{ nothing | default('d') }} {{ none | default('d') }} {{ '' | default('d', true) }} "
     "{{ '' | d('e', boolean=true) }} {{ nothing | default }} {{ 0 | default(default_value=1) }}",
     0, 0),
    ("{{ [1, 'a', none] | join(', ') }} {{ ['a', 'b'] | join }} {{ 'abc' | join('-') }}", 0, 0),
    ("{{ [1, 2, 3] | first }} {{ [1, 2, 3] | last }} {{ 'abc' | first }} {{ 'abc' | last }} "
     "[{{ [] | first }}]", 0, 0),
    ("{{ 'a-b-c' | replace('-', '+') }} {{ 'a-b-c' | replace('-', '', 1) }} {{ 'abc' | replace('', "
     "'.') }}", 0, 0),
    ("{{ [1, 2] | string | length }} {{ 'ab' | list }} {{ [1, 2] | reverse | list }} {{ 'abc' | "
     "reverse }} {{ {'a': 1} | items | list }}", 0, 0),
    ("{{ '12' | int + 1 }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 3.9 | int }} {{ '2.5' | float }} "
     "{{ 3 | float }} {{ -2.5 | abs }}", 0, 0),
    ("{{ {'a': [1, 2.5, none, true, 'x\"\\\\\\n\\t\u00e9\u2028<&>'], 'b': {}} | tojson }}", 0, 0),
    ("{{ {'a': [1, {}], 'b': []} | tojson(indent=2) }}", 0, 0),
    ("{{ messages | tojson }}", 1, 0),
    ("{{ '\\x01\\x1f\\x7f' | tojson }}", 0, 0),
    # methods
    ("[{{ '  a '.strip() }}] [{{ '  a '.lstrip() }}] [{{ '  a '.rstrip() }}] [{{ 'xax'.strip('x') "
     "}}]", 0, 0),
    ("{{ 'a b  c'.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ ''.split() }}"
     " {{ ''.split(',') }} {{ ' a b c '.split(none, 1) }} {{ 'a\\nb\\r\\nc\\n'.splitlines() }}",
     0, 0),
    ("{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.startswith('') }} "
     "{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('bc') }}", 0, 0),
    ("{{ 'abc'.upper() }} {{ 'ABC'.lower() }} {{ 'abC'.capitalize() }} {{ 'a.b'.replace('.', '-') "
     "}} {{ ', '.join(['a', 'b']) }} {{ 'h\u00e9llo'.find('l') }} {{ 'aXbX'.count('X') }} "
     "{{ '12'.isdigit() }} {{ ''.isdigit() }}", 0, 0),
    ("{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 2) }} "
     "{{ {'a': 1}.keys() | list }} {{ {'a': 1}.values() | list }}", 0, 0),
    ("{{ (messages[1].content | trim).split('\\n')[-1] }}", 1, 0),
    # tests
    ("{{ 1 is defined }} {{ x is not defined }} {{ x is undefined }} {{ none is none }} {{ 'a' is "
     "string }} {{ 1 is number }} {{ true is number }} {{ 1.0 is float }} {{ 1 is integer }} "
     "{{ true is integer }} {{ true is boolean }} {{ {} is mapping }} {{ [] is sequence }} "
     "{{ 'a' is iterable }} {{ 1 is iterable }} {{ range is callable }}", 0, 0),
    ("{{ 3 is odd }} {{ 3 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 1 is eq "
     "1 }} {{ 1 is equalto(2) }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is in [1] }} "
     "{{ true is true }} {{ 1 is true }} {{ false is false }}", 0, 0),
    ("{% if messages[0].role is string and messages[0].role is not none %}ok{% endif %}", 1, 0),
    # errors: Jinja2 fails, so must we
    ("{{ raise_exception('no way') }}", 0, 0),
    ("{{ nothing.attribute }}", 0, 0),
    ("{{ nothing + 1 }}", 0, 0),
    ("{{ 'a' + 1 }}", 0, 0),
    ("{{ 1 < 'a' }}", 0, 0),
    ("{{ 1 / 0 }}", 0, 0),
    ("{{ messages.append(1) }}", 0, 0),
    ("{% for %}", 0, 0),
    ("{% if 1 %}", 0, 0),
    ("{{ 1", 0, 0),
    ("{{ 'a }}", 0, 0),
    ("{% endif %}", 0, 0),
    ("{{ (1 }}", 0, 0),
    ("{{ ] }}", 0, 0),
    ("{# no end", 0, 0),
    ("{% raw %} no end", 0, 0),
    ("{% set x.y = 1 %}", 0, 0),
    ("{% set a, b = [1] %}", 0, 0),
    ("{{ range(1000000) }}", 0, 0),
    ("{{ 1 ? 2 }}", 0, 0),
]


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                         extensions=[loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    return made


def render(source, conversation, prompt):
    """What Jinja2 writes, or None where it fails."""
    messages = [{"role": role, "content": text} for role, text in CONVERSATIONS[conversation]]
    try:
        return environment().from_string(source).render(
            messages=messages, tools=None, documents=None, add_generation_prompt=bool(prompt),
            bos_token="<s>", eos_token="</s>")
    except Exception:
        return None


def quote(text):
    """C string literal; three-digit octal escapes cannot swallow what follows."""
    if text is None:
        return "NULL"
    out = []
    for byte in text.encode("utf-8"):
        char = chr(byte)
        if char in '"\\':
            out.append("\\" + char)
        elif char == "\n":
            out.append("\\n")
        elif char == "?":
            out.append("\\?")
        elif 0x20 <= byte < 0x7f:
            out.append(char)
        else:
            out.append("\\%03o" % byte)
    lines, line = [], ""
    for piece in out:
        if len(line) + len(piece) > 80:
            lines.append(line)
            line = ""
        line += piece
    lines.append(line)
    return "\n     ".join('"%s"' % line for line in lines)


def main():
    print("/* Written by make_templates.py with Jinja2 %s: do not edit. expected is NULL where Jinja2"
          "\n * fails. */" % jinja2.__version__)
    print("/* clang-format off */")
    print("static const struct template_case {\n    const char *source;\n    int conversation;\n"
          "    bool add_generation_prompt;\n    const char *expected;\n} template_cases[] = {")
    for source, conversation, prompt in CASES:
        expected = render(source, conversation, prompt)
        print("    {%s,\n     %d, %s,\n     %s}," % (quote(source), conversation,
                                                 "true" if prompt else "false", quote(expected)))
    print("};\n/* clang-format on */")


if __name__ == "__main__":
    main()
