"""Case files are found, parsed and validated; a fault is told with its place."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conformance.corpus.load import checkout, default_root, load_corpus, load_definitions, load_file
from conformance.errors import CaseError

HEAD = "title: T\ncases:\n"
ENTRY = '  - name: n\n    fact: F is G.\n    clauses: ["1.1"]\n'
CASE = HEAD + ENTRY + "    steps: [{train: a}]\n"

FAULTS = {
    "empty": ("", "1:1: found an empty file, expected a mapping"),
    "no-yaml": ("title: [", "no YAML: "),
    "control-character": ("title: \x07\n", "no YAML: "),
    "list-of-cases": ("- a\n", "1:1: found a list, expected a mapping"),
    "no-title": ("cases: []\n", "1:1: found no `title`"),
    "title-of-number": ("title: 3\ncases: []\n", "1:8: found '3', expected a title"),
    "unknown-top-key": ("title: T\ncase: []\n", "2:1: found the unknown key `case`, expected title or cases"),
    "cases-of-mapping": ("title: T\ncases: {}\n", "2:8: found a mapping, expected a list"),
    "two-documents": (CASE + "---\na: 1\n", "7:1: found a second document"),
    "duplicate-key": (CASE + "    steps: []\n", "7:5: found the key `steps` again"),
    "anchor": (CASE + "    x: &a {}\n", "7:8: found the anchor &a"),
    "alias": (CASE + "    x: *a\n", "7:8: found the alias *a"),
    "tag": (CASE + "    x: !!map {}\n", "7:8: found the tag"),
    "key-of-list": (CASE + "    ? [a]\n    : 1\n", "7:7: found a list or mapping as a key"),
    "too-deep": (CASE + "    x: " + "[" * 20 + "]" * 20 + "\n", "found more than 12 levels"),
    "no-name": (HEAD + "  - fact: F\n", "3:5: found a case without `name`"),
    "name-of-capitals": (HEAD + "  - name: N\n", "3:11: found 'N', expected a name of lower-case words"),
    "name-of-number": (HEAD + "  - name: 3\n", "3:11: found '3', expected a name"),
    "id": (CASE + "    id: a/b\n", "7:5: found `id`, expected `name`"),
    "no-fact": (HEAD + "  - name: n\n", "3:5: found no `fact`, expected one"),
    "no-steps": (HEAD + ENTRY, "3:5: found no `steps`, expected one"),
    "unknown-key": (
        CASE + "    epsilom: 1\n",
        "7:5: found the unknown key `epsilom`, expected one of fact, clauses",
    ),
    "text-for-number": (CASE + "    epsilon: small\n", "7:14: found 'small', expected a number"),
    "quoted-number": (CASE + '    epsilon: "1e-3"\n', "7:14: found '1e-3', expected a number"),
    "yes-for-text": (CASE + "    gamma: yes\n", "7:12: found 'yes', expected one of negative, none, ones"),
    "true-for-number": (CASE + "    epsilon: true\n", "7:14: found 'true', expected a number"),
    "null-for-number": (CASE + "    epsilon:\n", "found nothing, expected a number"),
    "fraction-for-count": (CASE + "    repeat: 1.5\n", "7:13: found '1.5', expected an integer"),
    "count-of-zero": (CASE + "    repeat: 0\n", "7:13: found '0', expected an integer >= 1"),
    "epsilon-of-zero": (CASE + "    epsilon: 0\n", "3:5: epsilon 0 and a negative running variance are for cases that"),
    "momentum-above-one": (CASE + "    momentum: 1.5\n", "3:5: `momentum` is 1.5, expected 0 to 1 unless"),
    "momentum-word": (
        CASE + "    momentum: average\n",
        "7:15: found 'average', expected one of a number, cumulative",
    ),
    "overflow": (CASE + "    epsilon: 1e999\n", "7:14: found 1e999, which overflows"),
    "long-integer": (CASE + "    repeat: 1" + "0" * 30 + "\n", "found 100000000000... of 31 digits"),
    "odd-dtype": (
        CASE + "    dtype: float8\n",
        "7:12: found 'float8', expected one of bfloat16, float16, float32",
    ),
    "odd-shape": (CASE + "    shape: 4x\n", "7:12: found '4x', expected a shape of rank 2 to 5, as 4x3x7"),
    "rank-of-one": (CASE + "    shape: '4'\n", "7:12: found '4', expected a shape of rank 2 to 5"),
    "no-clause": (CASE.replace('"1.1"', ""), "5:14: found no clause, expected at least one"),
    "clause-of-number": (CASE.replace('"1.1"', "1.1"), "5:15: found '1.1', expected a text"),
    "odd-clause": (CASE.replace("1.1", "one"), "5:15: found 'one', expected a clause number in quotes"),
    "unknown-clause": (
        CASE.replace("1.1", "1.9"),
        "5:15: found clause 1.9, expected one of the definition, as 1.",
    ),
    "no-call": (HEAD + ENTRY + "    steps: []\n", "6:12: found a list, expected a list of length >= 1"),
    "two-calls": (CASE.replace("train: a", "train: a, evaluate: a"), "6:13: a step is exactly one of"),
    "odd-call": (
        CASE.replace("train: a", "fit: a"),
        "6:14: found the unknown key `fit`, expected one of train",
    ),
    "odd-label": (CASE.replace("train: a", "train: A"), "6:21: found 'A', expected a lower-case label"),
    "label-of-list": (CASE.replace("train: a", "train: [a]"), "6:21: found a list, expected a text"),
    "odd-gradient": (
        CASE.replace("a}", "a, gradients: [y]}"),
        "6:36: found 'y', expected one of beta, gamma",
    ),
    "odd-quantity": (CASE.replace("a}", "a, observe: [z]}"), "6:34: found 'z', expected one of"),
    "backward-of-nothing": (
        CASE.replace("train: a", "backward: f, gradients: [x]"),
        "3:5: `backward: f` names no earlier step",
    ),
    "backward-without-gradients": (CASE.replace("train: a", "backward: f"), "6:13: a backward step names"),
    "gradient-of-nothing": (
        CASE.replace("a}", "a, gradients: [gamma]}") + "    gamma: none\n",
        "3:5: a gradient is asked for gamma, which the layer lacks",
    ),
    "statistics-in-train": (
        CASE.replace("a}", "a, gradients: [running_mean]}"),
        "6:35: found the gradient of running_mean in train",
    ),
    "gradients-of-update": (
        CASE.replace("train: a", "through_update: [a, b], gradients: [x]"),
        "6:49: found `gradients`, expected none beside `through_update`",
    ),
    "unused-input": (
        CASE + "    inputs: {b: {offset: 1}}\n",
        "3:5: `inputs` describes b, which no step uses",
    ),
    "one-odd-input": (CASE + "    inputs: {a: {offset: far}}\n", "7:26: found 'far', expected a number"),
    "unknown-in-x": (
        CASE + "    x: {mean: 1}\n",
        "7:9: found the unknown key `mean`, expected one of kind, offset",
    ),
    "values-without-kind": (CASE + "    x: {values: [1]}\n", "7:8: `values` goes with `kind: values`"),
    "few-values": (
        CASE + "    shape: 2x3\n    x: {kind: values, values: [1, 2]}\n",
        "8:31: found 2 values for input a, expected 6 for the shape 2x3",
    ),
    "other-rank": (
        CASE + "    inputs: {a: {shape: 4x3}}\n",
        "7:25: found the shape 4x3 for input a, expected rank 3 and 3 channels like 4x3x7",
    ),
    "other-channels": (CASE + "    inputs: {a: {shape: 4x2x7}}\n", "7:25: found the shape 4x2x7 for input a"),
    "made-from-itself": (
        CASE + "    inputs: {a: {of: b}, b: {of: a}}\n",
        "7:17: found a from b from a, expected an input that is not made from itself",
    ),
    "shape-of-another": (
        CASE + "    inputs: {a: {of: b}, b: {shape: 5x3x7}}\n",
        "7:22: found the shape 5x3x7 of input b, of which a is made, expected 4x3x7",
    ),
    "joined-channels": (
        CASE + "    inputs: {a: {joined: [b, c], shape: 8x3x7}, b: {shape: 4x2x7}}\n",
        "7:26: found the shape 4x2x7 of input b, which a joins, expected 8x3x7 but for the rows",
    ),
    "other-target": (
        CASE.replace("train: a", "train: a, target: t") + "    inputs: {t: {shape: 5x3x7}}\n",
        "found the shape 5x3x7 of the target t, expected 4x3x7 like the output",
    ),
    "huge-source": (
        CASE + "    inputs: {a: {of: b}, b: {shape: 99999999x3x7}}\n",
        "3:5: found 2.1e+09 values in all inputs and kernels",
    ),
    "huge-target": (
        CASE.replace("train: a", "train: a, target: t") + "    inputs: {t: {shape: 99999999x3x7}}\n",
        "3:5: found 2.1e+09 values in all inputs and kernels",
    ),
    "huge-kernel": (
        CASE.replace("train: a", "evaluate: a, folded: biased") + "    shape: 2x60000\n",
        "7:12: found 3.6e+09 values in all inputs and kernels",
    ),
    "huge-network": (
        CASE + "    shape: 4x3\n    state: initial\n    network: {blocks: 64, width: 4096, outputs: 1}\n",
        "7:12: found 1.06e+09 values in all inputs and kernels",
    ),
    "same-name": (CASE + ENTRY + "    steps: [{train: b}]\n", "7:5: found the id bad/n again"),
    "vary-of-list": (CASE + "    vary: [a]\n", "7:11: found a list, expected a mapping"),
    "vary-of-nothing": (CASE + "    vary: {}\n", "7:11: found no parameter under `vary`"),
    "vary-without-values": (CASE + "    vary: {epsilon: []}\n", "7:21: found no value for `epsilon`"),
    "vary-of-scalar": (
        CASE + "    vary: {epsilon: 1}\n",
        "7:21: found '1', expected a list of values or a mapping",
    ),
    "vary-unknown": (CASE + "    vary: {epsilom: [1]}\n", "7:12: found the unknown key `epsilom`"),
    "vary-wrong-type": (CASE + "    vary: {epsilon: [1, small]}\n", "7:25: found 'small', expected a number"),
    "vary-nested": (CASE + "    vary: {x: [{offset: 1}]}\n", "7:16: found a mapping, expected a plain value"),
    "vary-name": (CASE + "    vary: {name: [a]}\n", "7:12: found `name`, which cannot be varied"),
    "vary-label-name": (
        CASE + "    vary: {p: {a: {name: b}}}\n",
        "7:20: found `name`, which cannot be varied",
    ),
    "vary-odd-parameter": (
        CASE + "    vary: {P: [1]}\n",
        "7:12: found the parameter 'P', expected lower-case",
    ),
    "vary-odd-label": (CASE + "    vary: {p: {a b: {}}}\n", "7:16: found the label 'a b', expected letters"),
    "vary-odd-value": (
        CASE + "    vary: {fact: [a/b]}\n",
        "7:19: found 'a/b', which does not fit into an id",
    ),
    "vary-same-value": (CASE + "    vary: {epsilon: [1, 1]}\n", "3:5: found the id bad/n[epsilon=1] again"),
    "vary-too-much": (
        CASE + "    vary: {" + ", ".join(f"p{k}: {{a: {{}}, b: {{}}}}" for k in range(10)) + "}\n",
        "7:11: found 1024 combinations, expected at most 1000",
    ),
}


def write(folder: Path, text: str, name: str = "bad.yaml") -> Path:
    """Write a case file into ``folder``."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    """A malformed file is refused with file, line, column, what was found and what was expected."""
    root = tmp_path / "cases"
    path = write(root, text)
    with pytest.raises(CaseError) as caught:
        load_file(path, root)
    told = str(caught.value)
    assert told.startswith("cases/bad.yaml:")
    assert message in told


def test_a_well_formed_file_is_loaded(tmp_path: Path) -> None:
    """The text that the malformed ones are made of is a case."""
    (case,) = load_file(write(tmp_path, CASE, "folder/good.yaml"), tmp_path)
    assert ("folder/good/n", "folder/good", "F is G.") == (case.id, case.file, case.fact)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("1e-3", 1e-3),
        ("1.e-3", 1e-3),
        (".5", 0.5),
        ("0.5", 0.5),
        ("1E-12", 1e-12),
        ("+0.25", 0.25),
    ],
)
def test_numbers_are_read_as_in_yaml_1_2(text: str, value: float, tmp_path: Path) -> None:
    """A number in any notation of YAML 1.2, an integer included, is a float where one belongs."""
    (case,) = load_file(write(tmp_path, f"{CASE}    epsilon: {text}\n"), tmp_path)
    assert (value, float) == (case.epsilon, type(case.epsilon))


@pytest.mark.parametrize("word", ["on", "off", "yes", "no"])
def test_on_and_off_are_words(word: str, tmp_path: Path) -> None:
    """The words that YAML 1.1 takes for booleans are texts."""
    (case,) = load_file(write(tmp_path, f"{CASE}    tags: [{word}]\n"), tmp_path)
    assert (word,) == case.tags


@pytest.mark.parametrize("name", ["Bad.yaml", "a b.yaml", "bad.yml", "a[1].yaml"])
def test_an_odd_file_name_is_refused(name: str, tmp_path: Path) -> None:
    """A file whose name does not fit into an id is not passed over in silence."""
    write(tmp_path, CASE, name)
    with pytest.raises(CaseError, match="found this file name, expected lower-case words"):
        load_corpus(tmp_path)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """A case file is UTF-8."""
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"title: \xff\n")
    with pytest.raises(CaseError, match=r"bad.yaml:1:1: cannot be read: .*; expected a file in UTF-8"):
        load_file(path, tmp_path)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """A file over a mebibyte is not parsed."""
    with pytest.raises(CaseError, match="expected at most 1048576"):
        load_file(write(tmp_path, "#" * (1 << 20) + "\n"), tmp_path)


def test_an_absent_folder_is_refused(tmp_path: Path) -> None:
    """A corpus that is not there, or holds no case, is a fault."""
    with pytest.raises(CaseError, match="found no such folder"):
        load_corpus(tmp_path / "none")
    with pytest.raises(CaseError, match="found no case"):
        load_corpus(tmp_path)


def test_the_default_root_is_the_checkout() -> None:
    """From a checkout the corpus is its folder ``cases``."""
    root = checkout()
    assert root is not None
    assert root / "cases" == default_root()


def test_the_installed_package_has_its_own_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from a checkout the corpus is the folder inside the package."""
    monkeypatch.setattr("conformance.corpus.load.checkout", lambda: None)
    assert ("conformance", "cases") == default_root().parts[-2:]


