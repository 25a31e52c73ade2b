package ray

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LoadToken looks for the token of a Ray with authentication where Ray itself looks: RAY_AUTH_TOKEN, the file that
// RAY_AUTH_TOKEN_PATH names, then .ray/auth_token below home. Source says where it was; both are empty when there is none.
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

// readToken refuses what no token can be, as it would become a header.
func readToken(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if token == "" || len(token) > 64<<10 || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", fmt.Errorf("%s holds no token: one line of printable characters is expected", path)
	}
	return token, nil
}
