"""The front, and the point chosen from it, against their definitions."""

from hypothesis import given
from hypothesis import strategies as st

from tvm_book.quantize._front import chosen, front

POINTS = st.lists(st.tuples(*[st.integers(-4, 4)] * 2), min_size=1, max_size=30)


def beats(a, b):
    return a != b and a[0] >= b[0] and a[1] >= b[1]


@given(POINTS)
def test_the_front_is_what_no_point_beats(points):
    found = [points[index] for index in front(points)]
    expected = {b for b in points if not any(beats(a, b) for a in points)}
    assert set(found) == expected and len(found) == len(expected)
    assert [y for _, y in found] == sorted((y for _, y in found), reverse=True)
    assert [points.index(point) for point in found] == front(points)


@given(POINTS, st.integers(-5, 5))
def test_the_chosen_point_is_on_the_front(points, least):
    index = chosen(points, least)
    assert index in front(points)
    fine = [second for first, second in points if first >= least]
    if fine:
        assert points[index][0] >= least and points[index][1] == max(fine)
    else:
        assert points[index][0] == max(first for first, _ in points)