def test_ids_are_safe() -> None:
    """An id needs no quoting in a URL fragment, a node id of pytest or a pattern."""
    word = r"[A-Za-z0-9._+-]+"
    safe = re.compile(rf"({word}/)+{word}(\[{word}={word}(,{word}={word})*\])?")
    assert [] == [case.id for case in load_corpus() if not safe.fullmatch(case.id)]


def test_ids_are_unique() -> None:
    """No two cases of the corpus share an id."""
    ids = [case.id for case in load_corpus()]
    assert len(set(ids)) == len(ids)


def test_a_definition_knows_its_place() -> None:
    """Every entry of a file points at the line of its name."""
    root = default_root()
    for definition in load_definitions():
        line = (
            (root.parent / definition.mark.file)
            .read_text(encoding="utf-8")
            .splitlines()[definition.mark.line - 1]
        )
        assert f"  - name: {definition.name}" == line


def test_loading_imports_no_framework() -> None:
    """Loading the corpus and generating inputs imports none of the frameworks."""
    code = (
        "import sys; from conformance.corpus import inputs, load, select; "
        "inputs.generate(load.load_corpus()[0]); "
        "print(sorted({'torch', 'tensorflow', 'keras', 'jax', 'flax', 'pytest'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "[]" == output.strip()


def test_loading_is_fast() -> None:
    """Six hundred cases load in well under a second of processor time."""
    load_corpus()
    start = time.process_time()
    count = len(load_corpus())
    assert (time.process_time() - start) * 600 / count < 0.4
