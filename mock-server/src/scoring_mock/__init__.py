"""A local stand-in for a model deployed as a web service with Azure Machine Learning."""

__version__ = "0.1.0"
