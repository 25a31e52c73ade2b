package api

import (
	"encoding/base64"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// pageSize is how many items a page of a request holds: AWS's default is 100.
func pageSize(in *value.Object) int {
	if n := integer(in, "maxResults"); n > 0 {
		return int(n)
	}
	return 100
}

// A page token says where the next page begins. It belongs to one question: the words that make it up are summed into the
// token, so that it is refused with another.

func pageToken(after string, question ...string) string {
	sum := crc32.ChecksumIEEE([]byte(after + "\x00" + strings.Join(question, "\x00")))
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatUint(uint64(sum), 16) + ":" + after))
}

// pageAfter is where a request's page begins; empty for the first.
func pageAfter(in *value.Object, question ...string) (string, error) {
	token := text(in, "nextToken")
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", errBadToken
	}
	_, after, ok := strings.Cut(string(raw), ":")
	if !ok || pageToken(after, question...) != token {
		return "", errBadToken
	}
	return after, nil
}

var errBadToken = refusal("InvalidToken", "Invalid Token: 'Invalid token'")
