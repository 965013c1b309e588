module github.com/nanoservice/fanout/examples/words

go 1.22

require github.com/nanoservice/fanout/clients/go v0.0.0

replace github.com/nanoservice/fanout/clients/go => ../../clients/go
