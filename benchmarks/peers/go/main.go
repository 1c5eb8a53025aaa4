// SPDX-License-Identifier: Apache-2.0
//
// Go's side of the rows in ../README.md: `bench_peer <row> [quick]` measures one and prints its line. What is a server there
// is a goroutine that owns its state and reads a channel here.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"
)

type row struct {
	unit    string
	measure func(scale int) float64
}

var rows = map[string]row{
	"call":           {"ns", call},
	"call-fresh":     {"ns", callFresh},
	"cast-1":         {"M/s", func(scale int) float64 { return cast(1, scale) }},
	"cast-2":         {"M/s", func(scale int) float64 { return cast(2, scale) }},
	"cast-8":         {"M/s", func(scale int) float64 { return cast(8, scale) }},
	"spawn":          {"M/s", spawnInTurn},
	"spawn-alive":    {"M/s", spawnAlive},
	"start-stop":     {"ns", startStop},
	"start-idle":     {"M/s", startIdle},
	"memory-server":  {"bytes", memoryServer},
	"memory-process": {"bytes", memoryProcess},
	"ring":           {"M/s", ring},
	"counting":       {"M/s", counting},
	"fork-join":      {"M/s", forkJoin},
	"chameneos":      {"M/s", chameneos},
	"bank":           {"M/s", bank},
	"big":            {"M/s", big},
	"http-cpu":       {"us", func(scale int) float64 { return serveHello(scale).cpu }},
	"http-rate":      {"k/s", func(scale int) float64 { return serveHello(scale).rate }},
	"http-p99":       {"us", func(scale int) float64 { return serveHello(scale).p99 }},
	"timer-pair":     {"ns", timerPair},
	"timer-start":    {"ns", timerStart},
	"timer-cancel":   {"ns", timerCancel},
}

func main() {
	runtime.GOMAXPROCS(2)
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: bench_peer list | version | <row> [quick]")
		os.Exit(2)
	}
	switch name := os.Args[1]; name {
	case "list":
		names := make([]string, 0, len(rows))
		for name := range rows {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Printf("go\t%s\n", name)
		}
	case "version":
		fmt.Printf("Go %s, GOMAXPROCS %d\n", strings.TrimPrefix(runtime.Version(), "go"), runtime.GOMAXPROCS(0))
	default:
		chosen, known := rows[name]
		if !known {
			fmt.Fprintf(os.Stderr, "no row %q\n", name)
			os.Exit(2)
		}
		scale := 1
		if len(os.Args) > 2 && os.Args[2] == "quick" {
			scale = 8
		}
		fmt.Printf("%s\t%.3f\t%s\n", name, chosen.measure(scale), chosen.unit)
	}
}

func each(operations int, work func()) float64 {
	begin := time.Now()
	work()
	return float64(time.Since(begin).Nanoseconds()) / float64(operations)
}

func rate(operations int, work func()) float64 { return 1000 / each(operations, work) }

func residentBytes() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		panic(err)
	}
	return float64(pages * os.Getpagesize())
}

func check(got, wanted int) {
	if got != wanted {
		panic(fmt.Sprintf("counted %d instead of %d", got, wanted))
	}
}
