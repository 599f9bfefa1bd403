"""The playground's part of its page: the form, or, in a build that could not have Pyodide, that it is not there."""

from __future__ import annotations

_FORM = """\
<form id="playground-form" hidden>
<p><label for="playground-name">File name</label>
<input id="playground-name" name="name" value="prefill.yaml" autocomplete="off" spellcheck="false"></p>
<p><label for="playground-text">Configuration</label>
<textarea id="playground-text" name="text" rows="14" spellcheck="false" required>
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm-prefill}
spec:
  template:
    spec:
      containers:
        - name: vllm
          args: [--kv-transfer-config, '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
</textarea></p>
<p><button class="md-button md-button--primary" type="submit">Read it</button></p>
</form>
<p id="playground-says" role="status"></p>
<ol id="playground-found"></ol>
<div id="playground-change" class="language-diff" hidden></div>
<noscript><p><strong>The playground runs in your browser and needs JavaScript.</strong></p></noscript>
<script type="module" src="../assets/javascripts/playground.js"></script>
"""
_ABSENT = """\
!!! warning "Not in this copy of the site"
    The playground was left out when this copy was built: the files that it needs could not be had. The command below does the
    same.
"""


def fragment(*, there: bool) -> str:
    """Markdown for ``build/pages/playground.md``."""
    return _FORM if there else _ABSENT
