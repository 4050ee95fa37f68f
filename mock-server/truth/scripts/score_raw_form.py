"""A raw script that wants a file named `image` in a multipart form."""

from azureml.contrib.services.aml_request import rawhttp


def init():
    """Nothing to load."""


@rawhttp
def run(request):
    """Return the file's name and size."""
    file = request.files["image"]
    content = file.read()
    return {"name": file.filename, "n": len(content)}
