module gowork/benchmarks

go 1.18
