// The playground: runs `migrate` on what is pasted, in this page. Nothing is loaded before the first click, nothing is sent.
const form = document.getElementById("playground-form");
const says = document.getElementById("playground-says");
const found = document.getElementById("playground-found");
const change = document.getElementById("playground-change");
const parts = new URL("../playground/", import.meta.url);
let ready; // a promise of the function that reads a text

form.hidden = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    if (!ready) says.textContent = "Loading Python, once for this page (about 7 MB) ...";
    ready ??= load();
    const migrate = await ready;
    show(JSON.parse(migrate(form.elements.name.value.trim() || "config.yaml", form.elements.text.value)));
  } catch (error) {
    ready = undefined;
    clear();
    says.textContent = `The playground failed: ${error.message ?? error}. The command line reads the same text.`;
  } finally {
    button.disabled = false;
  }
});

async function load() {
  const [{ loadPyodide }, bundle, grammars] = await Promise.all([
    import(new URL("pyodide.mjs", parts)),
    fetch(new URL("kvroles.zip", parts)).then((answer) => answer.arrayBuffer()),
    loadGrammars(),
  ]);
  const python = await loadPyodide({ indexURL: parts.href });
  python.unpackArchive(bundle, "zip", { extractDir: "/kvroles" });
  python.registerJsModule("kv_grammars", grammars);
  python.runPython("import sys; sys.path.insert(0, '/kvroles')");
  return python.pyimport("entry").migrate;
}

async function loadGrammars() {
  const { Parser, Language } = await import(new URL("web-tree-sitter.js", parts));
  await Parser.init({ locateFile: (name) => new URL(name, parts).href });
  const parser = new Parser();
  parser.setLanguage(await Language.load(new URL("tree-sitter-bash.wasm", parts).href));
  return { bash: (source) => flat(parser.parse(source)) };
}

// A tree as numbers, ten for each node in pre-order (browser/tree_sitter.py), and the names that two of them stand for.
function flat(tree) {
  const kinds = [];
  const fields = [];
  const figures = [];
  const number = (names, name) => {
    if (!name) return -1;
    const at = names.indexOf(name);
    return at < 0 ? names.push(name) - 1 : at;
  };
  const cursor = tree.walk();
  for (let depth = 0, down = true; ; ) {
    if (down) {
      const from = cursor.startPosition;
      const to = cursor.endPosition;
      figures.push(
        number(kinds, cursor.nodeType), cursor.startIndex, cursor.endIndex, from.row, from.column, to.row, to.column,
        cursor.nodeIsNamed ? 1 : 0, number(fields, cursor.currentFieldName), depth,
      );
    }
    if (down && cursor.gotoFirstChild()) depth += 1;
    else if (cursor.gotoNextSibling()) down = true;
    else if (cursor.gotoParent()) {
      depth -= 1;
      down = false;
    } else break;
  }
  cursor.delete();
  tree.delete();
  return { kinds, fields, figures: Int32Array.from(figures) };
}

function clear() {
  found.replaceChildren();
  change.replaceChildren();
  change.hidden = true;
}

// Everything that came from the pasted text is put into the page as text, never as HTML.
function show({ unread, findings, summary, diff }) {
  clear();
  says.textContent = unread ? `Not read here: it takes the parser for ${unread}, which only the command line has.` : summary;
  for (const f of findings) found.append(item(f));
  if (diff) {
    const pre = document.createElement("pre");
    const code = pre.appendChild(document.createElement("code"));
    diff.split("\n").forEach((line, n) => {
      const kind = (n > 1 && { "+": "ins", "-": "del" }[line[0]]) || "span"; // the first two lines name the file
      code.appendChild(document.createElement(kind)).textContent = line || " ";
    });
    code.tabIndex = 0;
    change.append(pre);
    change.hidden = false;
  }
}

function item(f) {
  const li = document.createElement("li");
  const link = document.createElement("a");
  link.href = `../kvr/${f.code}/`;
  link.textContent = f.code;
  const place = document.createElement("strong");
  place.textContent = `Line ${f.line}`;
  const role = document.createElement("span");
  role.className = "role";
  role.textContent = f.suppressed ? "kept" : f.role ? `becomes ${f.role}` : f.side ? `side: ${f.side}` : "no role";
  li.append(place, " ", link, " ", role, " ", f.message);
  if (f.evidence.length) {
    const list = document.createElement("ul");
    for (const e of f.evidence) {
      const where = e.line === null ? "" : ` (line ${e.line})`;
      list.appendChild(document.createElement("li")).textContent = `${e.side}: ${e.kind} “${e.words}”${where}`;
    }
    li.append(list);
  }
  if (f.fix) li.append(Object.assign(document.createElement("p"), { textContent: f.fix }));
  return li;
}
