"""Scripts of the page, made shorter: what is kept, letter for letter, and what is not."""

import json
import shutil
import subprocess

import pytest

from micrograd.draw.minify import minified

SCRIPT = """
// What a reader needs.
const FACTOR = 2.5e-9, pattern = /[/"`{]\\/ x/g;  // a pattern, with all that could end it
const { length, other: renamed = 1 } = "a  // b";
class Counter {
	constructor(start, { step = 1 } = {}) {
		this.start = start;
		this.step = step;
	}
	next(times) { return this.start + - -this.step * times / 2 / FACTOR; }
}
function labelled(counter, times) {
	const label = times > 1
		? `${counter.next(times)} of ${times > 2 ? `{many}  ${[times].map(entry => entry + 1).join()}` : "}"}`
		: "one  ;  ";
	for (const [index, entry] of [...label].entries()) {
		if (entry === "}") continue;
		if (index > 40) return label;
	}
	const shorthand = { label, counter, times: times };
	return shorthand.label.replace(pattern, "…") + "a / b".split(/ \\/ /).length + length + renamed + `${shorthand.times}`;
}
console.log(JSON.stringify([1, 2, 3].map(times => labelled(new Counter(1, { step: 3 }), times))));
"""


def test_a_script_does_the_same_when_it_is_minified():
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node was found: install it (apt install nodejs)")
    printed = [
        json.loads(subprocess.run([node, "-e", text], capture_output=True, text=True, check=True).stdout)
        for text in (SCRIPT, minified(SCRIPT))
    ]
    assert printed[0] == printed[1] and len(set(printed[0])) == 3


def test_what_only_readers_need_is_gone_and_texts_are_kept():
    text = minified(SCRIPT)
    assert "reader" not in text and "\n" not in text and "const " not in text and ";}" not in text
    assert (
        '"a  // b"' in text and '/[/"`{]\\/ x/g' in text and '"one  ;  "' in text and "2.5e-9" in text and "{many}  ${" in text
    )
    assert "+- -this.step*" in text  # two signs are no decrement


def test_names_of_variables_are_short_and_those_of_properties_are_kept():
    text = minified(SCRIPT)
    for name in ("labelled", "Counter", "FACTOR", "pattern", "entry"):
        assert name not in text
    for name in ("length", "label", "counter", "times", "start", "step", "next", "other"):
        assert name in text


def test_no_short_name_is_taken_already():
    text = minified("const first = 1;\nconst second = a => b => first + a + b;\n")
    assert text == "let c=1,d=a=>b=>c+a+b"


def test_declarations_that_follow_each_other_are_one_statement():
    assert minified("const a = 1;\nconst b = 2;\nf(a);\nconst c = () => { const d = 3; return d; };\nconst e = [a, b,];\n") == (
        "let a=1,b=2;f(a);let c=()=>{let d=3;return d},e=[a,b]"
    )
    assert minified("for (const a of b) { g(a); }\nconst c = 1;\n") == "for(let a of b){g(a)}let c=1"


def test_what_is_no_script_is_refused():
    with pytest.raises(ValueError, match="no token of a script begins here: '`never ended"):
        minified("const a = `never ended;")
    with pytest.raises(ValueError, match="no token of a script begins here: \"'of  single"):
        minified("const a = 'of  single quotes';")
