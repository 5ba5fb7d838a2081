"""Columns whose names TensorFlow does not accept, and their names in signatures."""

ODD_COLUMNS = {
    "plain_1": "plain_1",
    "site id": "site_id_ecd366",
    "1st": "column_1st_e01ddf",
    "class": "class_088911",
    "名": "Ming_51a5d6",
    "user.age": "user_age_94693f",
    "user/age": "user_age_87d140",
    "self": "self_06c604",
    "_hidden": "hidden_7a1f9c",
    " ": "column_36a9e7",
    "a-b": "a_b_d44362",
    "a_b": "a_b",
    "column_14": "column_14",
    "column 14": "column_14_cf3dae",
    "name": "name",
    "kwargs": "kwargs",
}
