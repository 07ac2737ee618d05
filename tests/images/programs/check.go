// SPDX-License-Identifier: Apache-2.0
// Goroutines, TCP, a child process, preemption by signals, and a fault that is recovered.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

func main() {
	var wg sync.WaitGroup
	var mu sync.Mutex
	sum := 0
	for i := 0; i < 200; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			time.Sleep(time.Millisecond)
			mu.Lock()
			sum += i
			mu.Unlock()
		}(i)
	}
	wg.Wait()
	fmt.Println(runtime.Version(), sum)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		c, _ := l.Accept()
		io.Copy(c, c)
		c.Close()
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		panic(err)
	}
	c.Write([]byte("hello"))
	c.(*net.TCPConn).CloseWrite()
	b, _ := io.ReadAll(c)
	fmt.Println(string(b))
	out, err := exec.Command("sh", "-c", "echo child; exit 3").CombinedOutput()
	fmt.Printf("%q %v\n", out, err)
	x := 0
	done := time.After(50 * time.Millisecond)
	go func() {
		for {
			x++
		}
	}()
	<-done
	runtime.GC() // stops the loop above
	fmt.Println("preempted")
	defer func() {
		fmt.Println("recovered:", recover())
		os.Exit(4)
	}()
	var p *int
	*p = 1
}
