// SPDX-License-Identifier: Apache-2.0
//
// net/http under wrk, as ../../app/load.cpp asks.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

type served struct {
	cpu, rate, p99 float64
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func wrk(port, seconds int) string {
	out, err := exec.Command("wrk", "-t1", "-c64", fmt.Sprintf("-d%ds", seconds), "--latency", fmt.Sprintf("http://127.0.0.1:%d/", port)).Output()
	if err != nil {
		panic(err)
	}
	return string(out)
}

func number(text, pattern string) (float64, string) {
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		panic("wrk did not say " + pattern)
	}
	value, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		panic(err)
	}
	return value, found[len(found)-1]
}

func serveHello(scale int) served {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	handler := http.NewServeMux()
	handler.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, "hello")
	})
	go http.Serve(listener, handler)
	port := listener.Addr().(*net.TCPAddr).Port
	seconds := 4
	if scale > 1 {
		seconds = 1
	}
	wrk(port, 1)
	time.Sleep(10 * time.Millisecond)
	before := cpuSeconds()
	text := wrk(port, seconds)
	used := cpuSeconds() - before
	rate, _ := number(text, `Requests/sec:\s+([\d.]+)`)
	p99, unit := number(text, `99%\s+([\d.]+)(us|ms|s)`)
	p99 *= map[string]float64{"us": 1, "ms": 1e3, "s": 1e6}[unit]
	return served{cpu: used * 1e6 / (rate * float64(seconds)), rate: rate / 1e3, p99: p99}
}
