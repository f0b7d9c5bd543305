//go:build sandport_cgo

// The library's functions through cgo and pkg-config; the linker finds the library.

package sandport

// #cgo pkg-config: sandport
// #include <stdlib.h>
// #include <sandport.h>
import "C"

import (
	"errors"
	"unsafe"
)

type native struct{}

func load(string) (*native, error) { return &native{}, nil }

func find(explicit string) (string, error) {
	if explicit != "" {
		return "", errors.New("sandport: built with sandport_cgo, the library is linked: no path can be given")
	}
	return "", nil
}

func take(p *C.char) string {
	if p == nil {
		return "{}"
	}
	defer C.sandport_string_free(p)
	return C.GoString(p)
}

func (n *native) backendOpen(config string) (uint64, string) {
	text := C.CString(config)
	defer C.free(unsafe.Pointer(text))
	var backend C.sandport_backend
	var p *C.char
	C.sandport_backend_open(text, &backend, &p)
	return uint64(backend), take(p)
}

func (n *native) callStart(backend, queue uint64, operation uint32, request string) (uint64, string) {
	text := C.CString(request)
	defer C.free(unsafe.Pointer(text))
	var call C.sandport_call
	var p *C.char
	C.sandport_call_start(C.sandport_backend(backend), C.sandport_queue(queue), C.uint32_t(operation), text, &call, &p)
	return uint64(call), take(p)
}

func (n *native) queueOpen() (uint64, int32, string) {
	var queue C.sandport_queue
	var fd C.int
	var p *C.char
	C.sandport_queue_open(&queue, &fd, &p)
	return uint64(queue), int32(fd), take(p)
}

func (n *native) queueNext(queue uint64) (uint64, string, bool) {
	var call C.sandport_call
	var status C.int32_t
	var p *C.char
	got := C.sandport_queue_next(C.sandport_queue(queue), &call, &status, &p) == 0
	return uint64(call), take(p), got
}

func (n *native) callProgress(call uint64) string {
	var p *C.char
	C.sandport_call_progress(C.sandport_call(call), &p)
	return take(p)
}

func (n *native) port(release bool, request string) string {
	text := C.CString(request)
	defer C.free(unsafe.Pointer(text))
	var p *C.char
	if release {
		C.sandport_release_port(text, &p)
	} else {
		C.sandport_allocate_port(text, &p)
	}
	return take(p)
}

func (n *native) abi() uint32                { return uint32(C.sandport_abi_version()) }
func (n *native) name() string               { return C.GoString(C.sandport_version()) }
func (n *native) backendClose(number uint64) { C.sandport_backend_close(C.sandport_backend(number)) }
func (n *native) callCancel(number uint64)   { C.sandport_call_cancel(C.sandport_call(number)) }
func (n *native) queueClose(number uint64)   { C.sandport_queue_close(C.sandport_queue(number)) }
