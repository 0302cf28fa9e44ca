"""Every hostile input gets the answer that was promised: `pytest tests/acceptance/test_badinputs.py --badinputs FILE`.

Without --badinputs our own variants.jsonl is taken, and the list beside the project when there is one. The end of the
run says for each id whether it held or fell short.
"""

from pathlib import Path

from tests.acceptance import cases


def pytest_generate_tests(metafunc):
    named = metafunc.config.getoption("badinputs")
    files = [Path(named)] if named else [file for file in (cases.BESIDE_THE_PROJECT, cases.OWN) if file.is_file()]
    loaded = [case for file in files for case in cases.load(file)]
    metafunc.parametrize("case", loaded, ids=[case.id for case in loaded])


def test_a_bad_input_gets_the_answer_that_was_promised(case, request):
    area = cases.runner(case.area)
    assert area is not None, f"nobody knows the area {case.area}"
    unknown = cases.unknown_keys(case, area)
    assert not unknown, f"fields that nobody looks at: {unknown}"
    area.run(case, request)
