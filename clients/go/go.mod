module azureml-scoring-clients/go

go 1.25
