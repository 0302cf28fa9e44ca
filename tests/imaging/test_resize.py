"""The one resize: shapes, colours at the edges, and that nothing is dropped."""

import numpy as np
import pytest

from ticketbot.imaging.resize import to_input


@pytest.mark.parametrize("geometry", ["squish", "pad"])
@pytest.mark.parametrize("shape", [(480, 640, 3), (640, 480, 3), (20, 20, 3), (1, 640, 3), (640, 1, 3), (1, 1, 3)])
def test_every_picture_becomes_a_square_of_the_asked_size(shape, geometry):
    out = to_input(np.zeros(shape, np.uint8), 224, geometry)
    assert (out.shape, out.dtype) == ((224, 224, 3), np.uint8)
    assert out.flags.writeable


def test_padding_is_white_centred_and_keeps_the_shape():
    out = to_input(np.zeros((300, 600, 3), np.uint8), 200, "pad")
    assert (out[:50] == 255).all()
    assert (out[50:150] == 0).all()
    assert (out[150:] == 255).all()


def test_squishing_keeps_both_ends_of_a_wide_picture():
    rgb = np.zeros((100, 1000, 3), np.uint8)
    rgb[:, :100] = (255, 0, 0)
    rgb[:, -100:] = (0, 0, 255)
    out = to_input(rgb, 100, "squish")
    assert tuple(out[50, 2]) == (255, 0, 0)
    assert tuple(out[50, -3]) == (0, 0, 255)


def test_a_fine_pattern_becomes_grey_instead_of_noise():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    out = to_input(stripes, 64, "squish").astype(int)
    assert abs(out - 127).max() < 12


def test_an_unknown_geometry_is_an_error():
    with pytest.raises(ValueError, match="squish or pad"):
        to_input(np.zeros((4, 4, 3), np.uint8), 2, "crop")
