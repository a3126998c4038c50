"""How figures are written."""

import matplotlib.pyplot as plt
from PIL import Image

from common.runs import figures


def test_a_dollar_in_a_name_is_no_formula(tmp_path):
    figure, axis = plt.subplots()
    axis.loglog([1, 1000], [1, 1000], label="price in $ of $x_$")
    axis.set_title("a$b_$c.csv")
    axis.set_xlabel("$_$")
    axis.legend()
    figures.save(figure, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size[0] > 100
