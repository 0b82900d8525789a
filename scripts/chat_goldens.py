#!/usr/bin/env python3
"""Write conversations as transformers renders them, for chat templates of every common structure.

Why this exists: published chat templates are programs for Python's Jinja as transformers sets it up,
and a different engine runs them here. The templates below are short ones of our own in the manner of
the model families, each with the language features that the family's template uses.

  crates/models/tests/tokenizers/chat.json   templates, conversations, and what came out

How to run it (a second):

    python3 -m venv venv && venv/bin/pip install transformers==5.23.0 jinja2==3.1.6
    venv/bin/python scripts/chat_goldens.py
"""

import json
from pathlib import Path

import jinja2
import transformers
from transformers.utils.chat_template_utils import render_jinja_template

OUT = Path(__file__).resolve().parent.parent / "crates" / "models" / "tests" / "tokenizers" / "chat.json"

TEMPLATES = {
    "chatml": """{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    # A system message inside the first user turn, alternation enforced, strip().
    "llama-2": """{% if messages[0]['role'] == 'system' %}
    {% set rest = messages[1:] %}{% set system = messages[0]['content'] %}
{% else %}
    {% set rest = messages %}{% set system = false %}
{% endif %}
{% for m in rest %}
    {% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('roles must alternate') }}
    {% endif %}
    {% set text = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + m['content'] if loop.first and system != false else m['content'] %}
    {% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}
    {%- elif m['role'] == 'assistant' %}{{ ' ' + text.strip() + ' ' + eos_token }}
    {%- endif %}
{% endfor %}""",
    # A header for each turn, a date, defaults for variables, the trim filter.
    "llama-3": """{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
""",
    # namespace, selectattr, loop.last, elif, an error for unknown roles.
    "mistral": """{%- set ns = namespace(index=0, system='') %}
{%- for m in messages if m.role == 'system' %}{% set ns.system = ns.system ~ m.content %}{% endfor %}
{%- set users = messages | selectattr('role', 'equalto', 'user') | list %}
{{- bos_token }}
{%- for message in messages | rejectattr('role', 'equalto', 'system') %}
    {%- if message["role"] == "user" %}
        {%- set ns.index = ns.index + 1 %}
        {%- if ns.index == users | length and ns.system %}
            {{- "[INST] " + ns.system + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("only user and assistant roles are supported, not " ~ message.role) }}
    {%- endif %}
{%- endfor %}
""",
    # Tools as JSON, a default system message, loop.previtem.
    "qwen-2.5": """{%- if tools %}
    {{- '<|im_start|>system\\n# Tools\\n<tools>' }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role != 'system' %}
    {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system") or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- message.content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
""",
    # Reversed loops, split, lstrip and rstrip with characters, `in`, startswith and endswith.
    "qwen-3": """{%- set ns = namespace(open=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.open and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.open = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set thought = '' %}
        {%- if message.reasoning is defined and message.reasoning is not none %}
            {%- set thought = message.reasoning %}
        {%- elif '</think>' in message.content %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
            {%- set thought = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
""",
    # No system role, the assistant renamed, content that may be a list.
    "gemma": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}{%- set prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}{%- set prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}{%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set prefix = "" -%}{%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("roles must alternate user/assistant/user") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}{%- set role = "model" -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (prefix if loop.first else "") }}
    {%- if message['content'] is string -%}{{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}{%- if item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}{%- endfor -%}
    {%- else -%}{{ raise_exception("content of another type") }}{%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}
""",
    "phi-3": "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}"
    "{% elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    # A macro, the marks of generated text, break and continue, comments, whitespace control.
    "features": """{# a comment #}
{%- macro turn(role, text) -%}
[{{ role | upper }}] {{ text }}
{%- endmacro %}
  {% for message in messages -%}
    {%- if message.content == '' %}{% continue %}{% endif %}
    {%- if loop.index > 5 %}{% break %}{% endif -%}
    {% if message.role == 'assistant' %}{% generation %}{{ turn(message.role, message.content.strip()) }}{% endgeneration %}
    {%- else %}{{ turn(message['role'].title(), message.get('content', '?').replace('o', '0')) }}{% endif %}
  {{ loop.cycle('odd', 'even') }} {{ loop.revindex0 }} {{ loop.length }}
  {% endfor %}
{% set flags = {'a': 1, 'b': [true, none, 1.5, "é<'&>"]} -%}
{{ flags | tojson }} {{ flags | tojson(indent=2) }}
{%- for key, value in flags.items() %} {{ key }}={{ loop.last }}{% endfor %}
{{ add_generation_prompt }} {{ undefined_thing }} {{ None }} {{ undefined_thing | default('d') }} {{ messages | length }}
{{ messages | map(attribute='role') | join(', ') }} {{ "%s-%d" | format("x", 7) }} {{ "abc"[1:] ~ 1 }} {{ 7 // 2 }} {{ 7 % 4 }}
{{ ['b', 'a'] | sort | first }} {{ "a,b,c".split(",") | last }} {{ "x" * 3 }} {{ 'a' if add_generation_prompt else 'b' }}
""",
}

CONVERSATIONS = {
    "one": [("user", "Hello!")],
    "three": [("user", "Hi there."), ("assistant", " Hello, how can I help? "), ("user", "What's 2 < 3 & \"why\"?")],
    "system": [("system", "  You are terse. "), ("user", "Tell me\nabout foxes 🦊.\n")],
    "system-three": [("system", "Be kind."), ("user", "a"), ("assistant", "b\n"), ("user", "  c  ")],
    "thinking": [("user", "q"), ("assistant", "<think>\nhm\n</think>\n\nanswer"), ("user", "q2"), ("assistant", "<think>\nwell</think>\nyes")],
    "unicode": [("user", "東京は <|im_end|> é\u0301\u200d"), ("assistant", "שלום {{ bos_token }} {% raw %}")],
    "empty": [("user", ""), ("assistant", ""), ("user", "x")],
    "assistant-first": [("assistant", "I begin."), ("user", "You do.")],
    "tool": [("user", "weather?"), ("assistant", "call"), ("tool", "sunny"), ("tool", "20 degrees"), ("user", "ok")],
}
TOOLS = [{"function": {"description": "the weather, <here> & \"there\" é", "name": "weather"}, "type": "function"}]


def main():
    cases = []
    conversations = {
        name: [{"role": role, "content": content} for role, content in turns] for name, turns in CONVERSATIONS.items()
    }
    for template, source in TEMPLATES.items():
        for conversation, messages in conversations.items():
            sets = [(True, {}), (False, {})]
            if template == "qwen-3":
                sets.append((True, {"enable_thinking": False}))
            if template == "qwen-2.5":
                sets.append((True, {"tools": TOOLS}))
            if template == "llama-3":
                sets.append((True, {"date_string": "23 Nov 2026"}))
            for generation, variables in sets:
                case = {
                    "template": template, "conversation": conversation, "add_generation_prompt": generation,
                    "variables": variables,
                }
                try:
                    rendered, _ = render_jinja_template(
                        [messages], chat_template=source, add_generation_prompt=generation, bos_token="<s>",
                        eos_token="</s>", **variables,
                    )
                    case["text"] = rendered[0]
                except jinja2.exceptions.TemplateError as error:
                    case["error"] = str(error)
                cases.append(case)
    made_with = f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}"
    golden = {"made_with": made_with, "templates": TEMPLATES, "conversations": conversations, "cases": cases}
    OUT.write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(f"{len(cases)} cases, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
