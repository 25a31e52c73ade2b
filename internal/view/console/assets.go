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

// asset is a file as it is sent.
type asset struct {
	path, kind, tag string
	plain, zipped   []byte
}

var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// loadAssets compresses the files once a process: a server sends them many times.
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
		panic(fmt.Sprintf("files that are built in cannot be read: %v", err)) // a broken build, no input's fault
	}
	return all
})

func newAsset(at string, data []byte) *asset {
	sum := sha256.Sum256(data)
	a := &asset{path: at, kind: kinds[path.Ext(at)], tag: `"` + hex.EncodeToString(sum[:8]) + `"`, plain: data}
	if path.Base(at) == "index.html" {
		a.path = "/console/{$}"
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a right one
	_, _ = z.Write(data)                                  // a buffer takes everything
	_ = z.Close()
	a.zipped = b.Bytes()
	return a
}

// ServeHTTP sends the file, or says that the browser's copy is still good: names stay the same from release to release,
// so that a browser has to ask.
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
	_, _ = w.Write(data) // the client is gone when this fails
}
