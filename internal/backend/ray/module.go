package ray

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// moduleFile returns the files of a module that is a single .py file.
func moduleFile(name string, size int64) ([]packFile, error) {
	if filepath.Ext(name) != ".py" {
		return nil, fmt.Errorf("the module %s must be a directory, a .py file or a .whl file", name)
	}
	return []packFile{{path: filepath.Base(name), source: name, mode: 0o644, size: size}}, nil
}

// packWheel opens a wheel as a package whose name contains the hash of the content. Ray stores each name only once, so that wheels of
// different content need different names; and pip requires that the name is a valid name of a wheel.
func packWheel(name string) (*Package, error) {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the module %s does not exist", name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the module: %w", err)
	}
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err == nil && size > PackageLimit {
		err = fmt.Errorf("the wheel %s has %d MiB, but Ray accepts at most %d MiB: put it on storage and use its URI instead "+
			"(s3://, gs:// or https://)", name, size>>20, PackageLimit>>20)
	}
	p := &Package{Size: size, Files: 1, file: file, kept: true}
	if err == nil {
		p.Name, err = wheelName(filepath.Base(name), hex.EncodeToString(hash.Sum(nil))[:16])
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// wheelName adds a hash to the build tag in the name of a wheel. A build tag must start with a digit.
func wheelName(name, hash string) (string, error) {
	parts := strings.Split(strings.TrimSuffix(name, ".whl"), "-")
	switch len(parts) {
	case 5:
		parts = append(parts[:2], append([]string{"0x" + hash}, parts[2:]...)...)
	case 6:
		parts[2] += "x" + hash
	default:
		return "", fmt.Errorf("%s is not the name of a wheel: expected NAME-VERSION-PYTHON-ABI-PLATFORM.whl", name)
	}
	return strings.Join(parts, "-") + ".whl", nil
}

// PackText returns a package that contains a directory with texts, by file name.
func PackText(ctx context.Context, dir string, texts map[string]string) (*Package, error) {
	var files []packFile
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		files = append(files, packFile{path: dir + "/" + name, mode: 0o644, size: int64(len(texts[name])), text: texts[name]})
	}
	return packFiles(ctx, "", "environment", files, PackageLimit)
}
