"""Files of a carrier, grown from a few choices, so that a fuzzer's mutations meet nesting, quotes and twins and not only syntax errors.

A grammar is a table: a symbol, and what may stand for it. In that ``<name>`` is a symbol again, and ``<+name>`` the same on
lines of its own, further in. An input is a series of bytes: each one chooses; when they are used up the last choice of a
symbol is taken, which is the one that ends.
"""

from __future__ import annotations

import re

from feed import Feed

Grammar = dict[str, tuple[str, ...]]
_SYMBOL = re.compile(r"<(\+?)([a-z0-9]+)>")
_DEEPEST, _LONGEST = 24, 5000

_SHARED: Grammar = {
    "role": ("kv_producer", "kv_consumer", "{{ role }}", "$ROLE", "${KV_ROLE:-kv_both}", "kv_\\u0062oth", "", "kv_both"),
    "connector": ("OffloadingConnector", "MultiConnector", "$CONNECTOR", "{{ c }}", "nixl", "LMCacheConnectorV1", "NixlConnector"),
    "pair": ('"kv_role":"<role>"', '"kv_connector":"<connector>"', '"kv_connector_extra_config":{<pairs>}', '"connectors":[<json>, <json>]',
             '"engine_id":"<side>"', '"kv_buffer_device":"cpu"', '"kv_role":"kv_both"'),
    "pairs": ("<pair>", "<pair>,<pairs>", ""),
    "json": ("{<pairs>}", "{<pair>, <pair>}", "[<json>]", '{"kv_connector":"NixlConnector",<pairs>}',
             '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'),
    "escaped": ('{\\"kv_connector\\":\\"NixlConnector\\",\\"kv_role\\":\\"<role>\\"}', "'\"'\"'<json>'\"'\"'", "<json>"),
    "side": ("prefill", "decode", "p", "d", "prefiller", "decoder", "producer", "consumer", "both", "mixed", "encode", "x"),
    "name": ("<side>", "<side>-<side>", "vllm-<side>", "vllm_<side>_args", "KV_<side>", "n0", "<side>er", "a"),
    "word": ("not", "is", "the", "<side>", "never", "<role>", "<connector>", "or", "and", "for", "instance", ":", "only"),
    "prose": ("<word>", "<word> <prose>", "<word>, <prose>", "the <side> instance", ""),
    "served": ("vllm serve m --kv-transfer-config '<json>'", "vllm serve m --kv-transfer-config=\"<escaped>\"", "python -m <json>",
               "vllm serve m --port 1 --kv-transfer-config <json>", "vllm serve m --kv-transfer-config.kv_role <role>", "vllm serve m"),
}  # fmt: skip

