"""Small grey images side by side."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ._style import style

__all__ = ["show_images"]


def show_images(
    images: Sequence[np.ndarray], captions: Sequence[str] | None = None, columns: int = 8
) -> Figure:
    """Draw images in rows, each with a caption above it; the smallest value is black.

    Parameters
    ----------
    images : sequence of array, shape (height, width)
    captions : sequence of str, optional
        One for each image.
    columns : int, optional
        Images in a row.

    Returns
    -------
    matplotlib.figure.Figure
        The last expression of a cell displays it.

    Raises
    ------
    ValueError
        If there is no image, or not one caption for each.

    Examples
    --------
    >>> fig = show_images(np.zeros((10, 8, 8)), captions=list("0123456789"), columns=5)
    >>> len(fig.axes)
    10
    """
    if not len(images):
        raise ValueError("there is no image to show")
    captions = [""] * len(images) if captions is None else captions
    if len(captions) != len(images):
        raise ValueError(f"there are {len(images)} images and {len(captions)} captions")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = 1 + max(caption.count("\n") for caption in captions)
    with style():
        fig = plt.figure(figsize=(columns, rows * (1 + 0.16 * lines)), layout="constrained")
        for number, (image, caption) in enumerate(zip(images, captions, strict=True), start=1):
            ax = fig.add_subplot(rows, columns, number)
            ax.imshow(image, cmap="gray")
            ax.set_title(caption, fontsize="small")
            ax.set_axis_off()
    plt.close(fig)  # or the notebook would show it a second time
    return fig
