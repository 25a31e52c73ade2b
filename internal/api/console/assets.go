package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed assets
var files embed.FS

// asset is an embedded file, with its URL path, content type, ETag, and content.
type asset struct {
	path, kind, tag string
	plain, zipped   []byte
}

var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// loadAssets compresses the files once per process.
var loadAssets = sync.OnceValue(func() []*asset {
	var all []*asset
	err := fs.WalkDir(files, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		all = append(all, newAsset("/console"+strings.TrimPrefix(name, "assets"), data))
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("read the embedded files: %v", err)) // the build is broken
	}
	return all
})

// newAsset returns a file with its compressed content. Its ETag is a hash of the content.
func newAsset(at string, data []byte) *asset {
	sum := sha256.Sum256(data)
	a := &asset{path: at, kind: kinds[path.Ext(at)], tag: `"` + hex.EncodeToString(sum[:8]) + `"`, plain: data}
	if path.Base(at) == "index.html" {
		a.path = "/console/{$}"
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails only for an invalid level
	_, _ = z.Write(data)                                  // a bytes.Buffer never fails
	_ = z.Close()
	a.zipped = b.Bytes()
	return a
}

// ServeHTTP sends the file, or 304 if the browser has the current version. Browsers must revalidate (no-cache), because the names of files
// do not change between releases.
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Etag", a.tag)
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("If-None-Match"), a.tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.kind)
	data := a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		data = a.zipped
	}
	h.Set("Content-Length", fmt.Sprint(len(data)))
	_, _ = w.Write(data) // fails only if the client has disconnected
}
