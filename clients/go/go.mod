module github.com/nanoservice/fanout/clients/go

go 1.22
