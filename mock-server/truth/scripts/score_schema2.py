"""A decorated script with two parameters: a data frame and a plain object."""

import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    """Nothing to load."""


@input_schema("Inputs", PandasParameterType(pd.DataFrame({"age": [40], "job": ["x"]})))
@input_schema("GlobalParameters", StandardPythonParameterType({"method": "predict"}))
@output_schema(StandardPythonParameterType({"Results": [1.0]}))
def run(Inputs, GlobalParameters):  # noqa: N803 the names are the payload's
    """Return twice each age, and the parameters as they came."""
    return {"Results": (Inputs["age"] * 2).tolist(), "m": GlobalParameters}
