import hashlib

import pytest
from odd_columns import ODD_COLUMNS

from data_pipelines.errors import UserError
from data_pipelines.fields.served_names import argument_name, argument_names


def test_names_of_arguments():
    assert argument_names(list(ODD_COLUMNS)) == ODD_COLUMNS


def test_a_name_depends_on_its_column_alone():
    one, other = argument_names(["shop", "城市"]), argument_names(["shop", "性别", "城市"])
    assert one["城市"] == other["城市"] == "ChengShi_ed84a1" and one["shop"] == other["shop"] == "shop"
    assert other["性别"] == "XingBie_a752a7"
    # The hash distinguishes columns with the same ASCII transliteration.
    assert argument_name("größe") == "grosse_" + hashlib.sha256("größe".encode()).hexdigest()[:6]
    assert argument_name("größe") != argument_name("grosse!") != argument_name("grosse?")
    assert argument_name("цена") == "tsena_" + hashlib.sha256("цена".encode()).hexdigest()[:6]


@pytest.mark.parametrize("column", ["", "\n", "-", "9" * 99, "x y" * 99, "\udc80".encode("utf-8", "replace").decode()])
def test_every_text_has_a_name_that_tensorflow_takes(column):
    name = argument_name(column)
    assert name.isascii() and name.isidentifier() and name[0].isalpha() and len(name) < 60


@pytest.mark.parametrize("columns", [["plain", "Plain"], ["site id", "site_id_ecd366"]])
def test_names_that_tensorflow_would_not_tell_apart_are_refused(columns):
    with pytest.raises(UserError, match=f"columns '{columns[0]}' and '{columns[1]}' would be the signature's inputs"):
        argument_names(columns)
