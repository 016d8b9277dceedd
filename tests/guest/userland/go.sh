# The Go tool chain builds a program with goroutines, a server and panics; then it runs.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
export GOCACHE=$scratch/cache GOPATH=$scratch/path GO111MODULE=on GOFLAGS=-mod=mod CGO_ENABLED=0 HOME=$scratch
cat > go.mod <<'G'
module example
go 1.19
G
cat > main.go <<'G'
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
)

type node struct{ l, r *node }

func tree(d int) *node {
	if d == 0 {
		return &node{}
	}
	return &node{tree(d - 1), tree(d - 1)}
}
func (n *node) count() int {
	if n.l == nil {
		return 1
	}
	return 1 + n.l.count() + n.r.count()
}
func try(f func()) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = x.(error)
		}
	}()
	f()
	return nil
}
func main() {
	var wg sync.WaitGroup
	var mu sync.Mutex
	sum, ch := 0, make(chan int, 10)
	for i := 0; i < 200; i++ {
		wg.Add(1)
		go func(i int) { defer wg.Done(); mu.Lock(); sum += tree(i % 10).count(); mu.Unlock(); ch <- i }(i)
	}
	go func() { wg.Wait(); close(ch) }()
	total := 0
	for x := range ch {
		total += x
	}
	fmt.Println(sum, total)
	var p *node
	zero := len(os.Args) - 1
	fmt.Println(try(func() { p.l = nil }), try(func() { fmt.Println(1 / zero) }), try(func() { _ = os.Args[zero+9] }))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	c, _ := net.Dial("tcp", l.Addr().String())
	fmt.Fprint(c, strings.Repeat("echo ", 1000))
	c.(*net.TCPConn).CloseWrite()
	back, _ := io.ReadAll(c)
	fmt.Printf("%d %x\n", len(back), sha256.Sum256(back))
	f := big.NewInt(1)
	for i := int64(1); i <= 100; i++ {
		f.Mul(f, big.NewInt(i))
	}
	fmt.Println(f)
	words := strings.Fields("b c a")
	sort.Strings(words)
	select {
	case <-time.After(10 * time.Millisecond):
		fmt.Println(words, errors.Is(os.ErrNotExist, os.ErrNotExist), runtime.GOARCH)
	}
	spin := make(chan bool)
	go func() { for i := 0; ; i++ { select { case <-spin: return; default: } } }()
	runtime.GC()
	close(spin)
	os.Exit(5)
}
G
go vet . && go build -o prog . && { ./prog || echo "status $?"; }
cat > main_test.go <<'G'
package main

import "testing"

func TestTree(t *testing.T) { if tree(4).count() != 31 { t.Fatal("count") } }
G
go test . | sed 's/[0-9.]*s$//'
