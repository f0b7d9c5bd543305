//go:build !sandport_cgo

// The library's functions without a C compiler.

package sandport

import (
	"os"
	"unsafe"

	"github.com/ebitengine/purego"
)

type native struct {
	abiVersion                       func() uint32
	version                          func() string
	free                             func(unsafe.Pointer)
	open                             func(string, *uint64, *unsafe.Pointer) int32
	closeBackend, cancelCall, endQue func(uint64) int32
	start                            func(uint64, uint64, uint32, string, *uint64, *unsafe.Pointer) int32
	openQueue                        func(*uint64, *int32, *unsafe.Pointer) int32
	next                             func(uint64, *uint64, *int32, *unsafe.Pointer) int32
	progress                         func(uint64, *unsafe.Pointer) int32
	allocate, release                func(string, *unsafe.Pointer) int32
}

func load(path string) (n *native, err error) {
	library, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	n = &native{}
	for name, function := range map[string]any{
		"abi_version": &n.abiVersion, "version": &n.version, "string_free": &n.free,
		"backend_open": &n.open, "backend_close": &n.closeBackend,
		"call_start": &n.start, "call_cancel": &n.cancelCall, "call_progress": &n.progress,
		"queue_open": &n.openQueue, "queue_next": &n.next, "queue_close": &n.endQue,
		"allocate_port": &n.allocate, "release_port": &n.release,
	} {
		symbol, err := purego.Dlsym(library, "sandport_"+name)
		if err != nil {
			return nil, err
		}
		purego.RegisterFunc(function, symbol)
	}
	return n, nil
}

// find is the one rule: explicit path, SANDPORT_LIBRARY, the bundled file, the system loader.
func find(explicit string) (string, error) {
	if explicit != "" {
		return explicit, nil
	}
	if path := os.Getenv("SANDPORT_LIBRARY"); path != "" {
		return path, nil
	}
	if path, err := unpack(bundled); path != "" || err != nil {
		return path, err
	}
	return "libsandport.so.0", nil
}

func (n *native) take(p unsafe.Pointer) string {
	if p == nil {
		return "{}"
	}
	defer n.free(p)
	end := 0
	for *(*byte)(unsafe.Add(p, end)) != 0 {
		end++
	}
	return string(unsafe.Slice((*byte)(p), end))
}

func (n *native) backendOpen(config string) (backend uint64, answer string) {
	var p unsafe.Pointer
	n.open(config, &backend, &p)
	return backend, n.take(p)
}

func (n *native) callStart(backend, queue uint64, operation uint32, request string) (call uint64, answer string) {
	var p unsafe.Pointer
	n.start(backend, queue, operation, request, &call, &p)
	return call, n.take(p)
}

func (n *native) queueOpen() (queue uint64, fd int32, answer string) {
	var p unsafe.Pointer
	n.openQueue(&queue, &fd, &p)
	return queue, fd, n.take(p)
}

func (n *native) queueNext(queue uint64) (call uint64, answer string, got bool) {
	var p unsafe.Pointer
	var status int32
	got = n.next(queue, &call, &status, &p) == 0
	return call, n.take(p), got
}

func (n *native) callProgress(call uint64) string {
	var p unsafe.Pointer
	n.progress(call, &p)
	return n.take(p)
}

func (n *native) port(release bool, request string) string {
	var p unsafe.Pointer
	if release {
		n.release(request, &p)
	} else {
		n.allocate(request, &p)
	}
	return n.take(p)
}

func (n *native) abi() uint32                { return n.abiVersion() }
func (n *native) name() string               { return n.version() }
func (n *native) backendClose(number uint64) { n.closeBackend(number) }
func (n *native) callCancel(number uint64)   { n.cancelCall(number) }
func (n *native) queueClose(number uint64)   { n.endQue(number) }
