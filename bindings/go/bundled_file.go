//go:build sandport_bundled

package sandport

import _ "embed"

// bundled is the library's file; packing a release puts it here and drops the build tags of both files.
//
//go:embed libsandport.so.0
var bundled []byte
