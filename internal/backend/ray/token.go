package ray

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LoadToken returns the token for Rays with authentication. It looks in the same places as Ray: RAY_AUTH_TOKEN, the file that
// RAY_AUTH_TOKEN_PATH names, and .ray/auth_token in home. source is where the token was found. Both are empty if there is no token.
func LoadToken(getenv func(string) string, home string) (token, source string, err error) {
	if token := strings.TrimSpace(getenv("RAY_AUTH_TOKEN")); token != "" {
		return token, "RAY_AUTH_TOKEN", nil
	}
	if path := getenv("RAY_AUTH_TOKEN_PATH"); path != "" {
		token, err := readToken(path)
		if err != nil {
			return "", "", fmt.Errorf("RAY_AUTH_TOKEN_PATH: %w", err)
		}
		return token, path, nil
	}
	path := filepath.Join(home, ".ray", "auth_token")
	token, err = readToken(path)
	if home == "" || errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	return token, path, err
}

// readToken reads a token from a file. It returns an error if the content is not valid in an HTTP header.
func readToken(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if token == "" || len(token) > 64<<10 || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", fmt.Errorf("%s does not contain a token: it must be one line of printable characters", path)
	}
	return token, nil
}
