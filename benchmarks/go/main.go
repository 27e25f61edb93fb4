// The same in Go: goroutines and channels, with the standard library alone.
//
//	peers group 1000 0.1
//
// prints one figure, as python -m benchmarks.worker does: the CPU time of one item in
// seconds, or the bytes that one item occupies. Like Python it has one processor to itself.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	warmUp = 100 // items in a first run
	far    = time.Minute
)

// timed are the benchmarks that give the seconds of so many items.
var timed = map[string]func(items int) float64{
	"group":      group,
	"cancel":     cancel,
	"connection": connection,
	"unbuffered": func(items int) float64 { return handOver(0, items) },
	"buffered":   func(items int) float64 { return handOver(100, items) },
}

func main() {
	runtime.GOMAXPROCS(1)
	if len(os.Args) < 3 {
		fail("usage: peers name items [seconds]")
	}
	name := os.Args[1]
	items, err := strconv.Atoi(os.Args[2])
	if err != nil || items < 1 {
		fail("not a number of items: " + os.Args[2])
	}
	if name == "memory" && len(os.Args) == 3 {
		fmt.Println(memory(items))
		return
	}
	measure := timed[name]
	if measure == nil || len(os.Args) != 4 {
		fail("no such benchmark, or its seconds are missing: " + name)
	}
	least, err := strconv.ParseFloat(os.Args[3], 64)
	if err != nil {
		fail("not a number of seconds: " + os.Args[3])
	}
	fmt.Println(perItem(measure, items, least))
}

func fail(complaint string) {
	fmt.Fprintln(os.Stderr, complaint)
	os.Exit(2)
}

// perItem repeats measure until all runs together have taken at least so many seconds.
func perItem(measure func(int) float64, items int, least float64) float64 {
	if items > warmUp {
		measure(warmUp)
	} else {
		measure(items)
	}
	for times := 1; ; times *= 2 {
		runtime.GC()
		seconds := 0.0
		for i := 0; i < times; i++ {
			seconds += measure(items)
		}
		if seconds >= least {
			return seconds / float64(items*times)
		}
	}
}

// clock is the CPU time of the process in seconds.
func clock() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err.Error())
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// resident is the memory of the process in bytes.
func resident() int {
	runtime.GC()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		fail(err.Error())
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		fail(err.Error())
	}
	return pages * os.Getpagesize()
}

// allRan lets no run count in which a goroutine is missing.
func allRan(ran, count int) {
	if ran != count {
		fail(fmt.Sprintf("%d goroutines of %d have run", ran, count))
	}
}

// group waits for goroutines with a sync.WaitGroup; none is stopped by another's failure.
func group(tasks int) float64 {
	ran := 0
	var mutex sync.Mutex
	start := clock()
	var waiting sync.WaitGroup
	for i := 0; i < tasks; i++ {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			mutex.Lock()
			ran++
			mutex.Unlock()
		}()
	}
	waiting.Wait()
	seconds := clock() - start
	allRan(ran, tasks)
	return seconds
}

// blocked starts goroutines that wait for the end of a context.
func blocked(tasks int) (stop func(), finalized *int) {
	ctx, stopAll := context.WithCancel(context.Background())
	var began, ended sync.WaitGroup
	var mutex sync.Mutex
	finalized = new(int)
	began.Add(tasks)
	ended.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			defer func() {
				mutex.Lock()
				*finalized++
				mutex.Unlock()
				ended.Done()
			}()
			began.Done()
			<-ctx.Done()
		}()
	}
	began.Wait()
	return func() { stopAll(); ended.Wait() }, finalized
}

// cancel is the time until all have ended, each with a deferred function of its own.
func cancel(tasks int) float64 {
	stop, finalized := blocked(tasks)
	start := clock()
	stop()
	seconds := clock() - start
	allRan(*finalized, tasks)
	return seconds
}

// memory is what a blocked goroutine occupies.
func memory(tasks int) float64 {
	stop, _ := blocked(1)
	stop()
	before := resident()
	stop, finalized := blocked(tasks)
	occupied := resident() - before
	stop()
	allRan(*finalized, tasks)
	return float64(occupied) / float64(tasks)
}

// connection is a goroutine to prepare, then two, below a timeout; none idles out.
func connection(items int) float64 {
	ran := 0
	var mutex sync.Mutex
	count := func(waiting *sync.WaitGroup) {
		defer waiting.Done()
		mutex.Lock()
		ran++
		mutex.Unlock()
	}
	start := clock()
	for i := 0; i < items; i++ {
		_, stop := context.WithTimeout(context.Background(), far)
		var waiting sync.WaitGroup
		for _, together := range [...]int{1, 2} {
			waiting.Add(together)
			for ; together > 0; together-- {
				go count(&waiting)
			}
			waiting.Wait()
		}
		stop()
	}
	seconds := clock() - start
	allRan(ran, 3*items)
	return seconds
}

// handOver sends numbers from one goroutine to another.
func handOver(capacity, items int) float64 {
	values := make(chan int, capacity)
	start := clock()
	go func() {
		for value := 0; value < items; value++ {
			values <- value
		}
		close(values)
	}()
	next := 0
	for value := range values {
		if value != next {
			fail(fmt.Sprintf("%d should have come, not %d", next, value))
		}
		next++
	}
	seconds := clock() - start
	allRan(next, items)
	return seconds
}