_SHELL: Grammar = {
    "start": ("<line>\n<start>", "<line>\n<line>\n<start>", "#!/bin/bash\n<line>\n"),
    "line": ("# <prose>", "<name>='<json>'", 'export <name>="<escaped>"', "<served> &", "<served> \\\n  --port 1 # <prose>", "<if>", "<case>",
             "<name>() {<+body>\n}", "for r in <side> <side>; do<+body>\ndone", "while read <name>; do<+body>\ndone", "cat <<<heredoc>",
             "<name>=(<served>)", '<name>+=("--kv-transfer-config" "$<name>")', '$(<served>)', "[ <test> ] && <served> || <served>",
             "docker run -e ROLE=<side> img --kv-transfer-config '<json>'", "ssh <name> \"<served>\"", "bash -c '<served>'", "<served>"),
    "body": ("<line>", "<line>\n<body>", "<served>"),
    "heredoc": ("EOF > <name>.sh\n<body>\nEOF", "'EOF' > <name>.yaml\n<yaml>\nEOF", "-EOF\n<json>\nEOF", "EOF\n<json>"),
    "if": ("if <test>; then<+body>\nelse<+body>\nfi", "if <test>; then<+body>\nelif <test>; then<+body>\nfi", "if <test>; then <served>; fi"),
    "test": ('[[ "$1" == "<side>" ]]', '[ "$<name>" != <side> ]', "! <test>", "<test> || <test>", "<test> && <test>", "test -n $<name>", "true"),
    "case": ('case "$<name>" in<+arms>\nesac', 'case $1 in <side>) <served>;; *) <served>;; esac'),
    "arms": ("<side>)<+body>\n;;\n<arms>", "<side>|<side>) <served> ;;", "*) <served> ;;"),
    "yaml": ("<side>: <json>", "<role>"),
}  # fmt: skip
_YAML: Grammar = {
    "start": ("<entry>\n<start>", "<entry>\n---\n<start>", "# <prose>\n<entry>\n", "<entry>\n"),
    "entry": ("<key>:<+block>", "<key>: <scalar>", "<key>: &<anchor> <scalar>", "<<: *<anchor>", "<key>: *<anchor>", "<key>: |-<+served>",
              "<key>: ><+served>", "<key>: {<key>: <scalar>, <key>: <scalar>}", "{{- if <tmpl> }}\n<entry>\n{{- else }}\n<entry>\n{{- end }}",
              "# <prose>\n<entry>", "kind: ConfigMap\ndata:<+block>", "<key>: <scalar> # <prose>"),
    "block": ("<entry>", "<entry>\n<block>", "- <scalar>\n- <scalar>", "- <entry>\n- <entry>", "- --kv-transfer-config\n- '<json>'",
              "- name: <side>\n  args: ['--kv-transfer-config', '<json>']", "- {name: KV_ROLE, value: <role>}"),
    "scalar": ("'<json>'", '"<escaped>"', "<json>", "<role>", "!tag <role>", "{{ <tmpl> }}", "[<scalar>, <scalar>]", "'<served>'", "<name>"),
    "key": ("<name>", "kv_role", "kv_connector", "kv-transfer-config", "kvTransferConfig", "'<name>'", "args", "env", "command", "? <name>\n"),
    "anchor": ("a", "b", "<side>"),
    "tmpl": (".Values.<name>", "eq .Values.role \"<side>\"", "not .Values.<name>", "$<name>", "include \"<name>\" .", "<role>"),
}  # fmt: skip
_PYTHON: Grammar = {
    "start": ("<line>\n<start>", "<line>\n<line>\n<start>", "<line>\n"),
    "line": ("# <prose>", "<name2> = <value>", "def <name2>(role: str = <value>, *a):<+body>", "class <name2>:<+body>", "if <test>:<+body>\nelse:<+body>",
             "for r in (<value>, <value>):<+body>", "match role:<+arms>", "with <call> as f:<+body>", "return <value>", "try:<+body>\nexcept E:<+body>",
             '"""<prose>\n<served>\n"""', "@p(<value>)\ndef test_a(r):<+body>", "assert <value> == <value>", "<call>"),
    "body": ("<line>", "<line>\n<body>", "pass"),
    "arms": ('case "<side>":<+body>\n<arms>', "case _:<+body>"),
    "test": ('role == "<side>"', "not <name2>", "is_<side>", "<test> and <test>", "<test> or <test>", 'role in ("<side>", "<side>")', "True"),
    "value": ("'<json>'", "KVTransferConfig(kv_connector='<connector>', kv_role='<role>')", "{'kv_connector': '<connector>', 'kv_role': <value>}",
              '"<role>" if <test> else <value>', "f'{<name2>}<json>'", "json.dumps(<value>)", "[<value>, <value>]", "dict(<name2>=<value>, **<value>)",
              "lambda x: <value>", "(<value>)", '"kv_" + "both"', "<name2>", "'<served>'", '"<role>"'),
    "call": ("<name2>(<value>, kv_role=<value>)", "Server(role='<side>', cfg=<value>)", "subprocess.run([<value>, <value>])", "<name2>()"),
    "name2": ("<side>_config", "KV_ROLE", "args", "self.<side>", "x"),
}  # fmt: skip
_HCL: Grammar = {
    "start": ("<block>\n<start>", "<block>\n"),
    "block": ('resource "k8s" "<name>" {<+body>\n}', 'locals {<+body>\n}', 'variable "<name>" {<+body>\n}', "<pairh>", "# <prose>\n<block>",
              'module "<side>" {<+body>\n}', "dynamic \"env\" {<+body>\n}"),
    "body": ("<pairh>", "<pairh>\n<body>", "<block>", "/* <prose> */\n<body>"),
    "pairh": ("<key> = <value>", "<key> = <<-EOT\n<served>\nEOT", "<key> = <<EOF\n<json>\nEOF", "args = [\"--kv-transfer-config\", <value>]"),
    "key": ("<name>", '"kv_role"', "kv_connector", "default", "<side>_config"),
    "value": ('"<escaped>"', "jsonencode({<pairsh>})", "{<pairsh>}", "[<value>, <value>]", 'var.<name> == "<side>" ? <value> : <value>',
              "{ for k, v in x : k => <value> }", '"${var.<name>}"', "local.<name>", "merge(<value>, <value>)", '"<role>"'),
    "pairsh": ("<key> = <value>", "<key> = <value>, <pairsh>", 'kv_connector = "<connector>", kv_role = "<role>"'),
}  # fmt: skip
_CODE: Grammar = {
    "start": ("<line>\n<start>", "<line>\n"),
    "line": ("// <prose>", "/* <prose> */", "const <name3> = <value>;", "function <name3>(role) {<+body>\n}", "if (<test>) {<+body>\n} else {<+body>\n}",
             "switch (role) {<+arms>\n}", "export const <name3> = () => (<value>);", "fn <name3>(r: &str) {<+body>\n}", "func <name3>() {<+body>\n}",
             "type <name3> = 'kv_both' | 'kv_producer';", "return <value>;", "<name3>(<value>, <value>);", "let <name3> = <value>;"),
    "body": ("<line>", "<line>\n<body>", "return <value>;"),
    "arms": ('case "<side>": return <value>;\n<arms>', 'default: return <value>;'),
    "test": ('role === "<side>"', "!<name3>", "<test> && <test>", "<test> || <test>", "is_<side>", "true"),
    "value": ("'<json>'", '"<escaped>"', "`<json>`", "`${<value>}`", 'r#"<json>"#', "{kv_connector: '<connector>', kv_role: <value>}", "[<value>, <value>]",
              "<test> ? <value> : <value>", "JSON.stringify(<value>)", "<div role=\"<side>\">{<value>}</div>", "new KV(<value>)", '"<role>"'),
    "name3": ("<side>Config", "kvRole", "args", "KV_<side>", "x"),
}  # fmt: skip
_MARKDOWN: Grammar = {
    "start": ("<part>\n\n<start>", "<part>\n<start>", "<part>\n"),
    "part": ("# <prose>", "## <side>", "<prose>.", "- <prose>\n  - <part>", "1. <prose>", "```bash\n<served>\n```", "```yaml\n<name>:\n  kv_role: <role>\n```",
             "~~~~\n<part>\n~~~~", "`<json>`", "| <prose> | <prose> |\n|---|---|\n| <json> | <role> |", "> <part>", "<!-- <prose> -->", "<tag>",
             "=== \"<side>\"\n\n    <served>", ".. code-block:: bash\n\n   <served>", "```json\n<json>\n```", "<prose>\n====", "    <served>"),
    "tag": ("<details><summary><prose></summary>\n\n<part>\n</details>", "<pre><json></pre>", "<code>kv_both</code>"),
}  # fmt: skip
_TEMPLATE: Grammar = {
    **_YAML,
    "start": ("<entry>\n<start>", "{% if <tmplj> %}\n<start>{% else %}\n<start>{% endif %}\n", "{%- for r in <tmplj> %}\n<start>{% endfor %}\n",
              "{{- define \"<name>\" -}}\n<start>{{- end }}\n", "{{/* <prose> */}}\n<start>", "{# <prose> #}\n", "{{- $<name> := `<json>` }}\n<start>",
              "{% set <name> = '<json>' %}\n<start>", "{{- with .Values.<side> }}\n<start>{{- end }}\n", "{{- range .Values.<side> }}\n<start>{{- end }}\n", "<entry>\n"),
    "tmplj": ("role == '<side>'", "not <side>", "<tmplj> and <tmplj>", "['<side>', '<side>']", "<name> is defined", "true"),
}  # fmt: skip
_UNIT: Grammar = {
    "start": ("[Service]\n<lines>", "[<name>]\n<lines>\n<start>", "<lines>\n"),
    "lines": ("<lineu>\n<lines>", "<lineu>"),
    "lineu": ("ExecStart=<served>", "Environment=<name>=<json>", 'Environment="KV=<escaped>"', "# <prose>", "; <prose>", "<name> = <role>",
              "ExecStart=/bin/sh -c '<served>' \\\n  --x", "EnvironmentFile=-/etc/<side>", "Exec=--kv-transfer-config '<json>'", "<name>.kv_role=<role>"),
}  # fmt: skip
GRAMMARS: dict[str, Grammar] = {
    "shell": _SHELL, "yaml": _YAML, "python": _PYTHON, "hcl": _HCL, "code": _CODE, "web": _CODE, "markdown": _MARKDOWN,
    "template": _TEMPLATE, "unit": _UNIT,
    "recipe": {**_SHELL, "start": ("FROM x AS <name>\nENV KV='<json>'\nRUN <line>\nCMD [\"vllm\", \"<escaped>\"]\n<start>",
                                   "<name>: <name>\n\t<served>\n<start>", "ENV <name>=<json>\nCMD <served>\n", "ifeq ($(ROLE),<side>)\n<start>endif\n", "<line>\n")},
}  # fmt: skip


