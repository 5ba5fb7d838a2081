"""Columns that TensorFlow does not take by their names, and what signatures call them."""

ODD_COLUMNS = {
    "plain_1": "plain_1",
    "site id": "site_id",
    "1st": "column_3",
    "class": "column_4",
    "名": "column_5",
    "user.age": "user_age",
    "user/age": "column_7",
    "Plain_1": "column_8",
    "self": "column_9",
    "_hidden": "column_10",
    " ": "column_11",
    "a-b": "column_12",
    "a_b": "a_b",
    "column_12_": "column_12_",
    "column_14": "column_14",
    "column 14": "column_16",
    "name": "name",
    "kwargs": "kwargs",
}
