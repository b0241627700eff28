"""Images side by side."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tvm_book.viz import show_images


def test_each_image_has_its_place_and_caption():
    images = np.arange(5 * 4).reshape(5, 2, 2)
    fig = show_images(images, captions=list("abcde"), columns=3)
    assert [ax.get_title() for ax in fig.axes] == list("abcde")
    for ax, image in zip(fig.axes, images, strict=True):
        assert np.array_equal(ax.images[0].get_array(), image)
    places = [ax.get_subplotspec() for ax in fig.axes]
    assert [(p.rowspan.start, p.colspan.start) for p in places] == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 1)
    ]  # fmt: skip


def test_captions_may_be_left_out():
    assert [ax.get_title() for ax in show_images(np.zeros((2, 3, 3))).axes] == ["", ""]


def test_rows_are_higher_for_captions_of_several_lines():
    heights = [
        show_images(np.zeros((1, 3, 3)), [caption]).get_figheight() for caption in ("a", "a\nb")
    ]
    assert heights[0] < heights[1]


@pytest.mark.parametrize(
    ("images", "captions", "message"),
    [
        (np.zeros((0, 8, 8)), None, "there is no image to show"),
        (np.zeros((2, 8, 8)), ["a"], "there are 2 images and 1 captions"),
    ],
)
def test_bad_input(images, captions, message):
    with pytest.raises(ValueError, match=message):
        show_images(images, captions)


def test_pyplot_does_not_keep_the_figure():
    """Else a notebook shows it twice, and matplotlib warns after twenty figures."""
    before = plt.get_fignums()
    show_images(np.zeros((1, 8, 8)))
    assert plt.get_fignums() == before
