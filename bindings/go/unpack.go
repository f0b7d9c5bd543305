// Puts an embedded library where the loader can open it.

package sandport

import (
	"fmt"
	"os"
	"path/filepath"
)

// unpack writes the library to a fresh private folder; the file's name would be a trap in a shared one.
// The caller removes the folder as soon as the library is loaded.
func unpack(library []byte) (string, error) {
	if len(library) == 0 {
		return "", nil
	}
	folder, err := os.MkdirTemp("", "sandport-*")
	if err != nil {
		return "", fmt.Errorf("sandport: the embedded library cannot be unpacked: %w", err)
	}
	path := filepath.Join(folder, "libsandport.so.0")
	if err := os.WriteFile(path, library, 0o700); err != nil {
		os.RemoveAll(folder)
		return "", fmt.Errorf("sandport: the embedded library cannot be unpacked: %w", err)
	}
	return path, nil
}
