#!/usr/bin/env python3
"""Writes tests/golden/template_cases.h: small chat templates, one or more for each construct, with
what Jinja2 makes of them.

The oracle is Jinja2's ImmutableSandboxedEnvironment set up as the transformers library does it
(trim_blocks, lstrip_blocks, loop controls, generation blocks, tojson without escaping,
raise_exception, strftime_now with a fixed date). Needs jinja2 (3.1) in the Python environment; not
run in CI.

usage: make_templates.py > tests/golden/template_cases.h
"""
import datetime
import json

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2024, 7, 6, 15, 4, 5)  # also in tests/unit/text/test_template.c


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return dict({"role": "assistant", "content": text}, **more)


TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The \"weather\" <now> & then, \u00e9",
        "parameters": {"type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "City & country"},
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
            "days": {"type": "integer", "minimum": 1},
            "options": {"type": "object", "properties": {"deep": {"type": ["string", "null"]}}},
        }}}},
    {"type": "function", "function": {"name": "noop", "description": "Nothing",
                                      "parameters": {"type": "object", "properties": {}}}},
]
CALL = {"id": "call_1", "type": "function", "function": {
    "name": "get_weather",
    "arguments": {"city": "Paris, \"FR\"", "days": 2, "options": {"deep": None, "x": 1.5},
                  "all": True}}}

