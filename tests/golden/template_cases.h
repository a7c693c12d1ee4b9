/* Written by make_templates.py with Jinja2 3.1.6: do not edit. expected is NULL where Jinja2
 * fails. */
/* clang-format off */
/* A JSON-like value: n none, b bool, i int, f float, s text, [ list, { dict; what a list or
 * dict has (integer: how many) follows. */
struct template_value {
    char kind;
    const char *key, *text;
    long long integer;
    double real;
};
static const struct template_value messages_0[] = {
    {'[', NULL, NULL, 1, 0.0},
    {'{', NULL, NULL, 2, 0.0},
    {'s', "role", "user", 0, 0.0},
    {'s', "content", "Hello, \"x\"!", 0, 0.0},
};
static const struct template_value messages_1[] = {
    {'[', NULL, NULL, 4, 0.0},
    {'{', NULL, NULL, 2, 0.0},
    {'s', "role", "system", 0, 0.0},
    {'s', "content", "Be <b>brief</b>.", 0, 0.0},
    {'{', NULL, NULL, 2, 0.0},
    {'s', "role", "user", 0, 0.0},
    {'s', "content", "  Hi\nthere ", 0, 0.0},
    {'{', NULL, NULL, 2, 0.0},
    {'s', "role", "assistant", 0, 0.0},
    {'s', "content", "Yo \\ \303\251", 0, 0.0},
    {'{', NULL, NULL, 2, 0.0},
    {'s', "role", "user", 0, 0.0},
    {'s', "content", "bye", 0, 0.0},
};
static const struct template_value messages_2[] = {
    {'[', NULL, NULL, 0, 0.0},
};
static const struct template_value messages_3[] = {
    {'[', NULL, NULL, 3, 0.0},
    {'{', NULL, NULL, 2, 0.0},
    {'s', "role", "user", 0, 0.0},
    {'s', "content", "weather\?", 0, 0.0},
    {'{', NULL, NULL, 3, 0.0},
    {'s', "role", "assistant", 0, 0.0},
    {'s', "content", "", 0, 0.0},
    {'[', "tool_calls", NULL, 1, 0.0},
    {'{', NULL, NULL, 3, 0.0},
    {'s', "id", "call_1", 0, 0.0},
    {'s', "type", "function", 0, 0.0},
    {'{', "function", NULL, 2, 0.0},
    {'s', "name", "get_weather", 0, 0.0},
    {'{', "arguments", NULL, 4, 0.0},
    {'s', "city", "Paris, \"FR\"", 0, 0.0},
    {'i', "days", NULL, 2, 0.0},
    {'{', "options", NULL, 2, 0.0},
    {'n', "deep", NULL, 0, 0.0},
    {'f', "x", NULL, 0, 1.5},
    {'b', "all", NULL, 1, 0.0},
    {'{', NULL, NULL, 4, 0.0},
    {'s', "role", "tool", 0, 0.0},
    {'s', "content", "{\"t\": 20}", 0, 0.0},
    {'s', "tool_call_id", "call_1", 0, 0.0},
    {'s', "name", "get_weather", 0, 0.0},
};
static const struct template_value tools_3[] = {
    {'[', NULL, NULL, 2, 0.0},
    {'{', NULL, NULL, 2, 0.0},
    {'s', "type", "function", 0, 0.0},
    {'{', "function", NULL, 3, 0.0},
    {'s', "name", "get_weather", 0, 0.0},
    {'s', "description", "The \"weather\" <now> & then, \303\251", 0, 0.0},
    {'{', "parameters", NULL, 3, 0.0},
    {'s', "type", "object", 0, 0.0},
    {'[', "required", NULL, 1, 0.0},
    {'s', NULL, "city", 0, 0.0},
    {'{', "properties", NULL, 4, 0.0},
    {'{', "city", NULL, 2, 0.0},
    {'s', "type", "string", 0, 0.0},
    {'s', "description", "City & country", 0, 0.0},
    {'{', "unit", NULL, 3, 0.0},
    {'s', "type", "string", 0, 0.0},
    {'[', "enum", NULL, 2, 0.0},
    {'s', NULL, "C", 0, 0.0},
    {'s', NULL, "F", 0, 0.0},
    {'s', "default", "C", 0, 0.0},
    {'{', "days", NULL, 2, 0.0},
    {'s', "type", "integer", 0, 0.0},
    {'i', "minimum", NULL, 1, 0.0},
    {'{', "options", NULL, 2, 0.0},
    {'s', "type", "object", 0, 0.0},
    {'{', "properties", NULL, 1, 0.0},
    {'{', "deep", NULL, 1, 0.0},
    {'[', "type", NULL, 2, 0.0},
    {'s', NULL, "string", 0, 0.0},
    {'s', NULL, "null", 0, 0.0},
    {'{', NULL, NULL, 2, 0.0},
    {'s', "type", "function", 0, 0.0},
    {'{', "function", NULL, 3, 0.0},
    {'s', "name", "noop", 0, 0.0},
    {'s', "description", "Nothing", 0, 0.0},
    {'{', "parameters", NULL, 2, 0.0},
    {'s', "type", "object", 0, 0.0},
    {'{', "properties", NULL, 0, 0.0},
};
static const struct template_value variables_3[] = {
    {'{', NULL, NULL, 2, 0.0},
    {'b', "enable_thinking", NULL, 0, 0.0},
    {'{', "extra", NULL, 1, 0.0},
    {'[', "a", NULL, 3, 0.0},
    {'i', NULL, NULL, 1, 0.0},
    {'f', NULL, NULL, 0, 2.5},
    {'n', NULL, NULL, 0, 0.0},
};
static const struct template_value messages_4[] = {
    {'[', NULL, NULL, 2, 0.0},
    {'{', NULL, NULL, 2, 0.0},
    {'s', "role", "user", 0, 0.0},
    {'[', "content", NULL, 2, 0.0},
    {'{', NULL, NULL, 2, 0.0},
    {'s', "type", "text", 0, 0.0},
    {'s', "text", "a", 0, 0.0},
    {'{', NULL, NULL, 1, 0.0},
    {'s', "type", "image", 0, 0.0},
    {'{', NULL, NULL, 2, 0.0},
    {'s', "role", "assistant", 0, 0.0},
    {'n', "content", NULL, 0, 0.0},
};
static const struct template_value tools_4[] = {
    {'[', NULL, NULL, 0, 0.0},
};
static const struct template_conversation {
    const struct template_value *messages, *tools, *variables;
} template_conversations[] = {
    {messages_0, NULL, NULL},
    {messages_1, NULL, NULL},
    {messages_2, NULL, NULL},
    {messages_3, tools_3, variables_3},
    {messages_4, tools_4, NULL},
};
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
    {"{{ tools | tojson }}|{{ messages | tojson }}|{{ enable_thinking }} {{ extra }}",
     3, false,
     "[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"descriptio"
     "n\": \"The \\\"weather\\\" <now> & then, \303\251\", \"parameters\": {\"type\": "
     "\"object\", \"required\": [\"city\"], \"properties\": {\"city\": {\"type\": \"st"
     "ring\", \"description\": \"City & country\"}, \"unit\": {\"type\": \"string\", "
     "\"enum\": [\"C\", \"F\"], \"default\": \"C\"}, \"days\": {\"type\": \"integer\","
     " \"minimum\": 1}, \"options\": {\"type\": \"object\", \"properties\": {\"deep\":"
     " {\"type\": [\"string\", \"null\"]}}}}}}}, {\"type\": \"function\", \"function\""
     ": {\"name\": \"noop\", \"description\": \"Nothing\", \"parameters\": {\"type\": "
     "\"object\", \"properties\": {}}}}]|[{\"role\": \"user\", \"content\": \"weather"
     "\?\"}, {\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{\"id\": \""
     "call_1\", \"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"ar"
     "guments\": {\"city\": \"Paris, \\\"FR\\\"\", \"days\": 2, \"options\": {\"deep\""
     ": null, \"x\": 1.5}, \"all\": true}}}]}, {\"role\": \"tool\", \"content\": \"{\\"
     "\"t\\\": 20}\", \"tool_call_id\": \"call_1\", \"name\": \"get_weather\"}]|False "
     "{'a': [1, 2.5, None]}"},
    {"{{ tools | tojson(indent=4) }}",
     3, false,
     "[\n    {\n        \"type\": \"function\",\n        \"function\": {\n            "
     "\"name\": \"get_weather\",\n            \"description\": \"The \\\"weather\\\" <"
     "now> & then, \303\251\",\n            \"parameters\": {\n                \"type"
     "\": \"object\",\n                \"required\": [\n                    \"city\"\n"
     "                ],\n                \"properties\": {\n                    \"cit"
     "y\": {\n                        \"type\": \"string\",\n                        "
     "\"description\": \"City & country\"\n                    },\n                   "
     " \"unit\": {\n                        \"type\": \"string\",\n                   "
     "     \"enum\": [\n                            \"C\",\n                          "
     "  \"F\"\n                        ],\n                        \"default\": \"C\""
     "\n                    },\n                    \"days\": {\n                     "
     "   \"type\": \"integer\",\n                        \"minimum\": 1\n             "
     "       },\n                    \"options\": {\n                        \"type\":"
     " \"object\",\n                        \"properties\": {\n                       "
     "     \"deep\": {\n                                \"type\": [\n                 "
     "                   \"string\",\n                                    \"null\"\n  "
     "                              ]\n                            }\n                "
     "        }\n                    }\n                }\n            }\n        }\n "
     "   },\n    {\n        \"type\": \"function\",\n        \"function\": {\n        "
     "    \"name\": \"noop\",\n            \"description\": \"Nothing\",\n            "
     "\"parameters\": {\n                \"type\": \"object\",\n                \"prop"
     "erties\": {}\n            }\n        }\n    }\n]"},
    {"{{ tools | length }} {{ messages | tojson }} {{ messages[0].content[1].type }} {"
     "{ messages[1].content is none }} {{ tools is defined and tools }}",
     4, false,
     "0 [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}, {\""
     "type\": \"image\"}]}, {\"role\": \"assistant\", \"content\": null}] image True ["
     "]"},
    {"{%- for tool in tools %}{{ tool.function.name }}: {{ tool['function'].descriptio"
     "n }}\n{%- for name, p in tool.function.parameters.properties.items() %}\n  {{ na"
     "me }} ({{ p.type }}{% if name in tool.function.parameters.required %}, required{"
     "% endif %}){{ ' = ' ~ p.default if p.default is defined }}\n{% endfor %}{% endfo"
     "r %}",
     3, false,
     "get_weather: The \"weather\" <now> & then, \303\251  city (string, required)\n  "
     "unit (string) = C\n  days (integer)\n  options (object)\nnoop: Nothing"},
    {"{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for c"
     " in m.tool_calls %}{{ c.function.name }}({{ c.function.arguments | tojson }}){% "
     "for k, v in c.function.arguments | items %}{{ k }}={{ v }};{% endfor %}{% endfor"
     " %}{% elif m.role == 'tool' %}{{ m.tool_call_id }}:{{ m.content }}{% else %}{{ m"
     ".content }}{% endif %}|{% endfor %}",
     3, false,
     "weather\?|get_weather({\"city\": \"Paris, \\\"FR\\\"\", \"days\": 2, \"options\""
     ": {\"deep\": null, \"x\": 1.5}, \"all\": true})city=Paris, \"FR\";days=2;options"
     "={'deep': None, 'x': 1.5};all=True;|call_1:{\"t\": 20}|"},
    {"{% for m in messages %}{% if m.content is string %}{{ m.content }}{% elif m.cont"
     "ent is iterable %}{% for p in m.content %}{{ p.text if p.type == 'text' else '<'"
     " ~ p.type ~ '>' }}{% endfor %}{% else %}-{% endif %}{% endfor %}",
     4, false,
     "a<image>-"},
    {"{% macro hi(name, mark='!') %}Hi {{ name }}{{ mark }}{% endmacro %}{{ hi('a') }}"
     " {{ hi('b', '\?') }} {{ hi(mark='.', name='c') }} {{ hi() }} {{ hi('x') | upper "
     "}}",
     0, false,
     "Hi a! Hi b\? Hi c. Hi ! HI X!"},
    {"{% macro m(a, b=a + 1, c=[a, b]) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}"
     "{{ m(1, 5) }}{{ m(1, c=2) }}",
     0, false,
     "12[1, 2]15[1, 5]122"},
    {"{%- macro tree(x, depth=0) -%}{{ depth }}{% for k in x %}[{{ tree(x[k], depth + "
     "1) }}]{% endfor %}{%- endmacro -%}{{ tree({'a': {'b': {}, 'c': {}}, 'd': {}}) }}",
     0, false,
     "0[1[2][2]][1]"},
    {"{% macro m() %}{{ x }}{{ y is defined }}{% endmacro %}{% set x = 1 %}{{ m() }}{%"
     " for y in [1] %}{{ m() }}{% endfor %}{% set x = 2 %}{{ m() }}",
     0, false,
     "1False1False2False"},
    {"{% macro m(x) %}{% set x = x + 1 %}{% set z = 5 %}{{ x }}{% endmacro %}{% set x "
     "= 10 %}{{ m(1) }}{{ x }}{{ z is defined }}",
     0, false,
     "210False"},
    {"{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k='v"
     "') }}{{ m() }}",
     0, false,
     "1(2, 3){'k': 'v'}(){}"},
    {"{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
     0, false,
     NULL},
    {"{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
     0, false,
     NULL},
    {"{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}",
     0, false,
     NULL},
    {"{% macro box(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% set v = 7 %}"
     "{% call box('b') %}in {{ v }}{% endcall %}",
     0, false,
     "<b>in 7</b>"},
    {"{% macro rows(xs) %}{% for x in xs %}{{ caller(x, loop.index) }};{% endfor %}{% "
     "endmacro %}{% call(x, i) rows([5, 6]) %}{{ i }}:{{ x * 2 }}{% endcall %}",
     0, false,
     "1:10;2:12;"},
    {"{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
     0, false,
     "False"},
    {"{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}",
     0, false,
     NULL},
    {"{% macro m(n) %}{{ n }}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(9) "
     "}}",
     0, false,
     "9876543210"},
    {"{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
     0, false,
     "12"},
    {"{% for i in [1, 2, 3] %}{% macro m() %}{% for j in [1, 2] %}{% if j == 2 %}{% br"
     "eak %}{% endif %}{{ j }}{% endfor %}{% endmacro %}{% if i == 2 %}{% continue %}{"
     "% endif %}{{ m() }}{{ i }}{% endfor %}",
     0, false,
     "1113"},
    {"{% macro m(x) -%}\n  {{ x }}\n{%- endmacro %}[{{ m('a') }}]{% set t = m('b') ~ '"
     "!' %}{{ t }}",
     0, false,
     "[a]b!"},
    {"{% filter upper %}a {{ 'b' }}{% filter trim %}  c  {% endfilter %}{% endfilter %"
     "}",
     0, false,
     "A BC"},
    {"{% filter replace('a', 'b') | upper %}banana{% endfilter %}",
     0, false,
     "BBNBNB"},
    {"{% set x | trim | upper %}  a{{ 1 }}  {% endset %}[{{ x }}]",
     0, false,
     "[A1]"},
    {"{% set y = 1 %}{% filter upper %}{% set y = 2 %}a{{ y }}{% endfilter %}{{ y }}",
     0, false,
     "A21"},
    {"{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}"
     "{{ a }}{{ c is defined }}{% with %}{% set a = 9 %}{{ a }}{% endwith %}{{ a }}",
     0, false,
     "211False91"},
    {"{% for i in [1, 2, 3] %}{% filter upper %}a{% if i == 2 %}{% break %}{% endif %}"
     "{{ i }}{% endfilter %}{% endfor %}",
     0, false,
     "A1"},
    {"{% generation %}a{% set q = 1 %}{{ q }}{% endgeneration %}{{ q is defined }}",
     0, false,
     "a1False"},
    {"{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns['a'] }}{{ ns.c "
     "is defined }}{% set ns.c %}x{{ ns.a }}{% endset %}{{ ns.c }}",
     0, false,
     "121Falsex1"},
    {"{{ dict({'a': 1}, b=2) }} {{ dict([('x', 1), ['y', 2]]) }} {{ dict() }}",
     0, false,
     "{'a': 1, 'b': 2} {'x': 1, 'y': 2} {}"},
    {"{{ strftime_now('%Y-%m-%d') }}|{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%"
     "A, %B %-d, %H:%M:%S %I %p %y %j %a %e %F %T %% %w %u') }}|{{ strftime_now is def"
     "ined }}",
     0, false,
     "2024-07-06|06 Jul 2024|Saturday, July 6, 15:04:05 03 PM 24 188 Sat  6 2024-07-06"
     " 15:04:05 % 6 6|True"},
    {"{{ messages | map(attribute='role') | list }} {{ messages | map(attribute='x') |"
     " list }} {{ messages | map(attribute='x', default='d') | join(',') }} {{ ['a', '"
     "b'] | map('upper') | join }} {{ [[1, 2], [3]] | map('first') | list }} {{ ['a-b'"
     "] | map('replace', '-', '+') | list }} {{ [{'a': {'b': [7, 8]}}] | map(attribute"
     "='a.b.1') | list }} {{ [[1, 2]] | map(attribute=1) | list }}",
     1, false,
     "['system', 'user', 'assistant', 'user'] [Undefined, Undefined, Undefined, Undefi"
     "ned] d,d,d,d AB [1, 3] ['a+b'] [8] [2]"},
    {"{{ [1, 2, 3, 4] | select('odd') | list }} {{ [0, 1, '', 'a'] | select | list }} "
     "{{ [1, 2, 3] | reject('equalto', 2) | list }} {{ [1, 2, 3] | select('>', 1) | li"
     "st }} {{ [0, 1] | reject | list }} {{ [1, 'a', none] | select('string') | list }"
     "} {{ [1, 2, 5] | select('in', [2, 5]) | list }} {{ [3, 6, 7] | select('divisible"
     "by', 3) | list }}",
     0, false,
     "[1, 3] [1, 'a'] [1, 3] [2, 3] [0] ['a'] [2, 5] [3, 6]"},
    {"{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') |"
     " list }} {{ messages | rejectattr('role', 'eq', 'user') | list | length }} {{ me"
     "ssages | selectattr('content') | list | length }} {{ messages | rejectattr('x') "
     "| list | length }} {{ messages | selectattr('x', 'defined') | list }} {{ message"
     "s | selectattr('role', 'in', ['system']) | first }}",
     1, false,
     "['  Hi\\nthere ', 'bye'] 2 4 4 [] {'role': 'system', 'content': 'Be <b>brief</b>"
     ".'}"},
    {"{{ tools | selectattr('function.name', 'equalto', 'noop') | map(attribute='funct"
     "ion.name') | join }} {{ tools | map(attribute='function') | map(attribute='name'"
     ") | join(', ') }}",
     3, false,
     "noop get_weather, noop"},
    {"{{ 'y' if [] | select else 'n' }} {% set g = [1, 2, 3] | select %}{{ g | first }"
     "}{{ g | list }}{{ g | list }} {{ (none | map('upper') | list) }} {{ nothing | se"
     "lect('x') | list }} {{ g is iterable }} {{ g is sequence }} {{ 'y' if [] | list "
     "else 'n' }}",
     0, false,
     "y 1[2, 3][] [] [] True False n"},
    {"{{ [1] | select | length }}",
     0, false,
     NULL},
    {"{{ [1] | map('upper') | last }}",
     0, false,
     NULL},
    {"{% for x in [3, 1] | select %}{{ loop.length }}{{ loop.last }}{{ x }}{% endfor %"
     "}{% for x in [1, 2, 3] | reverse %}{{ x }}{{ loop.last }}{% endfor %} {{ 2 in [1"
     ", 2] | select }}",
     0, false,
     "2False32True13False2False1True True"},
    {"{{ [3, 1, 2] | sort }} {{ [3, 1, 2] | sort(reverse=true) }} {{ ['b', 'A', 'c', '"
     "a'] | sort }} {{ ['b', 'A', 'c', 'a'] | sort(case_sensitive=true) }} {{ [1.5, 1,"
     " true] | sort }} {{ [{'n': 2, 'm': 'x'}, {'n': 1, 'm': 'y'}, {'n': 2, 'm': 'a'}]"
     " | sort(attribute='n') }} {{ [{'n': 2, 'm': 'x'}, {'n': 1, 'm': 'y'}, {'n': 2, '"
     "m': 'a'}] | sort(attribute='n,m') | map(attribute='m') | join }} {{ [[2, 1], [1,"
     " 9]] | sort }} {{ 'hello' | sort }} {{ [('b', 1), ('a', 2), ('b', 0)] | sort(att"
     "ribute=0, reverse=true) }} {{ [] | sort }}",
     0, false,
     "[1, 2, 3] [3, 2, 1] ['A', 'a', 'b', 'c'] ['A', 'a', 'b', 'c'] [1, True, 1.5] [{'"
     "n': 1, 'm': 'y'}, {'n': 2, 'm': 'x'}, {'n': 2, 'm': 'a'}] yax [[1, 9], [2, 1]] ["
     "'e', 'h', 'l', 'l', 'o'] [('b', 1), ('b', 0), ('a', 2)] []"},
    {"{{ [1, 'a'] | sort }}",
     0, false,
     NULL},
    {"{{ [none, 1] | sort }}",
     0, false,
     NULL},
    {"{{ ['b', 'B', 'a', 'b'] | unique | list }} {{ ['b', 'B'] | unique(case_sensitive"
     "=true) | list }} {{ [1, 1.0, true, 2] | unique | list }} {{ [{'a': 1, 'b': 2}, {"
     "'a': 1, 'b': 3}] | unique(attribute='a') | list }}",
     0, false,
     "['b', 'a'] ['b', 'B'] [1, 2] [{'a': 1, 'b': 2}]"},
    {"{{ [[1], [1]] | unique | list }}",
     0, false,
     NULL},
    {"{{ {'b': 1, 'A': 3, 'c': 2} | dictsort }} {{ {'b': 1, 'A': 3, 'c': 2} | dictsort"
     "(true) }} {{ {'b': 1, 'A': 3, 'c': 2} | dictsort(by='value') }} {{ {'b': 1, 'A':"
     " 3} | dictsort(reverse=true) }} {% for k, v in {'z': 1, 'y': 2} | dictsort %}{{ "
     "k }}{{ v }}{% endfor %}",
     0, false,
     "[('A', 3), ('b', 1), ('c', 2)] [('A', 3), ('b', 1), ('c', 2)] [('b', 1), ('c', 2"
     "), ('A', 3)] [('b', 1), ('A', 3)] y2z1"},
    {"{{ [1] | dictsort }}",
     0, false,
     NULL},
    {"{{ [1, 2, 3.5] | sum }} {{ [{'v': 2}, {'v': 3}] | sum(attribute='v', start=10) }"
     "} {{ [] | sum }} {{ [[1], [2]] | sum(start=[]) }}",
     0, false,
     "6.5 15 0 [1, 2]"},
    {"{{ [3, 1, 2] | min }} {{ [3, 1, 2] | max }} {{ ['b', 'A'] | min }} {{ ['b', 'A',"
     " 'B'] | max }} {{ [{'v': 2}, {'v': 3}] | max(attribute='v') }} [{{ [] | min }}] "
     "{{ ['b', 'C'] | min(case_sensitive=true) }}",
     0, false,
     "1 3 A b {'v': 3} [] C"},
    {"{{ messages | join(', ', attribute='role') }} {{ messages | join(attribute='role"
     "') }}",
     1, false,
     "system, user, assistant, user systemuserassistantuser"},
    {"[{{ 'a\nb\n\nc' | indent }}] [{{ 'a\nb' | indent(2, true) }}] [{{ 'a\n\nb' | ind"
     "ent(1, blank=true) }}] [{{ 'a\nb\n' | indent(width='>>', first=true) }}] [{{ '' "
     "| indent }}] [{{ '\n' | indent(2, true, true) }}] [{{ 'a\015\nb\015c' | indent(1"
     ") }}]",
     0, false,
     "[a\n    b\n\n    c] [  a\n  b] [a\n \n b] [>>a\n>>b\n] [] [  \n  ] [a\n b\n c]"},
    {"{{ 'hello wORLD-foo (bar) x_y it\\'s' | title }} {{ \"they're bill's\".title() }"
     "}",
     0, false,
     "Hello World-Foo (Bar) X_y It's They'Re Bill'S"},
    {"{{ '<a href=\"x\">&\\'</a>' | e }} {{ '<' | escape | e }} {{ ('<b>' | safe) + '<"
     "c>' }} {{ '<' + ('>' | safe) }} {{ '<' ~ ('>' | safe) }} {{ ('<' | safe) is esca"
     "ped }} {{ '<' is escaped }} {{ ('<b>' | safe | trim) + '&' }} {{ 1 | e }}",
     0, false,
     "&lt;a href=&#34;x&#34;&gt;&amp;&#39;&lt;/a&gt; &lt; <b>&lt;c&gt; &lt;> <> True F"
     "alse <b>&amp; 1"},
    {"{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.567 | round(2) }} {{ 2.675 | round(2) }"
     "} {{ 2.1 | round(0, 'ceil') }} {{ 2.19 | round(1, 'floor') }} {{ 42 | round }} {"
     "{ 42.7 | round | int }} {{ 1234 | round(-2) }} {{ 1250.0 | round(-2) }} {{ 5 | r"
     "ound(1, 'ceil') }} {{ true | round }}",
     0, false,
     "2.0 4.0 2.57 2.67 3.0 2.1 42 43 1200 1200.0 5.0 1"},
    {"{{ '0x1f' | int(base=16) }} {{ 'ff' | int(0, 16) }} {{ '101' | int(base=2) }} {{"
     " 'zz' | int(5, 10) }} {{ ' 42 ' | int }} {{ '-7' | int }} {{ '42.9' | int }} {{ "
     "'9007199254740993' | int }} {{ none | int(3) }} {{ [] | int }} {{ none | float }"
     "} {{ '1e3' | int }}",
     0, false,
     "31 255 5 5 42 -7 42 9007199254740993 3 0 0.0 1000"},
    {"{{ '%s is %d and %.2f' % ('a', 3, 2.5) }} {{ '%s' % 'x' }} {{ '%5s|%-5s|%05d|%x|"
     "%r|%%' % ('a', 'b', 42, 255, 'q') }} {{ '%(a)s-%(b)d' % {'a': 1, 'b': 2} }} {{ '"
     "%s %s' | format(1, none) }} {{ '%(x)s' | format(x='y') }} {{ '%+d %g %e %i' % (5"
     ", 0.5, 12345.678, 7.9) }} {{ '%s' % [1, 2] }} {{ '%.2s' % 'abc' }}",
     0, false,
     "a is 3 and 2.50 x     a|b    |00042|ff|'q'|% 1-2 1 None y +5 0.5 1.234568e+04 7 "
     "[1, 2] ab"},
    {"{{ ['<' | e, 'a' | safe] }} {{ 'a' % [] }} {{ nothing is callable }} {{ [none, n"
     "one] | sort }} {{ [{'n': none}, {'n': none, 'm': 1}] | sort(attribute='n') }}",
     0, false,
     "[Markup('&lt;'), Markup('a')] a True [None, None] [{'n': None}, {'n': None, 'm':"
     " 1}]"},
    {"{% filter length %}a{% endfilter %}",
     0, false,
     NULL},
    {"{{ '%s %s' % 'a' }}",
     0, false,
     NULL},
    {"{{ '%d' % 'a' }}",
     0, false,
     NULL},
    {"{{ '%s' % ('a', 'b') }}",
     0, false,
     NULL},
    {"{{ '{} {}'.format(1, 'a') }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x}{{}}'.format"
     "(x=none) }} {{ '{!r}'.format('q') }} {{ '{:.2f}|{:5d}|{:<5}|{:>5}|{:05d}|{:5}|{:"
     "s}'.format(2.5, 42, 'a', 'b', 7, 'c', 'd') }}",
     0, false,
     "1 a ba None{} 'q' 2.50|   42|a    |    b|00007|c    |d"},
    {"{{ '{} {}'.format(1) }}",
     0, false,
     NULL},
    {"{{ {'b': 1, 'a': [1, {'d': 1, 'c': 2}]} | tojson(sort_keys=true) }} {{ {'a': [1,"
     " 2]} | tojson(separators=(',', ':')) }} {{ '\303\251\360\237\230\200\342\200\250"
     "' | tojson(ensure_ascii=true) }} {{ {'a': [1, []], 'b': {}} | tojson(indent='"
     "\011') }} {{ [1, 2] | tojson(false, 1) }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | "
     "tojson }} {{ [1] | tojson(indent=0) }}",
     0, false,
     "{\"a\": [1, {\"c\": 2, \"d\": 1}], \"b\": 1} {\"a\":[1,2]} \"\\u00e9\\ud83d\\ude"
     "00\\u2028\" {\n\011\"a\": [\n\011\0111,\n\011\011[]\n\011],\n\011\"b\": {}\n} ["
     "\n 1,\n 2\n] {\"1\": 4, \"null\": 3, \"1.5\": 5} [\n1\n]"},
    {"{{ messages | tojson(unknown=1) }}",
     0, false,
     NULL},
    {"{{ '\346\227\245\346\234\254 X' | lower }} {{ '\346\227\245\346\234\254 x' | tit"
     "le }} {{ '\360\237\230\200 ok' | upper }}",
     0, false,
     "\346\227\245\346\234\254 x \346\227\245\346\234\254 X \360\237\230\200 OK"},
    {"{{ 'a.b.c'.rsplit('.', 1) }} {{ 'a.b'.rsplit('.') }} {{ 'a=b=c'.partition('=') }"
     "} {{ 'a=b=c'.rpartition('=') }} {{ 'ab'.partition('x') }} {{ 'ab'.rpartition('x'"
     ") }} {{ 'abab'.rfind('b') }} {{ 'abab'.rfind('x') }} {{ [1, 2, 1].count(1) }} {{"
     " [5, 6].index(6) }} {{ {'a': 1}.copy() }}",
     0, false,
     "['a.b', 'c'] ['a', 'b'] ('a', '=', 'b=c') ('a=b', '=', 'c') ('ab', '', '') ('', "
     "'', 'ab') 3 -1 2 1 {'a': 1}"},
    {"{{ 'abc'.isalpha() }}{{ 'a1'.isalnum() }}{{ 'A1'.isupper() }}{{ 'a1'.islower() }"
     "}{{ ' '.isspace() }}{{ ''.isalpha() }}{{ '1'.islower() }}{{ 'aB'.isupper() }}{{ "
     "'12'.isnumeric() }}",
     0, false,
     "TrueTrueTrueTrueTrueFalseFalseFalseTrue"},
    {"{{ 'AB' is upper }} {{ 'ab' is lower }} {{ 'trim' is filter }} {{ 'nope' is filt"
     "er }} {{ 'odd' is test }} {{ none is sameas none }} {{ 1 is sameas 2 }} {{ 3 is "
     "ge 2 }} {{ 3 is le(2) }} {{ 3 is greaterthan 2 }} {{ 1 is lessthan 2 }} {{ 1 is "
     "not in [2] }}",
     0, false,
     "True True True False True True False True False True True True"},
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