def grown(feed: Feed, grammar: Grammar) -> bytes:
    """The file that ``feed`` chooses of ``grammar``, with up to three of its places overwritten."""
    rules = _SHARED | grammar
    out: list[str] = []
    size = 0
    todo: list[tuple[str, int, int]] = [("<start>", 0, 0)]  # text to go, how deep, how far in
    while todo and size < _LONGEST:
        text, depth, inward = todo.pop()
        m = _SYMBOL.search(text)
        if m is None or m[2] not in rules:
            end = len(text) if m is None else m.end()
            out.append(text[:end].replace("\n", "\n" + "  " * inward))
            size += end
            if m is not None:
                todo.append((text[end:], depth, inward))
            continue
        out.append(text[: m.start()].replace("\n", "\n" + "  " * inward))
        size += m.start()
        todo.append((text[m.end() :], depth, inward))
        choices = rules[m[2]]
        chosen = choices[-1] if depth > _DEEPEST or not feed.left else feed.one_of(choices)
        further = inward + 1 if m[1] else inward
        todo.append(("\n" + chosen if m[1] else chosen, depth + 1, further))
    data = bytearray("".join(out).encode())
    for _ in range(feed.byte() % 4 if data else 0):
        at = (feed.byte() << 8 | feed.byte()) % len(data)
        data[at : at + feed.byte() % 3] = feed.take(feed.byte() % 4)
    return bytes(data)
