package api

import (
	"encoding/base64"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// pageSize returns the number of items of a page: maxResults, or AWS's default, 100.
func pageSize(in *value.Object) int {
	if n := integer(in, "maxResults"); n > 0 {
		return int(n)
	}
	return 100
}

// pageToken returns a token for the page that begins after the given item. The token contains a checksum of the item and of
// scope, the parameters that identify the list, so that it is rejected together with other parameters. The checksum detects
// errors; it is not a protection against forgery, and nothing relies on one.
func pageToken(after string, scope ...string) string {
	sum := crc32.ChecksumIEEE([]byte(after + "\x00" + strings.Join(scope, "\x00")))
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatUint(uint64(sum), 16) + ":" + after))
}

// pageAfter returns the item after which the page of a request begins, "" for the first page.
func pageAfter(in *value.Object, scope ...string) (string, error) {
	token := text(in, "nextToken")
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", errBadToken
	}
	_, after, ok := strings.Cut(string(raw), ":")
	if !ok || pageToken(after, scope...) != token {
		return "", errBadToken
	}
	return after, nil
}

var errBadToken = refusal("InvalidToken", "Invalid Token: 'Invalid token'")