CONVERSATIONS = [
    {"messages": [user('Hello, "x"!')]},
    {"messages": [{"role": "system", "content": "Be <b>brief</b>."}, user("  Hi\nthere "),
                  assistant("Yo \\ \u00e9"), user("bye")]},
    {"messages": []},
    {"messages": [user("weather?"), assistant("", tool_calls=[CALL]),
                  {"role": "tool", "content": "{\"t\": 20}", "tool_call_id": "call_1",
                   "name": "get_weather"}],
     "tools": TOOLS, "variables": {"enable_thinking": False, "extra": {"a": [1, 2.5, None]}}},
    {"messages": [user([{"type": "text", "text": "a"}, {"type": "image"}]), assistant(None)],
     "tools": []},
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
    # tools, tool calls, other fields, other variables
    ("{{ tools | tojson }}|{{ messages | tojson }}|{{ enable_thinking }} {{ extra }}", 3, 0),
    ("{{ tools | tojson(indent=4) }}", 3, 0),
    ("{{ tools | length }} {{ messages | tojson }} {{ messages[0].content[1].type }} "
     "{{ messages[1].content is none }} {{ tools is defined and tools }}", 4, 0),
    ("{%- for tool in tools %}{{ tool.function.name }}: {{ tool['function'].description }}\n"
     "{%- for name, p in tool.function.parameters.properties.items() %}\n"
     "  {{ name }} ({{ p.type }}{% if name in tool.function.parameters.required %}, required"
     "{% endif %}){{ ' = ' ~ p.default if p.default is defined }}\n{% endfor %}{% endfor %}", 3, 0),
    ("{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}"
     "{% for c in m.tool_calls %}{{ c.function.name }}({{ c.function.arguments | tojson }})"
     "{% for k, v in c.function.arguments | items %}{{ k }}={{ v }};{% endfor %}{% endfor %}"
     "{% elif m.role == 'tool' %}{{ m.tool_call_id }}:{{ m.content }}{% else %}{{ m.content }}"
     "{% endif %}|{% endfor %}", 3, 0),
    ("{% for m in messages %}{% if m.content is string %}{{ m.content }}{% elif m.content is "
     "iterable %}{% for p in m.content %}{{ p.text if p.type == 'text' else '<' ~ p.type ~ '>' }}"
     "{% endfor %}{% else %}-{% endif %}{% endfor %}", 4, 0),
    # macros and call blocks
    ("{% macro hi(name, mark='!') %}Hi {{ name }}{{ mark }}{% endmacro %}{{ hi('a') }} "
     "{{ hi('b', '?') }} {{ hi(mark='.', name='c') }} {{ hi() }} {{ hi('x') | upper }}", 0, 0),
    ("{% macro m(a, b=a + 1, c=[a, b]) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, 5) }}"
     "{{ m(1, c=2) }}", 0, 0),
    ("{%- macro tree(x, depth=0) -%}{{ depth }}{% for k in x %}[{{ tree(x[k], depth + 1) }}]"
     "{% endfor %}{%- endmacro -%}{{ tree({'a': {'b': {}, 'c': {}}, 'd': {}}) }}", 0, 0),
    ("{% macro m() %}{{ x }}{{ y is defined }}{% endmacro %}{% set x = 1 %}{{ m() }}"
     "{% for y in [1] %}{{ m() }}{% endfor %}{% set x = 2 %}{{ m() }}", 0, 0),
    ("{% macro m(x) %}{% set x = x + 1 %}{% set z = 5 %}{{ x }}{% endmacro %}{% set x = 10 %}"
     "{{ m(1) }}{{ x }}{{ z is defined }}", 0, 0),
    ("{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k='v') }}"
     "{{ m() }}", 0, 0),
    ("{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", 0, 0),
    ("{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}", 0, 0),
    ("{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}", 0, 0),
    ("{% macro box(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% set v = 7 %}"
     "{% call box('b') %}in {{ v }}{% endcall %}", 0, 0),
    ("{% macro rows(xs) %}{% for x in xs %}{{ caller(x, loop.index) }};{% endfor %}{% endmacro %}"
     "{% call(x, i) rows([5, 6]) %}{{ i }}:{{ x * 2 }}{% endcall %}", 0, 0),
    ("{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}", 0, 0),
    ("{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", 0, 0),
    ("{% macro m(n) %}{{ n }}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(9) }}", 0, 0),
    ("{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", 0, 0),
    ("{% for i in [1, 2, 3] %}{% macro m() %}{% for j in [1, 2] %}{% if j == 2 %}{% break %}"
     "{% endif %}{{ j }}{% endfor %}{% endmacro %}{% if i == 2 %}{% continue %}{% endif %}{{ m() }}"
     "{{ i }}{% endfor %}", 0, 0),
    ("{% macro m(x) -%}\n  {{ x }}\n{%- endmacro %}[{{ m('a') }}]{% set t = m('b') ~ '!' %}{{ t }}",
     0, 0),
    # filter blocks, set with filters, with
    ("{% filter upper %}a {{ 'b' }}{% filter trim %}  c  {% endfilter %}{% endfilter %}", 0, 0),
    ("{% filter replace('a', 'b') | upper %}banana{% endfilter %}", 0, 0),
    ("{% set x | trim | upper %}  a{{ 1 }}  {% endset %}[{{ x }}]", 0, 0),
    ("{% set y = 1 %}{% filter upper %}{% set y = 2 %}a{{ y }}{% endfilter %}{{ y }}", 0, 0),
    ("{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a }}"
     "{{ c is defined }}{% with %}{% set a = 9 %}{{ a }}{% endwith %}{{ a }}", 0, 0),
    ("{% for i in [1, 2, 3] %}{% filter upper %}a{% if i == 2 %}{% break %}{% endif %}{{ i }}"
     "{% endfilter %}{% endfor %}", 0, 0),
    ("{% generation %}a{% set q = 1 %}{{ q }}{% endgeneration %}{{ q is defined }}", 0, 0),
    # namespaces, dict
    ("{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns['a'] }}{{ ns.c is defined }}"
     "{% set ns.c %}x{{ ns.a }}{% endset %}{{ ns.c }}", 0, 0),
    ("{{ dict({'a': 1}, b=2) }} {{ dict([('x', 1), ['y', 2]]) }} {{ dict() }}", 0, 0),
    # dates
    ("{{ strftime_now('%Y-%m-%d') }}|{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%A, %B %-d, "
     "%H:%M:%S %I %p %y %j %a %e %F %T %% %w %u') }}|{{ strftime_now is defined }}", 0, 0),
    # filters over sequences
    ("{{ messages | map(attribute='role') | list }} {{ messages | map(attribute='x') | list }} "
     "{{ messages | map(attribute='x', default='d') | join(',') }} {{ ['a', 'b'] | map('upper') | "
     "join }} {{ [[1, 2], [3]] | map('first') | list }} {{ ['a-b'] | map('replace', '-', '+') | "
     "list }} {{ [{'a': {'b': [7, 8]}}] | map(attribute='a.b.1') | list }} "
     "{{ [[1, 2]] | map(attribute=1) | list }}", 1, 0),
    ("{{ [1, 2, 3, 4] | select('odd') | list }} {{ [0, 1, '', 'a'] | select | list }} "
     "{{ [1, 2, 3] | reject('equalto', 2) | list }} {{ [1, 2, 3] | select('>', 1) | list }} "
     "{{ [0, 1] | reject | list }} {{ [1, 'a', none] | select('string') | list }} "
     "{{ [1, 2, 5] | select('in', [2, 5]) | list }} {{ [3, 6, 7] | select('divisibleby', 3) | list }}",
     0, 0),
    ("{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list }} "
     "{{ messages | rejectattr('role', 'eq', 'user') | list | length }} "
     "{{ messages | selectattr('content') | list | length }} "
     "{{ messages | rejectattr('x') | list | length }} "
     "{{ messages | selectattr('x', 'defined') | list }} "
     "{{ messages | selectattr('role', 'in', ['system']) | first }}", 1, 0),
    ("{{ tools | selectattr('function.name', 'equalto', 'noop') | map(attribute='function.name') | "
     "join }} {{ tools | map(attribute='function') | map(attribute='name') | join(', ') }}", 3, 0),
    # what is lazy is true, and used up by one walk
    ("{{ 'y' if [] | select else 'n' }} {% set g = [1, 2, 3] | select %}{{ g | first }}"
     "{{ g | list }}{{ g | list }} {{ (none | map('upper') | list) }} {{ nothing | select('x') | "
     "list }} {{ g is iterable }} {{ g is sequence }} {{ 'y' if [] | list else 'n' }}", 0, 0),
    ("{{ [1] | select | length }}", 0, 0),
    ("{{ [1] | map('upper') | last }}", 0, 0),
    ("{% for x in [3, 1] | select %}{{ loop.length }}{{ loop.last }}{{ x }}{% endfor %}"
     "{% for x in [1, 2, 3] | reverse %}{{ x }}{{ loop.last }}{% endfor %} {{ 2 in [1, 2] | select }}",
     0, 0),
    ("{{ [3, 1, 2] | sort }} {{ [3, 1, 2] | sort(reverse=true) }} {{ ['b', 'A', 'c', 'a'] | sort }} "
     "{{ ['b', 'A', 'c', 'a'] | sort(case_sensitive=true) }} {{ [1.5, 1, true] | sort }} "
     "{{ [{'n': 2, 'm': 'x'}, {'n': 1, 'm': 'y'}, {'n': 2, 'm': 'a'}] | sort(attribute='n') }} "
     "{{ [{'n': 2, 'm': 'x'}, {'n': 1, 'm': 'y'}, {'n': 2, 'm': 'a'}] | sort(attribute='n,m') | "
     "map(attribute='m') | join }} {{ [[2, 1], [1, 9]] | sort }} {{ 'hello' | sort }} "
     "{{ [('b', 1), ('a', 2), ('b', 0)] | sort(attribute=0, reverse=true) }} {{ [] | sort }}", 0, 0),
    ("{{ [1, 'a'] | sort }}", 0, 0),
    ("{{ [none, 1] | sort }}", 0, 0),
    ("{{ ['b', 'B', 'a', 'b'] | unique | list }} {{ ['b', 'B'] | unique(case_sensitive=true) | list }} "
     "{{ [1, 1.0, true, 2] | unique | list }} {{ [{'a': 1, 'b': 2}, {'a': 1, 'b': 3}] | "
     "unique(attribute='a') | list }}", 0, 0),
    ("{{ [[1], [1]] | unique | list }}", 0, 0),
    ("{{ {'b': 1, 'A': 3, 'c': 2} | dictsort }} {{ {'b': 1, 'A': 3, 'c': 2} | dictsort(true) }} "
     "{{ {'b': 1, 'A': 3, 'c': 2} | dictsort(by='value') }} {{ {'b': 1, 'A': 3} | "
     "dictsort(reverse=true) }} {% for k, v in {'z': 1, 'y': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}",
     0, 0),
    ("{{ [1] | dictsort }}", 0, 0),
    ("{{ [1, 2, 3.5] | sum }} {{ [{'v': 2}, {'v': 3}] | sum(attribute='v', start=10) }} {{ [] | sum }} "
     "{{ [[1], [2]] | sum(start=[]) }}", 0, 0),
    ("{{ [3, 1, 2] | min }} {{ [3, 1, 2] | max }} {{ ['b', 'A'] | min }} {{ ['b', 'A', 'B'] | max }} "
     "{{ [{'v': 2}, {'v': 3}] | max(attribute='v') }} [{{ [] | min }}] "
     "{{ ['b', 'C'] | min(case_sensitive=true) }}", 0, 0),
    ("{{ messages | join(', ', attribute='role') }} {{ messages | join(attribute='role') }}", 1, 0),
    # filters over texts and numbers
    ("[{{ 'a\nb\n\nc' | indent }}] [{{ 'a\nb' | indent(2, true) }}] [{{ 'a\n\nb' | indent(1, "
     "blank=true) }}] [{{ 'a\nb\n' | indent(width='>>', first=true) }}] [{{ '' | indent }}] "
     "[{{ '\n' | indent(2, true, true) }}] [{{ 'a\r\nb\rc' | indent(1) }}]", 0, 0),
    ("{{ 'hello wORLD-foo (bar) x_y it\\'s' | title }} {{ \"they're bill's\".title() }}", 0, 0),
    ("{{ '<a href=\"x\">&\\'</a>' | e }} {{ '<' | escape | e }} {{ ('<b>' | safe) + '<c>' }} "
     "{{ '<' + ('>' | safe) }} {{ '<' ~ ('>' | safe) }} {{ ('<' | safe) is escaped }} "
     "{{ '<' is escaped }} {{ ('<b>' | safe | trim) + '&' }} {{ 1 | e }}", 0, 0),
    ("{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.567 | round(2) }} {{ 2.675 | round(2) }} {{ 2.1 | "
     "round(0, 'ceil') }} {{ 2.19 | round(1, 'floor') }} {{ 42 | round }} {{ 42.7 | round | int }} "
     "{{ 1234 | round(-2) }} {{ 1250.0 | round(-2) }} {{ 5 | round(1, 'ceil') }} {{ true | round }}",
     0, 0),
    ("{{ '0x1f' | int(base=16) }} {{ 'ff' | int(0, 16) }} {{ '101' | int(base=2) }} {{ 'zz' | int(5, 10)"
     " }} {{ ' 42 ' | int }} {{ '-7' | int }} {{ '42.9' | int }} {{ '9007199254740993' | int }} "
     "{{ none | int(3) }} {{ [] | int }} {{ none | float }} {{ '1e3' | int }}", 0, 0),
    ("{{ '%s is %d and %.2f' % ('a', 3, 2.5) }} {{ '%s' % 'x' }} {{ '%5s|%-5s|%05d|%x|%r|%%' % ('a', "
     "'b', 42, 255, 'q') }} {{ '%(a)s-%(b)d' % {'a': 1, 'b': 2} }} {{ '%s %s' | format(1, none) }} "
     "{{ '%(x)s' | format(x='y') }} {{ '%+d %g %e %i' % (5, 0.5, 12345.678, 7.9) }} "
     "{{ '%s' % [1, 2] }} {{ '%.2s' % 'abc' }}", 0, 0),
    ("{{ ['<' | e, 'a' | safe] }} {{ 'a' % [] }} {{ nothing is callable }} {{ [none, none] | sort }} "
     "{{ [{'n': none}, {'n': none, 'm': 1}] | sort(attribute='n') }}", 0, 0),
    ("{% filter length %}a{% endfilter %}", 0, 0),
    ("{{ '%s %s' % 'a' }}", 0, 0),
    ("{{ '%d' % 'a' }}", 0, 0),
    ("{{ '%s' % ('a', 'b') }}", 0, 0),
    ("{{ '{} {}'.format(1, 'a') }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x}{{}}'.format(x=none) }} "
     "{{ '{!r}'.format('q') }} {{ '{:.2f}|{:5d}|{:<5}|{:>5}|{:05d}|{:5}|{:s}'.format(2.5, 42, 'a', 'b', "
     "7, 'c', 'd') }}", 0, 0),
    ("{{ '{} {}'.format(1) }}", 0, 0),
    ("{{ {'b': 1, 'a': [1, {'d': 1, 'c': 2}]} | tojson(sort_keys=true) }} {{ {'a': [1, 2]} | "
     "tojson(separators=(',', ':')) }} {{ '\u00e9\U0001f600\u2028' | tojson(ensure_ascii=true) }} "
     "{{ {'a': [1, []], 'b': {}} | tojson(indent='\t') }} {{ [1, 2] | tojson(false, 1) }} "
     "{{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ [1] | tojson(indent=0) }}", 0, 0),
    ("{{ messages | tojson(unknown=1) }}", 0, 0),
    ("{{ '\u65e5\u672c X' | lower }} {{ '\u65e5\u672c x' | title }} {{ '\U0001f600 ok' | upper }}", 0, 0),
    # further methods
    ("{{ 'a.b.c'.rsplit('.', 1) }} {{ 'a.b'.rsplit('.') }} {{ 'a=b=c'.partition('=') }} "
     "{{ 'a=b=c'.rpartition('=') }} {{ 'ab'.partition('x') }} {{ 'ab'.rpartition('x') }} "
     "{{ 'abab'.rfind('b') }} {{ 'abab'.rfind('x') }} {{ [1, 2, 1].count(1) }} {{ [5, 6].index(6) }} "
     "{{ {'a': 1}.copy() }}", 0, 0),
    ("{{ 'abc'.isalpha() }}{{ 'a1'.isalnum() }}{{ 'A1'.isupper() }}{{ 'a1'.islower() }}{{ ' '.isspace()"
     " }}{{ ''.isalpha() }}{{ '1'.islower() }}{{ 'aB'.isupper() }}{{ '12'.isnumeric() }}", 0, 0),
    # further tests
    ("{{ 'AB' is upper }} {{ 'ab' is lower }} {{ 'trim' is filter }} {{ 'nope' is filter }} {{ 'odd' is "
     "test }} {{ none is sameas none }} {{ 1 is sameas 2 }} {{ 3 is ge 2 }} {{ 3 is le(2) }} "
     "{{ 3 is greaterthan 2 }} {{ 1 is lessthan 2 }} {{ 1 is not in [2] }}", 0, 0),
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


class Generation(Extension):
    """{% generation %}, which marks what the assistant wrote."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("body"), [], [], body).set_lineno(line)

    @staticmethod
    def body(caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                         extensions=[Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = NOW.strftime
    return made


def render(source, conversation, prompt):
    """What Jinja2 writes, or None where it fails."""
    given = CONVERSATIONS[conversation]
    try:
        return environment().from_string(source).render(
            messages=given["messages"], tools=given.get("tools"), documents=None,
            add_generation_prompt=bool(prompt), bos_token="<s>", eos_token="</s>",
            **given.get("variables", {}))
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


def flatten(value, key=None):
    """Rows of struct template_value in prefix order."""
    text, integer, real = None, 0, 0.0
    if isinstance(value, dict):
        kind, integer = "{", len(value)
    elif isinstance(value, list):
        kind, integer = "[", len(value)
    elif value is None:
        kind = "n"
    elif isinstance(value, bool):
        kind, integer = "b", int(value)
    elif isinstance(value, int):
        kind, integer = "i", value
    elif isinstance(value, float):
        kind, real = "f", value
    else:
        kind, text = "s", value
    yield "    {'%s', %s, %s, %d, %r}," % (kind, quote(key), quote(text), integer, real)
    if isinstance(value, dict):
        for name, item in value.items():
            yield from flatten(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from flatten(item)


def print_conversations():
    print("/* A JSON-like value: n none, b bool, i int, f float, s text, [ list, { dict; what a list or"
          "\n * dict has (integer: how many) follows. */")
    print("struct template_value {\n    char kind;\n    const char *key, *text;\n    long long integer;\n"
          "    double real;\n};")
    names = ("messages", "tools", "variables")
    for i, conversation in enumerate(CONVERSATIONS):
        for name in names:
            if name in conversation:
                print("static const struct template_value %s_%d[] = {" % (name, i))
                print("\n".join(flatten(conversation[name])))
                print("};")
    print("static const struct template_conversation {\n    const struct template_value *messages, "
          "*tools, *variables;\n} template_conversations[] = {")
    for i, conversation in enumerate(CONVERSATIONS):
        print("    {%s}," % ", ".join("%s_%d" % (name, i) if name in conversation else "NULL"
                                      for name in names))
    print("};")


def main():
    print("/* Written by make_templates.py with Jinja2 %s: do not edit. expected is NULL where Jinja2"
          "\n * fails. */" % jinja2.__version__)
    print("/* clang-format off */")
    print_conversations()
    print("static const struct template_case {\n    const char *source;\n    int conversation;\n"
          "    bool add_generation_prompt;\n    const char *expected;\n} template_cases[] = {")
    for source, conversation, prompt in CASES:
        expected = render(source, conversation, prompt)
        print("    {%s,\n     %d, %s,\n     %s}," % (quote(source), conversation,
                                                 "true" if prompt else "false", quote(expected)))
    print("};\n/* clang-format on */")


if __name__ == "__main__":
    main()
