"""A client that openapi-generator makes from the documents of the mock, used as its README says."""
