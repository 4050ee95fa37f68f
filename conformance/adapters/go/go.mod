module azureml-scoring-clients/conformance/adapters/go

go 1.25

require azureml-scoring-clients/go v0.0.0

replace azureml-scoring-clients/go => ../../../clients/go
