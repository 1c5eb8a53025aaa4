// SPDX-License-Identifier: Apache-2.0
//
// Rows 1 to 3 and 8: call, cast, goroutines, timers.
package main

import "time"

// A call: what the server adds and where it answers.
type request struct {
	n     int
	reply chan int
}

func serve(requests <-chan request) {
	sum := 0
	for r := range requests {
		sum += r.n
		r.reply <- sum
	}
}

func call(scale int) float64 {
	calls := 3_000_000 / scale
	requests := make(chan request)
	go serve(requests)
	reply := make(chan int)
	return each(calls, func() {
		for i := 0; i < calls; i++ {
			requests <- request{1, reply}
			<-reply
		}
	})
}

func callFresh(scale int) float64 {
	calls := 2_000_000 / scale
	requests := make(chan request)
	go serve(requests)
	return each(calls, func() {
		for i := 0; i < calls; i++ {
			reply := make(chan int, 1)
			requests <- request{1, reply}
			<-reply
		}
	})
}

func cast(producers, scale int) float64 {
	share := 16_000_000 / scale / producers
	total := share * producers
	messages := make(chan int, 1024)
	drained := make(chan int)
	go func() {
		sum := 0
		for i := 0; i < total; i++ {
			sum += <-messages
		}
		drained <- sum
	}()
	return rate(total, func() {
		for p := 0; p < producers; p++ {
			go func() {
				for i := 0; i < share; i++ {
					messages <- 1
				}
			}()
		}
		check(<-drained, total)
	})
}

func spawnInTurn(scale int) float64 {
	count := 2_000_000 / scale
	done := make(chan struct{})
	return rate(count, func() {
		for i := 0; i < count; i++ {
			go func() { done <- struct{}{} }()
			<-done
		}
	})
}

func spawnAlive(scale int) float64 {
	count := 1_000_000 / scale
	stop := make(chan struct{})
	done := make(chan struct{}, 1024)
	return rate(count, func() {
		for i := 0; i < count; i++ {
			go func() {
				<-stop
				done <- struct{}{}
			}()
		}
		close(stop)
		for i := 0; i < count; i++ {
			<-done
		}
	})
}

func startStop(scale int) float64 {
	count := 1_000_000 / scale
	return each(count, func() {
		for i := 0; i < count; i++ {
			requests := make(chan request)
			ended := make(chan struct{})
			go func() {
				serve(requests)
				close(ended)
			}()
			close(requests)
			<-ended
		}
	})
}

func startServers(count int) []chan request {
	servers := make([]chan request, count)
	for i := range servers {
		servers[i] = make(chan request)
		go serve(servers[i])
	}
	// Each has answered, so each has really begun to wait.
	reply := make(chan int)
	for _, server := range servers {
		server <- request{1, reply}
		<-reply
	}
	return servers
}

func startIdle(scale int) float64 {
	count := 1_000_000 / scale
	return rate(count, func() { startServers(count) })
}

func memoryServer(scale int) float64 {
	count := 1_000_000 / scale
	before := residentBytes()
	servers := startServers(count)
	after := residentBytes()
	check(len(servers), count)
	return (after - before) / float64(count)
}

func memoryProcess(scale int) float64 {
	count := 1_000_000 / scale
	stop := make(chan struct{})
	running := make(chan struct{}, 1024)
	before := residentBytes()
	for i := 0; i < count; i++ {
		go func() {
			running <- struct{}{}
			<-stop
		}()
	}
	for i := 0; i < count; i++ {
		<-running
	}
	return (residentBytes() - before) / float64(count)
}

func nothing() {}

func timerPair(scale int) float64 {
	count := 5_000_000 / scale
	return each(count, func() {
		for i := 0; i < count; i++ {
			time.AfterFunc(time.Minute, nothing).Stop()
		}
	})
}

func startTimers(timers []*time.Timer) {
	for i := range timers {
		timers[i] = time.AfterFunc(time.Minute+time.Duration(i%60_000)*time.Millisecond, nothing)
	}
}

func timerStart(scale int) float64 {
	timers := make([]*time.Timer, 1_000_000/scale)
	return each(len(timers), func() { startTimers(timers) })
}

func timerCancel(scale int) float64 {
	timers := make([]*time.Timer, 1_000_000/scale)
	startTimers(timers)
	return each(len(timers), func() {
		for _, timer := range timers {
			timer.Stop()
		}
	})
}
