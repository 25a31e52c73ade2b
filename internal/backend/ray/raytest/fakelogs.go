package raytest

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

func (f *Fake) logFile(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimSuffix(strings.TrimPrefix(r.FormValue("filename"), "job-driver-"), ".log")
	text, err := os.ReadFile(filepath.Join(f.dir, filepath.Base(id)+".log"))
	if err != nil || r.FormValue("node_id") != "node-of-"+id {
		http.Error(w, "A file is not found at: /fake/"+id, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	if n, _ := strconv.Atoi(r.FormValue("lines")); n > 0 && n < len(lines) {
		lines = slices.Clip(lines[len(lines)-n:])
	}
	_, _ = io.WriteString(w, strings.Join(lines, ""))
	if bytes.HasSuffix(text, []byte("\n")) {
		_, _ = io.WriteString(w, "\n")
	}
}

func (f *Fake) tailing(conn *websocket.Conn, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if open {
		f.tails[conn] = true
	} else {
		delete(f.tails, conn)
	}
}

// CutTails closes all log tails although their jobs continue, as Ray sometimes does.
func (f *Fake) CutTails() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.tails {
		_ = conn.CloseNow()
	}
}

// tail sends the log of a job while the job prints it, and closes the connection after the job has ended.
func (f *Fake) tail(w http.ResponseWriter, r *http.Request, job *fakeJob) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	f.tailing(conn, true)
	defer func() { f.tailing(conn, false); _ = conn.CloseNow() }()
	ctx := conn.CloseRead(r.Context())
	sent := 0
	for {
		ended := false
		select {
		case <-job.ended:
			ended = true
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
		text, _ := os.ReadFile(job.log.Name())
		if len(text) > sent {
			chunk := strings.ToValidUTF8(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(text[sent:])), "\uFFFD")
			if conn.Write(ctx, websocket.MessageText, []byte(chunk)) != nil {
				return
			}
			sent = len(text)
		}
		if ended {
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return
		}
	}
}
