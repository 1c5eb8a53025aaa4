// SPDX-License-Identifier: Apache-2.0
//
// Row 4: the Savina benchmarks with goroutines and channels.
package main

import "math/rand"

const ringSize = 503

func ring(scale int) float64 {
	hops := 5_000_000 / scale
	done := make(chan struct{})
	first := make(chan int)
	in := first
	for i := 0; i < ringSize; i++ {
		out := first
		if i < ringSize-1 {
			out = make(chan int)
		}
		go func(in, out chan int) {
			for left := range in {
				if left == 0 {
					done <- struct{}{}
					return
				}
				out <- left - 1
			}
		}(in, out)
		in = out
	}
	return rate(hops, func() {
		first <- hops
		<-done
	})
}

func counting(scale int) float64 {
	count := 16_000_000 / scale
	type message struct{ get chan int }
	in := make(chan message, 1024)
	go func() {
		counted := 0
		for m := range in {
			if m.get != nil {
				m.get <- counted
			} else {
				counted++
			}
		}
	}()
	return rate(count, func() {
		for i := 0; i < count; i++ {
			in <- message{}
		}
		get := make(chan int)
		in <- message{get}
		check(<-get, count)
	})
}

func forkJoin(scale int) float64 {
	const workers = 60
	share := 300_000 / scale
	done := make(chan struct{})
	var in [workers]chan struct{}
	for w := range in {
		in[w] = make(chan struct{}, 1024)
		go func(in <-chan struct{}) {
			for i := 0; i < share; i++ {
				<-in
			}
			done <- struct{}{}
		}(in[w])
	}
	return rate(workers*share, func() {
		for i := 0; i < share; i++ {
			for _, worker := range in {
				worker <- struct{}{}
			}
		}
		for range in {
			<-done
		}
	})
}

type colour int

func complement(a, b colour) colour {
	if a == b {
		return a
	}
	return 3 - a - b
}

// What a creature is sent: to meet another one, a new colour from the one that it met, or the end.
type encounter struct {
	other   chan<- encounter
	colour  colour
	changed bool
	exit    bool
}

func creature(in chan encounter, mall chan<- encounter, own colour, count chan<- int) {
	met := 0
	mall <- encounter{other: in, colour: own}
	for e := range in {
		switch {
		case e.exit:
			count <- met
			return
		case e.changed:
			own = e.colour
		default:
			own = complement(own, e.colour)
			e.other <- encounter{colour: own, changed: true}
		}
		met++
		mall <- encounter{other: in, colour: own}
	}
}

func chameneos(scale int) float64 {
	const creatures = 100
	meetings := 1_500_000 / scale
	mall := make(chan encounter, creatures)
	count := make(chan int, creatures)
	for i := 0; i < creatures; i++ {
		go creature(make(chan encounter, 2), mall, colour(i%3), count)
	}
	return rate(meetings, func() {
		for i := 0; i < meetings; i++ {
			first, second := <-mall, <-mall
			first.other <- second
		}
		for i := 0; i < creatures; i++ {
			(<-mall).other <- encounter{exit: true}
		}
		total := 0
		for i := 0; i < creatures; i++ {
			total += <-count
		}
		check(total, 2*meetings)
	})
}

// With a target it is a credit, which the source passes on as a debit before it answers; without one it is that debit.
type transfer struct {
	amount int
	target chan<- transfer
	answer chan<- struct{}
}

func account(in <-chan transfer) {
	balance := 0
	answer := make(chan struct{}, 1)
	for t := range in {
		if t.target == nil {
			balance -= t.amount
		} else {
			t.target <- transfer{amount: t.amount, answer: answer}
			<-answer
			balance += t.amount
		}
		t.answer <- struct{}{}
	}
}

// The target always comes after the source, so accounts that wait for one another cannot close a cycle.
func bank(scale int) float64 {
	const accounts = 1000
	count := 1_500_000 / scale
	var in [accounts]chan transfer
	for i := range in {
		in[i] = make(chan transfer, 64)
		go account(in[i])
	}
	answers := make(chan struct{}, 1024)
	return rate(count, func() {
		go func() {
			random := rand.New(rand.NewSource(42))
			for i := 0; i < count; i++ {
				source := random.Intn(accounts / 10 * 8)
				target := source + 1 + random.Intn(accounts-source-1)
				in[source] <- transfer{10, in[target], answers}
			}
		}()
		for i := 0; i < count; i++ {
			<-answers
		}
	})
}

// A ping says whom to answer; a pong says nobody.
type ping struct{ from chan ping }

func big(scale int) float64 {
	const pingers = 120
	share := 20_000 / scale
	var in [pingers]chan ping
	for i := range in {
		// Each of the others has one ping out at most, so nobody ever waits for room.
		in[i] = make(chan ping, pingers+1)
	}
	done := make(chan struct{})
	exit := make(chan struct{})
	begin := make(chan struct{})
	for i := range in {
		go func(own chan ping, random *rand.Rand) {
			<-begin
			in[random.Intn(pingers)] <- ping{own}
			for left := share; ; {
				select {
				case p := <-own:
					if p.from != nil {
						p.from <- ping{}
						continue
					}
					if left--; left > 0 {
						in[random.Intn(pingers)] <- ping{own}
					} else {
						done <- struct{}{}
					}
				case <-exit:
					return
				}
			}
		}(in[i], rand.New(rand.NewSource(int64(i))))
	}
	return rate(pingers*share, func() {
		close(begin)
		for range in {
			<-done
		}
		close(exit)
	})
}
