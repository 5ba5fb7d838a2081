from odd_columns import ODD_COLUMNS

from ada_ensemble_tf.serving.arguments import argument_names


def test_names_of_arguments():
    assert argument_names(list(ODD_COLUMNS)) == ODD_COLUMNS
    assert argument_names(["1st", "column_1", "COLUMN_1_"]) == {
        "1st": "column_1__", "column_1": "column_1", "COLUMN_1_": "COLUMN_1_",
    }  # fmt: skip
