"""One history: rows by place, the same after a resume, readable beside the checkpoints."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptkit.errors import CorruptFileError
from ckptkit.run.history import Event, History, history_data, read_history, write_history
from tests.run.small import Small, only_run


def filled():
    history = History()
    history.add(1, 10, {"train_loss": 0.5})
    history.add(1, 10, {"val_loss": 0.6})
    history.add(2, 20, {"train_loss": math.nan, "lr": 1e-3})
    history.events.append(Event("resumed", 1, 10, 5.0, "from latest_checkpoint"))
    return history


def test_values_of_one_place_share_a_row_and_columns_are_equally_long():
    columns = filled().columns()
    assert columns["epoch"] == [1, 2]
    assert columns["val_loss"] == [0.6, None]
    assert columns["lr"] == [None, 1e-3]


def test_the_file_gives_back_the_history_nan_and_events_included(tmp_path):
    write_history(tmp_path, history_data(filled()))
    again = read_history(tmp_path)
    assert repr(again.state()) == repr(filled().state())
    json.loads((tmp_path / "history.json").read_text(), parse_constant=pytest.fail)


def test_rows_behind_a_resume_point_are_gone_so_nothing_overlaps():
    history = filled()
    at_the_save = History()
    at_the_save.restore({k: v[:1] for k, v in history.columns().items()})
    at_the_save.add(2, 20, {"train_loss": 0.4})
    assert at_the_save.columns()["train_loss"] == [0.5, 0.4]


def test_the_columns_of_an_older_format_get_their_epochs():
    history = History()
    history.restore({"train_loss": [0.15, 0.12], "val_loss": [0.14, 0.11]})
    assert history.columns()["epoch"] == [1, 2]


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "b", "c"]), st.floats(allow_nan=False), min_size=1)
    )
)
def test_a_history_survives_being_data(rows):
    history = History()
    for number, values in enumerate(rows):
        history.add(number, number * 10, values)
    again = History()
    again.restore(history.state())
    assert again.state() == history.state()


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3}', '{"events": [{"no": 1}]}', "{"])
def test_a_file_that_is_no_history_is_an_error_with_advice(tmp_path, text):
    (tmp_path / "history.json").write_text(text)
    with pytest.raises(CorruptFileError, match="rewritten"):
        read_history(tmp_path)


@pytest.mark.parametrize("field", ["epoch", "step", "time_s"])
def test_an_event_whose_place_or_time_is_no_number_is_no_history_and_a_resume_goes_on(
    tmp_path, field
):
    Small().train(tmp_path, 1)
    path = only_run(tmp_path) / "history.json"
    data = json.loads(path.read_text())
    data["events"].append({"kind": "x", "epoch": 1, "step": 1, "time_s": 1.0, field: "oops"})
    path.write_text(json.dumps(data))
    with pytest.raises(CorruptFileError, match="no number"):
        read_history(path.parent)
    one = Small()
    one.train(tmp_path, 2)
    assert read_history(path.parent).columns()["epoch"] == [1, 2]
