/* Written by make_templates.py with Jinja2 3.1.6: do not edit. expected is NULL where Jinja2
 * fails. */
/* clang-format off */
static const struct template_case {
    const char *source;
    int conversation;
    bool add_generation_prompt;
    const char *expected;
} template_cases[] = {
    {"",
     0, false,
     ""},
    {"plain text\n",
     0, false,
     "plain text"},
    {"two newlines\n\n",
     0, false,
     "two newlines\n"},
    {"a\015\nb\015c",
     0, false,
     "a\nb\nc"},
    {"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system"
     "' %}{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, traine"
     "d by Hugging Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] "
     "+ '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_gener"
     "ation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
     0, false,
     "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugg"
     "ing Face<|im_end|>\n<|im_start|>user\nHello, \"x\"!<|im_end|>\n"},
    {"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system"
     "' %}{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, traine"
     "d by Hugging Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] "
     "+ '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_gener"
     "ation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
     0, true,
     "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugg"
     "ing Face<|im_end|>\n<|im_start|>user\nHello, \"x\"!<|im_end|>\n<|im_start|>assis"
     "tant\n"},
    {"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system"
     "' %}{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, traine"
     "d by Hugging Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] "
     "+ '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_gener"
     "ation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
     1, false,
     "<|im_start|>system\nBe <b>brief</b>.<|im_end|>\n<|im_start|>user\n  Hi\nthere <|"
     "im_end|>\n<|im_start|>assistant\nYo \\ \303\251<|im_end|>\n<|im_start|>user\nbye"
     "<|im_end|>\n"},
    {"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system"
     "' %}{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, traine"
     "d by Hugging Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] "
     "+ '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_gener"
     "ation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
     1, true,
     "<|im_start|>system\nBe <b>brief</b>.<|im_end|>\n<|im_start|>user\n  Hi\nthere <|"
     "im_end|>\n<|im_start|>assistant\nYo \\ \303\251<|im_end|>\n<|im_start|>user\nbye"
     "<|im_end|>\n<|im_start|>assistant\n"},
    {"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system"
     "' %}{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, traine"
     "d by Hugging Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] "
     "+ '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_gener"
     "ation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
     2, true,
     "<|im_start|>assistant\n"},
    {"{{ bos_token }}|{{ eos_token }}|{{ nothing }}|{{ messages | length }}",
     1, false,
     "<s>|</s>||4"},
    {"{{ tools is none }} {{ documents is defined }} {{ unknown is defined }}",
     0, false,
     "True True False"},
    {"a\n  {% if true %}\n  b\n  {% endif %}\nc",
     0, false,
     "a\n  b\nc"},
    {"a\n  {%- if true -%}\n  b\n  {%- endif -%}\nc",
     0, false,
     "abc"},
    {"a\n  {%+ if true +%}\n  b\n  {%+ endif %}\nc",
     0, false,
     "a\n  \n  b\n  c"},
    {"a  {{- ' x ' -}}  b",
     0, false,
     "a x b"},
    {"a\n  {{ 1 }}\nb",
     0, false,
     "a\n  1\nb"},
    {"  {% set x = 1 %}  {% set y = 2 %}\n{{ x }}{{ y }}",
     0, false,
     "  12"},
    {"{% set x = 1 %}\n   {% set y = 2 %}z",
     0, false,
     "z"},
    {"x {# comment #}\ny {#- c -#}  z\n   {# whole line #}\nend",
     0, false,
     "x yz\nend"},
    {"\343\200\200\302\240{%- if true %}a\342\200\203{%- endif -%}\342\200\250b",
     0, false,
     "ab"},
    {"{% raw %}\n{{ not evaluated }} {% if %}\n{% endraw %}\nafter",
     0, false,
     "\n{{ not evaluated }} {% if %}\nafter"},
    {"a {%- raw -%} {{ x }} {%- endraw -%} b",
     0, false,
     "a{{ x }}b"},
    {"{{ 1 }} {{ 1_000 }} {{ 1.5 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 0.1 + 0.2 }} {{ 1e16 }} "
     "{{ 1e15 }}",
     0, false,
     "1 1000 1.5 1000.0 1.5e-07 0.30000000000000004 1e+16 1000000000000000.0"},
    {"{{ 'a\\n\\t\\\\\\'\\\"\\x41\\u00e9\\101\\q' }}{{ \"b'\" }}",
     0, false,
     "a\n\011\\'\"A\303\251A\\qb'"},
    {"{{ 'a' 'b' \"c\" }}",
     0, false,
     "abc"},
    {"{{ true }} {{ True }} {{ false }} {{ none }} {{ None }}",
     0, false,
     "True True False None None"},
    {"{{ [1, 'a', none, [true], (1,), ()] }} {{ {'a': 1, 'b': [2.0]} }}",
     0, false,
     "[1, 'a', None, [True], (1,), ()] {'a': 1, 'b': [2.0]}"},
    {"{{ ['it\\'s', 'say \"x\"', 'both \\' \"', 'n\\n', '\303\251', '\\x7f'] }}",
     0, false,
     "[\"it's\", 'say \"x\"', 'both \\' \"', 'n\\n', '\303\251', '\\x7f']"},
    {"{{ 1, 2 }} {{ (1, 2)[0] }} {{ (3) }}",
     0, false,
     "(1, 2) 1 3"},
    {"{{ {'a': {'b': {}}} }}",
     0, false,
     "{'a': {'b': {}}}"},
    {"{{ 7 + 2 * 3 - 1 }} {{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7.5 /"
     "/ 2 }} {{ -7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }"
     "}",
     0, false,
     "12 3.5 3 -4 2 3.0 0.5 1024 0.5 64 4"},
    {"{{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ 2 * 'x' }} {{ [1] + [2] }} {{ [1] * 2 }} {{ 'a"
     "' ~ 1 ~ none ~ 1.0 ~ nothing }}",
     0, false,
     "ab ababab xx [1, 2] [1, 1] a1None1.0"},
    {"{{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' == 'a' }} {{ [1] == [1] }} {{ none == none"
     " }} {{ {'a': 1} == {'a': 1} }} {{ 1 != 2 }} {{ '1' == 1 }}",
     0, false,
     "True True True True True True True False"},
    {"{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 'a' < 'b' }} {{ 'B' < 'a' }} {{ [1, 2] < [1, "
     "3] }} {{ 1 <= 1 }} {{ 2 >= 3 }}",
     0, false,
     "True False True True True True False"},
    {"{{ 'a' in 'abc' }} {{ 1 in [1, 2] }} {{ 'k' in {'k': 1} }} {{ 3 not in (1, 2) }}"
     " {{ 'x' in nothing }} {{ not 1 in [1] }}",
     0, false,
     "True True True True False False"},
    {"{{ 1 and 2 }} {{ 0 or 'x' }} {{ not '' }} {{ none or false }} {{ 1 if true else "
     "2 }} {{ 1 if false }} {{ 'a' if 0 else 'b' if 0 else 'c' }}",
     0, false,
     "2 x True False 1  c"},
    {"{{ -3 | abs }} {{ - 3 }} {{ +3 }} {{ 1 - -1 }} {{ true + true }}",
     0, false,
     "3 -3 3 2 2"},
    {"{{ 1 ~ 2 + 3 }}",
     0, false,
     NULL},
    {"{{ messages[0].role }} {{ messages[0]['content'] }} {{ messages[-1].role }} {{ m"
     "essages.0.role }}",
     1, false,
     "system Be <b>brief</b>. user system"},
    {"{{ messages[9] is defined }} {{ messages[0].nothing is defined }} {{ messages[0]"
     "['nothing'] is defined }}",
     1, false,
     "False False False"},
    {"{% for m in messages[1:] %}{{ m.role }},{% endfor %}{{ messages[::-1][0].content"
     " }}",
     1, false,
     "user,assistant,user,bye"},
    {"{{ 'h\303\251llo'[1] }}{{ 'h\303\251llo'[-1] }} {{ 'h\303\251llo'[1:3] }} {{ 'he"
     "llo'[::-1] }} {{ 'hello'[-3:] }} {{ 'hello'[:-3] }} {{ 'hello'[::2] }} {{ 'hello"
     "'[4:1:-1] }}",
     0, false,
     "\303\251o \303\251l olleh llo he hlo oll"},
    {"{{ [1, 2, 3, 4][1:3] }} {{ (1, 2, 3)[::-1] }} {{ [1, 2][5:] }} {{ [1, 2][-9:9] }"
     "}",
     0, false,
     "[2, 3] (3, 2, 1) [] [1, 2]"},
    {"{{ {'items': 1}['items'] }} {{ {'a': 1}.a }} {{ {1: 'x'}[1] }}",
     0, false,
     "1 1 x"},
    {"{% if 0 %}a{% elif 1 %}b{% elif 2 %}c{% else %}d{% endif %}{% if none %}a{% else"
     " %}e{% endif %}",
     0, false,
     "be"},
    {"{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ lo"
     "op.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }} "
     "{% endfor %}",
     1, false,
     "1043TrueFalse41 2132FalseFalse41 3221FalseFalse41 4310FalseTrue41 "},
    {"{% for x in [1, 2, 3] %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfo"
     "r %}",
     0, false,
     "<1>2;1<2>3;2<3>;"},
    {"{% for x in [1, 2, 3] %}{{ loop.cycle('a', 'b') }}{% endfor %}",
     0, false,
     "aba"},
    {"{% for x in [] %}x{% else %}empty{% endfor %}{% for x in nothing %}x{% else %}no"
     "ne{% endfor %}",
     0, false,
     "emptynone"},
    {"{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }} {% endfor %}{% for k i"
     "n {'a': 1} %}{{ k }}{% endfor %}{% for c in 'h\303\251' %}[{{ c }}]{% endfor %}",
     0, false,
     "a=1 b=2 a[h][\303\251]"},
    {"{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }} {{"
     " m.content }};{% endfor %}",
     1, false,
     "1/2   Hi\nthere ;2/2 bye;"},
    {"{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{"
     "% break %}{% endif %}{{ x }}{% endfor %}",
     0, false,
     "0134"},
    {"{% for x in [1, 2] %}{% break %}{% else %}else{% endfor %}{% for x in [1, 2] %}{"
     "% if x == 2 %}{% break %}{% endif %}{% else %}else{% endfor %}",
     0, false,
     "else"},
    {"{{ 0 // -2.5 }} {{ -4.0 % 2 }} {{ 4.0 % -2 }}",
     0, false,
     "-0.0 0.0 -0.0"},
    {"{{ nothing | int }}",
     0, false,
     NULL},
    {"{{ 2.5 is odd }} {{ 2.5 is even }} {{ -3 is odd }}",
     0, false,
     "False False True"},
    {"{{ [1] in {'a': 1} }}",
     0, false,
     NULL},
    {"{% for a in [1, 2] %}{% for b in [3, 4] %}{{ loop.depth }}{{ a }}{{ b }}{% if b "
     "== 3 %}{% break %}{% endif %}{% endfor %}{{ loop.index }}{% endfor %}",
     0, false,
     "11311232"},
    {"{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ "
     "x }}",
     0, false,
     "15151"},
    {"{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
     0, false,
     "2"},
    {"{% set a, b = 1, 'z' %}{{ a }}{{ b }}",
     0, false,
     "1z"},
    {"{% set ns = namespace(n=0, found=false) %}{% for i in [1, 2, 3] %}{% set ns.n = "
     "ns.n + i %}{% set ns.found = true %}{% endfor %}{{ ns.n }}{{ ns.found }}",
     0, false,
     "6True"},
    {"{% set x %}block {{ 1 + 1 }}{% endset %}[{{ x }}]",
     0, false,
     "[block 2]"},
    {"{{ range(3) | list }} {{ range(1, 4) | list }} {{ range(5, 0, -2) | list }} {{ r"
     "ange(0) | list }}",
     0, false,
     "[0, 1, 2] [1, 2, 3] [5, 3, 1] []"},
    {"{% set d = dict(a=1, b='x') %}{{ d }}",
     0, false,
     "{'a': 1, 'b': 'x'}"},
    {"[{{ '  a b ' | trim }}] [{{ 'xxaxx' | trim('x') }}] {{ 'abc' | length }} {{ [1, "
     "2] | count }} {{ {'a': 1} | length }} {{ 'h\303\251' | length }} {{ nothing | le"
     "ngth }}",
     0, false,
     "[a b] [a] 3 2 1 2 0"},
    {"{{ 'aBc' | upper }} {{ 'aBc' | lower }} {{ 'aBC' | capitalize }}",
     0, false,
     "ABC abc Abc"},
    {"{{ nothing | default('d') }} {{ none | default('d') }} {{ '' | default('d', true"
     ") }} {{ '' | d('e', boolean=true) }} {{ nothing | default }} {{ 0 | default(defa"
     "ult_value=1) }}",
     0, false,
     "d None d e  0"},
    {"{{ [1, 'a', none] | join(', ') }} {{ ['a', 'b'] | join }} {{ 'abc' | join('-') }"
     "}",
     0, false,
     "1, a, None ab a-b-c"},
    {"{{ [1, 2, 3] | first }} {{ [1, 2, 3] | last }} {{ 'abc' | first }} {{ 'abc' | la"
     "st }} [{{ [] | first }}]",
     0, false,
     "1 3 a c []"},
    {"{{ 'a-b-c' | replace('-', '+') }} {{ 'a-b-c' | replace('-', '', 1) }} {{ 'abc' |"
     " replace('', '.') }}",
     0, false,
     "a+b+c ab-c .a.b.c."},
    {"{{ [1, 2] | string | length }} {{ 'ab' | list }} {{ [1, 2] | reverse | list }} {"
     "{ 'abc' | reverse }} {{ {'a': 1} | items | list }}",
     0, false,
     "6 ['a', 'b'] [2, 1] cba [('a', 1)]"},
    {"{{ '12' | int + 1 }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 3.9 | int }} {{ '2.5'"
     " | float }} {{ 3 | float }} {{ -2.5 | abs }}",
     0, false,
     "13 0 7 3 2.5 3.0 2.5"},
    {"{{ {'a': [1, 2.5, none, true, 'x\"\\\\\\n\\t\303\251\342\200\250<&>'], 'b': {}} "
     "| tojson }}",
     0, false,
     "{\"a\": [1, 2.5, null, true, \"x\\\"\\\\\\n\\t\303\251\342\200\250<&>\"], \"b\":"
     " {}}"},
    {"{{ {'a': [1, {}], 'b': []} | tojson(indent=2) }}",
     0, false,
     "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"},
    {"{{ messages | tojson }}",
     1, false,
     "[{\"role\": \"system\", \"content\": \"Be <b>brief</b>.\"}, {\"role\": \"user\","
     " \"content\": \"  Hi\\nthere \"}, {\"role\": \"assistant\", \"content\": \"Yo \\"
     "\\ \303\251\"}, {\"role\": \"user\", \"content\": \"bye\"}]"},
    {"{{ '\\x01\\x1f\\x7f' | tojson }}",
     0, false,
     "\"\\u0001\\u001f\177\""},
    {"[{{ '  a '.strip() }}] [{{ '  a '.lstrip() }}] [{{ '  a '.rstrip() }}] [{{ 'xax'"
     ".strip('x') }}]",
     0, false,
     "[a] [a ] [  a] [a]"},
    {"{{ 'a b  c'.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ "
     "''.split() }} {{ ''.split(',') }} {{ ' a b c '.split(none, 1) }} {{ 'a\\nb\\r\\n"
     "c\\n'.splitlines() }}",
     0, false,
     "['a', 'b', 'c'] ['a', 'b', '', 'c'] ['a', 'b,c'] [] [''] ['a', 'b c '] ['a', 'b'"
     ", 'c']"},
    {"{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.startswit"
     "h('') }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('bc') }}",
     0, false,
     "True True True bc a"},
    {"{{ 'abc'.upper() }} {{ 'ABC'.lower() }} {{ 'abC'.capitalize() }} {{ 'a.b'.replac"
     "e('.', '-') }} {{ ', '.join(['a', 'b']) }} {{ 'h\303\251llo'.find('l') }} {{ 'aX"
     "bX'.count('X') }} {{ '12'.isdigit() }} {{ ''.isdigit() }}",
     0, false,
     "ABC abc Abc a-b a, b 2 2 True False"},
    {"{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 2) }} {{ {'"
     "a': 1}.keys() | list }} {{ {'a': 1}.values() | list }}",
     0, false,
     "1 None 2 ['a'] [1]"},
    {"{{ (messages[1].content | trim).split('\\n')[-1] }}",
     1, false,
     "there"},
    {"{{ 1 is defined }} {{ x is not defined }} {{ x is undefined }} {{ none is none }"
     "} {{ 'a' is string }} {{ 1 is number }} {{ true is number }} {{ 1.0 is float }} "
     "{{ 1 is integer }} {{ true is integer }} {{ true is boolean }} {{ {} is mapping "
     "}} {{ [] is sequence }} {{ 'a' is iterable }} {{ 1 is iterable }} {{ range is ca"
     "llable }}",
     0, false,
     "True True True True True True True True True False True True True True False Tru"
     "e"},
    {"{{ 3 is odd }} {{ 3 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }"
     "} {{ 1 is eq 1 }} {{ 1 is equalto(2) }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is "
     "in [1] }} {{ true is true }} {{ 1 is true }} {{ false is false }}",
     0, false,
     "True False True False True False True True True True False True"},
    {"{% if messages[0].role is string and messages[0].role is not none %}ok{% endif %"
     "}",
     1, false,
     "ok"},
    {"{{ raise_exception('no way') }}",
     0, false,
     NULL},
    {"{{ nothing.attribute }}",
     0, false,
     NULL},
    {"{{ nothing + 1 }}",
     0, false,
     NULL},
    {"{{ 'a' + 1 }}",
     0, false,
     NULL},
    {"{{ 1 < 'a' }}",
     0, false,
     NULL},
    {"{{ 1 / 0 }}",
     0, false,
     NULL},
    {"{{ messages.append(1) }}",
     0, false,
     NULL},
    {"{% for %}",
     0, false,
     NULL},
    {"{% if 1 %}",
     0, false,
     NULL},
    {"{{ 1",
     0, false,
     NULL},
    {"{{ 'a }}",
     0, false,
     NULL},
    {"{% endif %}",
     0, false,
     NULL},
    {"{{ (1 }}",
     0, false,
     NULL},
    {"{{ ] }}",
     0, false,
     NULL},
    {"{# no end",
     0, false,
     NULL},
    {"{% raw %} no end",
     0, false,
     NULL},
    {"{% set x.y = 1 %}",
     0, false,
     NULL},
    {"{% set a, b = [1] %}",
     0, false,
     NULL},
    {"{{ range(1000000) }}",
     0, false,
     NULL},
    {"{{ 1 \? 2 }}",
     0, false,
     NULL},
};
/* clang-format on */
