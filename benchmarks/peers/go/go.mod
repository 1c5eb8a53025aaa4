module bench_peer

go 1.19
