package raytest

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

func (f *Fake) pack(w http.ResponseWriter, r *http.Request, uri string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodPut {
		data, err := io.ReadAll(io.LimitReader(r.Body, ray.PackageLimit+1))
		if err != nil || len(data) > ray.PackageLimit {
			http.Error(w, "Maximum request body size 104857600 exceeded.", http.StatusRequestEntityTooLarge)
			return
		}
		f.packages[uri] = data
		return
	}
	if _, ok := f.packages[uri]; !ok {
		http.Error(w, "Package "+uri+" does not exist", http.StatusNotFound)
	}
}

// Package returns the content of an uploaded package, or nil if it does not exist.
func (f *Fake) Package(uri string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.packages[uri]
}

// DropPackages deletes all packages, as Ray does with packages that no job uses.
func (f *Fake) DropPackages() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.packages)
}

// workingDir unpacks the working directory of a job and returns its path.
func (f *Fake) workingDir(s ray.Submission) (string, error) {
	uri, _ := s.RuntimeEnv["working_dir"].(string)
	if uri == "" {
		return f.dir, nil
	}
	data, ok := f.packages[uri]
	if !ok {
		return "", fmt.Errorf("failed to download package %s", uri)
	}
	dir := filepath.Join(f.dir, "wd-"+s.SubmissionID)
	return dir, unzip(data, dir)
}

// modules unpacks the py_modules of a job and returns the value of PYTHONPATH. Wheels must exist but are not installed.
func (f *Fake) modules(s ray.Submission) (string, error) {
	list, _ := s.RuntimeEnv["py_modules"].([]any)
	var dirs []string
	for _, v := range list {
		uri, _ := v.(string)
		data, ok := f.packages[uri]
		if !ok {
			return "", fmt.Errorf("failed to download package %s", uri)
		}
		if strings.HasSuffix(uri, ".whl") {
			continue
		}
		dir := filepath.Join(f.dir, "modules-"+s.SubmissionID, strings.TrimSuffix(strings.TrimPrefix(uri, "gcs://"), ".zip"))
		if err := unzip(data, dir); err != nil {
			return "", err
		}
		dirs = append(dirs, dir)
	}
	return strings.Join(dirs, ":"), nil
}

func unzip(data []byte, dir string) error {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, file := range r.File {
		if err := unzipFile(file, filepath.Join(dir, file.Name)); err != nil {
			return err
		}
	}
	return nil
}

func unzipFile(file *zip.File, path string) error {
	if file.FileInfo().IsDir() {
		return os.MkdirAll(path, 0o700)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	in, err := file.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, file.Mode().Perm())
}
