module fanout/load

go 1.22
