package objects_test

import (
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/objects"
)

// fakeS3 is a fake of S3 whose lists have two objects per page.
type fakeS3 struct {
	mu    sync.Mutex
	files objects.Dir
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=key/") {
		http.Error(w, "AccessDenied", http.StatusForbidden)
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodPut:
		text, _ := io.ReadAll(r.Body)
		_ = f.files.Put(r.Context(), bucket, key, strings.NewReader(string(text)))
	case key == "":
		f.list(w, r, bucket)
	default:
		body, err := f.files.Get(r.Context(), bucket, key)
		if err != nil {
			http.Error(w, "NoSuchKey", http.StatusNotFound)
			return
		}
		defer body.Close()
		_, _ = io.Copy(w, body)
	}
}

func (f *fakeS3) list(w http.ResponseWriter, r *http.Request, bucket string) {
	after, n := r.URL.Query().Get("continuation-token"), 0
	type content struct{ Key string }
	var answer struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Contents              []content
		IsTruncated           bool
		NextContinuationToken string
	}
	_ = f.files.List(r.Context(), bucket, r.URL.Query().Get("prefix"), func(o engine.Object) error {
		if o.Key <= after {
			return nil
		}
		if n++; n > 2 {
			answer.IsTruncated = true
			return io.EOF
		}
		answer.Contents = append(answer.Contents, content{o.Key})
		answer.NextContinuationToken = o.Key
		return nil
	})
	_ = xml.NewEncoder(w).Encode(answer)
}

// All object stores behave the same: directories, S3 with the fake server, and S3 with an independent emulator.
func TestBuckets(t *testing.T) {
	srv := httptest.NewServer(&fakeS3{files: objects.Dir{Root: t.TempDir()}})
	defer srv.Close()
	keys := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
	})
	for name, open := range map[string]func(t *testing.T) engine.Objects{
		"dir": func(t *testing.T) engine.Objects { return objects.Dir{Root: filepath.Join(t.TempDir(), "new")} },
		"s3": func(*testing.T) engine.Objects {
			return objects.S3{Endpoint: srv.URL, Region: "us-east-1", Credentials: keys, Client: srv.Client()}
		},
		"moto": func(t *testing.T) engine.Objects {
			return objects.S3{Endpoint: moto(t), Region: "us-east-1", Credentials: keys}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			want := []string{"in/a b+c.json", "in/b", "in/c/d"}
			for _, key := range append([]string{"out/x"}, want...) {
				if err := b.Put(t.Context(), "bucket", key, strings.NewReader("text of "+key)); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			err := b.List(t.Context(), "bucket", "in/", func(o engine.Object) error {
				got = append(got, o.Key)
				return nil
			})
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
			body, err := b.Get(t.Context(), "bucket", "in/a b+c.json")
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if text, err := io.ReadAll(body); err != nil || string(text) != "text of in/a b+c.json" {
				t.Errorf("%s, %v", text, err)
			}
			if _, err := b.Get(t.Context(), "bucket", "none"); err == nil {
				t.Error("a missing object was opened")
			}
		})
	}
}

func TestDirStaysBelowRoot(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(outside, "root")
	if err := os.MkdirAll(filepath.Join(root, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "b", "link")); err != nil {
		t.Fatal(err)
	}
	d := objects.Dir{Root: root}
	for _, c := range [][2]string{{"b", "../../secret"}, {"..", "secret"}, {"b", "/secret"}, {"b", "link/secret"}, {"", "x"}, {"b", ""}} {
		if f, err := d.Get(t.Context(), c[0], c[1]); err == nil {
			_ = f.Close()
			t.Errorf("%v was opened", c)
		}
		if err := d.Put(t.Context(), c[0], c[1], strings.NewReader("y")); err == nil && c[1] != "/secret" {
			t.Errorf("%v was written", c)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(outside, "secret")); string(text) != "x" {
		t.Errorf("a file outside of the root was changed to %q", text)
	}
}
