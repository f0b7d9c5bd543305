//go:build !sandport_bundled

package sandport

// bundled is the library's file where a release was packed; a source tree has none.
var bundled []byte
