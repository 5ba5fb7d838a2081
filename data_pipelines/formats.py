"""The raw formats there are, by the name that `--dataset` takes."""

from data_pipelines import criteo
from data_pipelines.errors import DataError
from data_pipelines.raw_format import RawFormat

FORMATS: dict[str, RawFormat] = {
    "criteo": criteo.FORMAT,
}


def raw_format(name: str) -> RawFormat:
    """The raw format of a data set. Raises DataError for an unknown name."""
    if name not in FORMATS:
        raise DataError(f"unknown dataset {name!r}; known: {', '.join(FORMATS)}")
    return FORMATS[name]
