"""Events have one name each; their names of version 0.1.0 still work."""

import pytest

from napari_fcn import events


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Answered", events.HeadFitted),
        ("Settled", events.HeadRefined),
        ("Examined", events.StrokesScored),
        ("Working", events.Heartbeat),
        ("UpdateReady", events.CandidateEvaluated),
        ("SteppedDown", events.FallbackTaken),
        ("Suggested", events.RegionSuggested),
        ("Compared", events.ComparisonTile),
    ],
)
def test_an_event_can_be_imported_by_its_old_name(old: str, new: type) -> None:
    with pytest.warns(DeprecationWarning, match=f"events.{old} is now called {new.__name__}"):
        assert getattr(events, old) is new


def test_an_unknown_event_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        events.Nothing  # noqa: B018
