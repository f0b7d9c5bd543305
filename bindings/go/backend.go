// Package sandport gives a program sandbox containers on the machine it runs on.
package sandport

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

const abiVersion = 1

var loaded struct {
	sync.Mutex
	by map[string]*native
}

func library(explicit string) (*native, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if found := loaded.by[explicit]; found != nil {
		return found, nil
	}
	path, err := find(explicit)
	if err != nil {
		return nil, err
	}
	found, err := load(path)
	if len(bundled) > 0 && explicit == "" && os.Getenv("SANDPORT_LIBRARY") == "" && path != "" {
		os.RemoveAll(filepath.Dir(path)) // mapped by now, or of no use
	}
	if err != nil {
		return nil, fmt.Errorf("sandport: no library (set SANDPORT_LIBRARY to libsandport.so.0): %w", err)
	}
	if has := found.abi(); has != abiVersion {
		return nil, &Error{Code: Unsupported, Message: fmt.Sprintf("the library has ABI version %d, this module needs %d", has, abiVersion),
			Hint: "use a library and a module of the same release"}
	}
	if loaded.by == nil {
		loaded.by = map[string]*native{}
	}
	loaded.by[explicit] = found
	return found, nil
}

// Object is a JSON object, as docs/api.md describes each.
type Object = map[string]any

// Opened is what opening answered.
type Opened struct {
	Runtime  string   `json:"runtime"`
	Features []string `json:"features"`
	Warnings []string `json:"warnings"`
}

// Backend is one opened configuration; any goroutine may use it. Get one from Open.
type Backend struct {
	Opened Opened
	core   *core
}

// core is what the reading goroutine holds, so that a forgotten Backend can be collected.
type core struct {
	native         *native
	backend, queue uint64
	file           *os.File
	lock           sync.Mutex
	closed         bool
	waiting        map[uint64]chan string
	done           chan struct{}
}

// Open opens a backend with the config's JSON fields.
func Open(ctx context.Context, config Object) (*Backend, error) { return OpenLibrary(ctx, "", config) }

// OpenLibrary is Open with the library's path.
func OpenLibrary(ctx context.Context, path string, config Object) (*Backend, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	text, err := json.Marshal(given(config))
	if err != nil {
		return nil, err
	}
	native, err := library(path)
	if err != nil {
		return nil, err
	}
	type result struct {
		backend *Backend
		err     error
	}
	done := make(chan result, 1)
	go func() {
		backend, err := open(native, string(text))
		done <- result{backend, err}
	}()
	select {
	case got := <-done:
		if got.err == nil && ctx.Err() != nil {
			got.backend.Close()
			return nil, context.Cause(ctx)
		}
		return got.backend, got.err
	case <-ctx.Done():
		go func() { // what still opens is closed when it has
			if got := <-done; got.err == nil {
				got.backend.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

func open(native *native, config string) (*Backend, error) {
	b := &Backend{}
	number, answer := native.backendOpen(config)
	if err := parse(answer, &b.Opened); err != nil {
		return nil, err
	}
	queue, fd, answer := native.queueOpen()
	if err := parse(answer, nil); err != nil {
		native.backendClose(number)
		return nil, err
	}
	b.core = &core{native: native, backend: number, queue: queue, file: os.NewFile(uintptr(fd), "sandport queue"),
		waiting: map[uint64]chan string{}, done: make(chan struct{})}
	go b.core.deliver()
	runtime.SetFinalizer(b, func(b *Backend) { b.core.close() })
	return b, nil
}

func (c *core) deliver() {
	defer close(c.done)
	wake := make([]byte, 256)
	for {
		_, err := c.file.Read(wake)
		c.lock.Lock()
		if err != nil || c.closed {
			c.lock.Unlock()
			return
		}
		for {
			call, answer, got := c.native.queueNext(c.queue)
			if !got {
				break
			}
			if channel := c.waiting[call]; channel != nil {
				channel <- answer
				delete(c.waiting, call)
			}
		}
		c.lock.Unlock()
	}
}

func gone() error {
	return &Error{Code: InvalidHandle, Message: "this backend is closed or was never opened", Hint: "get one from sandport.Open"}
}

func (c *core) close() {
	c.lock.Lock()
	if !c.closed {
		c.closed = true
		c.native.queueClose(c.queue)
		c.native.backendClose(c.backend)
		c.file.Close()
		for call, channel := range c.waiting {
			close(channel)
			delete(c.waiting, call)
		}
	}
	c.lock.Unlock()
}

// Close cancels what runs; the sandboxes live on. Closing twice is harmless.
func (b *Backend) Close() error {
	if b == nil || b.core == nil {
		return nil
	}
	runtime.SetFinalizer(b, nil)
	b.core.close()
	<-b.core.done
	return nil
}

var operations = map[string]uint32{"create": 1, "destroy": 2, "discover": 3, "is_alive": 4, "list": 5, "request": 6,
	"release": 7, "reap": 8, "wait_ready": 9}

// Call runs any operation by its JSON name. When ctx ends it returns at once with context.Cause, and the work is
// cancelled and undone by the library. progress may be nil; it is called about ten times a second.
func (b *Backend) Call(ctx context.Context, operation string, request, answer any, progress func(Object)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if b == nil || b.core == nil {
		return gone()
	}
	defer runtime.KeepAlive(b)
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if string(text) == "null" { // a nil map asks for nothing special
		text = []byte("{}")
	}
	c := b.core
	c.lock.Lock() // held over the start, since a result may come before it returns
	if c.closed {
		c.lock.Unlock()
		return gone()
	}
	call, started := c.native.callStart(c.backend, c.queue, operations[operation], string(text))
	if err := parse(started, nil); err != nil {
		c.lock.Unlock()
		return err
	}
	result := make(chan string, 1)
	c.waiting[call] = result
	c.lock.Unlock()

	var tick <-chan time.Time
	if progress != nil {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case text, open := <-result:
			if !open {
				return gone()
			}
			return parse(text, answer)
		case <-ctx.Done():
			c.native.callCancel(call)
			return context.Cause(ctx)
		case <-tick:
			var seen Object
			if parse(c.native.callProgress(call), &seen) == nil {
				progress(seen)
			}
		}
	}
}

func given(request Object) Object {
	if request == nil {
		return Object{}
	}
	return request
}
